"""The people of a lab machine: how long they work on what, and what stands in line meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from lbtutor.core.workload import MachineConfig
from lbtutor.live.clock import Clock, Timer

if TYPE_CHECKING:
    from lbtutor.live.serving import OriginConnection


class Workers:
    """The machine's people: so many at work, the others' work waiting in line, first come, first served.

    The dice are the machine's own and are thrown twice for each request, in order of arrival: for its work, then for
    whether it errs. So the n-th request at a machine fares alike in each shell. A conversation is nobody's work; it
    begins at once, unless the machine hangs. Where the machine is a `delay` away, what is on the way there or back is
    nobody's work either.
    """

    def __init__(self, config: MachineConfig, seed: int, clock: Clock) -> None:
        self.errors = config.errors
        self.slow_by = 1.0
        self._config = config
        self._clock = clock
        self._rng = config.rng(seed)
        self._waiting: deque[Job] = deque()
        self._at_work: dict[Job, Timer] = {}
        self._on_the_way: dict[Job, Timer] = {}
        self._frozen: list[tuple[Job, float]] | None = None

    def __repr__(self) -> str:
        return f"<Workers at_work={len(self._at_work)} of {self._config.workers} waiting={len(self._waiting)}>"

    def take(self, job: Job) -> None:
        """A request is here."""
        job.work = self._config.service.sample(self._rng)
        job.errs = self._rng.random() < self.errors
        if self._config.delay and not job.talks:
            self._travel(job, self._reached)
        else:
            self._reached(job)

    def _travel(self, job: Job, then: Callable[[Job], None]) -> None:
        def arrive() -> None:
            del self._on_the_way[job]
            then(job)

        self._on_the_way[job] = self._clock.call_at(self._clock.now + self._config.delay, arrive)

    def _reached(self, job: Job) -> None:
        if self._frozen is None and (job.errs or job.talks):
            self._answer(job)
        else:
            self._waiting.append(job)
            self._start_waiting()

    def drop(self, job: Job) -> None:
        """Nobody waits for that one any more, so nobody works on it."""
        timer = self._at_work.pop(job, None)
        if timer is not None:
            timer.cancel()
            self._start_waiting()
        elif job in self._on_the_way:
            self._on_the_way.pop(job).cancel()
        elif job in self._waiting:
            self._waiting.remove(job)

    @property
    def under_way(self) -> list[Job]:
        """Those at work, those who wait and those on the way, each in the order in which they came."""
        return [*self._at_work, *self._waiting, *self._on_the_way]

    def clear(self) -> None:
        """All that was under way is gone."""
        for timer in (*self._at_work.values(), *self._on_the_way.values()):
            timer.cancel()
        self._at_work.clear()
        self._on_the_way.clear()
        self._waiting.clear()
        self._frozen = None

    def freeze(self) -> None:
        """Work stands still; how much of each is left is remembered."""
        now = self._clock.now
        self._frozen = [(job, max(job.ends - now, 0.0)) for job in self._at_work]
        for timer in self._at_work.values():
            timer.cancel()

    def thaw(self) -> None:
        """Work goes on where it stood; what came meanwhile starts, or is answered where that takes no work."""
        frozen, self._frozen = self._frozen or [], None
        for job, left in frozen:
            if job in self._at_work:
                self._work(job, left)
        idle = [job for job in self._waiting if job.errs or job.talks]
        self._waiting = deque(job for job in self._waiting if not (job.errs or job.talks))
        self._start_waiting()
        for job in idle:
            self._answer(job)

    def _start_waiting(self) -> None:
        while self._waiting and self._frozen is None and len(self._at_work) < self._config.workers:
            job = self._waiting.popleft()
            self._work(job, job.work * self.slow_by)

    def _work(self, job: Job, took: float) -> None:
        job.ends = self._clock.now + took
        self._at_work[job] = self._clock.call_at(job.ends, lambda: self._done(job))

    def _done(self, job: Job) -> None:
        del self._at_work[job]
        self._start_waiting()
        self._answer(job)

    def _answer(self, job: Job) -> None:
        if self._config.delay and not job.talks:
            self._travel(job, Job.done)
        else:
            job.done()


class Job:
    """One request at a machine: how much work it is, when that ends, and who waits for the answer.

    One that `talks` asks for a conversation.
    """

    __slots__ = ("connection", "ends", "errs", "talks", "work")

    def __init__(self, connection: OriginConnection, *, talks: bool) -> None:
        self.connection = connection
        self.talks = talks
        self.work = 0.0
        self.ends = 0.0
        self.errs = False

    def done(self) -> None:
        """Nothing more is to be done for it but to answer."""
        if self.errs:
            self.connection.answer(500)
        elif self.talks:
            self.connection.converse()
        else:
            self.connection.serve()
