"""The code under test, asked in its own words: two shapes, one set of questions.

Chooser       our shape: it is offered views of whoever is up, and we keep the books, as the core does
BookKeeper    a balancer that keeps its own books, asked by its own names
Beside        either of them, with a second object of its class at work
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

from lbtutor.testing.adapt import Fit, fit
from lbtutor.testing.components import Target
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.sandbox.room import BackendView, Class, FinishedView, Plain, RequestView, Rng, Room

TOGETHER = 500
"""So many questions of a crowd are handed over at once."""


class Work:
    """A request under way: who has it, as which object of that name, since when, and what it is called."""

    __slots__ = ("name", "since", "title", "uid")

    def __init__(self, title: str, name: str, uid: int, since: float) -> None:
        self.title = title
        self.name = name
        self.uid = uid
        self.since = since


class Subject(Protocol):
    """The code under test, in either shape. `deaf` are the operations that it cannot be told of, `counts` says that it
    counts a request when it chooses."""

    deaf: frozenset[str]
    counts: bool

    def pick(self, client: str, now: float) -> Any: ...
    def pick_each(self, clients: list[str], now: float) -> list[Any]: ...
    def retry(self, client: str, now: float, tried: str) -> Any: ...
    def started(self, work: Work, now: float) -> None: ...
    def finished(self, work: Work, now: float, took: float, ok: bool) -> None: ...
    def set_healthy(self, name: str, healthy: bool) -> None: ...
    def add(self, name: str, weight: float, uid: int, now: float) -> None: ...
    def remove(self, name: str) -> None: ...


NEEDS = {
    "started": ("start", "pile", "answer"),
    "finished": ("answer", "finish", "finish_again", "finish_unknown"),
    "set_healthy": ("health", "health_twice"),
    "add": ("add", "readd", "weigh", "swap"),
    "remove": ("remove", "remove_unknown", "swap"),
}
"""What cannot be done to a balancer without that method."""


def methods(target: Target) -> dict[str, tuple[str, Fit] | None]:
    """Which method of a balancer that keeps its own books answers which question, and with what."""
    adapter, cls = target.adapter, target.cls
    return {
        "pick": fit(cls, adapter.pick, ("client", "now")),
        "started": None if adapter.counts_in_pick else fit(cls, adapter.started, ("name", "now")),
        "finished": fit(cls, adapter.finished, ("name", "now", "latency", "ok")),
        "set_healthy": fit(cls, adapter.set_healthy, ("name", "healthy")),
        "add": fit(cls, adapter.add, ("name", "weight")),
        "remove": fit(cls, adapter.remove, ("name",)),
    }


def lacking(target: Target) -> frozenset[str]:
    """The operations that a balancer which keeps its own books cannot be told of."""
    without = [method for method, how in methods(target).items() if how is None and method in NEEDS]
    return frozenset(kind for method in without for kind in NEEDS[method]) | {"retry"}


class BookKeeper:
    """A balancer that keeps its own books, asked by its own names."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any], uids: int = 0) -> None:
        self._room = room
        self._none = target.adapter.none
        self._how = methods(target)
        self.deaf = lacking(target)
        self.counts = self._how["started"] is None
        pool: list[Plain] = [(name, weight) for name, weight in setting["servers"]]
        self._handle = room.make(target.cls.name, pool, **_chance(target.cls, setting))

    def _call(self, question: str, **values: Any) -> Any:
        how: tuple[str, Fit] | None = self._how[question]
        return None if how is None else self._room.call(self._handle, how[0], *how[1](values))

    def pick(self, client: str, now: float) -> Any:
        try:
            return self._call("pick", client=client, now=now)
        except Raised as fault:
            if fault.kind != self._none:
                raise
            return None

    def pick_each(self, clients: list[str], now: float) -> list[Any]:
        assert self._how["pick"] is not None
        method, values = self._how["pick"]
        rows = [values({"client": client, "now": now}) for client in clients]
        return [
            answer
            for at in range(0, len(rows), TOGETHER)
            for answer in self._room.batch(self._handle, method, rows[at : at + TOGETHER])
        ]

    def retry(self, client: str, now: float, tried: str) -> Any:
        raise NotImplementedError  # it is deaf to retries: they are offered to our shape alone

    def started(self, work: Work, now: float) -> None:
        self._call("started", name=work.name, now=now)

    def finished(self, work: Work, now: float, took: float, ok: bool) -> None:
        self._call("finished", name=work.name, now=now, latency=took, ok=ok)

    def set_healthy(self, name: str, healthy: bool) -> None:
        self._call("set_healthy", name=name, healthy=healthy)

    def add(self, name: str, weight: float, uid: int, now: float) -> None:
        self._call("add", name=name, weight=weight)

    def remove(self, name: str) -> None:
        self._call("remove", name=name)


GAIN = 1 / 8
"""How far one answer moves a backend's mean latency, as in the core."""


