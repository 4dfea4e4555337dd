"""Expectations: what a scenario says will be seen, each judged passed, failed or unknown.

    [[expect]]
    between = ["10s", "20s"]            # requests that arrived in this stretch; without it, all
    p99     = { over = "400ms" }        # may state something bad: labs often show a failure on purpose
    says    = "round robin does not notice"

An expectation is a fold over the trace, like everything else. *Unknown* is an honest answer: too few samples prove
nothing, and a run that was interrupted before the stretch was over has not shown what happens in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import fields

from lbtutor.core import ConfigError, Event, Seconds
from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    Drained,
    Ejected,
    Ended,
    Exchanged,
    Finished,
    HealthChanged,
    Panicked,
    Picked,
    Queued,
    Rejected,
    SessionLost,
    Stranded,
)
from lbtutor.core.units import say_duration
from lbtutor.labs.tally import Tally
from lbtutor.trace.ledger import Ledger
from lbtutor.trace.metrics import Metrics
from lbtutor.trace.words import counted

Verdict = Literal["passed", "failed", "unknown"]

_LATENCIES = ("mean", "p50", "p90", "p99", "max")
_TALLIES = {
    "queued": "waited",
    "backed_off": "backed off",
    "moved": "went to another backend",
    "sticky": "sticky",
    "forgotten": "met a machine that did not know their session",
}
_MOMENTS = {"down": "believed down", "up": "believed up", "ejected": "ejected", "drained": "drained"}
_SAMPLES_NEEDED = {"mean": 30, "p50": 10, "p90": 50, "p99": 500, "max": 1}
"""Answers without which a latency is unknown: about five beyond the percentile."""

_FEWEST_ANSWERS = 30


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """A latency below, above, or between two bounds."""

    under: Seconds | None = None
    over: Seconds | None = None

    def __post_init__(self) -> None:
        if self.under is None and self.over is None:
            raise ConfigError("a bound is given with `under`, `over` or both")

    def holds(self, value: float) -> bool:
        return (self.under is None or value < self.under) and (self.over is None or value > self.over)


class Count(Struct, frozen=True, forbid_unknown_fields=True):
    """A number of requests: exactly, below, above."""

    exactly: int | None = field(default=None, name="is")
    under: int | None = None
    over: int | None = None

    def __post_init__(self) -> None:
        if self.exactly is None and self.under is None and self.over is None:
            raise ConfigError("a number is given with `is`, `under` or `over`")

    def holds(self, value: float) -> bool:
        return (
            (self.exactly is None or value == self.exactly)
            and (self.under is None or value < self.under)
            and (self.over is None or value > self.over)
        )


class Share(Struct, frozen=True, forbid_unknown_fields=True):
    """The part of its pool's picks that went to one backend (`pool/name`): `about`, give or take `within`."""

    backend: str
    about: float
    within: float = 0.01


class Moment(Struct, frozen=True, forbid_unknown_fields=True):
    """It befalls a backend for the first time within this stretch of scenario time."""

    backend: str
    between: tuple[Seconds, Seconds]


