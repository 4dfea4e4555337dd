"""Scenario files: what, on which stage, what happens, what we expect.

The format is the table of contents of this module: `Scenario` and the structs that it names are the file, key for key,
and unknown keys are refused with the nearest known one. `Scenario.plan()` is the same with every default filled in and
every name checked, as the shells take it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Literal

from msgspec import Struct, field, structs

from lbtutor.core import (
    Add,
    BackendConfig,
    BackendTls,
    BalancerConfig,
    ConfigError,
    Dns,
    HealthCheck,
    ListenerConfig,
    MachineConfig,
    PassiveCheck,
    Plan,
    PoolConfig,
    Remove,
    Retry,
    Route,
    Seconds,
    Service,
    Shift,
    Sticky,
    Traffic,
)
from lbtutor.core.algorithms import AlgorithmConfig, build_algorithm
from lbtutor.core.keys import read_key
from lbtutor.labs.checks import Expect
from lbtutor.labs.library import lab_folders, lesson_folders
from lbtutor.labs.reading import place, read_toml, suggest
from lbtutor.labs.timeline import TimelineEntry

_FAULTS = ("crash", "hang", "refuse", "error", "slow", "heal")


class BackendSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a pool. With `address` (`host:port`) it is somebody's server; without, the lab starts a machine.

    `workers`, `service`, `errors` and `delay` (one way; the answer's way back takes as long) describe that machine: see
    `MachineConfig`. The other words are `BackendConfig`'s.
    """

    name: str
    weight: float = 1
    address: str = ""
    limit: int | None = None
    backup: bool = False
    workers: int = 8
    service: Service = Service("constant", 0.02)
    errors: float = 0.0
    delay: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name != self.name.strip():
            raise ConfigError(f"`name` of a backend is a word without a slash, not {self.name!r}")
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"`weight` must be 0 or more, not {self.weight!r}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"`limit` is how many requests at once, at least 1, not {self.limit!r}")
        if not 1 <= self.workers <= 10_000:
            raise ConfigError(f"`workers` must be between 1 and 10000, not {self.workers!r}")
        if not 0 <= self.errors <= 1:
            raise ConfigError(f"`errors` is a share between 0 and 1, not {self.errors!r}")
        if self.delay < 0:
            raise ConfigError(f"`delay` is 0 or longer, not {self.delay!r}")
        if self.address and not self.address.rpartition(":")[2].isdigit():
            raise ConfigError(f"`address` is written host:port, not {self.address!r}")

    def config(self) -> BackendConfig:
        """The same as the balancer takes it."""
        return BackendConfig(self.name, self.weight, self.address, self.limit, self.backup)


class PoolSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A group of backends; the words are those of `PoolConfig`.

    `sessions` is where its machines keep what they know of their visitors: see `MachineConfig`.
    """

    backends: tuple[BackendSpec, ...]
    algorithm: AlgorithmConfig = "round_robin"
    health: HealthCheck | None = None
    passive: PassiveCheck | None = None
    retry: Retry = field(default_factory=Retry)
    all_down: Literal["reject", "fail_open"] = "reject"
    connect_timeout: Seconds = Seconds(5)
    response_timeout: Seconds = Seconds(60)
    key: str = "address"
    sticky: Sticky | None = None
    slow_start: Seconds | None = None
    queue: Seconds | None = None
    panic: float = 0.0
    send_proxy: Literal["", "v1", "v2"] = ""
    tls: BackendTls | None = None
    sessions: str = ""

    def __post_init__(self) -> None:
        read_key(self.key)

    def config(self, name: str, algorithm: AlgorithmConfig | None) -> PoolConfig:
        """The same as the balancer takes it; `algorithm` replaces the file's."""
        words = {word: getattr(self, word) for word in _POOL_WORDS}
        words["algorithm"] = self.algorithm if algorithm is None else algorithm
        return PoolConfig(name=name, backends=tuple(backend.config() for backend in self.backends), **words)


