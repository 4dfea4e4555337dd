"""A case as a test that somebody can put beside their code: plain asserts, no search.

Where the story is short and the answer at its end is wrong by itself, the test asks the code what it was asked, line by
line, and needs nothing of ours. Everything else (what was compared with another run, or counted over thousands of
answers) is played by `played_again`, which judges it by its law.

On the way to the end an answer may be free, such as a tie. If the code then chooses another one than when the case was
found, the rest of the story is not its story, and the test is skipped: nothing is proved, nobody is accused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from textwrap import indent, wrap

import msgspec

from lbtutor.testing.cases import Case
from lbtutor.testing.recording import Call

_SHORT = 60
"""A story with more questions than this is not written out."""

_WIDTH = 96

_PLAIN_FAULTS = {"Raised", "NotOffered"}
"""What goes wrong in a way that a plain test sees as well."""

_THINGS = '''class Backend:
    """A server, as an algorithm sees it; equal only to itself."""

    def __init__(self, name, weight=1, in_flight=0, latency=None, latency_at=None, since=0.0):
        self.name, self.weight, self.in_flight = name, weight, in_flight
        self.latency, self.latency_at, self.since = latency, latency_at, since


class Request:
    """A request, as an algorithm sees it."""

    def __init__(self, at=0.0, client="127.0.0.1", key="127.0.0.1", attempt=1, **rest):
        self.at, self.client, self.key, self.attempt = at, client, key, attempt
        self.method, self.host, self.path, self.headers = "GET", "", "/", {}
        vars(self).update(rest)
'''

_EVENT = '''class Event:
    """The end of a request, as `observe` is told of it."""

    def __init__(self, **fields):
        vars(self).update(fields)
'''

_AS_FOUND = '''def as_found(answer, found):
    """Where the answer is free and another one was given, the rest is not its story: nothing is proved."""
    if answer != found:
        pytest.skip(f"it answers {answer!r} here, and {found!r} when this was found")
'''


def as_test(case: Case) -> str:
    """The text of a file for pytest, which imports the class from the file it was found in."""
    end = _end(case)
    return _by_law(case) if end is None else _plainly(case, end)


# --- plainly


def _end(case: Case) -> int | None:
    """The number of the question with which a plain test would end; None where none can be written."""
    if not case.calls or len(case.calls) > _SHORT or case.repeats:
        return None
    if case.calls[-1].fault:
        return len(case.calls) - 1 if case.calls[-1].fault in _PLAIN_FAULTS else None
    last = max(call.moment for call in case.calls)
    asked = [n for n, call in enumerate(case.calls) if call.moment == last and str(call.answer) == case.got]
    return asked[-1] if asked and not case.fault else None


def _plainly(case: Case, end: int) -> str:
    body = [line for call in case.calls[:end] for line in _step(call)] + _last(case, case.calls[end])
    code = "\n".join(body)
    needs = [
        part for word, part in (("Backend(", _THINGS), ("Event(", _EVENT), ("as_found(", _AS_FOUND)) if word in code
    ]
    imports = [*(["import pytest"] if "as_found(" in code else []), _import(case)]
    random = ["from random import Random"] if "Random(" in code else []
    head = "\n".join([*random, *([""] if random else []), "\n\n".join(imports)])
    test = f'def test_{case.law}():\n    """{case.says}"""\n{indent(code, "    ")}\n'
    return "\n\n".join([f'"""{_told(case)}"""\n\n{head}\n', *(f"{part}" for part in needs), test])


def _step(call: Call) -> Iterator[str]:
    yield from call.before
    if call.answer is None:
        yield call.code
    elif call.names:
        yield f"as_found({call.code}.name, {_value(call.answer)})"
    else:
        yield f"as_found({call.code}, {_value(call.answer)})"


def _last(case: Case, call: Call) -> list[str]:
    """The end: what came when this was found, and what must come."""
    because = wrap(f"expected {case.expected}, got {case.got}{f': {case.because}' if case.because else ''}", _WIDTH)
    return [*call.before, *(f"# {line}" for line in because), _assertion(case, call)]


def _assertion(case: Case, call: Call) -> str:
    if call.fault == "Raised":
        return call.code
    if call.fault == "NotOffered":
        return f"assert {call.code} in backends"
    code = f"{call.code}.name" if call.names else call.code
    allowed = _allowed(case)
    if not allowed:
        return f"assert {code} != {_value(call.answer)}"
    if len(allowed) == 1:
        return f"assert {code} {'is' if allowed[0] in (None, True, False) else '=='} {_value(allowed[0])}"
    return f"assert {code} in ({', '.join(map(_value, allowed))})"


def _allowed(case: Case) -> list[object]:
    """The answers that were expected, where the words for them are answers that the story knows; else none."""
    words = [word for word in re.split(r",\s*|\s+or\s+", case.expected) if word]
    known = {str(value): value for value in (*_names(case), None, True, False, "up", "down")}
    return [known[word] for word in words] if all(word in known for word in words) else []


def _names(case: Case) -> list[str]:
    """Every name in the setting, and every answer of the story."""
    listed = [row[0] for row in case.setting.get("servers", ()) if row]
    return [*listed, *case.setting.get("names", ()), *(c.answer for c in case.calls if isinstance(c.answer, str))]


# --- by its law


def _by_law(case: Case) -> str:
    kept = msgspec.to_builtins(msgspec.structs.replace(case, calls=()))
    imports = "\n\n".join(["from lbtutor.testing import played_again, read_case", _import(case)])
    return (
        f'"""{_told(case)}"""\n\n{imports}\n\nCASE = {_literal(kept)}\n\n\n'
        f'def test_{case.law}():\n    """{case.says}"""\n'
        f"    found = played_again(read_case(CASE), {case.cls})\n    assert found is None, str(found)\n"
    )


def _literal(kept: dict[str, object]) -> str:
    rows = "\n".join(f"    {_value(name)}: {value!r}," for name, value in kept.items())
    return f"{{  # fmt: skip\n{rows}\n}}"


# --- words


def _import(case: Case) -> str:
    return f"from {PurePath(case.file).stem} import {case.cls}"


def _told(case: Case) -> str:
    title = f"{case.cls} broke a law of {case.component}; found by lbtutor {case.kit}, seed {case.seed}."
    story = "\n".join(f"    {line}" for line in case.story)
    text = "\n".join([title, "", *wrap(case.says, _WIDTH), "", story]) + "\n"
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _value(value: object) -> str:
    """A value as Python writes it, text in double quotes."""
    return msgspec.json.encode(value).decode() if isinstance(value, str) else repr(value)
