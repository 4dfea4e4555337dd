"""A case: one counterexample with all it takes to play it again, on any implementation, at any later time.

    case = case_of(report, report.laws[0])          # a frozen record, plain JSON
    played_again(case, "mine.py:LeastConnections")  # the Counterexample, if it still breaks the law, else None
    read_case(json)                                 # from the header of the journal that `lbtutor check` keeps

A case names its law and its program; what was expected and what came are told for a person, and judged anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from lbtutor import __version__
from lbtutor.core.errors import ConfigError, hint
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import opened
from lbtutor.testing.components import laws_of
from lbtutor.testing.lawbook import Law
from lbtutor.testing.program import Op, Program
from lbtutor.testing.recording import Call
from lbtutor.testing.report import Counterexample, LawReport, Report
from lbtutor.testing.sandbox import Submission
from lbtutor.testing.search import PROFILES, Search

TRIES = 20
"""So often a case is played whose code has chance of its own, before it is said to hold."""


class Case(Struct, frozen=True, omit_defaults=True):
    """One counterexample, kept. `kit` is the lbtutor that found it, `file` and `cls` name the code it was found in.

    `setting` and `ops` are the program, `claims` what the code was held to, `calls` what it was asked, where that is
    short enough to read.
    """

    kit: str
    file: str
    cls: str
    component: str
    claims: dict[str, Any]
    law: str
    says: str
    setting: dict[str, Any]
    ops: tuple[Op, ...]
    op: int
    expected: str
    got: str
    because: str = ""
    story: tuple[str, ...] = ()
    hint: str = ""
    seed: int = 0
    repeats: str = ""
    fault: str = ""
    adapter: dict[str, Any] = {}
    calls: tuple[Call, ...] = ()

    @property
    def program(self) -> Program:
        """What is played."""
        return Program(self.setting, self.ops)


def case_of(report: Report, law: LawReport, adapter: Adapter | None = None) -> Case:
    """The counterexample of one law of a report. Raises `ValueError` for a law that has none."""
    found = law.counterexample
    if found is None:
        raise ValueError(f"{law.name} has no counterexample")
    file, _, cls = report.target.rpartition(":")
    return Case(
        __version__, file, cls, report.component, report.claims, law.name, law.says, found.program.setting,
        found.program.ops, found.op, found.expected, found.got, found.because, found.story, law.hint, report.seed,
        found.repeats, found.fault, _said(adapter or Adapter()), found.calls,
    )  # fmt: skip


def _said(adapter: Adapter) -> dict[str, Any]:
    """What an adapter says that is not usual."""
    usual, said = msgspec.structs.asdict(Adapter()), msgspec.structs.asdict(adapter)
    return {name: value for name, value in said.items() if value != usual[name]}


def read_case(case: Mapping[str, Any]) -> Case:
    """The case that plain JSON tells of. Raises `ConfigError` for what is none."""
    try:
        return msgspec.convert(dict(case), Case)
    except msgspec.ValidationError as error:
        raise ConfigError(f"this is no case of lbtutor {__version__}: {error}") from None


def played_again(
    case: Case, target: str | Submission | type, *, cls: str = "", in_process: bool = False
) -> Counterexample | None:
    """Play a case on an implementation: how it breaks the law there, or None when it holds.

    Raises `ConfigError` for a law that this lbtutor does not have, and for one that takes a second process where there
    is none; `NotGradable` as `check` does.
    """
    law = _law(case)
    adapter = msgspec.convert(case.adapter, Adapter)
    with opened(
        target, case.component, cls=cls, claims=case.claims, adapter=adapter, in_process=in_process
    ) as held:  # fmt: skip
        if law.elsewhere and held.elsewhere is None:
            raise ConfigError(f"{law.name} takes a second process; play it on FILE.py:Class, without --in-process")
        search = Search(held.room, held.target, PROFILES["quick"], case.seed, held.elsewhere)
        return search.again(law, case.program, TRIES if case.repeats else 1)


def _law(case: Case) -> Law:
    laws = {law.name: law for law in laws_of(case.component)}
    if case.law not in laws:
        raise ConfigError(
            f"lbtutor {__version__} has no law {case.law!r} for {case.component} (lbtutor {case.kit} had); "
            f"{hint(case.law, laws)}"
        )
    return laws[case.law]