_POOL_WORDS = set(PoolConfig.__struct_fields__) & set(PoolSpec.__struct_fields__) - {"backends"}
"""What a file says of a pool in the balancer's own words."""


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file. Without `[[listen]]` there is one door, `front`; without `[[route]]` the only pool answers.

    With `[[balancer]]` there are several (in the simulator only), and clients find one by `[dns]`.
    """

    title: str
    pool: dict[str, PoolSpec]
    story: str = ""
    seed: int = 1
    lasts: Seconds = Seconds(30)
    speed: float = 1.0
    drain: Seconds = Seconds(10)
    listen: tuple[ListenerConfig, ...] = (ListenerConfig("front"),)
    route: tuple[Route, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    expect: tuple[Expect, ...] = ()
    balancer: tuple[BalancerConfig, ...] = ()
    dns: Dns = Dns()

    def __post_init__(self) -> None:
        if self.lasts <= 0:
            raise ConfigError("`lasts` must be longer than 0")
        if not 0.01 <= self.speed <= 1000:
            raise ConfigError(f"`speed` is scenario seconds a wall second, 0.01 to 1000, not {self.speed!r}")

    def plan(self, *, seed: int | None = None, algorithm: AlgorithmConfig | None = None) -> Plan:
        """What the shells play; `seed` and `algorithm` (for every pool) replace the file's."""
        return Plan(
            listeners=self.listen,
            routes=self._routes(),
            pools=tuple(spec.config(name, algorithm) for name, spec in self.pool.items()),
            machines=tuple(self._machines()),
            traffic=self.traffic,
            acts=tuple(entry.act() for entry in sorted(self.timeline, key=lambda entry: entry.at)),
            title=self.title,
            seed=self.seed if seed is None else seed,
            lasts=self.lasts,
            speed=self.speed,
            drain=self.drain,
            balancers=self.balancer,
            dns=self.dns,
        )

    def _routes(self) -> tuple[Route, ...]:
        return self.route or (Route(next(iter(self.pool))),)

    def _machines(self) -> Iterator[MachineConfig]:
        for pool, spec in self.pool.items():
            for backend in spec.backends:
                if not backend.address:
                    yield MachineConfig(
                        pool,
                        backend.name,
                        backend.workers,
                        backend.service,
                        backend.errors,
                        spec.sessions,
                        backend.delay,
                    )
        for entry in self.timeline:
            if entry.add is not None and entry.add.machine is not None:
                yield entry.add.machine


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; raises `ConfigError` with file, line, key and what would be accepted."""
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: not UTF-8 text, so not a scenario file") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from None
    return checked(_at_home(read_toml(text, source, Scenario), path.parent), text, source)


def checked(scenario: Scenario, text: str, source: str) -> Scenario:
    """The scenario itself; raises `ConfigError`, with the line of `text`, for a name in it that leads nowhere."""
    for where, complaint in _loose_ends(scenario):
        raise ConfigError(f"{place(text, source, where)}: {complaint}")
    return scenario


def _at_home(scenario: Scenario, folder: Path) -> Scenario:
    """Files that a scenario names are found beside it."""

    def door(config: ListenerConfig) -> ListenerConfig:
        if config.tls is None:
            return config
        certificates = tuple(
            structs.replace(one, cert=str(folder / one.cert), key=str(folder / one.key))
            for one in config.tls.certificates
        )
        return structs.replace(config, tls=structs.replace(config.tls, certificates=certificates))

    def pool(spec: PoolSpec) -> PoolSpec:
        if spec.tls is None or not spec.tls.ca:
            return spec
        return structs.replace(spec, tls=structs.replace(spec.tls, ca=str(folder / spec.tls.ca)))

    pools = {name: pool(spec) for name, spec in scenario.pool.items()}
    return structs.replace(scenario, listen=tuple(map(door, scenario.listen)), pool=pools)


def scenario_folders() -> list[Path]:
    """Where scenarios are found by name: the scenes of the lessons, and the labs that belong to none."""
    return lab_folders() + [scenes for lesson in lesson_folders() if (scenes := lesson / "scenes").is_dir()]


def scenario_names() -> dict[str, Path]:
    """Every scenario that can be run by its name, and its file."""
    return {path.stem: path for folder in scenario_folders() for path in sorted(folder.glob("*.toml"))}


def find_scenario(name: str) -> Path:
    """The file of a scenario given by name or by path; raises `ConfigError` with the nearest name."""
    path = Path(name)
    if path.suffix == ".toml" or os.sep in name or path.is_file():
        return path
    names = scenario_names()
    if name not in names:
        raise ConfigError(f"there is no lab named {name!r}; {suggest(name, names)} (a file is given by its path)")
    return names[name]


def with_every_default(scenario: Scenario) -> dict[str, object]:
    """The scenario as plain data, defaults included, durations as text: what `lab show` prints."""
    return _table(scenario)


def _loose_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Names that lead nowhere and things that cannot be: each with its path in the file."""
    doors = [door.name for door in scenario.listen]
    yield from _repeated(doors, "listen", "two doors are called")
    yield from _repeated([one.name for one in scenario.balancer], "balancer", "two balancers are called")
    if scenario.dns != Dns() and not scenario.balancer:
        yield ("dns",), "clients ask for one of several balancers, and there is no [[balancer]]"
    if not scenario.pool:
        yield ("pool",), "a scenario needs at least one pool"
    yield from _door_ends(scenario)
    if not scenario.route and len(scenario.pool) > 1 and any(door.mode == "http" for door in scenario.listen):
        yield ("pool",), f"with {len(scenario.pool)} pools, [[route]] must say which requests go to which"
    for index, route in enumerate(scenario.route):
        for target in route.pools:
            if target not in scenario.pool:
                key = ("pool",) if route.pool else ("split", target)
                yield ("route", index, *key), f"there is no pool `{target}`; {suggest(target, scenario.pool)}"
        if route.listener and route.listener not in doors:
            yield (
                ("route", index, "listen"),
                f"no [[listen]] is called `{route.listener}`; {suggest(route.listener, doors)}",
            )
    for index, traffic in enumerate(scenario.traffic):
        if traffic.to not in doors:
            yield ("traffic", index, "to"), f"no [[listen]] is called `{traffic.to}`; {suggest(traffic.to, doors)}"
        if traffic.requests > 1 and any(door.mode == "udp" for door in scenario.listen if door.name == traffic.to):
            yield ("traffic", index, "requests"), "datagrams come without a connection that could carry several"
    for name, pool in scenario.pool.items():
        try:
            build_algorithm(pool.algorithm, Random(0))
        except ConfigError as error:
            yield ("pool", name, "algorithm"), str(error)
        if not pool.backends:
            yield ("pool", name, "backends"), "a pool needs at least one backend"
        yield from _repeated(
            [backend.name for backend in pool.backends], "backends", "two backends are called", "pool", name
        )
    yield from _timeline_ends(scenario)
    yield from _expect_ends(scenario)


