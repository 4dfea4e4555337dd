"""The last word on characters for terminals that are not UTF-8."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from lbtutor.tui.screens.plain import AsciiOnly, plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("r12 → srv-3", "r12 > srv-3"),
        ("╭─ Stage ─╮", "+- Stage -+"),
        ("│ ● ○ ✕ │", "| * o x |"),
        ("Café “déjà vu”", 'Cafe "deja vu"'),
        ("1 2 3 …", "1 2 3 ."),
        ("漢", "??"),
        ("plain", "plain"),
    ],
)
def test_every_character_becomes_ascii_cell_for_cell(text: str, plain: str) -> None:
    assert plain_text(text) == plain
    assert cell_len(plain_text(text)) == cell_len(text)


def test_styles_survive() -> None:
    bold = Style(bold=True)
    assert AsciiOnly().apply([Segment("●", bold)], Color(0, 0, 0)) == [Segment("*", bold)]
