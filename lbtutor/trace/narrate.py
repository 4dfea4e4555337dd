"""`Narrator`: each event as one sentence, with its reason and its numbers.

    r12 → b: 2 in flight, fewer than a's 5 and c's 8
    r7 ← srv-2: answered 200 in 412 ms
    probe of srv-2 failed (connection refused): 2 of 3 towards down
    srv-2 is down: 3 probes in a row failed, the last with: connection refused

A sentence says only what its event says, so it may be asked for in any order. Two small things are remembered, and done
without where they are unknown: how the try before a retry ended, and whether there is more than one pool (then backends
are named `pool/name`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

from msgspec import Struct

from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    BalancerChanged,
    Calmed,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Ended,
    Event,
    Exchanged,
    FaultKind,
    Finished,
    HandshakeFailed,
    HealthChanged,
    Joined,
    Judged,
    Left,
    Missed,
    OriginChanged,
    Panicked,
    Picked,
    Probed,
    ProbeSent,
    Queued,
    Readmitted,
    Refused,
    Rejected,
    Relisted,
    Reloaded,
    Remarked,
    Resolved,
    Routed,
    SessionLost,
    SessionStarted,
    Shifted,
    Stranded,
    WeightChanged,
)
from lbtutor.trace.reasons import excluded_clause, only_reason, reason, retry_reason
from lbtutor.trace.words import counted, duration, listed, number, ordinal

Sign = Literal["<", ">", "="]
"""As the balancer sees it: something came in, something went out, something is now so."""


class Told(Struct, frozen=True):
    """One event in words; `link` joins the request's name and the text to a sentence."""

    sign: Sign
    request: int | None
    text: str
    link: str = ": "


_FAULTS: dict[FaultKind, str] = {
    "crash": "crashes: its connections break and new ones are refused",
    "hang": "hangs: it accepts connections and never answers",
    "refuse": "refuses new connections, while those it has go on",
    "error": "answers {:.0%} of its requests with 500",
    "slow": "takes {:.3g} times as long for a request",
    "heal": "is well again",
}

_FAILED: dict[str, str] = {
    "connection refused": "refused",
    "no connection in time": "did not connect in time",
    "no TLS connection to be trusted": "could not be trusted",
}

_AFTERMATH: dict[str, str] = {
    "broke off in mid-answer": "the client has seen a part of it",
    "the client left first": "nobody waits for an answer",
}

_ENDS: dict[str, str] = {
    "lasted": "it lasted as long as planned",
    "interrupted": "it was interrupted",
    "stopped": "it was stopped",
}


