"""The learner's own class at work in the real balancer, without ever being in our process.

    with deputies("mine.py:LeastConnections", call=ON_LIVE) as own:
        run_lab(scenario, "live", algorithm="mine.py:LeastConnections", own=own)

For each pool a `Deputy` sits in the balancer. It shows the class in the confined room what there is to choose from, and
brings the answer back. What the class does wrong is a `Breach`: that request is answered 500, an event says what and
why, and the balancer goes on. A process that hangs or ends is replaced by a new one, in which the class begins anew,
and after `ENOUGH` of these nobody is asked any more.

A choice costs a question and its answer over a pipe, and the balancer waits for it: at most `call` seconds, a fifth
more when the file has to be run again first. Numbers (2 busy cores, three backends): 28,000 to 38,000 choices a second,
26 to 35 us each, of which 14 us are our own work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from random import Random
from typing import TypeVar

from lbtutor.core import Algorithm, Backend, Plan, Request
from lbtutor.core.algorithms.base import Breach
from lbtutor.core.errors import ConfigError, hint
from lbtutor.core.events import Event, Finished
from lbtutor.labs.run import Own
from lbtutor.testing.sandbox import (
    BackendView,
    Class,
    Confined,
    Ended,
    Fault,
    FinishedView,
    Limits,
    NotOffered,
    ProtocolBroken,
    RequestView,
    Rng,
    TooSlow,
    WrongType,
    read_submission,
)
from lbtutor.testing.worlds.balancer import recognise
from lbtutor.testing.worlds.pool import CHOOSES

ON_LIVE = 0.05
"""Seconds that real sockets may wait for one choice."""
IN_SIM = 1.0
"""Seconds that a virtual clock may be held up by one."""
ENOUGH = 5
"""So many processes are ended, and no more are begun."""

_FATAL = (Ended, ProtocolBroken, TooSlow)
"""After these nobody answers any more."""
_ITS = (NotOffered, TooSlow, WrongType)
"""Faults whose text begins with what was asked."""
_A_DAY = 86_400
_Answer = TypeVar("_Answer")


@contextlib.contextmanager
def deputies(target: str, *, call: float) -> Iterator[Own]:
    """A confined room for the class `FILE.py:Class`, as long as the block lasts, and what makes its deputies.

    Raises `ConfigError` for a file that cannot be run, a class that there is not, and one that is not asked
    `pick(request, backends)`.
    """
    path, _, name = target.rpartition(":") if not target.endswith(".py") else (target, "", "")
    with contextlib.ExitStack() as stack:
        try:
            file = read_submission(path)
            room = stack.enter_context(Confined(file, limits=Limits(cpu=_A_DAY)))
            desk = _Desk(room, _meant(room.describe().classes, name, path), call)
        except Fault as fault:
            raise ConfigError(f"{path}: {str(fault).removeprefix('not gradable: ')}") from None
        yield desk.deputies


class _Desk:
    """The room with the class in it, as the deputies of all pools use it; `age` counts the processes there were."""

    def __init__(self, room: Confined, cls: Class, call: float) -> None:
        self.room = room
        self.cls = cls
        self.age = 0
        self.uids = count()
        self._lost = False
        room.limits = replace(
            room.limits, load=call, call=call, suite=1.2 * call, submission=_A_DAY, deaths=ENOUGH
        )  # fmt: skip

    def deputies(self, plan: Plan) -> dict[str, Algorithm]:
        """One for each pool. Of the same seed, each has the same chances every time."""
        return {
            pool.name: Deputy(self, Random(f"{plan.seed} {pool.name}").getrandbits(62)) for pool in plan.pools
        }  # fmt: skip

    def make(self, seed: int) -> int:
        """A new object of the class."""
        takes = any(parameter.name == "rng" for parameter in self.cls.constructor)
        return self.room.make(self.cls.name, **({"rng": Rng(seed)} if takes else {}))

    def asked(self, who: str, question: Callable[[], _Answer]) -> _Answer:
        """The answer; raises `Breach` for a fault, in words that begin with `who`."""
        if self.age >= ENOUGH:
            raise Breach(f"its process was ended {ENOUGH} times, and it is asked no more")
        self.room.begin()
        try:
            if self._lost:
                self.room.fresh()
                self._lost = False
            return question()
        except Fault as fault:
            if isinstance(fault, _FATAL):
                self.age += 1
                self._lost = True
            raise Breach(f"{'its' if isinstance(fault, _ITS) else who} {fault}") from None


class Deputy:
    """An algorithm that asks the learner's class, which it is `called` after."""

    def __init__(self, desk: _Desk, seed: int) -> None:
        self.called = desk.cls.name
        self.observe: Callable[[Event], None] | None = self._observe if "observe" in desk.cls.methods else None
        self._desk = desk
        self._seed = seed
        self._object = (-1, 0)
        self._uids: dict[Backend, int] = {}

    def __repr__(self) -> str:
        return f"<Deputy of {self.called}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Deputy:
        """One for another balancer beside this one: it knows nothing of what was chosen here."""
        return Deputy(self._desk, self._seed)

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        """Whom the class chooses. Raises `Breach`."""
        views = tuple([self._shown(backend) for backend in backends])
        wanted = RequestView(
            request.at, request.client, request.key or request.client, request.attempt,
            request.method, request.host, request.path, request.headers,
        )  # fmt: skip
        name = self._desk.asked("it", lambda: self._desk.room.pick(self._handle(), wanted, views))
        return next(backend for backend in backends if backend.name == name)

    def _observe(self, event: Event) -> None:
        if isinstance(event, Finished):
            end = FinishedView(
                event.at, event.backend, event.took, event.outcome, event.status, event.ok, event.attempt
            )  # fmt: skip
            self._desk.asked("its observe", lambda: self._desk.room.observe(self._handle(), end))

    def _handle(self) -> int:
        """The object that is asked: a new one in a new process."""
        age, handle = self._object
        if age != self._desk.age:
            handle = self._desk.make(self._seed)
            self._object = (self._desk.age, handle)
        return handle

    def _shown(self, backend: Backend) -> BackendView:
        uid = self._uids.get(backend)
        if uid is None:
            uid = self._uids[backend] = next(self._desk.uids)
        return BackendView(
            uid, backend.name, backend.weight, backend.in_flight,
            backend.latency, backend.latency_at, backend.since,
        )  # fmt: skip


def _meant(classes: Mapping[str, Class], name: str, path: str) -> Class:
    if not name and len(classes) == 1:
        (name,) = classes
    if name not in classes:
        raise ConfigError(f"{path} has no class {name!r}; {hint(name, classes)}; say FILE.py:Class")
    cls = classes[name]
    if recognise(cls) != CHOOSES:
        raise ConfigError(f"{name} cannot run the balancer, which asks `pick(request, backends)` and needs no more")
    return cls
