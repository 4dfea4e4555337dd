"""The line that says how far something has come."""

from __future__ import annotations

import io
import sys

import pytest
import typer

from lbtutor.cli import progress as module
from lbtutor.cli.progress import progress, progressing


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, *times: float) -> Terminal:
    """Somebody watches, and the clock shows these times, one at each look."""
    terminal, clock = Terminal(), iter(times)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    return terminal


def test_nothing_is_told_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress("a run") is None


def test_the_time_left_is_told_once_two_seconds_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 100.0, 101.5, 103.0, 110.0)
    tell = progress("a run")
    assert tell is not None
    tell(0.1)
    tell(0.2)
    tell(0.5)
    lines = terminal.getvalue().split("\r")[1:]
    assert lines == ["a run: 10% \x1b[K", "a run: 20%, about 12 s left \x1b[K", "a run: 50%, about 10 s left \x1b[K"]


def test_nothing_is_divided_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 0.0, 5.0)
    tell = progress("a run")
    assert tell is not None
    tell(0.0)
    assert terminal.getvalue() == "\ra run: 0% \x1b[K"


def test_the_line_goes_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 0.0, 5.0)
    tell = progress("a run")
    assert tell is not None
    tell(1.0)
    assert terminal.getvalue() == "\r\x1b[K"


def test_much_time_is_told_in_minutes_and_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 0.0, 10.0, 10.0)
    tell = progress("a run")
    assert tell is not None
    tell(0.01)
    tell(0.0001)
    lines = terminal.getvalue().split("\r")[1:]
    assert lines == ["a run: 1%, about 16 min left \x1b[K", "a run: 0%, about 28 h left \x1b[K"]


def half_of(how_it_ends: type[BaseException]) -> None:
    with progressing("a run") as tell:
        assert tell is not None
        tell(0.5)
        raise how_it_ends


def test_the_line_goes_away_with_its_block_when_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 0.0, 1.0, 2.0)
    with pytest.raises(ValueError):  # noqa: PT011
        half_of(ValueError)
    assert terminal.getvalue() == "\ra run: 50% \x1b[K\r\x1b[K"


def test_a_block_that_ctrl_c_ends_says_so_and_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, 0.0, 1.0, 2.0)
    with pytest.raises(typer.Exit) as ended:
        half_of(KeyboardInterrupt)
    assert ended.value.exit_code == 130
    assert terminal.getvalue() == "\ra run: 50% \x1b[K\r\x1b[Klbtutor: interrupted\n"


def test_a_block_where_nobody_watches_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progressing("a run") as tell:
        assert tell is None
