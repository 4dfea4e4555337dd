"""`WatchedRun`: a scene running on real sockets, and everything that the screen reads off its trace.

The run lives on a thread of its own. The screen calls `drain` once a frame; all folds happen there, on the screen's
thread, so that watching costs the balancer one append an event. `start` and `stop` block (they listen and join) and
are called from a helper thread.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from lbtutor.core import Drain, Enable, Event, Fault, Plan, Seconds
from lbtutor.core.events import (
    Disabled,
    Draining,
    Enabled,
    Ended,
    FaultKind,
    Missed,
    OriginChanged,
    Picked,
)

if TYPE_CHECKING:
    from lbtutor.live.run import LiveRun
    from lbtutor.trace.feed import Feed

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The speeds that + and - walk through, as multiples of the scenario's own."""

SLOW_FACTOR = 4.0
"""How many times longer a machine works after the key for slow."""

_MOST_UNSEEN = 100_000
"""So many events wait for the picture at most; the feed drops and counts long before."""

_SWITCH_INTERVAL = 0.0005
"""Seconds until a busy thread lets another run, while a balancer runs beside the screen (Python's own: 0.005)."""


class Line(NamedTuple):
    """One event that can be read back, and its sentence."""

    event: Event
    says: str


class WatchedRun:
    """One run of a plan, the hand on it, and what was seen of it so far."""

    def __init__(self, plan: Plan, *, speed: float = 1.0, ascii_only: bool = False) -> None:
        from lbtutor.trace.metrics import Metrics
        from lbtutor.trace.narrate import Narrator

        # Whoever leaves a scene does not wait for the requests that are under way in it.
        self.plan = replace(plan, drain=Seconds(0))
        self.metrics = Metrics()
        self.last_pick: Picked | None = None
        self.missed = 0
        self.over = False
        self.faults: dict[str, FaultKind] = {}
        self.drained: set[str] = set()
        self._narrator = Narrator(ascii=ascii_only)
        self._unseen: deque[Event] = deque(maxlen=_MOST_UNSEEN)
        self._live: LiveRun | None = None
        self._feed: Feed | None = None
        self._factor = speed
        self._usual_switch_interval = sys.getswitchinterval()

    # -- its life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and be ready at scenario time 0, held. Blocks; raises `EnvironmentFault`."""
        from lbtutor.live.run import LiveRun

        live = LiveRun(self.plan, held=True)
        self._feed = live.feed()
        live.start()
        live.set_speed(self.plan.speed * self._factor)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._live = live

    def stop(self) -> None:
        """End the run and join its thread. Blocks; does nothing the second time. Raises what broke over there."""
        live, self._live = self._live, None
        if live is not None:
            sys.setswitchinterval(self._usual_switch_interval)
            live.stop()

    # -- its clock ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Scenario seconds."""
        return 0.0 if self._live is None else self._live.now

    @property
    def paused(self) -> bool:
        """Whether the clock stands, by whatever cause."""
        return self._live is None or self.ended or self._live.paused

    @property
    def trouble(self) -> str | None:
        """What broke on the run's own thread; None while all is well."""
        return None if self._live is None else self._live.trouble

    @property
    def ended(self) -> bool:
        """Whether its thread is gone: it is over, it broke, or it was stopped."""
        return self._live is None or self._live.ended.is_set()

    @property
    def broken(self) -> bool:
        """Whether the run ended without saying so: it broke."""
        return self._live is not None and self._live.ended.is_set() and self.trouble is not None

    @property
    def speed(self) -> float:
        """As a multiple of the scenario's own speed."""
        return self._factor

    def pause(self) -> None:
        if self._live is not None:
            self._live.pause()

    def resume(self) -> None:
        if self._live is not None and not self.over:
            self._live.resume()

    def step(self) -> None:
        """Go on to the next event that a person sees, then stop."""
        if self._live is not None and not self.over:
            self._live.step()

    def set_speed(self, factor: float) -> None:
        self._factor = factor
        if self._live is not None:
            self._live.set_speed(self.plan.speed * factor)

    # -- the hand -------------------------------------------------------------------------------------------------

    def toggle_crash(self, label: str) -> str:
        """Crash the machine, or heal one that is not well; answers what was done, in words."""
        return self._befall(label, "heal" if self._unwell(label) else "crash")

    def toggle_slow(self, label: str) -> str:
        """Slow the machine down, or bring it back to its own pace; a machine that is down stays so."""
        fault = self.faults.get(label, "heal")
        if fault not in ("heal", "slow"):
            return f"{name_of(label)} is down: heal it first."
        return self._befall(label, "heal" if fault == "slow" else "slow")

    def toggle_drain(self, label: str) -> str:
        """Drain the backend, or let it back in."""
        pool, _, backend = label.partition("/")
        if label in self.drained:
            self._act(Enable(pool, backend))
            self.drained.discard(label)
            return f"{backend} gets new requests again"
        self._act(Drain(pool, backend))
        self.drained.add(label)
        return f"{backend} drains: no new requests, those under way may end"

    def _befall(self, label: str, kind: FaultKind) -> str:
        pool, _, backend = label.partition("/")
        self._act(Fault(kind, pool, backend, SLOW_FACTOR if kind == "slow" else 0.0))
        self.faults[label] = kind  # at once, so that the same key pressed twice in one frame takes back what it did
        return _DONE[kind].format(backend)

    def _unwell(self, label: str) -> bool:
        return self.faults.get(label, "heal") not in ("heal", "slow")

    def _act(self, what: Fault | Drain | Enable) -> None:
        if self._live is not None:
            self._live.act(what)

    # -- what is read off it --------------------------------------------------------------------------------------

    def drain(self) -> list[Event]:
        """Everything that happened since the last call, for the stage, which shows it when its time has come."""
        events = [] if self._feed is None else self._feed.drain()
        for event in events:
            self._heed(event)
        self._unseen.extend(events)
        return events

    def _heed(self, event: Event) -> None:
        """Note what the keys must know at once."""
        match event:
            case OriginChanged():
                self.faults[f"{event.pool}/{event.backend}"] = event.fault
            case Draining() | Disabled():
                self.drained.add(f"{event.pool}/{event.backend}")
            case Enabled():
                self.drained.discard(f"{event.pool}/{event.backend}")
            case Missed():
                self.missed += event.count
            case Ended():
                self.over = True
            case _:
                pass

    @property
    def all_seen(self) -> bool:
        """Whether the picture has reached everything that was drained."""
        return not self._unseen

    def seen(self, until: float) -> list[Event]:
        """What the picture has reached at scenario time `until`, folded into the numbers: it lags a little behind what
        happened, and neither a number nor a sentence should run ahead of it."""
        reached = []
        while self._unseen and self._unseen[0].at <= until:
            event = self._unseen.popleft()
            self.metrics.take(event)
            if isinstance(event, Picked):
                self.last_pick = event
            reached.append(event)
        return reached

    def tell(self, events: Iterable[Event]) -> list[Line]:
        """The sentences of these events; each event is to be told once, in order."""
        lines = []
        for event in events:
            says = self._narrator.say(event)
            if says is not None:
                lines.append(Line(event, says))
        return lines


def name_of(label: str) -> str:
    """A backend's name without its pool."""
    return label.rpartition("/")[2]


_DONE: dict[FaultKind, str] = {
    "crash": "{} crashed; nobody has told the balancer",
    "heal": "{} runs again; nobody has told the balancer",
    "slow": "{} now takes " + f"{SLOW_FACTOR:g}" + " times as long",
}
