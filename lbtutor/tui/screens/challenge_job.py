"""Days are played on a thread: the screen answers keys meanwhile, shows how far it is, and may give up.

A day is a second or two of our own code, which gives way to the screen all the time; whoever gives up is obeyed within
a minute of the world's time, a few hundredths of a second of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event

from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.unfold import Day, play_day


class GivenUp(Exception):
    """The learner did not want it any more."""


class Job:
    """Some days of one design, being played. `share` says how much is done."""

    def __init__(self, design: Design, seeds: Sequence[int] = (1,)) -> None:
        self.share = 0.0
        self._design = design
        self._seeds = seeds
        self._unwanted = Event()

    def give_up(self) -> None:
        """End it: `days` raises `GivenUp`."""
        self._unwanted.set()

    async def days(self) -> list[Day]:
        """Play them all, one after another, while the program goes on."""
        return [await asyncio.to_thread(self._play, number, seed) for number, seed in enumerate(self._seeds)]

    def _play(self, number: int, seed: int) -> Day:
        def passed(share: float) -> None:
            if self._unwanted.is_set():
                raise GivenUp
            self.share = (number + share) / len(self._seeds)

        passed(0.0)
        return play_day(self._design, seed, passed)
