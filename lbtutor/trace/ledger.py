"""`Ledger`: what each failure of a machine cost, as a fold over the trace.

A machine breaks, and the balancer is not told. Until enough probes or requests have failed it goes on sending requests
there; those, and the ones that were under way when it broke, are what the failure costs. Then it is believed down, or
ejected for its answers, and the loss ends. The ledger keeps one `Failure` for each time that a machine broke, and fills
it in as the trace goes on:

    at               it broke
    under_way        requests that were there then
    sent             requests that were sent there since, in good faith
    losses           those of both that failed there, when and how, and whether another try saved them
    detected_at      it was believed down or ejected: nothing more is sent, unless it is readmitted too early
    healed_at        the machine was mended
    trusted_at       it was neither believed down nor ejected any more

A request that hangs may fail long after the machine was taken out; it still belongs to the failure it was sent into.
"""

from __future__ import annotations

from msgspec import Struct, field

from lbtutor.core.events import (
    Ejected,
    Event,
    FaultKind,
    Finished,
    HealthChanged,
    OriginChanged,
    Picked,
    Readmitted,
)

_BREAKS: frozenset[FaultKind] = frozenset({"crash", "hang", "refuse", "error"})
"""What loses requests; a slow machine still answers."""


_AtBackend = Picked | OriginChanged | HealthChanged | Ejected | Readmitted


class Loss(Struct, frozen=True):
    """One attempt that a failure cost; `final` when no other try followed, so that the client saw it."""

    request: int
    at: float
    outcome: str
    final: bool


class Failure(Struct):
    """One time that a machine broke. Times are scenario seconds, None while it has not come to that."""

    pool: str
    backend: str
    fault: FaultKind
    at: float
    under_way: tuple[int, ...] = ()
    sent: list[int] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    detected_at: float | None = None
    healed_at: float | None = None
    trusted_at: float | None = None

    @property
    def detection(self) -> float | None:
        """Seconds from the break until the balancer stopped sending requests there."""
        return None if self.detected_at is None else self.detected_at - self.at

    @property
    def lost(self) -> tuple[int, ...]:
        """The requests whose clients saw the failure."""
        return tuple(loss.request for loss in self.losses if loss.final)

    @property
    def saved(self) -> tuple[int, ...]:
        """The requests that were tried again elsewhere."""
        return tuple(loss.request for loss in self.losses if not loss.final)

    @property
    def over(self) -> bool:
        """Mended, and trusted again if it had been found out."""
        return self.healed_at is not None and (self.detected_at is None or self.trusted_at is not None)


class Ledger:
    """Folds a trace into `failures`, in order of time."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._against: dict[str, set[str]] = {}
        """What speaks against a backend, by "pool/name": its probes, its answers, or both."""
        self._attempts: dict[int, str] = {}
        self._blamed: dict[int, Failure] = {}

    def __repr__(self) -> str:
        return f"<Ledger of {len(self.failures)} failures>"

    def take(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case Picked():
                self._picked(event)
            case Finished():
                self._finished(event)
            case OriginChanged() if event.fault in _BREAKS:
                self._broke(event)
            case OriginChanged():
                self._healed(event)
            case HealthChanged():
                self._weigh(event, "probes", trusts=event.now != "down")
            case Ejected():
                self._weigh(event, "answers", trusts=False)
            case Readmitted():
                self._weigh(event, "answers", trusts=True)

    def _picked(self, event: Picked) -> None:
        self._attempts[event.request] = _label(event)
        if self._against.get(_label(event)):
            return
        for failure in self._unsettled(event)[-1:]:
            if failure.healed_at is None:
                failure.sent.append(event.request)
                self._blamed[event.request] = failure

    def _finished(self, event: Finished) -> None:
        self._attempts.pop(event.request, None)
        failure = self._blamed.pop(event.request, None)
        if failure is not None and not event.ok:
            failure.losses.append(Loss(event.request, event.at, event.outcome, event.final))

    def _broke(self, event: OriginChanged) -> None:
        label = _label(event)
        under_way = tuple(request for request, where in self._attempts.items() if where == label)
        known = event.at if self._against.get(label) else None
        failure = Failure(event.pool, event.backend, event.fault, event.at, under_way, detected_at=known)
        self.failures.append(failure)
        for request in under_way:
            self._blamed.setdefault(request, failure)

    def _healed(self, event: OriginChanged) -> None:
        for failure in self._unsettled(event):
            if failure.healed_at is None:
                failure.healed_at = event.at
            if failure.detected_at is not None and not self._against.get(_label(event)):
                failure.trusted_at = event.at

    def _weigh(self, event: HealthChanged | Ejected | Readmitted, voice: str, *, trusts: bool) -> None:
        against = self._against.setdefault(_label(event), set())
        (against.discard if trusts else against.add)(voice)
        for failure in self._unsettled(event):
            if against and failure.detected_at is None:
                failure.detected_at = event.at
            elif not against and failure.healed_at is not None:
                failure.trusted_at = event.at

    def _unsettled(self, event: _AtBackend) -> list[Failure]:
        """The failures of that machine that are not over, oldest first."""
        return [
            failure
            for failure in self.failures
            if (failure.pool, failure.backend) == (event.pool, event.backend) and not failure.over
        ]


def _label(event: _AtBackend) -> str:
    return f"{event.pool}/{event.backend}"
