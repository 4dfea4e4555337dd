"""Watches: each goal is a fold over the trace, and says at any moment in one sentence how far it is.

`watch(condition, stage)` begins with what is on the stage already, so that a task counts what the learner did a step
too early. A goal once reached stays reached.
"""

from __future__ import annotations

from collections import Counter

from lbtutor.core import Event
from lbtutor.core.events import Arrived, FaultKind, Finished, HealthChanged, OriginChanged, Picked, Probed
from lbtutor.course.goals import Condition, Decided, FailedOver, HealthyAgain, InFlight, PickedOften, Struck


class Stage:
    """What is true on the stage now, whoever made it so: the part of the trace that a goal may look back on.

    `lost` counts the requests that failed at a backend since something last befell it; `streak` is its latest probe's
    count and the number needed.
    """

    def __init__(self) -> None:
        self.fault: dict[str, FaultKind] = {}
        self.down: set[str] = set()
        self.was_down: set[str] = set()
        self.in_flight: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.streak: dict[str, tuple[int, int]] = {}

    def take(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case OriginChanged(fault="heal"):
                self.fault.pop(label_of(event), None)
            case OriginChanged():
                self.fault[label_of(event)] = event.fault
                self.lost[label_of(event)] = 0
            case Picked():
                self.in_flight[label_of(event)] += 1
            case Finished():
                self.in_flight[label_of(event)] -= 1
                self.lost[label_of(event)] += event.final and not event.ok
            case Probed():
                self.streak[label_of(event)] = (event.count, event.needed)
            case HealthChanged(now="down"):
                self.down.add(label_of(event))
                self.was_down.add(label_of(event))
                self.streak.pop(label_of(event), None)
            case HealthChanged():
                self.down.discard(label_of(event))
                self.streak.pop(label_of(event), None)

    def probes(self, label: str, did: str) -> str:
        """The streak of probes in words: "2 of 3 probes failed"."""
        count, needed = self.streak.get(label, (0, 0))
        return f"{count} of {needed} probes {did}" if count else f"no probe has {did} yet"


class Watch:
    """One goal being watched: `take` each event (after the stage has), then read `done` and `detail`."""

    def __init__(self, condition: Condition, stage: Stage) -> None:
        self.condition = condition
        self.stage = stage
        self.done = False
        self.detail = ""
        self.look()

    def take(self, event: Event) -> None:
        """Fold one event; nothing is undone once the goal is reached."""
        if not self.done:
            self.see(event)
            self.look()

    def see(self, event: Event) -> None:
        """Count what this kind of goal counts."""

    def look(self) -> None:
        """Set `done` and `detail` from what was counted and what is on the stage."""


class _StruckWatch(Watch):
    condition: Struck

    def look(self) -> None:
        label, wanted = self.condition.backend, self.condition.fault
        fault = self.stage.fault.get(label, "heal")
        self.done = fault != "heal" if wanted == "any" else fault == wanted
        self.detail = "the balancer was not told" if self.done else f"{short(label)} {_BEFALLEN[fault]}"


class _FailedOverWatch(Watch):
    condition: FailedOver

    def __init__(self, condition: FailedOver, stage: Stage) -> None:
        self._sent_since: set[int] = set()
        self._answered = 0
        super().__init__(condition, stage)

    def see(self, event: Event) -> None:
        label = self.condition.failed_over
        down = label in self.stage.down
        match event:
            case HealthChanged() if label_of(event) == label:
                self._sent_since.clear()
                self._answered = 0
            case Picked() if down:
                self._sent_since.add(event.request)
            case Finished(final=True):
                if event.request in self._sent_since:
                    self._sent_since.discard(event.request)
                    self._answered = self._answered + 1 if event.ok else 0

    def look(self) -> None:
        label, wanted = self.condition.failed_over, self.condition.requests
        name, lost = short(label), _requests(self.stage.lost[label])
        self.done = label in self.stage.down and self._answered >= wanted
        if self.done:
            self.detail = f"{lost} failed at {name}; the next {self._answered} were answered elsewhere"
        elif label in self.stage.down:
            self.detail = f"{name} is down: {self._answered} of {wanted} requests answered elsewhere since"
        elif label in self.stage.fault:
            self.detail = f"{self.stage.probes(label, 'failed')}, {lost} failed there so far"
        else:
            self.detail = f"{name} is up"


class _HealthyAgainWatch(Watch):
    condition: HealthyAgain

    def __init__(self, condition: HealthyAgain, stage: Stage) -> None:
        self._picked = False
        super().__init__(condition, stage)

    def see(self, event: Event) -> None:
        label = self.condition.healthy_again
        back = label in self.stage.was_down and label not in self.stage.down
        self._picked = back and isinstance(event, Picked) and label_of(event) == label

    def look(self) -> None:
        label, stage = self.condition.healthy_again, self.stage
        name = short(label)
        self.done = self._picked
        if self.done:
            self.detail = f"{name} is up and gets requests again"
        elif label in stage.down:
            still_broken = label in stage.fault
            self.detail = f"{name} is still broken" if still_broken else f"{name}: {stage.probes(label, 'passed')}"
        elif label in stage.was_down:
            self.detail = f"{name} is up: waiting for it to be picked again"
        else:
            self.detail = f"{name} has not been down yet"


class _PickedWatch(Watch):
    condition: PickedOften

    def __init__(self, condition: PickedOften, stage: Stage) -> None:
        self._times = 0
        super().__init__(condition, stage)

    def see(self, event: Event) -> None:
        self._times += isinstance(event, Picked) and label_of(event) == self.condition.picked

    def look(self) -> None:
        self.done = self._times >= self.condition.times
        self.detail = f"{self._times} of {self.condition.times} requests"


class _DecidedWatch(Watch):
    condition: Decided

    def __init__(self, condition: Decided, stage: Stage) -> None:
        self._order: dict[int, int] = {}
        self._backend: str | None = None
        super().__init__(condition, stage)

    def see(self, event: Event) -> None:
        match event:
            case Arrived():
                self._order[event.request] = len(self._order) + 1
            case Picked(attempt=1) if self._order.get(event.request) == self.condition.decided:
                self._backend = label_of(event)

    def look(self) -> None:
        wanted = self.condition.decided
        self.done = self._backend is not None and self.condition.to in (None, self._backend)
        if self._backend is None:
            self.detail = f"request {min(len(self._order), wanted)} of {wanted}"
        else:
            self.detail = f"request {wanted} went to {short(self._backend)}"


class _InFlightWatch(Watch):
    condition: InFlight

    def look(self) -> None:
        label, wanted = self.condition.in_flight, self.condition.reaches
        now = self.stage.in_flight[label]
        self.done = now >= wanted
        self.detail = f"{'' if self.done else f'{now} of '}{_requests(wanted)} under way at {short(label)}"


_WATCHES: dict[type[Condition], type[Watch]] = {
    Struck: _StruckWatch,
    FailedOver: _FailedOverWatch,
    HealthyAgain: _HealthyAgainWatch,
    PickedOften: _PickedWatch,
    Decided: _DecidedWatch,
    InFlight: _InFlightWatch,
}

_BEFALLEN: dict[FaultKind, str] = {
    "crash": "crashed",
    "hang": "hangs",
    "refuse": "refuses connections",
    "error": "answers with errors",
    "slow": "slowed down",
    "heal": "runs well",
}


def watch(condition: Condition, stage: Stage) -> Watch:
    """A watch for this condition, beginning with what is on the stage now."""
    return _WATCHES[type(condition)](condition, stage)


def label_of(event: Picked | Finished | Probed | HealthChanged | OriginChanged) -> str:
    """`pool/name` of the backend that an event is about."""
    return f"{event.pool}/{event.backend}"


def short(label: str) -> str:
    """The backend's name without its pool."""
    return label.rpartition("/")[2]


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"
