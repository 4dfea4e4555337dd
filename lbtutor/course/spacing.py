"""When a question comes back: right answers earn a longer rest, a wrong one brings it back soon.

    wrong                      after ten minutes
    right, 1st time in a row   after its own `returns_after`, a day say
    right, 2nd, 3rd …          after 3, 7, 21, 60 times that

A right answer before the question was due earns nothing: what was read a minute ago proves little. Growing gaps end at
the same memory as equal ones and ask for less time (Kang and others 2014).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

AFTER_WRONG = timedelta(minutes=10)
GROWTH = (1, 3, 7, 21, 60)
"""Rests after the first, second … right answer in a row, as multiples of the question's own."""


def due_at(answers: Iterable[tuple[datetime, bool]], rest: timedelta) -> datetime | None:
    """When a question answered so (time and right or wrong, oldest first) is due again; None if never answered."""
    due: datetime | None = None
    in_a_row = 0
    for at, right in answers:
        if not right:
            in_a_row, due = 0, at + AFTER_WRONG
        elif due is None or at >= due:
            due = at + rest * GROWTH[min(in_a_row, len(GROWTH) - 1)]
            in_a_row += 1
    return due
