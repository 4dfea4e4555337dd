"""`Proxy`: the doors, routes and pools of a scenario file alone, in front of servers that are somebody's.

    file = read_proxy(path)              # refuses what only a lab can play
    proxy = Proxy(file.plan)
    proxy.serve(wishes, …)               # until it is told to stop

It is a lab without machines, traffic, timeline and end, at the pace of the wall clock. Whoever wants its trace reads it
in batches; with no reader not one event is made, which is the balancer at its fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core import ConfigError, EnvironmentFault, Event, Plan, Seconds
from lbtutor.core.events import ContractBroken, Ejected, HealthChanged, Joined, Missed, Readmitted
from lbtutor.labs.reading import place
from lbtutor.labs.scenario import Scenario, load_scenario
from lbtutor.live.addresses import Address, Trust
from lbtutor.live.run import Ending, LiveRun
from lbtutor.trace.feed import Feed
from lbtutor.trace.narrate import Narrator
from lbtutor.trace.words import counted

Reader = Callable[[Sequence[Event]], None]
"""Takes the events since the last time, in order. May raise `OSError` or `EnvironmentFault`; it is then left out."""

_Out = Literal["health", "ejection"]
"""Why a member gets no requests."""

_LOOK_EVERY = 0.1
"""Wall seconds between two looks at the trace."""

_IGNORED = {
    "traffic": "a proxy sends no requests of its own",
    "timeline": "nothing is done to servers that are somebody's",
    "expect": "a proxy has no end at which to judge",
}


class ProxyFile(Struct, frozen=True):
    """A file read: what to serve, and what of the file is of no use here."""

    plan: Plan
    warnings: tuple[str, ...]


def read_proxy(path: Path) -> ProxyFile:
    """Read a scenario file as a proxy's; raises `ConfigError` with file, line and key."""
    scenario = load_scenario(path)
    text, source = path.read_text(encoding="utf-8"), str(path)
    for where, complaint in _misfits(scenario):
        raise ConfigError(f"{place(text, source, where)}: {complaint}")
    warnings = tuple(
        f"{place(text, source, (key,))}: ignored: {reason}"
        for key, reason in _IGNORED.items()
        if getattr(scenario, key)
    )
    return ProxyFile(proxy_plan(scenario), warnings)


def proxy_plan(scenario: Scenario) -> Plan:
    """The scenario without machines, traffic and timeline; it lasts until it is stopped."""
    return replace(scenario.plan(), machines=(), traffic=(), acts=(), lasts=Seconds(inf), speed=1.0)


def open_doors(addresses: dict[str, str]) -> list[str]:
    """The names of the doors that others than this machine can reach."""
    return [name for name, text in addresses.items() if not ip_address(Address.parse(text, name).host).is_loopback]


