"""DESIGN.toml: everything that the chapter's eight steps decide, as a file.

    title = "My answer"

    [dns]                              # step 1: who finds which balancer, and how soon they find another
    ttl   = "60s"
    check = { interval = "10s", timeout = "2s", fall = 3 }     # health-checked records; without it, none

    [balancers]                        # step 1
    count = 12
    capacity = 100_000                 # requests a second each

    [[route]]                          # step 2
    path = "/api/users"
    pool = "users"

    [pool.users]                       # the four services: users, products, orders, payments
    instances = 30                     # at the start of the day
    zones = 3                          # failure domains that they are spread over
    algorithm = "least_connections"    # step 3
    sticky = { cookie = "SERVER_ID", ttl = "1800s" }           # step 4
    sessions = "shared"                # step 4: "memory" (of the instance) or "shared" (a store of its own)
    health = { interval = "5s", timeout = "2s", fall = 2 }     # step 5, with passive, retry, drain
    scale  = { min = 30, max = 60, target = 0.7 }              # step 8

    [listen]
    tls = { auto = true }              # step 6
    idle_timeout = "60s"               # step 7: how long a silent WebSocket is kept

Words are those of scenario files where these have them (`lbtutor.labs.scenario`). Only what must be decided has no
default: how many balancers, which routes, how many instances of each service. An error names file, line, key and step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from lbtutor.core import ConfigError, HealthCheck, PassiveCheck, Retry, Route, Seconds, Sticky
from lbtutor.core.listening import Tls
from lbtutor.core.scaling import Scaling
from lbtutor.labs.library import library_folder
from lbtutor.labs.reading import place, read_toml, suggest
from lbtutor.sim.world import KERNEL_ALGORITHMS, MOST_ATTEMPTS

SERVICES = ("users", "products", "orders", "payments")
"""The pools that a design has: one a service of the chapter."""

MOST_INSTANCES = 1_000
MOST_BALANCERS = 100
LARGEST_BALANCER = 2_000_000
MOST_ZONES = 6
"""Bounds of what a file may ask for: no day needs more, a typing error of three zeros should be told at once, and no
region of the large clouds has more failure domains."""

STEPS = {
    **dict.fromkeys(SERVICES, "step 1: architecture"),
    "balancers": "step 1: architecture",
    "dns": "step 1: architecture",
    "instances": "step 1: architecture",
    "zones": "step 1: architecture",
    "route": "step 2: path-based routing",
    "algorithm": "step 3: algorithm",
    "sticky": "step 4: sticky sessions",
    "sessions": "step 4: sticky sessions",
    "health": "step 5: health checks and failover",
    "passive": "step 5: health checks and failover",
    "retry": "step 5: health checks and failover",
    "slow_start": "step 5: health checks and failover",
    "response_timeout": "step 5: health checks and failover",
    "drain": "step 5: health checks and failover",
    "tls": "step 6: SSL termination",
    "listen": "step 7: WebSocket",
    "scale": "step 8: scaling",
}
"""Which of the chapter's steps decides a key; the innermost one on a path counts."""


class Dns(Struct, frozen=True, forbid_unknown_fields=True):
    """How long clients keep an address (`ttl`), and whether records of a dead balancer are taken out (`check`)."""

    ttl: Seconds = Seconds(60)
    check: HealthCheck | None = None

    def __post_init__(self) -> None:
        if not 0 < self.ttl <= 7 * 86_400:
            raise ConfigError(f"`ttl` is longer than 0 and at most a week, not {self.ttl}")


class Balancers(Struct, frozen=True, forbid_unknown_fields=True):
    """`count` balancers of `capacity` requests a second each."""

    count: int
    capacity: int = 100_000

    def __post_init__(self) -> None:
        _check("count", self.count, MOST_BALANCERS)
        _check("capacity", self.capacity, LARGEST_BALANCER)


class Listen(Struct, frozen=True, forbid_unknown_fields=True):
    """The doors of every balancer: without `tls` they speak plain HTTP."""

    tls: Tls | None = None
    idle_timeout: Seconds = Seconds(60)

    def __post_init__(self) -> None:
        if self.idle_timeout <= 0:
            raise ConfigError("`idle_timeout` must be longer than 0")


