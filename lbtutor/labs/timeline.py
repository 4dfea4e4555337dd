"""The timeline of a scenario: at a time, exactly one thing happens.

    [[timeline]]
    at   = "10s"
    slow = { backend = "web/srv-2", by = 4 }

`crash hang refuse error slow heal` befall the machine, and the balancer is not told; `drain disable enable weight add
remove shift` are the operator's commands to the balancer.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import fields

from lbtutor.core import (
    Act,
    Add,
    BackendConfig,
    Command,
    ConfigError,
    Disable,
    Drain,
    Enable,
    Fault,
    MachineConfig,
    Remove,
    Seconds,
    Service,
    SetWeight,
    Shift,
)


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """A backend, as `pool/name`."""

    backend: str

    def __post_init__(self) -> None:
        if self.backend.count("/") != 1 or not all(self.backend.split("/")):
            raise ConfigError(f"`backend` is written pool/name, such as web/srv-2, not {self.backend!r}")

    @property
    def pool(self) -> str:
        return self.backend.partition("/")[0]

    @property
    def name(self) -> str:
        return self.backend.partition("/")[2]


class Slow(Target, frozen=True, forbid_unknown_fields=True):
    """Work takes `by` times as long."""

    by: float


class Error(Target, frozen=True, forbid_unknown_fields=True):
    """A `share` (0 to 1) of requests is answered 500."""

    share: float = 1.0


class Weight(Target, frozen=True, forbid_unknown_fields=True):
    """The backend's new weight."""

    weight: float


class Leave(Target, frozen=True, forbid_unknown_fields=True):
    """No new requests; what is in flight may end `within` that time, and is cut off then (without it: in peace)."""

    within: Seconds | None = None


class Newcomer(Target, frozen=True, forbid_unknown_fields=True):
    """A backend that joins, and its machine."""

    weight: float = 1
    address: str = ""
    limit: int | None = None
    backup: bool = False
    workers: int = 8
    service: Service = Service("constant", 0.02)

    @property
    def config(self) -> BackendConfig:
        """It as the balancer takes it."""
        return BackendConfig(self.name, self.weight, self.address, self.limit, self.backup)

    @property
    def machine(self) -> MachineConfig | None:
        """The lab's machine for it; None when it is somebody's server."""
        return None if self.address else MachineConfig(self.pool, self.name, self.workers, self.service)


class Diversion(Struct, frozen=True, forbid_unknown_fields=True):
    """The route so named leads to these pools from now on, by weight."""

    route: str
    to: dict[str, float]


class TimelineEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the timeline: `at`, and exactly one of the other keys."""

    at: Seconds
    crash: Target | None = None
    hang: Target | None = None
    refuse: Target | None = None
    error: Error | None = None
    slow: Slow | None = None
    heal: Target | None = None
    drain: Leave | None = None
    disable: Target | None = None
    enable: Target | None = None
    weight: Weight | None = None
    add: Newcomer | None = None
    remove: Target | None = None
    shift: Diversion | None = None

    def __post_init__(self) -> None:
        named = [field.name for field in fields(self) if field.name != "at" and getattr(self, field.name) is not None]
        if len(named) != 1:
            kinds = ", ".join(field.name for field in fields(self) if field.name != "at")
            raise ConfigError(
                f"an entry says exactly one thing that happens ({kinds}), not {' and '.join(named) or 'none'}"
            )
        self.act()

    @property
    def kind(self) -> str:
        """Which of the keys is given."""
        return next(
            field.name for field in fields(self) if field.name != "at" and getattr(self, field.name) is not None
        )

    @property
    def target(self) -> Target | None:
        """The backend it concerns; None when it concerns a route."""
        given = getattr(self, self.kind)
        return given if isinstance(given, Target) else None

    def act(self) -> Act:
        """The same as the shells take it."""
        return Act(self.at, self._what())

    def _what(self) -> Fault | Command:
        if self.shift is not None:
            return Shift(self.shift.route, self.shift.to)
        target: Target = getattr(self, self.kind)
        pool, name = target.pool, target.name
        match self.kind, target:
            case "slow", Slow(by=by):
                return Fault("slow", pool, name, by)
            case "error", Error(share=share):
                return Fault("error", pool, name, share)
            case ("crash" | "hang" | "refuse" | "heal") as kind, _:
                return Fault(kind, pool, name)
            case "weight", Weight(weight=weight):
                return SetWeight(pool, name, weight)
            case "add", Newcomer() as newcomer:
                return Add(pool, newcomer.config)
            case "drain", Leave(within=within):
                return Drain(pool, name, within)
            case "disable", _:
                return Disable(pool, name)
            case "enable", _:
                return Enable(pool, name)
            case _:
                return Remove(pool, name)
