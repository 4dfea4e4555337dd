"""A program: what is done to a balancer, as data; and a run: what came of it.

A program is a setting and a row of operations such as `("serve", 3)` or `("health", 0, False)`. Numbers in operations
are taken modulo what there is, so every part of a program is a program again: that is what makes a counterexample easy
to shorten, to store, to read, and to play on anything.

A run is the same story as moments, each with what was true *before* it and what the code under test answered. A law
reads moments, and never talks to the code itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

from lbtutor.testing.sandbox.faults import Fault

Op = tuple[Any, ...]
"""An operation: its kind, then plain numbers, texts and truths."""

SILENT = "…"
"""The answer of a moment whose question got none."""


class Program(Struct, frozen=True):
    """A setting (servers, parameters, the seed of what is random) and what is done in it, in order. Plain JSON."""

    setting: dict[str, Any]
    ops: tuple[Op, ...] = ()


class Moment(Struct):
    """One thing that happened: `op` is the operation it belongs to, `says` its sentence, `answer` what the code said.

    Families add what their laws need to know, as it was before.
    """

    op: int
    kind: str
    says: str
    answer: Any = None
    asked: bool = False
    """Was the code asked for an answer that somebody judges?"""


M = TypeVar("M", bound=Moment)


class Run(Generic[M]):
    """What came of one program.

    `fault` is why it ended early, if it did; the last moment is then the question that got no answer. `others` are the
    runs of the law's companion programs. A law says with `meet` that it came across a situation it is about: one that
    never did has proved nothing.
    """

    def __init__(self, program: Program, claims: Mapping[str, Any]) -> None:
        self.program = program
        self.claims = claims
        self.moments: list[M] = []
        self.fault: Fault | None = None
        self.others: tuple[Run[M], ...] = ()
        self.situations: Counter[str] = Counter()

    def meet(self, situation: str, times: int = 1) -> None:
        """The law came across a situation that it is about."""
        self.situations[situation] += times

    def answered(self, kind: str | None = None) -> Iterator[M]:
        """The moments whose question was answered, in order; those of one kind, if it is named."""
        for moment in self.moments:
            if moment.asked and moment.answer is not SILENT and (kind is None or moment.kind == kind):
                yield moment


class Broken(Exception):
    """A law does not hold: at that moment, `expected` was allowed and `got` came, `because` of the facts."""

    def __init__(self, moment: Moment | None, expected: str, got: str, because: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}{f': {because}' if because else ''}")
        self.moment = moment
        self.expected = expected
        self.got = got
        self.because = because
