"""The stories of autoscalers: the instances that there are, and those that come and go by what the code answered.

How busy they are is told in the story's sentences: the load of these stories is a number, and no requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lbtutor.core.events import Event, Left
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import ENDS, POOL, SETTLES, joined
from lbtutor.testing.worlds.autoscaler import Loop, Wish

LEGEND = "the instances that there are"

MOST = 100
"""Nobody can look at more instances: an answer above it changes nothing on the stage."""


def events(program: Program, moments: Sequence[Wish], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    fleet = Fleet()
    yield from fleet.be(moments[0].current if moments else 0, 0.0)
    for number, moment in enumerate(moments, 1):
        at = number * beat
        yield from fleet.be(moment.current, at)
        if isinstance(moment, Loop):
            yield from _round_by_round(fleet, moment, at, beat)
        elif moment.asked and moment.answer is not SILENT:
            yield from fleet.be(moment.answer, at + ENDS * beat)


def _round_by_round(fleet: Fleet, loop: Loop, at: float, beat: float) -> Iterator[Event]:
    """The rounds of a loop, one after the other within its moment."""
    for number, size in enumerate(loop.sizes):
        yield from fleet.be(size, at + number * SETTLES * beat / len(loop.sizes))


class Fleet:
    """The instances, numbered from 1; the last to come is the first to go."""

    def __init__(self) -> None:
        self._size = 0

    def be(self, wanted: Any, at: float) -> Iterator[Event]:
        """Become that many, where that is a number of instances that can be shown."""
        if not isinstance(wanted, int) or isinstance(wanted, bool) or not 0 <= wanted <= MOST:
            return
        for number in range(self._size, wanted, -1):
            yield Left(at, POOL, _name(number), 0)
        yield from joined([_name(number) for number in range(self._size + 1, wanted + 1)], at)
        self._size = wanted


def _name(number: int) -> str:
    return f"instance {number}"
