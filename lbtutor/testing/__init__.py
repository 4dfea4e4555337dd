"""Laws for load-balancing algorithms, and what it takes to hold somebody's code to them.

    from lbtutor.testing import assert_holds, check

    class Mine:
        def pick(self, request, backends):
            return min(backends, key=lambda backend: backend.in_flight)

    def test_mine():
        assert_holds(Mine, "least_connections")          # or an AssertionError that tells the shortest story

    report = check("mine.py:Mine", "least_connections")  # the same for a file, confined in a process of its own

Each name is imported when it is first used, so that this costs nothing to import. In a test suite of your own there is
also `@pytest.mark.lbtutor_laws` (`lbtutor.testing.pytest_plugin`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbtutor.testing.adapt import Adapter
    from lbtutor.testing.cases import Case, case_of, played_again, read_case
    from lbtutor.testing.checking import assert_holds, check
    from lbtutor.testing.components import COMPONENTS, laws_of
    from lbtutor.testing.lawbook import Law, law
    from lbtutor.testing.machines import machine_for
    from lbtutor.testing.program import Broken, Moment, Program, Run
    from lbtutor.testing.regression import as_test
    from lbtutor.testing.report import Counterexample, LawReport, Report
    from lbtutor.testing.scenes import events_of
    from lbtutor.testing.strategies import programs

_HOMES = {
    "Adapter": "adapt",
    "as_test": "regression",
    "Case": "cases",
    "case_of": "cases",
    "played_again": "cases",
    "read_case": "cases",
    "assert_holds": "checking",
    "check": "checking",
    "COMPONENTS": "components",
    "laws_of": "components",
    "Law": "lawbook",
    "law": "lawbook",
    "machine_for": "machines",
    "Broken": "program",
    "Moment": "program",
    "Program": "program",
    "Run": "program",
    "Counterexample": "report",
    "LawReport": "report",
    "Report": "report",
    "events_of": "scenes",
    "programs": "strategies",
}

__all__ = [
    "COMPONENTS",
    "Adapter",
    "Broken",
    "Case",
    "Counterexample",
    "Law",
    "LawReport",
    "Moment",
    "Program",
    "Report",
    "Run",
    "as_test",
    "assert_holds",
    "case_of",
    "check",
    "events_of",
    "law",
    "laws_of",
    "machine_for",
    "played_again",
    "programs",
    "read_case",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"lbtutor.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
