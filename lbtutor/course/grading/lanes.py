"""Lanes: jobs done side by side, each lane with a core of its own; who is free takes the next.

A lane is a thread, since all it does is start a process and wait for it. Results come as they are done, so that each
can be kept at once. Ctrl-C goes to whoever iterates; the lanes hear of it the next time that they say how far they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic

from lbtutor.labs.crowd import Job, Result, Tell

_LOOK_EVERY = 0.1


def in_lanes(
    work: Callable[[Job, int | None, Tell], Result], jobs: Sequence[Job], lanes: int, tell: Tell
) -> Iterator[tuple[int, Result]]:
    """`(number of the job, work(job, core, tell))` as they are done. `tell` hears the share of all that is done.

    What `work` raises is raised here, and so is Ctrl-C; in both cases all lanes are over first.
    """
    lot = _Lot(work, jobs)
    cores = _cores()
    threads = [Thread(target=lot.serve, args=(cores[lane % len(cores)],)) for lane in range(min(lanes, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            number, result, error = lot.next_done(tell)
            if error is not None:
                raise error
            yield number, result  # type: ignore[misc]  # there is a result where there is no error
    finally:
        lot.stopped.set()
        for thread in threads:
            thread.join()


class _Lot(Generic[Job, Result]):
    """All jobs of one call, what has come of them, and how far each is."""

    def __init__(self, work: Callable[[Job, int | None, Tell], Result], jobs: Sequence[Job]) -> None:
        self._work = work
        self._jobs = jobs
        self._shares = [0.0] * len(jobs)
        self._waiting: SimpleQueue[int] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Result | None, BaseException | None]] = SimpleQueue()
        self.stopped = Event()
        for number in range(len(jobs)):
            self._waiting.put(number)

    def serve(self, core: int | None) -> None:
        """One lane: take the next job until there is none."""
        with suppress(Empty, KeyboardInterrupt):
            while not self.stopped.is_set():
                number = self._waiting.get_nowait()
                self._done.put(self._outcome(number, core))

    def _outcome(self, number: int, core: int | None) -> tuple[int, Result | None, BaseException | None]:
        def tell(share: float) -> None:
            self._shares[number] = share
            if self.stopped.is_set():
                raise KeyboardInterrupt

        try:
            result = self._work(self._jobs[number], core, tell)
        except Exception as error:  # noqa: BLE001  it is raised again by whoever iterates
            return number, None, error
        self._shares[number] = 1.0
        return number, result, None

    def next_done(self, tell: Tell) -> tuple[int, Result | None, BaseException | None]:
        while True:
            tell(sum(self._shares) / len(self._shares))
            with suppress(Empty):
                return self._done.get(timeout=_LOOK_EVERY)


def _cores() -> list[int | None]:
    """The cores that this process may use; [None] where nobody can say."""
    return [*sorted(os.sched_getaffinity(0))] if hasattr(os, "sched_getaffinity") else [None]
