"""Markdown as plain text: for a screen reader, a log, and for measuring whether a step fits its column.

The lessons use little of Markdown, and this reads that little: paragraphs, lists, quotes, `###` headings, fenced code,
emphasis, inline code, links. Marks that a voice would spell out are dropped; code in a sentence is put in quotes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

COLUMN = 36
"""Columns of the text beside the stage on an 80x24 terminal."""

_ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)])\s+(.*)$")
_INLINE = (
    (re.compile(r"`([^`]+)`"), r'"\1"'),
    (re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), r"\1 (\2)"),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
)


def plain(markdown: str, width: int = 80) -> list[str]:
    """The text in lines of at most `width` columns (code lines as they are), one empty line between blocks."""
    lines: list[str] = []
    was_item = False
    for block in _blocks(markdown.splitlines()):
        is_item = _is_item(block[0])
        if lines and not (is_item and was_item):
            lines.append("")
        lines += _render(block, width)
        was_item = is_item
    return lines


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines that belong together: a fence, a heading, a list item, a quote or a paragraph."""
    block: list[str] = []
    fenced = False
    for line in lines:
        fence = line.lstrip().startswith("```")
        if block and not fenced and (fence or _begins(line, block)):
            yield block
            block = []
        if fenced or line.strip():
            block.append(line)
        if fence and fenced:
            yield block
            block = []
        fenced = fenced != fence
    if block:
        yield block


def _begins(line: str, block: list[str]) -> bool:
    """Whether a line outside fences ends the block before it."""
    heading = line.startswith("#") or block[0].startswith("#")
    quote_ends = line.startswith(">") != block[0].startswith(">")
    return not line.strip() or heading or quote_ends or _is_item(line)


def _is_item(line: str) -> bool:
    return _ITEM.match(line) is not None


def _render(block: list[str], width: int) -> list[str]:
    first = block[0]
    if first.lstrip().startswith("```"):
        return ["    " + line for line in block[1:] if not line.lstrip().startswith("```")]
    if item := _ITEM.match(first):
        mark = f"{item[1]}{item[2]} "
        return _wrap([item[3], *block[1:]], width, mark, " " * len(mark))
    if first.startswith(">"):
        return _wrap([line.lstrip("> ") for line in block], width, "  ", "  ")
    return _wrap([line.lstrip("# ") if line.startswith("#") else line for line in block], width, "", "")


def _wrap(lines: list[str], width: int, first: str, rest: str) -> list[str]:
    text = " ".join(line.strip() for line in lines)
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