def _door_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Doors for connections and sessions must say where these go, unless there is but one pool or routes tell."""
    for index, door in enumerate(scenario.listen):
        if door.pool and door.pool not in scenario.pool:
            yield ("listen", index, "pool"), f"there is no pool `{door.pool}`; {suggest(door.pool, scenario.pool)}"
        if door.mode != "http" and not door.pool and not scenario.route and len(scenario.pool) > 1:
            yield ("listen", index), f"which `pool` do the connections of `{door.name}` go to? {_one_of(scenario.pool)}"
        if door.tls is not None and door.mode == "udp":
            yield ("listen", index, "tls"), "there is no TLS over UDP here"
        if door.accept_proxy and door.mode == "udp":
            yield ("listen", index, "accept_proxy"), "the PROXY protocol is not spoken over UDP here"
        if door.tls is not None and door.tls.passthrough and door.mode != "tcp":
            yield ("listen", index, "tls"), '`passthrough` passes bytes on unread, so it needs `mode = "tcp"`'


def _one_of(names: Iterable[str]) -> str:
    return f"there is {', '.join(names)}"


def _repeated(names: list[str], key: str, says: str, *above: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*above, key, index, "name"), f"{says} `{name}`"


def _timeline_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    members = {f"{pool}/{backend.name}" for pool, spec in scenario.pool.items() for backend in spec.backends}
    machines = {f"{machine.pool}/{machine.name}" for machine in scenario.plan().machines}
    for index, entry in sorted(enumerate(scenario.timeline), key=lambda numbered: numbered[1].at):
        label = "" if entry.target is None else entry.target.backend
        where = ("timeline", index, entry.kind)
        if entry.at > scenario.lasts:
            yield ("timeline", index, "at"), f"{entry.at} is after the end of the scenario ({scenario.lasts})"
        match entry.act().what:
            case Add(pool=pool):
                if pool not in scenario.pool:
                    yield where, f"there is no pool `{pool}`; {suggest(pool, scenario.pool)}"
                if label in members:
                    yield where, f"{label} is a member already"
                members.add(label)
            case Shift(route=route, to=to):
                yield from _shift_ends(scenario, where, route, to)
            case Remove() if label in members:
                members.remove(label)
            case _ if label not in (machines if entry.kind in _FAULTS else members):
                yield where, f"there is no backend `{label}` then; {suggest(label, members)}"


def _shift_ends(
    scenario: Scenario, where: tuple[str | int, ...], route: str, to: Mapping[str, float]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    names = [known.name for known in scenario.route if known.name]
    if route not in names:
        yield (*where, "route"), f"no [[route]] has the name `{route}`; {suggest(route, names)}"
    for pool in to:
        if pool not in scenario.pool:
            yield (*where, "to", pool), f"there is no pool `{pool}`; {suggest(pool, scenario.pool)}"


def _expect_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    ever = {f"{machine.pool}/{machine.name}" for machine in scenario.plan().machines}
    ever |= {f"{pool}/{backend.name}" for pool, spec in scenario.pool.items() for backend in spec.backends}
    for index, expect in enumerate(scenario.expect):
        for label in expect.backends():
            if label not in ever:
                yield ("expect", index), f"there is no backend `{label}`; {suggest(label, ever)}"
        if expect.panics is not None and expect.panics.pool not in scenario.pool:
            pool = expect.panics.pool
            yield ("expect", index, "panics", "pool"), f"there is no pool `{pool}`; {suggest(pool, scenario.pool)}"
        if expect.busiest is not None and expect.busiest.pool not in scenario.pool:
            pool = expect.busiest.pool
            yield ("expect", index, "busiest", "pool"), f"there is no pool `{pool}`; {suggest(pool, scenario.pool)}"
        if expect.between is not None and not 0 <= expect.between[0] < expect.between[1] <= scenario.lasts:
            yield ("expect", index, "between"), f"not a stretch of time within the scenario (0s to {scenario.lasts})"


def _table(record: Struct) -> dict[str, object]:
    """The record's keys as they are written in a file; what was left out on purpose stays out."""
    pairs = ((key.encode_name, getattr(record, key.name)) for key in structs.fields(record))
    return {name: _plain(value) for name, value in pairs if value is not None}


def _plain(value: object) -> object:
    """Records as tables, durations as people write them."""
    match value:
        case Service():
            return value.as_written()
        case Seconds():
            return str(value)
        case Struct():
            return _table(value)
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case tuple() | list():
            return [_plain(inner) for inner in value]
        case _:
            return value
