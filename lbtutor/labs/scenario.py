"""Scenario files: what, on which stage, what happens, what we expect.

The format is the table of contents of this module: `Scenario` and the structs that it names are the file, key for key,
and unknown keys are refused with the nearest known one. `Scenario.plan()` is the same with every default filled in and
every name checked, as the shells take it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal

from msgspec import Struct, field, structs

from lbtutor.core import (
    Add,
    BackendConfig,
    ConfigError,
    HealthCheck,
    ListenerConfig,
    MachineConfig,
    PassiveCheck,
    Plan,
    PoolConfig,
    Redirect,
    Remove,
    Respond,
    Retry,
    Route,
    Seconds,
    Service,
    Traffic,
)
from lbtutor.core.algorithms import AlgorithmConfig, build_algorithm
from lbtutor.core.keys import read_key
from lbtutor.core.units import say_duration
from lbtutor.labs.checks import Expect
from lbtutor.labs.library import lab_folders, lesson_folders
from lbtutor.labs.reading import place, read_toml, suggest
from lbtutor.labs.timeline import TimelineEntry

_FAULTS = ("crash", "hang", "refuse", "error", "slow", "heal")


class BackendSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a pool. With `address` (`host:port`) it is somebody's server; without, the lab starts a machine.

    `workers`, `service` and `errors` describe that machine: see `MachineConfig`.
    """

    name: str
    weight: float = 1
    address: str = ""
    workers: int = 8
    service: Service = Service("constant", 0.02)
    errors: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name != self.name.strip():
            raise ConfigError(f"`name` of a backend is a word without a slash, not {self.name!r}")
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"`weight` must be 0 or more, not {self.weight!r}")
        if not 1 <= self.workers <= 10_000:
            raise ConfigError(f"`workers` must be between 1 and 10000, not {self.workers!r}")
        if not 0 <= self.errors <= 1:
            raise ConfigError(f"`errors` is a share between 0 and 1, not {self.errors!r}")
        if self.address and not self.address.rpartition(":")[2].isdigit():
            raise ConfigError(f"`address` is written host:port, not {self.address!r}")


class PoolSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A group of backends; the words are those of `PoolConfig`."""

    backends: tuple[BackendSpec, ...]
    algorithm: AlgorithmConfig = "round_robin"
    health: HealthCheck | None = None
    passive: PassiveCheck | None = None
    retry: Retry = field(default_factory=Retry)
    all_down: Literal["reject", "fail_open"] = "reject"
    connect_timeout: Seconds = Seconds(5)
    response_timeout: Seconds = Seconds(60)
    key: str = "address"

    def __post_init__(self) -> None:
        read_key(self.key)


class ListenSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A door of the balancer; the words are those of `ListenerConfig`. Only HTTP/1.1 so far."""

    name: str
    mode: Literal["http"] = "http"
    at: str = "127.0.0.1:0"
    trusted_proxies: tuple[str, ...] = ()
    head_timeout: Seconds = Seconds(10)
    idle_timeout: Seconds = Seconds(60)
    max_header_bytes: int = 16_384

    def __post_init__(self) -> None:
        host, _, port = self.at.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ConfigError(f"`at` is written host:port, such as 127.0.0.1:8080, not {self.at!r}")


class RouteSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that match every given condition go to the one target; words and precedence: `lbtutor.core.routing`."""

    pool: str = ""
    path: str = "/"
    host: str = ""
    method: str = ""
    listen: str = ""
    exact: bool = False
    header: dict[str, str] = field(default_factory=dict)
    cookie: dict[str, str] = field(default_factory=dict)
    split: dict[str, float] | None = None
    split_key: str = "address"
    respond: Respond | None = None
    redirect: Redirect | None = None

    def __post_init__(self) -> None:
        self.route()

    def route(self) -> Route:
        """The same as the shells take it."""
        return Route(
            self.pool,
            self.path,
            self.host,
            self.method,
            self.listen,
            self.exact,
            self.header,
            self.cookie,
            self.split,
            self.split_key,
            self.respond,
            self.redirect,
        )


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file. Without `[[listen]]` there is one door, `front`; without `[[route]]` the only pool answers."""

    title: str
    pool: dict[str, PoolSpec]
    story: str = ""
    seed: int = 1
    lasts: Seconds = Seconds(30)
    speed: float = 1.0
    drain: Seconds = Seconds(10)
    listen: tuple[ListenSpec, ...] = (ListenSpec("front"),)
    route: tuple[RouteSpec, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    expect: tuple[Expect, ...] = ()

    def __post_init__(self) -> None:
        if self.lasts <= 0:
            raise ConfigError("`lasts` must be longer than 0")
        if not 0.01 <= self.speed <= 1000:
            raise ConfigError(f"`speed` is scenario seconds a wall second, 0.01 to 1000, not {self.speed!r}")

    def plan(self, *, seed: int | None = None, algorithm: AlgorithmConfig | None = None) -> Plan:
        """What the shells play; `seed` and `algorithm` (for every pool) replace the file's."""
        return Plan(
            listeners=tuple(
                ListenerConfig(
                    door.name,
                    door.at,
                    door.trusted_proxies,
                    door.head_timeout,
                    door.idle_timeout,
                    door.max_header_bytes,
                )
                for door in self.listen
            ),
            routes=self._routes(),
            pools=tuple(_pool_config(name, spec, algorithm) for name, spec in self.pool.items()),
            machines=tuple(self._machines()),
            traffic=self.traffic,
            acts=tuple(entry.act() for entry in sorted(self.timeline, key=lambda entry: entry.at)),
            title=self.title,
            seed=self.seed if seed is None else seed,
            lasts=self.lasts,
            speed=self.speed,
            drain=self.drain,
        )

    def _routes(self) -> tuple[Route, ...]:
        if not self.route:
            return (Route(next(iter(self.pool))),)
        return tuple(rule.route() for rule in self.route)

    def _machines(self) -> Iterator[MachineConfig]:
        for pool, spec in self.pool.items():
            for backend in spec.backends:
                if not backend.address:
                    yield MachineConfig(pool, backend.name, backend.workers, backend.service, backend.errors)
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
    scenario = read_toml(text, source, Scenario)
    for where, complaint in _loose_ends(scenario):
        raise ConfigError(f"{place(text, source, where)}: {complaint}")
    return scenario


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


def _pool_config(name: str, spec: PoolSpec, algorithm: AlgorithmConfig | None) -> PoolConfig:
    return PoolConfig(
        name,
        spec.algorithm if algorithm is None else algorithm,
        tuple(BackendConfig(backend.name, backend.weight, backend.address) for backend in spec.backends),
        spec.health,
        spec.retry,
        spec.all_down,
        spec.connect_timeout,
        spec.response_timeout,
        spec.key,
        spec.passive,
    )


def _loose_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Names that lead nowhere and things that cannot be: each with its path in the file."""
    doors = [door.name for door in scenario.listen]
    yield from _repeated(doors, "listen", "two doors are called")
    if not scenario.pool:
        yield ("pool",), "a scenario needs at least one pool"
    if not scenario.route and len(scenario.pool) > 1:
        yield ("pool",), f"with {len(scenario.pool)} pools, [[route]] must say which requests go to which"
    for index, route in enumerate(scenario.route):
        for target in route.route().pools:
            if target not in scenario.pool:
                key = ("pool",) if route.pool else ("split", target)
                yield ("route", index, *key), f"there is no pool `{target}`; {suggest(target, scenario.pool)}"
        if route.listen and route.listen not in doors:
            yield (
                ("route", index, "listen"),
                f"no [[listen]] is called `{route.listen}`; {suggest(route.listen, doors)}",
            )
    for index, traffic in enumerate(scenario.traffic):
        if traffic.to not in doors:
            yield ("traffic", index, "to"), f"no [[listen]] is called `{traffic.to}`; {suggest(traffic.to, doors)}"
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


def _repeated(names: list[str], key: str, says: str, *above: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*above, key, index, "name"), f"{says} `{name}`"


def _timeline_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    members = {f"{pool}/{backend.name}" for pool, spec in scenario.pool.items() for backend in spec.backends}
    machines = {f"{machine.pool}/{machine.name}" for machine in scenario.plan().machines}
    for index, entry in sorted(enumerate(scenario.timeline), key=lambda numbered: numbered[1].at):
        label = entry.target.backend
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
            case Remove() if label in members:
                members.remove(label)
            case _ if label not in (machines if entry.kind in _FAULTS else members):
                yield where, f"there is no backend `{label}` then; {suggest(label, members)}"


def _expect_ends(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    ever = {f"{machine.pool}/{machine.name}" for machine in scenario.plan().machines}
    ever |= {f"{pool}/{backend.name}" for pool, spec in scenario.pool.items() for backend in spec.backends}
    for index, expect in enumerate(scenario.expect):
        for label in expect.backends():
            if label not in ever:
                yield ("expect", index), f"there is no backend `{label}`; {suggest(label, ever)}"
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
            return {value.shape: say_duration(value.mean)}
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
