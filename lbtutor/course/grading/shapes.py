"""The shape of a file: what is left of it when names, comments, strings that explain and layout do not count.

Two who handed in the same shape may have worked together, or a short exercise has one good answer. So it is a note for
whoever grades, and made only of files that say enough of their own; what an exercise itself gives is no such file. The
text is only cut into tokens: a compiler would be one more thing that a stranger's file can break.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.workspace import given, solution
from lbtutor.testing.sandbox import Submission

LONG = 30
"""From so many tokens of their own on, two do not write the same by chance."""
LARGEST = 64 * 1024
"""The most bytes of a file whose shape is looked at."""

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_BEFORE_TEXT = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def ours_of(exercise: Exercise) -> tuple[bytes, ...]:
    """The file that the exercise gives, and its solution."""
    return (given(exercise).encode(), solution(exercise).encode()) if exercise.folder.is_dir() else ()


def shape_of(file: Submission, ours: Collection[bytes] = ()) -> str:
    """A digest of the shape; empty for a file that is no Python, or says little more than those of `ours`."""
    if not file.name.endswith(".py") or len(file.data) > LARGEST:
        return ""
    shape, known = _tokens(file.data), [_tokens(data) for data in ours]
    if shape in known or min([len(shape), *(_own(shape, other) for other in known)]) < LONG:
        return ""
    return hashlib.sha256("\n".join(shape).encode("utf-8", "backslashreplace")).hexdigest()


def _own(shape: list[str], other: list[str]) -> int:
    """How many tokens lie between what both begin with and what both end with."""
    begin = _equal(zip(shape, other, strict=False))
    return len(shape) - begin - _equal(zip(reversed(shape[begin:]), reversed(other[begin:]), strict=False))


def _equal(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _tokens(data: bytes) -> list[str]:
    try:
        return list(_told(data))
    except (tokenize.TokenError, SyntaxError, ValueError, LookupError):
        return []


def _told(data: bytes) -> Iterator[str]:
    """Each token: a name as the number of names before it, an indentation as its kind, all others as they stand."""
    names: dict[str, int] = {}
    before = tokenize.NEWLINE
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        if token.type == tokenize.ERRORTOKEN:
            raise ValueError(token.string)
        explains = token.type == tokenize.STRING and before in _BEFORE_TEXT
        if token.type in _LAYOUT or explains or (token.type == tokenize.NEWLINE and before in _BEFORE_TEXT):
            continue
        before = token.type
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            yield f"n{names.setdefault(token.string, len(names))}"
        else:
            yield str(token.type) if token.type in _BEFORE_TEXT else token.string