class Narrator:
    """Says each event as one sentence.

    `ascii` writes `->` and `<-` and escapes what else is not ASCII. `backends_qualified` says whether backends are
    named `pool/name`; None means as soon as there is more than one pool. `algorithms` names the algorithm of each pool,
    for those that give no reason.
    """

    def __init__(
        self,
        ascii: bool = False,  # noqa: A002 - the word that everybody uses for it
        backends_qualified: bool | None = None,
        algorithms: Mapping[str, str] | None = None,
    ) -> None:
        self._ascii = ascii
        self._qualified = backends_qualified
        self._algorithms = algorithms or {}
        self._pools: set[str] = set()
        self._last_failure: Finished | None = None

    def __repr__(self) -> str:
        return f"<Narrator of {len(self._pools)} pools>"

    def say(self, event: Event) -> str:
        """The event as one sentence."""
        told = self._told(event)
        sentence = told.text if told.request is None else f"r{told.request}{told.link}{told.text}"
        return _to_ascii(sentence) if self._ascii else sentence

    def tell(self, event: Event) -> Told:
        """The same in parts, for those who set them in columns: sign, request, and the text without the request."""
        told = self._told(event)
        return Told(told.sign, told.request, _to_ascii(told.text)) if self._ascii else told

    def _told(self, event: Event) -> Told:
        match event:
            case Arrived():
                asked = f"{event.method} {event.host or event.sni}{event.path}"
                at = f" at {event.balancer}" if event.balancer else ""
                return Told("<", event.request, f"{asked} from {event.client}", f" arrives{at}: ")
            case Routed():
                return Told(
                    ">", event.request, f"route {event.route} → pool {self._pool(event)}: {event.because}", " takes "
                )
            case Picked():
                return Told(">", event.request, f"{self._name(event)}: {self._reason(event)}", " → ")
            case Finished():
                self._remember(event)
                return Told("<", event.request, f"{self._name(event)}: {_ending(event)}", " ← ")
            case Answered():
                return Told(">", event.request, f"answered {event.status} by the balancer: {event.because}", " is ")
            case Rejected():
                text = f"answered {event.status} by the balancer: {event.because}{excluded_clause(event.candidates)}"
                return Told(">", event.request, text, " is ")
            case Refused():
                text = f"{event.client} is refused at {event.listener} with {event.status}: {event.because}"
                return Told(">", None, text)
            case ProbeSent():
                return Told(">", None, f"{self._name(event)} is probed")
            case Probed():
                return Told("<", None, f"probe of {self._name(event)} {_probe_result(event)}")
            case HealthChanged():
                again = " again" if (event.was, event.now) == ("down", "up") else ""
                return Told("=", None, f"{self._name(event)} is {event.now}{again}: {event.because}")
            case Ejected():
                lasts = duration(event.until - event.at)
                return Told("=", None, f"{self._name(event)} is ejected for {lasts}: {event.because}")
            case Readmitted():
                return Told(
                    "=", None, f"{self._name(event)} is readmitted: its time is over, its failures are forgotten"
                )
            case Joined():
                health = "not checked yet" if event.health == "unchecked" else f"believed {event.health}"
                weight = number(event.weight)
                return Told("=", None, f"{event.backend} joins pool {self._pool(event)}, weight {weight}, {health}")
            case Left():
                left_behind = counted(event.in_flight, "request") if event.in_flight else "nothing"
                return Told("=", None, f"{event.backend} leaves pool {self._pool(event)} with {left_behind} in flight")
            case Draining():
                rest = f"{event.in_flight} in flight may finish" if event.in_flight else "nothing is in flight"
                return Told("=", None, f"{self._name(event)} is draining: it gets no new requests, and {rest}")
            case Drained():
                return Told("=", None, f"{self._name(event)} is drained: nothing is in flight there any more")
            case Disabled():
                return Told("=", None, f"{self._name(event)} is in maintenance: it gets neither requests nor probes")
            case Enabled():
                return Told("=", None, f"{self._name(event)} is enabled: its drain or maintenance is over")
            case WeightChanged():
                silence = "" if event.now else ", so it gets no traffic"
                growth = f": {event.because}" if event.because else ""
                change = f"from {number(event.was)} to {number(event.now)}"
                return Told("=", None, f"the weight of {self._name(event)} goes {change}{silence}{growth}")
            case Queued():
                where = f"waits in the queue of pool {self._pool(event)}, {ordinal(event.place)} in line"
                most = duration(event.until - event.at)
                return Told("=", event.request, f"{where}, for at most {most}: {event.because}", " ")
            case BackedOff():
                wait = duration(event.until - event.at)
                return Told("=", event.request, f"waits {wait} before its {ordinal(event.attempt)} try", " ")
            case Shifted():
                return Told("=", None, f"route {event.route} goes from {_weights(event.was)} to {_weights(event.now)}")
            case Panicked():
                left = f"{event.available} of {event.members} available, less than {event.threshold:.0%}"
                return Told("=", None, f"pool {self._pool(event)} panics ({left}): all the willing are offered")
            case Calmed():
                left = f"{event.available} of {event.members} available"
                return Told("=", None, f"pool {self._pool(event)} is calm again ({left}): only these are offered")
            case Reloaded():
                return Told("=", None, f"a new configuration is in force: {event.because}")
            case ContractBroken():
                return Told("=", event.request, f"{event.algorithm} broke its contract: {event.because}")
            case OriginChanged():
                by_hand = "by hand, " if event.by == "hand" else ""
                fault = _FAULTS[event.fault].format(event.amount)
                return Told("=", None, f"{self._name(event)} {fault} ({by_hand}the balancer is not told)")
            case SessionStarted():
                return Told("=", None, f"{self._name(event)} begins session {event.session} for {event.client}")
            case SessionLost():
                return Told(
                    "=",
                    None,
                    f"{self._name(event)} does not know session {event.session} of {event.client}: it is lost",
                )
            case Exchanged():
                heard = f"answers {event.status} to {event.client} in {duration(event.took)}"
                return Told("=", None, f"{self._name(event)} {heard}, on a connection that the balancer does not read")
            case Resolved():
                lasts = duration(event.until - event.at)
                return Told("=", None, f"DNS tells {event.client} of {event.balancer}, and it keeps that for {lasts}")
            case Relisted():
                word = "gives out" if event.listed else "no longer gives out"
                return Told("=", None, f"DNS {word} the address of {event.balancer}: {event.because}")
            case BalancerChanged(change="died"):
                return Told("=", None, f"balancer {event.balancer} dies, and all that is under way through it is lost")
            case BalancerChanged():
                return Told("=", None, f"balancer {event.balancer} is back, and has forgotten all that it knew")
            case Stranded():
                return Told("=", None, f"{event.client} goes to balancer {event.balancer}, which is dead")
            case HandshakeFailed():
                return Told("=", None, f"no TLS with {event.client} at {event.listener}: {event.because}")
            case Remarked():
                return Told("=", None, event.says)
            case Judged():
                because = f", because {event.because}" if event.because else ""
                return Told("=", None, f"a law is broken: expected {event.expected}, got {event.got}{because}")
            case Missed():
                were = "was" if event.count == 1 else "were"
                return Told("=", None, f"{counted(event.count, 'event')} {were} missed here: the reader fell behind")
            case Ended():
                return Told("=", None, f"the run is over: {_ENDS[event.because]}")
            case _:
                assert_never(event)

    def _reason(self, event: Picked) -> str:
        if event.because == "sticky":
            return event.affinity
        return f"{self._choice(event)}; {event.affinity}" if event.affinity else self._choice(event)

    def _choice(self, event: Picked) -> str:
        if event.because == "only":
            return only_reason(event.why.candidates)
        if event.because == "retry":
            return retry_reason(event, self._failure_before(event))
        return reason(event, self._algorithms.get(event.pool, "the algorithm"))

    def _remember(self, event: Finished) -> None:
        if not event.final:
            self._last_failure = event

    def _failure_before(self, event: Picked) -> str | None:
        """How the try before this one ended, if that was the last failure told."""
        failure = self._last_failure
        if failure is None or (failure.request, failure.attempt) != (event.request, event.attempt - 1):
            return None
        return f"{failure.backend} {_FAILED.get(failure.outcome, 'failed')}"

    def _name(self, event: _OfBackend) -> str:
        pool = self._pool(event)
        qualified = len(self._pools) > 1 if self._qualified is None else self._qualified
        return f"{pool}/{event.backend}" if qualified else event.backend

    def _pool(self, event: _OfPool) -> str:
        self._pools.add(event.pool)
        return event.pool


