"""Reading TOML into records, with errors that an author can act on.

`read_toml(text, source, type)` decodes into msgspec structs. What goes wrong is one `ConfigError`: the file and the
line, the key with its whole path, what was found, and the nearest known name.

    lab.toml:12: pool.web.backends[0].wrokers: there is no such key; did you mean `workers`?
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from lbtutor.core import ConfigError, Seconds, Service

T = TypeVar("T")
Path = tuple[str | int, ...]

_READERS = {Seconds: Seconds.parse, Service: Service.parse}


def read_toml(text: str, source: str, into: type[T]) -> T:
    """Decode `text`, which came from `source`, into a struct; raises `ConfigError`."""
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source}: not valid TOML: it is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads, too
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    for path, known in _unknown_keys(raw, inspect.type_info(into)):
        raise ConfigError(f"{_place(text, source, path)}: there is no such key; {suggest(str(path[-1]), known)}")
    return read_table(raw, into, text=text, source=source)


def read_table(raw: object, into: type[T], *, text: str, source: str, at: Path = ()) -> T:
    """The same for a table already parsed that stands at path `at` of the file."""
    try:
        return msgspec.convert(raw, into, dec_hook=_read_scalar)
    except msgspec.ValidationError as error:
        message, path = _split(str(error))
        inside = _concrete(raw, into, path)
        raise ConfigError(f"{_place(text, source, at + inside)}: {_with_words(message, into, inside)}") from None


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known here: {', '.join(names)}" if names else "there is none to choose from"


def place(text: str, source: str, path: Path) -> str:
    """`file:line: pool.web.algorithm`, for an error that the caller words itself."""
    return _place(text, source, path)


def _read_scalar(kind: type, value: object) -> object:
    return _READERS[kind](value)


def _unknown_keys(raw: object, kind: inspect.Type) -> Iterator[tuple[Path, list[str]]]:
    """Every key that the schema does not know: its path, and the keys known at that place."""
    match kind, raw:
        case inspect.UnionType(types=types), _:
            structured = [member for member in types if isinstance(member, inspect.StructType)]
            if len(structured) == 1 and isinstance(raw, dict):
                yield from _unknown_keys(raw, structured[0])
        case inspect.StructType(fields=fields), dict():
            known = {field.encode_name: field.type for field in fields}
            for key, value in raw.items():
                if key not in known:
                    yield (key,), list(known)
                    continue
                yield from (((key, *path), names) for path, names in _unknown_keys(value, known[key]))
        case inspect.DictType(value_type=value_type), dict():
            for key, value in raw.items():
                yield from (((key, *path), names) for path, names in _unknown_keys(value, value_type))
        case ((inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item)), list()):
            for index, value in enumerate(raw):
                yield from (((index, *path), names) for path, names in _unknown_keys(value, item))


def _split(message: str) -> tuple[str, str]:
    """msgspec's message in our words, and its JSON path ("Expected `int`, got `str` - at `$.seed`")."""
    text, _, path = message.partition(" - at `")
    text = text.replace("Object missing required field", "missing key").replace("Expected `", "expected `")
    return text, path.rstrip("`")


def _with_words(message: str, into: type, path: Path) -> str:
    """Where one of a few words is wanted, say which they are."""
    found = re.fullmatch(r"Invalid enum value ('.*'|\d+)", message)
    if found is None:
        return message
    words = filter(None, _words_at(inspect.type_info(into), path))
    return f"it cannot be {found[1]}; known here: {', '.join(words)}"


def _words_at(kind: inspect.Type, path: Path) -> Iterator[str]:
    """The words that the schema knows at `path`."""
    match kind, path:
        case inspect.LiteralType(values=values), ():
            yield from map(str, values)
        case inspect.UnionType(types=types), _:
            for member in types:
                yield from _words_at(member, path)
        case inspect.StructType(fields=fields), (key, *below):
            for field in fields:
                if field.encode_name == key:
                    yield from _words_at(field.type, tuple(below))
        case inspect.DictType(value_type=inner), (_, *below):
            yield from _words_at(inner, tuple(below))
        case ((inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner)), (_, *below)):
            yield from _words_at(inner, tuple(below))


def _concrete(raw: object, into: type, path: str) -> Path:
    """The path that msgspec writes, with the dict keys that it leaves out (`[...]`) found by trying each."""
    steps: list[str | int] = []
    for name, index in re.findall(r"\.([^.\[\]]+)|\[([^\]]*)\]", path):
        if name:
            steps.append(name)
        elif index.isdigit():
            steps.append(int(index))
        else:
            steps.append(_failing_key(raw, into, tuple(steps)))
    return tuple(steps)


def _failing_key(raw: object, into: type, above: Path) -> str:
    """Which key of the table at `above` is wrong: the one that, alone in its table, brings the same complaint."""
    complaint = _complaint(raw, into)
    for key in _table_at(raw, above):
        if _complaint(_only(raw, above, key), into) == complaint:
            return str(key)
    return "…"


def _complaint(raw: object, into: type) -> str:
    try:
        msgspec.convert(raw, into, dec_hook=_read_scalar)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _table_at(raw: object, path: Path) -> dict[str, Any]:
    table: Any = raw
    for step in path:
        table = table[step]
    return dict(table)


def _only(raw: object, above: Path, key: str) -> object:
    """The same file, but with nothing except `key` in the table at `above`."""
    whole: Any = raw
    if not above:
        return {key: whole[key]}
    copy: Any = list(whole) if isinstance(whole, list) else dict(whole)
    copy[above[0]] = _only(whole[above[0]], above[1:], key)
    return copy


def _place(text: str, source: str, path: Path) -> str:
    name = ""
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    line = _line_of(text, path)
    return f"{source}{f':{line}' if line else ''}{f': {name}' if name else ''}"


def _line_of(text: str, path: Path) -> int | None:
    """Best guess at the line: follow the path's names downwards, skipping as many `[[tables]]` as its indices say."""
    lines = text.splitlines()
    row = 0
    found: int | None = None
    for position, step in enumerate(path):
        if isinstance(step, int):
            continue
        repeats = path[position + 1] if position + 1 < len(path) else 0
        header = re.compile(rf"^\s*\[\[?[^\]]*\b{re.escape(step)}\s*\]")
        assignment = re.compile(rf"(^|[{{,\s.]){re.escape(step)}\s*=")
        skip = repeats if isinstance(repeats, int) else 0
        for number in range(row, len(lines)):
            if header.search(lines[number]) or assignment.search(lines[number]):
                if skip and header.search(lines[number]):
                    skip -= 1
                    continue
                found, row = number + 1, number
                break
    return found