class Picks(Count, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many attempts went to one backend (`pool/name`)."""

    backend: str


class Status(Count, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many requests got this status (0: a connection or session that ended well)."""

    code: int


class Panic(Struct, frozen=True, forbid_unknown_fields=True):
    """A pool panics for the first time within this stretch of scenario time."""

    pool: str
    between: tuple[Seconds, Seconds]


class Busiest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which part (0 to 1) of all the requests that a pool's machines answered was answered by the busiest of them.

    Requests on connections that the balancer does not read count too, where these carry several.
    """

    pool: str
    under: float | None = None
    over: float | None = None

    def __post_init__(self) -> None:
        if self.under is None and self.over is None:
            raise ConfigError("a share is given with `under`, `over` or both")

    def holds(self, share: float) -> bool:
        return (self.under is None or share < self.under) and (self.over is None or share > self.over)


class Lost(Struct, frozen=True, forbid_unknown_fields=True):
    """Every request that failed had been sent to this backend after it broke, and before it was known to be broken."""

    by: str


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of what is expected: `says` in words, and exactly one measure."""

    says: str = ""
    between: tuple[Seconds, Seconds] | None = None
    mean: Span | None = None
    p50: Span | None = None
    p90: Span | None = None
    p99: Span | None = None
    max: Span | None = None
    total: Count | None = None
    ok: Count | None = None
    failed: Count | None = None
    rejected: Count | None = None
    retried: Count | None = None
    queued: Count | None = None
    backed_off: Count | None = None
    moved: Count | None = None
    sticky: Count | None = None
    forgotten: Count | None = None
    stranded: Count | None = None
    picked: Picks | None = None
    status: Status | None = None
    share: Share | None = None
    busiest: Busiest | None = None
    down: Moment | None = None
    up: Moment | None = None
    ejected: Moment | None = None
    drained: Moment | None = None
    panics: Panic | None = None
    lost: Lost | None = None

    def __post_init__(self) -> None:
        given = [name for name in _measures() if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ConfigError(f"an expectation names exactly one measure ({', '.join(_measures())}), not {found}")

    @property
    def measure(self) -> str:
        """Which measure is given."""
        return next(name for name in _measures() if getattr(self, name) is not None)

    @property
    def moment(self) -> Moment | None:
        """The moment that is expected, if the measure is one."""
        return self.down or self.up or self.ejected or self.drained

    def backends(self) -> Iterator[str]:
        """The backends it names."""
        if self.share is not None:
            yield self.share.backend
        if self.picked is not None:
            yield self.picked.backend
        if self.moment is not None:
            yield self.moment.backend
        if self.lost is not None:
            yield self.lost.by

    def in_words(self) -> str:
        """`says`, or the measure itself when the author said nothing."""
        return self.says or f"{self.measure} as stated"


class Judged(Struct, frozen=True):
    """One expectation's verdict, and what was measured in words."""

    says: str
    verdict: Verdict
    measured: str


def _measures() -> list[str]:
    return [spec.name for spec in fields(Expect) if spec.name not in ("says", "between")]


class Check:
    """Folds a trace and judges one expectation at its end."""

    def __init__(self, expect: Expect) -> None:
        self._expect = expect
        self._metrics = Metrics()
        self._tally = Tally()
        self._inside: set[int] = set()
        self._ended_at: float | None = None
        self._interrupted = False
        self._first: dict[tuple[str, str], float] = {}
        self._ledger = Ledger()
        self._failed = 0

    def take(self, event: Event) -> None:
        """Fold one event."""
        self._fold_window(event)
        self._ledger.take(event)
        match event:
            case HealthChanged():
                self._first.setdefault((event.now, f"{event.pool}/{event.backend}"), event.at)
            case Ejected():
                self._first.setdefault(("ejected", f"{event.pool}/{event.backend}"), event.at)
            case Drained():
                self._first.setdefault(("drained", f"{event.pool}/{event.backend}"), event.at)
            case Panicked():
                self._first.setdefault(("panics", event.pool), event.at)
            case Finished(final=True, ok=False):
                self._failed += 1
            case Ended():
                self._ended_at = event.at
                self._interrupted = event.because != "lasted"

    def judge(self) -> Judged:
        """The verdict on what was folded so far."""
        verdict, measured = self._measure()
        if self._cut_short() and not (verdict == "failed" and self._beyond_repair()):
            verdict, measured = "unknown", f"{measured}, but the run ended before it could show more"
        return Judged(self._expect.in_words(), verdict, measured)

    def _fold_window(self, event: Event) -> None:
        """Let the metrics see only the requests that arrived within the stretch."""
        between = self._expect.between
        match event:
            case Arrived():
                if between is None or between[0] <= event.at < between[1]:
                    self._inside.add(event.request)
                    self._count(event)
            case Picked() | Queued() | BackedOff() | Finished() | Rejected() | Answered():
                if event.request in self._inside:
                    self._count(event)
                    if isinstance(event, Rejected | Answered) or (isinstance(event, Finished) and event.final):
                        self._inside.discard(event.request)
            case SessionLost() | Exchanged() | Stranded():
                if between is None or between[0] <= event.at < between[1]:
                    self._count(event)
            case _:
                self._metrics.take(event)

    def _count(self, event: Event) -> None:
        self._metrics.take(event)
        self._tally.take(event)

    def _cut_short(self) -> bool:
        needed = self._expect.between[1] if self._expect.between is not None else None
        moment = self._expect.moment or self._expect.panics
        if moment is not None:
            needed = moment.between[1]
        if self._ended_at is None:
            return True
        return self._interrupted and (needed is None or self._ended_at < needed)

    def _beyond_repair(self) -> bool:
        """Whether what failed would still have failed after a longer run: counts only grow, and a moment stays."""
        expect = self._expect
        wanted = getattr(expect, expect.measure)
        if isinstance(wanted, Count):
            limits = [limit for limit in (wanted.exactly, wanted.under) if limit is not None]
            return any(self._counted(wanted)[0] > limit for limit in limits)
        if expect.moment is not None:
            return (expect.measure, expect.moment.backend) in self._first
        if expect.panics is not None:
            return ("panics", expect.panics.pool) in self._first
        return expect.lost is not None

    def _measure(self) -> tuple[Verdict, str]:
        measure = self._expect.measure
        wanted = getattr(self._expect, measure)
        if measure in _LATENCIES:
            return self._measure_latency(measure, wanted)
        match wanted:
            case Count():
                count, measured = self._counted(wanted)
                return _as_verdict(wanted.holds(count)), measured
            case Share():
                return self._measure_share(wanted)
            case Moment():
                return self._measure_moment(measure, wanted)
            case Busiest():
                return self._measure_busiest(wanted)
            case Panic():
                at = self._first.get((measure, wanted.pool))
                return _as_moment(at, wanted.between, "panicked")
            case _:
                return self._measure_lost(wanted)

    def _counted(self, wanted: Count) -> tuple[int, str]:
        """The number that is judged, and what was measured in words."""
        measure, requests, tally = self._expect.measure, self._metrics.requests, self._tally
        of_all = f"of {counted(requests.total, 'request')}"
        match wanted:
            case Picks():
                picked = tally.picked[wanted.backend]
                return picked, f"{picked} of {counted(tally.picked.total(), 'pick')}"
            case Status():
                given = tally.status[wanted.code]
                return given, f"{given} {of_all} got {wanted.code}"
            case _ if measure == "stranded":
                return tally.stranded, f"{counted(tally.stranded, 'request')} went to a balancer that was dead"
            case _ if measure in _TALLIES:
                count: int = getattr(tally, measure)
                return count, f"{count} {of_all} {_TALLIES[measure]}"
            case _:
                count = getattr(requests, measure)
                return count, f"{count} {of_all}"

    def _measure_latency(self, measure: str, wanted: Span) -> tuple[Verdict, str]:
        latency = self._metrics.latency
        needed = _SAMPLES_NEEDED[measure]
        if latency.count < needed:
            return "unknown", f"{latency.count} answers are too few for a {measure}; it takes {needed}"
        value = getattr(latency, measure)
        return _as_verdict(wanted.holds(value)), f"{measure} {say_duration(round(value, 4))}"

    def _measure_share(self, wanted: Share) -> tuple[Verdict, str]:
        pool = wanted.backend.partition("/")[0] + "/"
        picked = {label: counts.picked for label, counts in self._metrics.backends.items() if label.startswith(pool)}
        total, own = sum(picked.values()), picked.get(wanted.backend, 0)
        needed = round(1 / wanted.within) if wanted.within else 1
        if total < needed:
            return "unknown", f"{own} of {total} picks; telling {wanted.within:.1%} apart takes {needed}"
        off = abs(own - wanted.about * total)
        return _as_verdict(off <= max(wanted.within * total, 1)), f"{own} of {total} picks, {own / total:.1%}"

    def _measure_busiest(self, wanted: Busiest) -> tuple[Verdict, str]:
        pool = wanted.pool + "/"
        answered = {label: count for label, count in self._tally.answered.items() if label.startswith(pool)}
        total = sum(answered.values())
        if total < _FEWEST_ANSWERS:
            return "unknown", f"{counted(total, 'answer')} are too few for shares; it takes {_FEWEST_ANSWERS}"
        label = max(answered, key=lambda label: answered[label])
        share = answered[label] / total
        return _as_verdict(wanted.holds(share)), f"{answered[label]} of {total} answers from {label}, {share:.1%}"

    def _measure_moment(self, measure: str, wanted: Moment) -> tuple[Verdict, str]:
        return _as_moment(self._first.get((measure, wanted.backend)), wanted.between, _MOMENTS[measure])

    def _measure_lost(self, wanted: Lost) -> tuple[Verdict, str]:
        failures = [failure for failure in self._ledger.failures if f"{failure.pool}/{failure.backend}" == wanted.by]
        elsewhere = self._failed - sum(len(failure.lost) for failure in failures)
        if not self._failed:
            return "unknown", "no request failed at all"
        return _as_verdict(not elsewhere), f"{self._failed} failed, {elsewhere} of them for another reason"


def _as_moment(at: float | None, between: tuple[float, float], word: str) -> tuple[Verdict, str]:
    if at is None:
        return "failed", f"it was never {word}"
    return _as_verdict(between[0] <= at <= between[1]), f"{word} at {at:.2f}s"


def _as_verdict(held: bool) -> Verdict:
    return "passed" if held else "failed"


def overall(verdicts: list[Verdict]) -> Verdict:
    """Failed when one failed, else unknown when one is, else passed."""
    return "failed" if "failed" in verdicts else "unknown" if "unknown" in verdicts else "passed"