_Membership = Ejected | Readmitted | Joined | Left | Draining | Drained | Disabled | Enabled | WeightChanged
_OfMachine = OriginChanged | SessionStarted | SessionLost | Exchanged
_OfBackend = Picked | Finished | ProbeSent | Probed | HealthChanged | _OfMachine | _Membership
_OfPool = Routed | Queued | Panicked | Calmed | _OfBackend


def _ending(event: Finished) -> str:
    """How an attempt ended, how long it took, and what the client makes of it."""
    if event.outcome == "answered 101":
        return f"the tunnel was closed after {duration(event.took)}"
    if event.outcome == "ended well":
        return f"{event.outcome} after {duration(event.took)}"
    if event.outcome == f"answered {event.status}":
        return f"{event.outcome} in {duration(event.took)}"
    when = f"after {duration(event.took)}" if event.took >= 0.0005 else "at once"
    if not event.final:
        return f"{event.outcome} {when}; another try follows"
    why_no_other = f" ({event.because})" if event.because else ""
    return f"{event.outcome} {when}{why_no_other}; {_AFTERMATH.get(event.outcome, f'the client gets {event.status}')}"


def _weights(split: Mapping[str, float]) -> str:
    """`blue`, or `90 blue and 10 green`."""
    pools = [(pool, weight) for pool, weight in split.items() if weight]
    return pools[0][0] if len(pools) == 1 else listed([f"{number(weight)} {pool}" for pool, weight in pools])


def _probe_result(event: Probed) -> str:
    result = f"{'passed' if event.ok else 'failed'} ({event.because})"
    if not event.needed:
        return f"{result}: it stays {event.towards}"
    return f"{result}: {event.count} of {event.needed} towards {event.towards}"


def _to_ascii(text: str) -> str:
    text = text.replace("→", "->").replace("←", "<-").replace("…", "...")
    return text.encode("ascii", "backslashreplace").decode("ascii")