class PoolDesign(Struct, frozen=True, forbid_unknown_fields=True):
    """One service: its instances and everything that is done for them. Without `scale` their number stays."""

    instances: int
    algorithm: str = "round_robin"
    zones: int = 1
    sticky: Sticky | None = None
    sessions: Literal["memory", "shared"] = "memory"
    health: HealthCheck | None = None
    passive: PassiveCheck | None = None
    retry: Retry = field(default_factory=Retry)
    slow_start: Seconds | None = None
    response_timeout: Seconds = Seconds(10)
    drain: Seconds = Seconds(0)
    scale: Scaling | None = None

    def __post_init__(self) -> None:
        _check("instances", self.instances, MOST_INSTANCES)
        _check("zones", self.zones, min(MOST_ZONES, self.instances))
        if not 0 <= self.drain <= 3600:
            raise ConfigError(f"`drain` is at most an hour, not {self.drain}")
        if self.slow_start is not None and self.slow_start <= 0:
            raise ConfigError("`slow_start` must be longer than 0; leave it out to have none")
        if self.scale is not None and not self.scale.min <= self.instances <= self.scale.max:
            raise ConfigError(
                f"`instances` ({self.instances}) is what the day begins with, between `scale.min` ({self.scale.min}) "
                f"and `scale.max` ({self.scale.max})"
            )
        if self.scale is not None and self.scale.max > MOST_INSTANCES:
            raise ConfigError(f"`scale.max` is at most {MOST_INSTANCES}, not {self.scale.max}")


class Design(Struct, frozen=True, forbid_unknown_fields=True):
    """A design file, key for key."""

    title: str
    balancers: Balancers
    route: tuple[Route, ...]
    pool: dict[str, PoolDesign]
    story: str = ""
    dns: Dns = field(default_factory=Dns)
    listen: Listen = field(default_factory=Listen)


def load_design(path: Path) -> Design:
    """Read and check a design; raises `ConfigError` with file, line, key and step."""
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: not UTF-8 text, so not a design") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from None
    return read_design(text, source)


def read_design(text: str, source: str) -> Design:
    """The same for a text that is at hand."""
    try:
        design = read_toml(text, source, Design)
    except ConfigError as error:
        raise ConfigError(_with_step(str(error), source)) from None
    for where, complaint in _loose_ends(design):
        raise ConfigError(_with_step(f"{place(text, source, where)}: {complaint}", source))
    return design


def designs_folder() -> Path:
    """Where the shipped designs lie."""
    return library_folder("lessons") / "challenge" / "designs"


def design_names() -> dict[str, Path]:
    """Every shipped design by its name."""
    return {path.stem: path for path in sorted(designs_folder().glob("*.toml"))}


def find_design(name: str) -> Path:
    """The file of a design given by its path or, where there is none, by the name of a shipped one.

    Raises `ConfigError` with the nearest name.
    """
    path, names = Path(name), design_names()
    if not path.exists() and name.removesuffix(".toml") in names:
        return names[name.removesuffix(".toml")]
    if path.suffix == ".toml" or path.name != name or path.is_file():
        return path
    listed = {known for known in names if known != HIDDEN}
    raise ConfigError(f"there is no design named {name!r}; {suggest(name, listed)} (a file is given by its path)")


HIDDEN = "passing"
"""The shipped design that no list shows, so that nobody reads the answer by accident."""


def _check(name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ConfigError(f"`{name}` is between 1 and {most}, not {count}")


def _loose_ends(design: Design) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What no single table can know: each with its path in the file."""
    for name, pool in design.pool.items():
        if name not in SERVICES:
            yield ("pool", name), f"there is no such service; {suggest(name, SERVICES)}"
        if pool.algorithm not in KERNEL_ALGORITHMS:
            complaint = f"there is no algorithm `{pool.algorithm}` here; {suggest(pool.algorithm, KERNEL_ALGORITHMS)}"
            yield ("pool", name, "algorithm"), complaint
        if pool.retry.attempts > MOST_ATTEMPTS:
            complaint = f"at most {MOST_ATTEMPTS} in all, not {pool.retry.attempts}"
            yield ("pool", name, "retry", "attempts"), complaint
    for name in SERVICES:
        if name not in design.pool:
            yield ("pool",), f"the service `{name}` has no pool; the chapter has {', '.join(SERVICES)}"
    for index, route in enumerate(design.route):
        for target in route.pools:
            if target not in design.pool:
                yield ("route", index, "pool"), f"there is no pool `{target}`; {suggest(target, design.pool)}"


def _with_step(message: str, source: str) -> str:
    """The message, and which step of the chapter decides the key that it names."""
    key, _, complaint = message.removeprefix(source).partition(": ")[2].partition(": ")
    words = key.replace("[", ".").split(".")[::-1] + complaint.split("`")[1::2]
    step = next((STEPS[word] for word in words if word in STEPS), None)
    return message if step is None else f"{message} ({step})"
