"""`Line`: the balancer's line to one station, and all that is remembered at its two ends.

Here is who can be played at all: the simulator knows the machines of its plan, and no servers at an `address`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Add, Outcome
from lbtutor.core.sessions import Memory, Names
from lbtutor.core.units import say_duration
from lbtutor.core.workload import Fault, MachineConfig, Plan
from lbtutor.sim.distant import Distant
from lbtutor.sim.loop import Loop
from lbtutor.sim.station import Station


class Line:
    """How long the balancer waits for an answer, whether an alarm is set for that, and the station's sessions."""

    __slots__ = ("alarmed", "machine", "names", "patience", "sessions", "station")

    def __init__(
        self, machine: MachineConfig, station: Station, patience: float, sessions: Memory | None, names: Names
    ) -> None:
        self.machine = machine
        self.station = station
        self.patience = patience
        self.sessions = sessions
        self.names = names
        self.alarmed = False

    def __repr__(self) -> str:
        return f"<Line to {self.station!r}>"

    def crash(self) -> None:
        """What the machine had in its own memory is gone."""
        if self.sessions is not None and self.machine.sessions == "memory":
            self.sessions.forget()


class LineTo(dict[Backend, Line]):
    """The line to each backend, found by its name when it is needed for the first time."""

    def __init__(self, lines: Mapping[tuple[str, str], Line]) -> None:
        self._by_name = lines

    def __missing__(self, backend: Backend) -> Line:
        line = self[backend] = self._by_name[backend.pool, backend.name]
        return line


def lines_of(plan: Plan, loop: Loop, ended: Callable[[int, Outcome], None]) -> dict[tuple[str, str], Line]:
    """A line to each machine of the plan; raises `ConfigError` when the plan needs one that it does not describe."""
    patience = {pool.name: _patience(plan, pool.name, pool.response_timeout) for pool in plan.pools}
    stores: dict[str, Memory] = {}
    lines = {
        (machine.pool, machine.name): Line(
            machine,
            (Distant if machine.delay else Station)(machine, plan.seed, loop, ended),
            patience[machine.pool],
            _sessions(machine, stores),
            Names(plan.seed, machine.pool, machine.name),
        )
        for machine in plan.machines
        if machine.pool in patience
    }
    for pool, name, needed_by in _needed_machines(plan):
        if (pool, name) not in lines:
            known = ", ".join(f"{pool}/{name}" for pool, name in lines) or "none"
            raise ConfigError(
                f"{needed_by} needs a machine {pool}/{name}, and the plan describes none of that name; known: {known}. "
                "The simulator plays machines of the plan only, not servers at an `address`"
            )
    return lines


def _patience(plan: Plan, pool: str, response_timeout: float) -> float:
    """How long the balancer bears a machine's silence: on a bare connection, for as long as its door does."""
    bare = [door for door in plan.listeners if door.mode != "http" and pool in _pools_behind(plan, door.name)]
    return max((float(door.idle_timeout) for door in bare), default=response_timeout)


def _pools_behind(plan: Plan, door: str) -> Iterator[str]:
    return (pool for route in plan.every_route if route.listener in ("", door) for pool in route.pools)


def _sessions(machine: MachineConfig, stores: dict[str, Memory]) -> Memory | None:
    """The machine's own memory, or the one that all machines with the same store share."""
    if machine.sessions in ("", "memory"):
        return Memory() if machine.sessions else None
    return stores.setdefault(machine.sessions, Memory())


def _needed_machines(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for pool in plan.pools:
        for backend in pool.backends:
            yield pool.name, backend.name, f"pool {pool.name}"
    for act in plan.acts:
        if isinstance(act.what, Fault):
            yield act.what.pool, act.what.backend, f"{act.what.kind} at {say_duration(act.at)}"
        elif isinstance(act.what, Add):
            yield act.what.pool, act.what.backend.name, f"add at {say_duration(act.at)}"
