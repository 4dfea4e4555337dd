"""The line that says how far something has come."""

from __future__ import annotations

import io
import sys

import pytest

from lbtutor.cli import progress as module
from lbtutor.cli.progress import progress


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
