"""`Proxy`: the doors, routes and pools of a scenario file alone, in front of servers that are somebody's.

    file = read_proxy(path)              # refuses what only a lab can play
    proxy = Proxy(file.plan, path)
    proxy.serve(wishes, …)               # until it is told to stop

It is a lab without machines, traffic, timeline and end, at the pace of the wall clock. Whoever wants its trace reads it
in batches, and names the kinds of events that he wants; with no reader not one event is made, which is the balancer at
its fastest. The file may be read again while it serves: all of it takes effect at once, or nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import randbits
from threading import Lock
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core import ConfigError, EnvironmentFault, Event, Plan, Seconds
from lbtutor.core.errors import LbtutorError
from lbtutor.core.events import EVERYTHING
from lbtutor.labs.reading import place
from lbtutor.labs.scenario import Scenario, load_scenario
from lbtutor.labs.watch import FileWatch
from lbtutor.live.addresses import Address, Trust
from lbtutor.live.doors import files_of
from lbtutor.live.run import Ending, LiveRun
from lbtutor.trace.feed import Feed

Reader = Callable[[Sequence[Event]], None]
"""Takes the events since the last time, in order. May raise `OSError` or `EnvironmentFault`; it is then left out."""

Wish = Ending | Literal["reload", "reopen"]
"""What an operator may want: an end, the file read again, the logs opened again."""

Tell = Callable[[str], None]
"""Says a sentence to the operator."""

_LOOK_EVERY = 0.1
"""Wall seconds between two looks at the trace, and at the file."""

_IGNORED = {
    "traffic": "a proxy sends no requests of its own",
    "timeline": "nothing is done to servers that are somebody's",
    "expect": "a proxy has no end at which to judge",
}


_WEIGHTLESS = "plain round robin does not look at weights; weighted_round_robin does"


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
    warnings = tuple(f"{place(text, source, where)}: ignored: {reason}" for where, reason in _useless(scenario))
    return ProxyFile(proxy_plan(scenario), warnings)


def proxy_plan(scenario: Scenario) -> Plan:
    """The scenario without machines, traffic and timeline; it lasts until it is stopped.

    Its dice are nobody's to know, whatever the file's seed: the keys of signed cookies are drawn with them.
    """
    return replace(scenario.plan(seed=randbits(64)), machines=(), traffic=(), acts=(), lasts=Seconds(inf), speed=1.0)


def open_doors(addresses: dict[str, str]) -> list[str]:
    """The names of the doors that others than this machine can reach."""
    return [name for name, text in addresses.items() if not ip_address(Address.parse(text, name).host).is_loopback]


def warn_of_doors(addresses: dict[str, str]) -> list[str]:
    """A sentence for each of those."""
    return [
        f"{name} listens on {addresses[name]}: whoever reaches this machine can use it"
        for name in open_doors(addresses)
    ]


def _useless(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What has no effect here: each with its path in the file."""
    for key, reason in _IGNORED.items():
        if getattr(scenario, key):
            yield (key,), reason
    for pool, spec in scenario.pool.items():
        if spec.algorithm not in ("round_robin", {"name": "round_robin"}):
            continue
        if spec.slow_start is not None:
            yield ("pool", pool, "slow_start"), _WEIGHTLESS
        for index, backend in enumerate(spec.backends):
            if backend.weight not in (0, 1):
                yield ("pool", pool, "backends", index, "weight"), _WEIGHTLESS


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
    """Serves a plan until it is stopped. `path` is the file that it came from, for those who want it read again."""

    def __init__(self, plan: Plan, path: Path | None = None) -> None:
        self.run = LiveRun(plan)
        self._path = path
        self._feeds: dict[Reader, Feed] = {}
        self._reopens: list[Callable[[], None]] = []
        self._reloading = Lock()
        self._watch = None if path is None else FileWatch(_files(path, plan))
        self._began = datetime.now(UTC).timestamp()
        self._mention: Tell = _nothing
        self._complain: Tell = _nothing

    def __repr__(self) -> str:
        return f"<Proxy {self.run!r} readers={len(self._feeds)}>"

    def read(self, reader: Reader, kinds: frozenset[type] = EVERYTHING) -> None:
        """Let `reader` have the events of these kinds; before `serve`."""
        self._feeds[reader] = self.run.feed(kinds=kinds)

    def on_reopen(self, reopen: Callable[[], None]) -> None:
        """Call this when the operator has moved the logs away. It may raise `EnvironmentFault`."""
        self._reopens.append(reopen)

    def wall_time(self, at: float) -> str:
        """A moment of the trace as people write it: ISO 8601 in UTC, to the millisecond."""
        moment = datetime.fromtimestamp(self._began + at, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def serve(
        self,
        wishes: SimpleQueue[Wish],
        *,
        listening: Callable[[dict[str, str]], None],
        mention: Tell,
        complain: Tell,
        watch: bool = False,
    ) -> Ending:
        """Serve until a wish to end comes: requests under way may finish within `drain`. A second one hurries.

        `listening` is told the address of each door; `mention` what goes on, and `complain` what goes wrong. With
        `watch`, the file is read again as soon as it has changed. Returns the first wish to end. Raises
        `EnvironmentFault` when a door cannot be opened, and whatever went wrong in the run.
        """
        self._mention, self._complain = mention, complain
        heard: list[Ending] = []
        endings: list[Future[None]] = []
        troubled = False
        self.run.start()
        with ThreadPoolExecutor(2, "lbtutor-ending") as aside:  # a stop waits, and the trace is read meanwhile
            try:
                listening(self.run.addresses)
                while not self.run.ended.is_set():
                    for wish in _next(wishes):
                        if wish == "reload" or wish == "reopen":
                            self._look_after(wish)
                        else:
                            heard.append(wish)
                            endings.append(aside.submit(self.run.stop, wish))
                            mention(self._farewell(len(heard)))
                    if self.run.trouble and not troubled:
                        troubled = True
                        complain(f"a bug in lbtutor, and it serves on: {self.run.trouble}")
                    if watch and not heard and self._watch is not None and self._watch.changed():
                        self._look_after("reload")
                    self._pass_on()
                self._pass_on()
            finally:
                self.run.stop()
        for ending in endings:
            ending.result()
        return heard[0]

    def reload(self) -> str:
        """Read the file again and go on with what it says; tells, in words, what is different.

        Raises `ConfigError` when it cannot be used, `EnvironmentFault` when an address cannot be had, and everything
        is then as it was. May be called from any thread; the operator hears of it in any case.
        """
        with self._reloading:
            try:
                said = self._read_again()
            except LbtutorError as error:
                self._complain(f"not reloaded, and nothing has changed: {error}")
                raise
            self._mention(said)
            return said

    def _read_again(self) -> str:
        if self._path is None or self._watch is None:
            raise EnvironmentFault("there is no file to read again")
        before = self._watch.look()
        doors = self.run.addresses
        try:
            file = read_proxy(self._path)
            changes = self.run.reconfigure(file.plan)
            self._watch.follow(_files(self._path, file.plan), before)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._tell_of_doors(doors)
        for warning in file.warnings:
            self._mention(warning)
        return f"reloaded {self._path}: {changes}"

    def _tell_of_doors(self, before: dict[str, str]) -> None:
        now = self.run.addresses
        new = {name: address for name, address in now.items() if before.get(name) != address}
        for name, address in new.items():
            self._mention(f"{name} listens on {address}")
        for sentence in warn_of_doors(new):
            self._mention(sentence)

    def _look_after(self, wish: Literal["reload", "reopen"]) -> None:
        """What the operator asked for without waiting for an answer."""
        for reopen in self._reopens if wish == "reopen" else ():
            try:
                reopen()
            except EnvironmentFault as error:
                self._complain(f"{error}; the old file is written on")
        if wish == "reload":
            with suppress(LbtutorError):  # it was told
                self.reload()

    def _farewell(self, times: int) -> str:
        if times > 1:
            return "told again to stop: what is under way is cut off"
        drain = self.run.plan.drain
        return f"told to stop: no new connections, and what is under way has at most {drain} to end"

    def _pass_on(self) -> None:
        """Hand the trace to its readers. One that cannot take it is left out: nobody's log stops a balancer."""
        self._began = datetime.now(UTC).timestamp() - self.run.now  # somebody may have set the clock
        for reader, feed in tuple(self._feeds.items()):
            batch = feed.drain()
            try:
                if batch:
                    reader(batch)
            except (OSError, EnvironmentFault) as error:
                del self._feeds[reader]
                self.run.unfeed(feed)
                self._complain(f"{error}; it gets no more of the trace, and the proxy serves on")


def _files(path: Path, plan: Plan) -> list[Path]:
    """Everything that a configuration is read from."""
    doors = [Path(file) for door in plan.listeners for file in files_of(door)]
    return [path, *doors, *(Path(pool.tls.ca) for pool in plan.pools if pool.tls is not None and pool.tls.ca)]


def _next(wishes: SimpleQueue[Wish]) -> Iterator[Wish]:
    """The next wish, if one comes before it is time to look again."""
    with suppress(Empty):
        yield wishes.get(timeout=_LOOK_EVERY)


def _nothing(text: str) -> None:
    """Nobody is told."""
