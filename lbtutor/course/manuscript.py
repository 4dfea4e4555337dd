"""A lesson's manuscript, taken apart: head, steps, and where in the file each of them stands.

    +++
    title = "Round robin"
    +++

    ## The first step

    ```step
    id = "first"
    kind = "explain"
    ```

    Text in Markdown.

The head and the step blocks are TOML. `toml_at` pads a block with as many empty lines as stand above it in the file, so
that whoever parses it names the lines that the author sees.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from lbtutor.core import ConfigError

_FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\S*)")
_HEADING = re.compile(r"^## +(.+?)\s*$")


class Section(Struct, frozen=True):
    """One step as written: `block` is its TOML, None when the heading is not followed by one. Lines count from 1."""

    title: str
    line: int
    block: str | None
    block_line: int
    text: str


class Manuscript(Struct, frozen=True):
    """The file's parts in order; `stray` is the first line of text that belongs to no step."""

    head: str
    sections: tuple[Section, ...]
    stray: int | None


def read_text(path: Path) -> tuple[str, str]:
    """Text of a file, and its name for complaints; raises `ConfigError`."""
    try:
        return path.read_text(encoding="utf-8-sig"), str(path)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def take_apart(text: str, source: str) -> Manuscript:
    """Split a lesson file; raises `ConfigError` when its head or a fence does not end."""
    lines = text.splitlines()
    head, body_line = _head(lines, source)
    headings = list(_headings(lines, body_line, source))
    ends = [line for line, _ in headings[1:]] + [len(lines) + 1]
    sections = tuple(_section(lines, line, end, title) for (line, title), end in zip(headings, ends, strict=False))
    first = headings[0][0] if headings else len(lines) + 1
    stray = next((number for number in range(body_line, first) if lines[number - 1].strip()), None)
    return Manuscript(head, sections, stray)


def toml_at(block: str, line: int) -> str:
    """The block as it would read in a file that is empty above it."""
    return "\n" * (line - 1) + block


def _head(lines: list[str], source: str) -> tuple[str, int]:
    """The TOML between the first two `+++` lines, and the number of the line after them."""
    if not lines or lines[0].strip() != "+++":
        raise ConfigError(f"{source}:1: a lesson begins with a line +++, its head (title, minutes …), and +++ again")
    for index, line in enumerate(lines[1:], 1):
        if line.strip() == "+++":
            return "\n".join(lines[1:index]), index + 2
    raise ConfigError(f"{source}:1: the head that begins here has no second +++ line to end it")


def _headings(lines: list[str], start: int, source: str) -> list[tuple[int, str]]:
    """Line and title of every `## ` that is not inside a fence."""
    found = []
    fence, opened = "", 0
    for number in range(start, len(lines) + 1):
        line = lines[number - 1]
        mark = _FENCE.match(line)
        if mark and not fence:
            fence, opened = mark[1], number
        elif mark and mark[1].startswith(fence) and not mark[2]:
            fence = ""
        elif not fence and (heading := _HEADING.match(line)):
            found.append((number, heading[1]))
    if fence:
        raise ConfigError(f"{source}:{opened}: the block that begins here is never closed with {fence}")
    return found


def _section(lines: list[str], heading: int, end: int, title: str) -> Section:
    """The step whose heading stands in line `heading` and which ends before line `end`."""
    body = list(range(heading + 1, end))
    first = next((number for number in body if lines[number - 1].strip()), end)
    mark = _FENCE.match(lines[first - 1]) if first < end else None
    if mark is None or mark[2] != "step":
        return Section(title, heading, None, first, _joined(lines, first, end))
    close = next(number for number in range(first + 1, end) if lines[number - 1].strip().startswith(mark[1]))
    return Section(title, heading, _joined(lines, first + 1, close), first + 1, _joined(lines, close + 1, end).strip())


def _joined(lines: list[str], start: int, end: int) -> str:
    return "\n".join(lines[start - 1 : end - 1])
