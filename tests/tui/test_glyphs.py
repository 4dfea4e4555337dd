from __future__ import annotations

from dataclasses import fields

import pytest
from rich.cells import cell_len

from lbtutor.tui.glyphs import ASCII, SAFE, SETS, UNICODE, VARIABLE, Glyphs, detect


@pytest.mark.parametrize("glyphs", SETS.values(), ids=SETS)
def test_every_sign_takes_one_cell_a_character(glyphs: Glyphs) -> None:
    assert all(cell_len(sign) == len(sign) for field in fields(glyphs) for sign in [getattr(glyphs, field.name)])
    assert (len(glyphs.box), len(glyphs.eighths)) == (6, 9)


@pytest.mark.parametrize("glyphs", SETS.values(), ids=SETS)
def test_marks_that_travel_take_one_cell_and_at_most_the_failed_probe_takes_two(glyphs: Glyphs) -> None:
    singles = (glyphs.request, glyphs.reply, glyphs.failed, glyphs.probe, glyphs.probe_passed, glyphs.wire)
    assert {len(sign) for sign in singles} == {1}
    assert len(glyphs.probe_failed) == 2


def test_the_ascii_set_is_ascii() -> None:
    assert all(getattr(ASCII, field.name).isascii() for field in fields(ASCII))


def test_the_safe_set_can_be_shown_by_the_linux_console() -> None:
    """WGL4 extends code page 437, which every console font has, by letters and a few shapes."""
    shapes = "".join(getattr(SAFE, field.name) for field in fields(SAFE) if field.name != "name")
    wgl4 = set("●○◘◦■▲×♦◊·→←█░…►┌┐┘└─│▄ ")
    assert set(shapes) <= wgl4


@pytest.mark.parametrize(
    ("environ", "encoding", "expected"),
    [
        ({}, "utf-8", UNICODE),
        ({}, "UTF8", UNICODE),
        ({}, "ascii", ASCII),
        ({}, "latin-1", ASCII),
        ({"TERM": "linux"}, "utf-8", SAFE),
        ({"TERM": "linux"}, "ascii", ASCII),
        ({VARIABLE: "safe"}, "ascii", SAFE),
        ({VARIABLE: " ASCII "}, "utf-8", ASCII),
        ({VARIABLE: "pretty"}, "utf-8", UNICODE),
    ],
)
def test_the_set_is_the_one_named_or_else_the_best_that_can_be_shown(
    environ: dict[str, str], encoding: str, expected: Glyphs
) -> None:
    assert detect(environ, encoding) is expected
