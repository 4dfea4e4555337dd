"""`AsciiOnly`: the last word on every character, for terminals that are not UTF-8.

Our own marks come from the ASCII set of `glyphs` there. Borders, scroll bars, bullets and an author's typography do
not, and Textual writes to stderr, which would turn each into a backslash and four digits and shift the whole line.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import decomposition

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LIKE = {
    "-": "─━╌┄┅╴╶╸╺–—‐‑‒―⎯−",
    "|": "│┃╎▏▎▍▌▐▕┆┇┊",
    "+": "┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛╔╗╚╝",
    "=": "═",
    "#": "█▇▆▅▉▊▋■▓▒▀▔▙▟▛▜",
    ".": "…·∙╍",
    "_": "▁▂▃▄",
    ":": "░",
    "*": "•●◆▪★✓✔",
    "o": "○◌◯",
    "x": "×✕✗✖",
    "'": "‘’′",
    '"': "“”„″",
    ">": "›»→▶►▸",
    "<": "‹«←◀◄◂",
    "^": "▲△↑",
    "v": "▼▽↓",
}
_TABLE = {ord(character): plain for plain, characters in _LIKE.items() for character in characters}


@lru_cache(4096)
def plain_text(text: str) -> str:
    """The same text in ASCII, cell for cell: "é" is "e", an unknown sign "?"."""
    if text.isascii():
        return text
    return "".join(character if character.isascii() else _plain(character) for character in text)


def _plain(character: str) -> str:
    known = _TABLE.get(ord(character))
    if known is not None:
        return known
    base = decomposition(character).split(" ")[0]
    letter = chr(int(base, 16)) if base and not base.startswith("<") else "?"
    return (letter if letter.isascii() else "?") * cell_len(character)


class AsciiOnly(LineFilter):
    """Passes every line through `plain_text`."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(plain_text(text), style, control) for text, style, control in segments]
