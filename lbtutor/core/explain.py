"""The record of a decision: who was compared by what, and why the others were not.

It is part of the product: the learner reads it beside every pick. So it is made before the algorithm moves on, from
what the algorithm itself says that it will compare, and it is made only while somebody listens.
"""

from __future__ import annotations

from lbtutor.core.algorithms import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.events import Candidate, Why
from lbtutor.core.messages import Request
from lbtutor.core.pool import Pool


def explain(request: Request, pool: Pool, offered: tuple[Backend, ...]) -> Why:
    """Why `pool`'s algorithm is about to choose as it will.

    Raises whatever the algorithm's `compare` raises, and `ValueError` or `TypeError` when it did not answer with one
    number for each of `offered`.
    """
    if pool.compare is None:
        return unexplained(pool, offered)
    comparison = pool.compare(request, offered)
    numbers = [None if number is None else float(number) for number in comparison.numbers]
    if len(numbers) != len(offered):
        raise ValueError(f"{len(numbers)} numbers for {len(offered)} backends")
    return _record(comparison, numbers, pool, offered)


def unexplained(pool: Pool, offered: tuple[Backend, ...]) -> Why:
    """The record of an algorithm that gives no reason: who was offered, and why the others were not.

    When that is everybody, all is said with the tuple itself, and the record is kept for as long as that is.
    """
    if len(offered) < len(pool.members):
        return _record(_SILENCE, [None] * len(offered), pool, offered)
    if pool.all_offered is None or pool.all_offered[0] is not offered:
        pool.all_offered = offered, _record(_SILENCE, [None] * len(offered), pool, offered)
    return pool.all_offered[1]


def passed_over(pool: Pool) -> tuple[Candidate, ...]:
    """Every member and why it is excluded: the record of a rejection."""
    return tuple(Candidate(member.name, None, pool.excluded(member)) for member in pool.members.values())


def why_lost(pool: Pool, name: str) -> str:
    """Why the member of that name could not be given a client of its own, as the end of "who ..."."""
    member = pool.members.get(name)
    if member is None:
        return "is gone"
    reason = pool.excluded(member) or "tried already"
    return _LOST.get(reason, f"is {reason}")


_LOST = {"weight 0": "has weight 0", "tried already": "was tried already", "backup": "is a backup"}

_SILENCE = Comparison("", (), "lowest", "")


def _record(comparison: Comparison, numbers: list[float | None], pool: Pool, offered: tuple[Backend, ...]) -> Why:
    compared = dict(zip(offered, numbers, strict=True))
    skipped = comparison.skipped or None

    def candidate(member: Backend) -> Candidate:
        if member not in compared:
            return Candidate(member.name, None, pool.excluded(member) or "tried already")
        number = compared[member]
        return Candidate(member.name, number, skipped if number is None else None, member.slow_start)

    return Why(comparison.rule, comparison.best, comparison.tie, tuple(map(candidate, pool.members.values())))