def _misfits(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What a lab may have and a proxy may not: each with its path in the file."""
    for index, door in enumerate(scenario.listen):
        yield from _unreadable(partial(Address.parse, door.at, door.name), "listen", index, "at")
        trust = partial(Trust, door.trusted_proxies, door.name)
        yield from _unreadable(trust, "listen", index, "trusted_proxies")
    doors = {door.at for door in scenario.listen}
    for pool, spec in scenario.pool.items():
        for index, backend in enumerate(spec.backends):
            where = ("pool", pool, "backends", index)
            if not backend.address:
                yield where, f"`{backend.name}` needs an `address` (host:port): a proxy starts no machines"
            elif backend.address in doors:
                yield where, f"`{backend.name}` is this proxy's own address, {backend.address}: requests would go round"
            else:
                yield from _unreadable(partial(Address.parse, backend.address, backend.name), *where)


def _unreadable(read: Callable[[], object], *where: str | int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    try:
        read()
    except ConfigError as error:
        yield where, str(error)


class Proxy:
    """Serves a plan until it is stopped."""

    def __init__(self, plan: Plan) -> None:
        self.run = LiveRun(plan)
        self._plan = plan
        self._readers: list[Reader] = []

    def __repr__(self) -> str:
        return f"<Proxy {self.run!r} readers={len(self._readers)}>"

    def read(self, reader: Reader) -> None:
        """Let `reader` have the trace; before `serve`."""
        self._readers.append(reader)

    def wall_time(self, at: float) -> str:
        """A moment of the trace as people write it: ISO 8601 in UTC, to the millisecond."""
        moment = datetime.now(UTC) - timedelta(seconds=self.run.now - at)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def serve(
        self,
        wishes: SimpleQueue[Ending],
        *,
        listening: Callable[[dict[str, str]], None],
        mention: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> Ending:
        """Serve until a wish to end comes: requests under way may finish within `drain`. A second wish hurries.

        `listening` is told the address of each door; `mention` what goes on, and `complain` what goes wrong. Returns
        the first wish. Raises `EnvironmentFault` when a door cannot be opened, and whatever went wrong in the run.
        """
        feed = self.run.feed() if self._readers else Feed(1)
        heard: list[Ending] = []
        endings: list[Future[None]] = []
        troubled = False
        self.run.start()
        with ThreadPoolExecutor(2, "lbtutor-ending") as aside:  # a stop waits, and the trace is read meanwhile
            try:
                listening(self.run.addresses)
                while not self.run.ended.is_set():
                    for wish in _next(wishes):
                        heard.append(wish)
                        endings.append(aside.submit(self.run.stop, wish))
                        mention(self._farewell(len(heard)))
                    if self.run.trouble and not troubled:
                        troubled = True
                        complain(f"a bug in lbtutor, and it serves on: {self.run.trouble}")
                    self._pass_on(feed.drain(), complain)
                self._pass_on(feed.drain(), complain)
            finally:
                self.run.stop()
        for ending in endings:
            ending.result()
        return heard[0]

    def _farewell(self, times: int) -> str:
        if times > 1:
            return "told again to stop: what is under way is cut off"
        return f"told to stop: no new connections, and what is under way has at most {self._plan.drain} to end"

    def _pass_on(self, batch: Sequence[Event], complain: Callable[[str], None]) -> None:
        """Hand the trace to its readers. One that cannot take it is left out: nobody's log stops a balancer."""
        for reader in tuple(self._readers) if batch else ():
            try:
                reader(batch)
            except (OSError, EnvironmentFault) as error:
                self._readers.remove(reader)
                complain(f"{error}; it gets no more of the trace, and the proxy serves on")


def _next(wishes: SimpleQueue[Ending]) -> Iterator[Ending]:
    """The next wish, if one comes before it is time to look again."""
    with suppress(Empty):
        yield wishes.get(timeout=_LOOK_EVERY)


class Herald:
    """Tells the operator what changes in the service, and leaves out the requests themselves.

        web/b is down: 3 probes in a row failed, the last with: connection refused
        pool web is down: none of its 2 backends is available, so requests are answered 503

    A fold over the trace; `take` answers the sentences that an event is worth.
    """

    def __init__(self, plan: Plan, *, ascii: bool = False) -> None:  # noqa: A002 - the word that everybody uses
        self._narrator = Narrator(ascii, backends_qualified=True)
        self._fails_open = {pool.name for pool in plan.pools if pool.all_down == "fail_open"}
        self._out: dict[str, dict[str, set[_Out]]] = {pool.name: {} for pool in plan.pools}
        self._down: set[str] = set()

    def __repr__(self) -> str:
        return f"<Herald {', '.join(sorted(self._down)) or 'nothing'} down>"

    def take(self, event: Event) -> list[str]:
        """The sentences for the operator, mostly none."""
        match event:
            case Joined(weight=weight) if weight > 0:
                self._out[event.pool][event.backend] = set() if event.health == "up" else {"health"}
            case HealthChanged():
                return self._changed(event, "health", is_out=event.now != "up")
            case Ejected() | Readmitted():
                return self._changed(event, "ejection", is_out=isinstance(event, Ejected))
            case ContractBroken() | Missed():
                return [self._narrator.say(event)]
        return []

    def _changed(self, event: HealthChanged | Ejected | Readmitted, why: _Out, *, is_out: bool) -> list[str]:
        reasons = self._out[event.pool].get(event.backend, set())
        (reasons.add if is_out else reasons.discard)(why)
        return [self._narrator.say(event), *self._judge(event.pool)]

    def _judge(self, pool: str) -> Iterator[str]:
        """What a change of one member means to its pool, if anything."""
        members = self._out[pool]
        available = sum(not reasons for reasons in members.values())
        if not available and pool not in self._down:
            self._down.add(pool)
            so = "all of them get requests" if pool in self._fails_open else "requests are answered 503"
            yield f"pool {pool} is down: none of its {counted(len(members), 'backend')} is available, so {so}"
        elif available and pool in self._down:
            self._down.remove(pool)
            yield f"pool {pool} is up again with {available} of its {counted(len(members), 'backend')}"
