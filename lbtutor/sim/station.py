"""`Station`: a machine made of numbers.

It takes requests in as they come, lets `workers` of them be worked on and the rest wait in line, and says when each one
is answered. What befalls it is the table in `lbtutor.core.workload.Fault`; here every column of that table is one
attribute, set in `befall` and read where it matters:

    new connections         `_refusing`
    requests under way      `_close_all` (crash), `_freeze` and `_thaw` (hang)
    new requests            `_errors`, `_slow_by`
    probes                  `probe`, `held_probe`

The dice are the machine's own and are thrown twice for each request that it takes in, in that order: for its work, then
for whether it errs. So the n-th request at a machine fares alike in each shell, whatever happens elsewhere.

A connection that is not in use stays open, as the balancer's keep-alive does, so a machine that refuses new ones goes
on serving those (`_idle`); an answer gives the connection back, and a crash closes all. A request that comes `alone`
has a connection of its own, and neither uses these nor adds to them; it is closed after it, unless its client wants to
`keep` it for another one. A conversation (a WebSocket) takes one along and
occupies no worker: it is open for as long as its client wants, and a crash breaks it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from msgspec import Struct

from lbtutor.core.messages import Outcome, ProbeResult
from lbtutor.core.workload import Fault, MachineConfig
from lbtutor.sim.loop import Loop, Order

ANSWERED = Outcome.answered(200)
ERRED = Outcome.answered(500)
REFUSED = Outcome.failed("refused")
_CLOSED = Outcome.failed("closed")

_PROBE_PASSED = ProbeResult(ok=True, detail="200")
_PROBE_FAILED = ProbeResult(ok=False, detail="500")
_PROBE_REFUSED = ProbeResult(ok=False, detail=REFUSED.says)
_PROBE_CLOSED = ProbeResult(ok=False, detail=_CLOSED.says)
_PROBE_CONNECTED = ProbeResult(ok=True, detail="connected")

_SWITCHED = Outcome.answered(101)
_BROKEN = Outcome.failed("cut", 101)

_END = Order.END  # looked up once a request, and a class is slow to look into


class Job(Struct, eq=False, gc=False):
    """One request at a machine: since when, how much work, whether it errs, and when that ends.

    `ends` is `inf` while nobody can say. One that is `alone` has a connection of its own; one that `talks` is a
    conversation of so many seconds. A struct, because one is made for each request.
    """

    request: int
    taken_in: float
    work: float
    errs: bool
    alone: bool = False
    talks: float = 0.0
    ends: float = inf

    def __repr__(self) -> str:
        return f"<Job r{self.request} since {self.taken_in:g} ends={self.ends:g}>"


class Station:
    """A machine of the simulator.

    `ended(request id, outcome)` is called when a request that `accept` took in has ended, unless it was abandoned.
    """

    def __init__(self, config: MachineConfig, seed: int, loop: Loop, ended: Callable[[int, Outcome], None]) -> None:
        self._config = config
        self._loop = loop
        self._ended = ended
        self._finish_work = self._work_done
        self._rng = config.rng(seed)
        self._sample = config.service.sample
        self._free = config.workers
        self._waiting: deque[Job] = deque()
        self._under_way: dict[int, Job] = {}
        self._frozen: list[tuple[Job, float]] = []
        self._conversations: dict[int, Job] = {}
        self._kept: dict[int, None] = {}
        self._idle = 0
        self._crashed = False
        self._refusing = False
        self._hung = False
        self._errors = config.errors
        self._slow_by = 1.0

    def __repr__(self) -> str:
        state = "refusing" if self._refusing else "hung" if self._hung else "up"
        return f"<Station {self._config.name} {state} under_way={len(self._under_way)} free={self._free}>"

    @property
    def oldest(self) -> Job | None:
        """The request under way that was taken in first."""
        return next(iter(self._under_way.values()), None)

    @property
    def refuses(self) -> bool:
        """Nobody new is let in."""
        return self._refusing

    @property
    def hears(self) -> bool:
        """What is said to it is heard, and answered."""
        return not (self._refusing or self._hung)

    def accept(self, request: int) -> Outcome | None:
        """Offer it a request: how that ended at once, or None when `ended` will tell."""
        if self._idle:
            self._idle -= 1
        elif self._refusing:
            return REFUSED
        rng = self._rng
        job = Job(request, self._loop.now, self._sample(rng), rng.random() < self._errors)
        if job.errs and not self._hung:
            self._idle += 1
            return ERRED
        self._under_way[request] = job
        if self._free and not self._hung:
            self._free -= 1
            self._start(job)
        else:
            self._waiting.append(job)
        return None

    def accept_alone(self, request: int) -> Outcome | None:
        """The same, on a connection of its own that is closed after it."""
        return REFUSED if self._refusing else self.accept_again(request)

    def keep(self, request: int) -> None:
        """It was answered, and its connection stays open for another."""
        self._kept[request] = None

    def accept_again(self, request: int) -> Outcome | None:
        """The next request on a connection that is open."""
        self._kept.pop(request, None)
        job = self._thrown(request)
        job.alone = True
        if job.errs and not self._hung:
            return ERRED
        self._take_in(job)
        return None

    def converse(self, request: int, seconds: float) -> Outcome | None:
        """The same for a conversation, which its client ends so many seconds after it was opened."""
        if self._idle:
            self._idle -= 1
        elif self._refusing:
            return REFUSED
        job = self._thrown(request)
        job.talks = seconds
        if self._hung:
            self._take_in(job)
        elif job.errs:
            return ERRED
        else:
            self._open(job)
        return None

    def abandon(self, request: int) -> None:
        """Its client has gone away: nobody works on it any more, and its connection is closed."""
        if self._conversations.pop(request, None) is not None:
            return
        if request in self._kept:
            del self._kept[request]
            return
        job = self._under_way.pop(request)
        if self._is_at_work(job):
            job.ends = inf
            self._free += 1
            self._start_waiting()
        else:
            self._waiting.remove(job)

    def has(self, request: int) -> bool:
        """Is that request here?"""
        return request in self._under_way or request in self._conversations or request in self._kept

    @property
    def conversations(self) -> list[int]:
        """The conversations that are open."""
        return list(self._conversations)

    def converses(self, request: int) -> bool:
        """Is that request a conversation that is open?"""
        return request in self._conversations

    def knock(self) -> ProbeResult:
        """What a health check hears that only wants a connection: the machine's kernel answers it."""
        return _PROBE_REFUSED if self._refusing else _PROBE_CONNECTED

    def probe(self) -> ProbeResult | None:
        """What a health check hears that comes now; None while the machine hangs and says nothing."""
        return _PROBE_REFUSED if self._refusing else self.held_probe()

    def held_probe(self) -> ProbeResult | None:
        """What one hears now that came while the machine hung."""
        if self._crashed:
            return _PROBE_CLOSED
        if self._hung:
            return None
        return _PROBE_FAILED if self._errors >= 1 else _PROBE_PASSED

    def befall(self, fault: Fault) -> None:
        """Something happens to it, and replaces what happened before."""
        was_hung, self._hung = self._hung, fault.kind == "hang"
        self._crashed = fault.kind == "crash"
        self._refusing = fault.kind in ("crash", "refuse")
        self._errors = fault.amount if fault.kind == "error" else self._config.errors
        self._slow_by = fault.amount if fault.kind == "slow" else 1.0
        if self._crashed:
            self._close_all()
        elif self._hung and not was_hung:
            self._freeze()
        elif was_hung and not self._hung:
            self._thaw()

    def _thrown(self, request: int) -> Job:
        """A request with its dice."""
        rng = self._rng
        return Job(request, self._loop.now, self._sample(rng), rng.random() < self._errors)

    def _take_in(self, job: Job) -> None:
        self._under_way[job.request] = job
        if self._free and not self._hung:
            self._free -= 1
            self._start(job)
        else:
            self._waiting.append(job)

    def _open(self, job: Job) -> None:
        self._conversations[job.request] = job
        self._loop.schedule(self._loop.now + job.talks, Order.END, self._said_all, job)

    def _said_all(self, job: Job) -> None:
        if self._conversations.get(job.request) is job:
            del self._conversations[job.request]
            self._ended(job.request, _SWITCHED)

    def _start(self, job: Job) -> None:
        """A worker takes it."""
        job.ends = self._loop.schedule_in(job.work * self._slow_by, _END, self._finish_work, job)

    def _is_at_work(self, job: Job) -> bool:
        """Has it a worker? One that stands still has its worker too."""
        return job.ends < inf or any(frozen is job for frozen, _ in self._frozen)

    def _start_waiting(self) -> None:
        while self._waiting and self._free and not self._hung:
            self._free -= 1
            self._start(self._waiting.popleft())

    def _work_done(self, job: Job) -> None:
        if job.ends != self._loop.now:  # it froze, or was closed or abandoned, after this call was scheduled
            return
        job.ends = inf
        if self._waiting:
            self._start(self._waiting.popleft())  # the worker goes from one to the next
        else:
            self._free += 1
        del self._under_way[job.request]
        if not job.alone:
            self._idle += 1
        self._ended(job.request, ANSWERED)

    def _answer(self, job: Job, outcome: Outcome) -> None:
        del self._under_way[job.request]
        if not job.alone:
            self._idle += 1
        self._ended(job.request, outcome)

    def _close_all(self) -> None:
        closed, broken, parted = list(self._under_way.values()), list(self._conversations), list(self._kept)
        self._under_way.clear()
        self._conversations.clear()
        self._kept.clear()
        self._waiting.clear()
        self._free = self._config.workers
        self._idle = 0
        for job in closed:
            job.ends = inf
            self._ended(job.request, _CLOSED)
        for request in broken:
            self._ended(request, _BROKEN)
        for request in parted:
            self._ended(request, _CLOSED)

    def _freeze(self) -> None:
        """Work stands still: remember how much of each is left."""
        now = self._loop.now
        self._frozen = [(job, job.ends - now) for job in self._under_way.values() if job.ends < inf]
        for job, _ in self._frozen:
            job.ends = inf

    def _thaw(self) -> None:
        """Work goes on where it stood; what came meanwhile starts, or is answered where that takes no work."""
        now = self._loop.now
        for job, left in self._frozen:
            if self._under_way.get(job.request) is job:
                job.ends = now + left
                self._loop.schedule(job.ends, _END, self._finish_work, job)
        self._frozen.clear()
        idle = [job for job in self._waiting if job.errs or job.talks]
        self._waiting = deque(job for job in self._waiting if not (job.errs or job.talks))
        self._start_waiting()
        for job in idle:
            if job.errs:
                self._answer(job, ERRED)
            else:
                del self._under_way[job.request]
                self._open(job)
