"""`Distant`: a station at the far end of a network.

Each message takes the machine's `delay`, there and back, so the balancer sees an answer twice that later than one from
next door. Nobody works meanwhile: what is on the way occupies no worker, but it is in flight, and counts as that to
whoever looks at it. A request that was given up on the way is never worked on; one that fails at the machine needs the
way back too.

Every message to one machine takes equally long, so they arrive in the order in which they were sent, and the machine's
dice can be thrown when a request sets out. Connections, WebSockets and probes take no time, as everywhere here: a crash
or a refusal is known at once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from lbtutor.core.messages import Outcome
from lbtutor.core.workload import MachineConfig
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.station import ANSWERED, ERRED, REFUSED, Job, Station


class Distant(Station):
    """A station that is `config.delay` seconds away."""

    def __init__(self, config: MachineConfig, seed: int, loop: Loop, ended: Callable[[int, Outcome], None]) -> None:
        super().__init__(config, seed, loop, ended)
        self._delay = float(config.delay)
        self._on_the_way: set[int] = set()

    def accept(self, request: int) -> Outcome | None:
        if self._idle:
            self._idle -= 1
        elif self._refusing:
            return REFUSED
        self._send(self._thrown(request))
        return None

    def accept_again(self, request: int) -> Outcome | None:
        self._kept.pop(request, None)
        job = self._thrown(request)
        job.alone = True
        self._send(job)
        return None

    def abandon(self, request: int) -> None:
        if request in self._on_the_way:
            self._on_the_way.remove(request)
            del self._under_way[request]
        else:
            super().abandon(request)

    def _send(self, job: Job) -> None:
        self._under_way[job.request] = job
        self._on_the_way.add(job.request)
        self._loop.schedule_in(self._delay, Order.ARRIVAL, self._reached, job)

    def _reached(self, job: Job) -> None:
        if self._under_way.get(job.request) is not job:  # given up, or closed
            return
        self._on_the_way.remove(job.request)
        if job.errs and not self._hung:
            self._answer(job, ERRED)
        else:
            self._take_in(job)

    def _work_done(self, job: Job) -> None:
        if job.ends != self._loop.now:
            return
        job.ends = inf
        self._free += 1
        self._start_waiting()
        self._answer(job, ANSWERED)

    def _answer(self, job: Job, outcome: Outcome) -> None:
        self._on_the_way.add(job.request)
        self._loop.schedule_in(self._delay, Order.END, self._came_back, (job, outcome))

    def _came_back(self, answer: tuple[Job, Outcome]) -> None:
        job, outcome = answer
        if self._under_way.get(job.request) is job:
            self._on_the_way.remove(job.request)
            super()._answer(job, outcome)

    def _close_all(self) -> None:
        self._on_the_way.clear()
        super()._close_all()
