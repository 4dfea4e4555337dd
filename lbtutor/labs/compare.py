"""Two algorithms on one seed: the first request on which they differ, why each chose as it did, and what came of it.

Until that request both runs are the same to the last event, because the same clients come at the same times to machines
with the same dice; so whatever differs later follows from choices, and the first of these can be looked at closely.

    comparison = compare(scenario, ("round_robin", "least_connections"))
    comparison.differs, comparison.as_dict()

Each run is played twice: once to its end for the numbers, and once up to that request with the record of every choice,
which would be dear to make for all of them. Of the runs nothing is kept but eight bytes a choice.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, NamedTuple

from msgspec import Struct

from lbtutor.core import Event, Plan
from lbtutor.core.events import EVERYTHING, Arrived, Ended, Picked, Why
from lbtutor.labs.crowd import Tell
from lbtutor.labs.run import Own, told_shares
from lbtutor.labs.scenario import Scenario
from lbtutor.sim.simulate import simulate
from lbtutor.trace.metrics import Metrics
from lbtutor.trace.narrate import Narrator


class Choice(Struct, frozen=True):
    """Whom one algorithm chose, why in words, and the record of the decision: what was compared, and who wins a tie."""

    algorithm: str
    backend: str
    because: str
    why: Why | None = None


class Difference(Struct, frozen=True):
    """The first request (and which try of it) that the two send to different backends; `asked` is what it wants."""

    at: float
    request: int
    attempt: int
    asked: str
    choices: tuple[Choice, Choice]


class Comparison(Struct, frozen=True):
    """Two runs of one seed; `differs` is None when they chose alike from the first request to the last."""

    title: str
    seed: int
    algorithms: tuple[str, str]
    differs: Difference | None
    runs: tuple[dict[str, Any], dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The document that `lab compare --json` prints."""
        runs = [{"algorithm": name, **run} for name, run in zip(self.algorithms, self.runs, strict=True)]
        return {"scenario": self.title, "on": "sim", "seed": self.seed, "differs": self.differs, "runs": runs}


def compare(
    scenario: Scenario,
    algorithms: tuple[str, str],
    *,
    seed: int | None = None,
    own: Mapping[str, Own] | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Simulate `scenario` with each of the two algorithms; `tell` hears the share that is done.

    `own` makes those of the algorithms that are not ours. Raises `ConfigError` for an algorithm that there is not, and
    `KeyboardInterrupt` when it is interrupted: half a comparison says nothing.
    """
    plans = [scenario.plan(seed=seed, algorithm=name) for name in algorithms]
    sides = [_Side(plan, name, (own or {}).get(name)) for plan, name in zip(plans, algorithms, strict=True)]
    names: dict[tuple[str, str], int] = {}
    tells = [_part(tell, begin, _RUN) for begin in (0.0, _RUN)]
    one, other = (_Run(side, names, its).played() for side, its in zip(sides, tells, strict=True))
    return Comparison(
        scenario.title,
        plans[0].seed,
        algorithms,
        _difference(sides, one.choices, other.choices, tell),
        (one.metrics.summary(), other.metrics.summary()),
    )


_RUN, _LOOK = 0.3, 0.2
"""How much of the work one run is, and one look at its choices with their records, at most."""


def _part(tell: Tell | None, begin: float, width: float) -> Tell:
    """Tells the share of a part as one of the whole."""
    return lambda share: None if tell is None else tell(begin + width * share)


class _Side(NamedTuple):
    """One of the two: what is played, the name of the algorithm, and what makes it if it is not ours."""

    plan: Plan
    algorithm: str
    own: Own | None

    def play(self, take: Callable[[Event], None], kinds: frozenset[type] | None = None) -> None:
        """From the beginning, with algorithms that remember nothing."""
        simulate(self.plan, take, kinds=kinds, algorithms=None if self.own is None else self.own(self.plan))


class _Run:
    """One of the two: its numbers, and whom it chose for which request, eight bytes a choice."""

    def __init__(self, side: _Side, names: dict[tuple[str, str], int], tell: Tell) -> None:
        self.metrics = Metrics()
        self.choices = array("Q")
        self._side = side
        self._names = names
        self._tick = told_shares(side.plan.lasts, tell)

    def played(self) -> _Run:
        """The same, after its run."""
        self._side.play(self._take, EVERYTHING - {Why})
        return self

    def _take(self, event: Event) -> None:
        self.metrics.take(event)
        self._tick(event)
        if isinstance(event, Picked):
            backend = self._names.setdefault((event.pool, event.backend), len(self._names))
            self.choices.append(event.request << 16 | backend)
        elif isinstance(event, Ended) and event.because == "interrupted":
            raise KeyboardInterrupt


def _difference(
    sides: Sequence[_Side], one: Sequence[int], other: Sequence[int], tell: Tell | None
) -> Difference | None:
    pairs = enumerate(zip_longest(one, other, fillvalue=0))
    number, pair = next(((number, pair) for number, pair in pairs if pair[0] != pair[1]), (0, ()))
    if not pair:
        return None
    request = min(filter(None, pair)) >> 16
    tells = [_part(tell, begin, _LOOK) for begin in (2 * _RUN, 2 * _RUN + _LOOK)]
    looks = [_Look(*each, number, request) for each in zip(sides, tells, strict=True)]
    picked = next(look.picked for look in looks if look.picked is not None)
    return Difference(picked.at, request, picked.attempt, looks[0].asked, (looks[0].choice, looks[1].choice))


class _Found(Exception):
    """The choice that was looked for was made."""


class _Look:
    """A run up to the choice of that number, and what is to be said of it, if it was made for that request."""

    def __init__(self, side: _Side, tell: Tell, number: int, request: int) -> None:
        self.picked: Picked | None = None
        self.asked = ""
        self.choice = Choice(side.algorithm, "", "it chose nobody")
        self._narrator = Narrator(algorithms={pool.name: side.algorithm for pool in side.plan.pools})
        self._number = self._left = number
        self._request = request
        self._tell = tell
        with suppress(_Found):
            side.play(self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, Ended) and event.because == "interrupted":
            raise KeyboardInterrupt
        is_ours = getattr(event, "request", self._request) == self._request
        words = self._narrator.tell(event).text if is_ours else ""
        if is_ours and isinstance(event, Arrived):
            self.asked = words
        if isinstance(event, Picked):
            self._count(event, words)

    def _count(self, event: Picked, words: str) -> None:
        if self._left:
            self._left -= 1
            if self._left % _TOLD_EVERY == 0:
                self._tell(1 - self._left / self._number)
            return
        if event.request == self._request:
            self.picked = event
            name = f"{event.pool}/{event.backend}"
            self.choice = Choice(self.choice.algorithm, name, words.partition(": ")[2], event.why)
        raise _Found


_TOLD_EVERY = 1000
"""Choices between two times that a look says how far it is."""
