"""From a long story to a short one, with the same ending.

A program that breaks a law is shortened while it still breaks *that* law: what comes after the break goes first, then
runs of operations, halves before quarters before single ones (delta debugging: Zeller and Hildebrandt, IEEE TSE 2002),
then whatever the family can say more simply. Every part of a program is a program, so nothing has to be repaired on
the way, and since a trial is one run, this works across a pipe and for code that crashes. Typically 20 to 40 runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from lbtutor.testing.program import Program

RUNS = 300
"""Trials, at most."""

PATIENCE = 2.0
"""Seconds, at most."""

Simpler = Callable[[Program], Iterator[Program]]


class Budget:
    """How many trials are left, and how long."""

    def __init__(self, runs: int = RUNS, patience: float = PATIENCE) -> None:
        self._runs = runs
        self._until = time.monotonic() + patience

    def spend(self) -> bool:
        """Is there one more? Then it is spent."""
        self._runs -= 1
        return self._runs >= 0 and time.monotonic() < self._until


def reduce(program: Program, broken_at: int, breaks: Callable[[Program], int | None], simpler: Simpler) -> Program:
    """The shortest program found that breaks as `program` does.

    `breaks` plays a program and tells at which operation the law is broken there, or None; `broken_at` is that of
    `program`. The result breaks, and no operation of it can be left out, unless the budget was spent before.
    """
    budget = Budget()
    program = Program(program.setting, program.ops[: broken_at + 1])
    while budget.spend():
        shorter = _shorten(program, breaks, budget)
        simple = _simplify(shorter, breaks, simpler, budget)
        if simple == program:
            return simple
        program = simple
    return program


def _shorten(program: Program, breaks: Callable[[Program], int | None], budget: Budget) -> Program:
    """Leave out whatever can be left out, large pieces first."""
    size = max(1, len(program.ops) // 2)
    while True:
        at = len(program.ops)
        while at > 0:
            start = max(0, at - size)
            part = Program(program.setting, program.ops[:start] + program.ops[at:])
            broken_at = _try(part, breaks, budget)
            if broken_at is not None:
                program = Program(part.setting, part.ops[: broken_at + 1])
            at = min(start, len(program.ops))
        if size == 1:
            return program
        size //= 2


def _simplify(program: Program, breaks: Callable[[Program], int | None], simpler: Simpler, budget: Budget) -> Program:
    """Take the first simpler program that still breaks, and again from there."""
    found: Program | None = program
    while found is not None:
        program = found
        found = next((one for one in simpler(program) if _try(one, breaks, budget) is not None), None)
    return program


def _try(program: Program, breaks: Callable[[Program], int | None], budget: Budget) -> int | None:
    return breaks(program) if budget.spend() else None
