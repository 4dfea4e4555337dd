"""What goes over the pipe: frames of four bytes of length and JSON, and which values may be in them.

Standard library only, and little of it: both ends import this, and one of them has to start in milliseconds. JSON and
nothing that can build objects (pickle, marshal), because what comes back was written by a stranger.

    question   [id, op, ...]           answer   [id, "ok", value] or [id, kind of fault, ...]

On the way in (`pack`, `unpack`) values are ours; on the way out (`plain`) only exact types pass, since a subclass of
`str` that calls itself equal to everything is the oldest trick there is. A member of an enumeration is taken for its
word, and a set of texts for these in order: people write states and memberships so.
"""

from __future__ import annotations

import json
import os
import struct
from enum import EnumType  # `json` has loaded it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = Any  # whatever JSON can hold: looked at where it is used

FRAME = 65_536
"""The longest answer, in bytes."""

HEADER = struct.Struct(">I")
TEXT = 1000
"""The longest text that may come out, in characters."""
ROW = 64
"""The longest row that may come out, and how deep rows may be in rows is `DEEP`."""
DEEP = 3
WHOLE = 2**63


class NotPlain(Exception):
    """A value that may not cross; its text describes it."""


_dumps = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


def encode(message: list[Any], dumps: Callable[[Json], str] = _dumps) -> bytes:
    """One frame, header and all."""
    body = dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def read_exactly(fd: int, size: int, read: Callable[[int, int], bytes] = os.read) -> bytes:
    """So many bytes from a blocking descriptor; `EOFError` when it ends before."""
    parts = b""
    while len(parts) < size:
        part = read(fd, size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


def write_all(fd: int, data: bytes, write: Callable[[int, memoryview], int] = os.write) -> None:
    """All of it, to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[write(fd, view) :]


def read_frame(fd: int, loads: Callable[[str], Json] = _loads) -> Json:
    """The next message from a blocking descriptor, for the end that trusts the other one."""
    (size,) = HEADER.unpack(read_exactly(fd, 4))
    return loads(read_exactly(fd, size).decode())


def read_question(fd: int, loads: Callable[[str], Json] = _loads, read: Callable[[int, int], bytes] = os.read) -> Json:
    """As `read_frame`, in one read where it can be: for the end that gets no second message before it has answered."""
    data = read(fd, FRAME)
    if len(data) < 4:
        data += read_exactly(fd, 4 - len(data) if data else 4)
    size = 4 + int.from_bytes(data[:4], "big")
    if len(data) < size:
        data += read_exactly(fd, size - len(data))
    return loads(data[4:].decode())


def pack(value: Json) -> Json:
    """A value of ours for the way in: tuples, mappings and seeds are marked, so that they arrive as what they are."""
    kind = type(value)
    if kind in (str, int, float, bool) or value is None:
        return value
    if kind is list:
        return [pack(part) for part in value]
    if kind is tuple:
        return {"row": [pack(part) for part in value]}
    if kind.__name__ == "Rng":
        return {"rng": value.seed}
    return {"map": {key: pack(part) for key, part in value.items()}}


def unpack(value: Json) -> Json:
    """What `pack` packed."""
    kind = type(value)
    if kind is list:
        return [unpack(part) for part in value]
    if kind is not dict:
        return value
    if "row" in value:
        return tuple([unpack(part) for part in value["row"]])
    if "rng" in value:
        from random import Random

        return Random(value["rng"])
    return {key: unpack(part) for key, part in value["map"].items()}


def plain(value: Json, depth: int = 0) -> Json:
    """A value of the learner's for the way out; raises `NotPlain` for all that is not exactly of a plain type."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str and len(value) <= TEXT and (value.isascii() or _is_unicode(value)):
        return value
    if kind is int and -WHOLE < value < WHOLE:
        return value
    if kind is float and value - value == 0.0:  # false for inf and nan
        return value
    if type(kind) is EnumType:
        return plain(_word_of(value), depth + 1)
    if (kind is set or kind is frozenset) and all(type(part) is str for part in value):
        return plain(sorted(value), depth)
    if (kind is tuple or kind is list) and len(value) <= ROW and depth < DEEP:
        return [plain(part, depth + 1) for part in value]
    raise NotPlain(described(value))


def _word_of(value: Json) -> Json:
    """What a member of an enumeration stands for: its value if that is a text, else its name."""
    word = object.__getattribute__(value, "_value_")
    return word if type(word) is str else object.__getattribute__(value, "_name_")


def described(value: Json) -> str:
    """What a value is, in words, without asking the value itself."""
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return repr(value)
    if kind is int:
        return repr(value) if -WHOLE < value < WHOLE else f"a whole number of {value.bit_length()} bits"
    if kind is str:
        return repr(value) if len(value) <= 60 else f"a text of {len(value)} characters"
    if kind in (tuple, list, dict, set):
        return f"a {kind.__name__} of {len(value)}"
    return f"an object of type {type.__getattribute__(kind, '__name__')[:60]}"


def _is_unicode(text: str) -> bool:
    """False for half surrogate pairs, which no file and no terminal takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
