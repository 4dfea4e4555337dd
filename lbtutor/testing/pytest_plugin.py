"""The laws in a test suite of your own: one test a law, with the story as its failure.

    @pytest.mark.lbtutor_laws("least_connections", claims={"unknown": "raise"})
    class Mine:                                      # any class in a test module; it need not be called Test…
        def pick(self, request, backends): ...

    pytest.mark.lbtutor_laws("round_robin")(Turns)   # or one that was imported

    def test_mine(lbtutor_laws):
        lbtutor_laws(Mine, "least_connections")      # all laws in one test

The marker takes what `lbtutor.testing.check` takes: the component, and claims, lenient, adapter, profile, seed. A law
that the class does not claim is a skipped test; one of which too little was seen fails. Nothing is imported before the
first such class is met.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from lbtutor.testing.report import Report

MARK = "lbtutor_laws"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(component, claims=…, lenient=…): hold this class to the laws of load balancing, one test a law",
    )


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> pytest.Collector | list[pytest.Item] | None:
    """A marked class becomes its laws."""
    mark = _mark_of(obj) if inspect.isclass(obj) else None
    if mark is None or not inspect.isclass(obj):
        return None
    if name != obj.__name__ and getattr(collector.obj, obj.__name__, None) is obj:
        return []  # it is there under its own name too
    laws: Laws = Laws.from_parent(collector, name=name, held=obj, mark=mark)
    return laws


def _mark_of(cls: type) -> pytest.Mark | None:
    marks = vars(cls).get("pytestmark", [])
    return next((mark for mark in (marks if isinstance(marks, list) else [marks]) if mark.name == MARK), None)


@pytest.fixture
def lbtutor_laws() -> Callable[..., Report]:
    """`lbtutor_laws(cls, component, **how)`: raises an `AssertionError` that tells the story unless every law holds."""
    from lbtutor.testing.checking import assert_holds

    return assert_holds


class Laws(pytest.Collector):
    """A class, and the laws that it is held to. They are tried together, when the first of them runs."""

    def __init__(self, *, held: type, mark: pytest.Mark, **parent: Any) -> None:
        super().__init__(**parent)
        self.cls = held
        self._mark = mark
        self._report: Report | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One item a law."""
        from lbtutor.core.errors import ConfigError
        from lbtutor.testing.checking import opened
        from lbtutor.testing.components import asked_of

        how = {name: value for name, value in self._mark.kwargs.items() if name not in ("profile", "seed")}
        try:
            with opened(self.cls, *self._mark.args, **how) as held:
                asked = asked_of(held.target)
        except (ConfigError, TypeError) as error:
            raise self.CollectError(f"{self.name}: {error}") from None
        for law in asked:
            item: HeldTo = HeldTo.from_parent(self, name=law.name)
            yield item

    @property
    def report(self) -> Report:
        """What came of the check."""
        from lbtutor.testing.checking import check

        if self._report is None:
            self._report = check(self.cls, *self._mark.args, **self._mark.kwargs)
        return self._report


class HeldTo(pytest.Item):
    """One law."""

    parent: Laws

    def runtest(self) -> None:
        """Passes when the law was seen to hold."""
        law = self.parent.report.law(self.name)
        if law.verdict == "not checked":
            pytest.skip(law.why)
        if law.verdict != "passed":
            raise NotHeld(_told(self.parent.report, self.name))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The story; the machinery that found it is of no interest."""
        return str(excinfo.value) if isinstance(excinfo.value, NotHeld) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the class is, and what is tried."""
        try:
            line = inspect.getsourcelines(self.parent.cls)[1] - 1
        except (OSError, TypeError):
            line = 0
        return self.path, line, f"{self.parent.name}: {self.name}"


class NotHeld(AssertionError):
    """A law is broken, or too little was seen to say."""


def _told(report: Report, name: str) -> str:
    law = report.law(name)
    if law.counterexample is None:
        return f"{law.says}\n\ntoo little was seen to judge: {law.why}"
    again = f"the same examples again: seed={report.seed}"
    return "\n\n".join(part for part in (law.says, str(law.counterexample), law.hint, again) if part)