class Chooser:
    """Our shape: it is offered views of whoever is up, and we keep the books, as the core does."""

    deaf: frozenset[str] = frozenset()
    counts = False

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any], uids: int = 0) -> None:
        self._room = room
        self._grown: float = setting.get("grown", 1)
        pool = enumerate(setting["servers"], uids)
        self._views = {name: BackendView(uid, name, weight * self._grown) for uid, (name, weight) in pool}
        self._down: set[str] = set()
        self._open: set[Work] = set()
        self._observes = "observe" in target.cls.methods
        self._handle = room.make(target.cls.name, **_chance(target.cls, setting), **setting.get("parameters", {}))

    def _offered(self, tried: str = "") -> tuple[BackendView, ...]:
        out = self._down | {tried}
        return tuple(view for name, view in self._views.items() if name not in out and view.weight > 0)

    def pick(self, client: str, now: float) -> Any:
        offered = self._offered()
        return self._room.pick(self._handle, RequestView(now, client, client), offered) if offered else None

    def pick_each(self, clients: list[str], now: float) -> list[Any]:
        offered = self._offered()
        if not offered:
            return [None] * len(clients)
        requests = [RequestView(now, client, client) for client in clients]
        return [
            name
            for at in range(0, len(requests), TOGETHER)
            for name in self._room.picks(self._handle, requests[at : at + TOGETHER], offered)
        ]

    def retry(self, client: str, now: float, tried: str) -> Any:
        return self._room.pick(self._handle, RequestView(now, client, client, attempt=2), self._offered(tried))

    def started(self, work: Work, now: float) -> None:
        self._open.add(work)
        view = self._views.get(work.name)
        if view is not None and view.uid == work.uid:
            self._views[work.name] = view._replace(in_flight=view.in_flight + 1)

    def finished(self, work: Work, now: float, took: float, ok: bool) -> None:
        if work not in self._open:
            return  # told twice, or by nobody: the core passes neither on
        self._open.remove(work)
        view = self._views.get(work.name)
        if view is None or view.uid != work.uid:
            return
        mean = took if view.latency is None else view.latency + GAIN * (took - view.latency)
        self._views[work.name] = view._replace(in_flight=view.in_flight - 1, latency=mean, latency_at=now)
        if self._observes:
            status = 200 if ok else 500
            self._room.observe(self._handle, FinishedView(now, work.name, took, "answered", status, ok))

    def set_healthy(self, name: str, healthy: bool) -> None:
        (self._down.discard if healthy else self._down.add)(name)

    def add(self, name: str, weight: float, uid: int, now: float) -> None:
        weight *= self._grown
        view = self._views.get(name)
        same = view is not None and view.uid == uid
        self._views[name] = view._replace(weight=weight) if view and same else BackendView(uid, name, weight, since=now)

    def remove(self, name: str) -> None:
        self._views.pop(name, None)
        self._down.discard(name)


def _chance(cls: Class, setting: Mapping[str, Any]) -> dict[str, Any]:
    """The only chance that it may use, for a constructor that names it."""
    takes = any(parameter.name == "rng" for parameter in cls.constructor)
    return {"rng": Rng(setting.get("seed", 0))} if takes else {}


APART = 1000
"""The uids of the second balancer's servers begin here: of the same names, they are other objects."""


class Beside:
    """A subject with a second object of its class beside it, which is asked before it and has one server down."""

    def __init__(self, own: Subject, second: Subject, servers: list[list[Any]]) -> None:
        self._own = own
        self._second = second
        self._uids = {name: APART + number for number, (name, _) in enumerate(servers)}
        self.deaf, self.counts = own.deaf, own.counts
        if servers and "health" not in own.deaf:
            second.set_healthy(servers[0][0], healthy=False)

    def _disturb(self, now: float) -> None:
        """The second is asked; what goes wrong in *it* is for the laws that see it alone."""
        with contextlib.suppress(Raised):
            name = self._second.pick("192.0.2.1", now)
            if name in self._uids:
                self._second.started(Work("?", name, self._uids[name], now), now)

    def pick(self, client: str, now: float) -> Any:
        self._disturb(now)
        return self._own.pick(client, now)

    def pick_each(self, clients: list[str], now: float) -> list[Any]:
        return [self.pick(client, now) for client in clients]

    def retry(self, client: str, now: float, tried: str) -> Any:
        return self._own.retry(client, now, tried)

    def started(self, work: Work, now: float) -> None:
        self._own.started(work, now)

    def finished(self, work: Work, now: float, took: float, ok: bool) -> None:
        self._own.finished(work, now, took, ok)

    def set_healthy(self, name: str, healthy: bool) -> None:
        self._own.set_healthy(name, healthy)

    def add(self, name: str, weight: float, uid: int, now: float) -> None:
        self._own.add(name, weight, uid, now)

    def remove(self, name: str) -> None:
        self._own.remove(name)
