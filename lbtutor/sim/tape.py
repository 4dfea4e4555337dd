"""`Tape`: what a run of a world gives, second by second. Numbers only, and all of them add up.

Every cell is a sum: a count, a time, or a gauge read at the end of the second. So two tapes of the same shape merge by
addition (several seeds become one tape of `runs` runs), and what people want to know, a share, a mean, a quantile, is a
quotient of sums. A request is counted in the second in which it ends, `offered` in the one in which it comes, so

    offered = served + shed + shed_by_balancer + failed_before + failed_after + the change of in_flight

holds over any stretch. Latencies are kept in the buckets of `lbtutor.trace.histogram`, 1 % each, so a quantile is
within 1 % of the exact one. Plain arrays: a tape needs no numpy, travels between processes, and has a JSON form.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lbtutor.core.errors import JournalError
from lbtutor.trace.histogram import RELATIVE_ERROR, Histogram

VERSION = 1

COUNTS = (
    "offered",  # requests that came
    "served",  # answered in time by an instance
    "shed",  # answered 503: the line at the instance is full, or no instance is offered
    "shed_by_balancer",  # answered 503: the balancer itself has too much to do
    "failed_before",  # failed, while the one who sent it there still took the machine for good
    "failed_after",  # failed, though the machine was known to be bad (cached names, requests sent before)
    "retried",  # tries after the first
    "served_late",  # of those served: came only after a retry
    "carts_lost",  # times that a customer's cart was not where the request went
    "sockets_opened",
    "sockets_lost",
    "ejected",  # instances thrown out by a balancer for their answers
)
"""Counted for each second and fleet."""

TIMES = (
    "took",  # seconds from the client's sending to its answer, of all that were served
    "waited",  # in line at an instance, by all that it began to work on
    "added",  # in the balancer, by all that it took in
    "busy",  # seconds that slots were busy
)
"""Seconds, added up for each second and fleet."""

GAUGES = (
    "instances",  # that there are, whatever their state
    "up",  # of these, able to answer
    "offered_to",  # of these, offered by a balancer: the mean over the balancers, times their number
    "slots",  # workers of the instances that are up
    "in_flight",  # requests under way
    "sockets",  # WebSockets open
)
"""Read at the end of each second, for each fleet; in a merged tape, the sum over the runs."""

AT_BALANCERS = ("offered", "shed", "failed", "clients")
"""For each second and balancer; `clients` is a gauge: addresses whose cached name leads there."""


class Tape:
    """The numbers of one run, or of several merged. Rows are appended by whoever plays the world; then it is read.

    `fleets` names the fleets and how many instances each may have; a second is numbered from 0 at `start`.
    """

    def __init__(self, fleets: Mapping[str, int], balancers: int, start: float = 0.0, runs: int = 1) -> None:
        self.fleets = dict(fleets)
        self.balancers = balancers
        self.start = start
        self.runs = runs
        self.seconds = 0
        self.counts = {name: array("q") for name in (*COUNTS, *GAUGES)}
        self.times = {name: array("d") for name in TIMES}
        self.at_balancers = {name: array("q") for name in AT_BALANCERS}
        self.picked = array("q")
        """Requests sent to each instance, for each second: the fleets' instances one after another."""
        self._latency: list[array[int]] = []
        """For each second and fleet: bucket, count, bucket, count …"""

    def __repr__(self) -> str:
        return f"<Tape of {self.seconds} s, {len(self.fleets)} fleets, {self.balancers} balancers, {self.runs} runs>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tape) and self.document() == other.document()

    __hash__ = None  # type: ignore[assignment]

    # what is written

    def add_second(
        self,
        counts: Mapping[str, Sequence[int]],
        times: Mapping[str, Sequence[float]],
        at_balancers: Mapping[str, Sequence[int]],
        picked: Iterable[int],
        latency: Sequence[Mapping[int, int]],
    ) -> None:
        """One more second: for each name of `COUNTS` and `GAUGES` a number a fleet, for each of `TIMES` one, for each
        of `AT_BALANCERS` one a balancer; `picked` a number an instance; `latency` counts by bucket, a fleet each.
        """
        for name, column in self.counts.items():
            column.extend(counts[name])
        for name, times_column in self.times.items():
            times_column.extend(times[name])
        for name, column in self.at_balancers.items():
            column.extend(at_balancers[name])
        self.picked.extend(picked)
        for buckets in latency:
            self._latency.append(_flat(buckets))
        self.seconds += 1

    def merge(self, other: Tape) -> None:
        """Add another run of as many seconds and the same shape; `ValueError` when they differ."""
        if self._shape() != other._shape():
            raise ValueError(f"tapes of different shapes cannot be merged: {self!r} and {other!r}")
        for mine, theirs in ((self.counts, other.counts), (self.at_balancers, other.at_balancers)):
            for name, column in mine.items():
                mine[name] = array("q", map(int.__add__, column, theirs[name]))
        for name, times in self.times.items():
            self.times[name] = array("d", map(float.__add__, times, other.times[name]))
        self.picked = array("q", map(int.__add__, self.picked, other.picked))
        for cell, flat in enumerate(other._latency):
            buckets = _counts(self._latency[cell])
            for bucket, count in _counts(flat).items():
                buckets[bucket] = buckets.get(bucket, 0) + count
            self._latency[cell] = _flat(buckets)
        self.runs += other.runs

    def _shape(self) -> tuple[object, ...]:
        return tuple(self.fleets.items()), self.balancers, self.start, self.seconds

    # what is read

    def series(self, name: str, fleet: str | None = None) -> list[float]:
        """One number a second: of that fleet, or of all together. Gauges are means over the runs; the rest are sums."""
        column: array[int] | array[float] = self.times[name] if name in self.times else self.counts[name]
        width, scale = len(self.fleets), self.runs if name in GAUGES else 1
        chosen = self._fleet_numbers(fleet)
        return [
            sum(column[second * width + number] for number in chosen) / scale
            if scale != 1
            else sum(column[second * width + number] for number in chosen)
            for second in range(self.seconds)
        ]

    def at_balancer(self, name: str, balancer: int) -> list[int]:
        """One number of `AT_BALANCERS` a second."""
        return list(self.at_balancers[name][balancer :: self.balancers])

    def total(self, name: str, fleet: str | None = None, between: tuple[int, int] | None = None) -> float:
        """The sum over the seconds from the first up to the second of `between`, or over all."""
        return sum(self.series(name, fleet)[slice(*between) if between else slice(None)])

    def failed(self, fleet: str | None = None, between: tuple[int, int] | None = None) -> float:
        """Requests that failed, before or after anybody knew."""
        return self.total("failed_before", fleet, between) + self.total("failed_after", fleet, between)

    def latency(self, fleet: str | None = None, between: tuple[int, int] | None = None) -> Histogram:
        """How long those that were served took, in seconds, within 1 %; the mean is exact."""
        chosen, width = self._fleet_numbers(fleet), len(self.fleets)
        buckets: dict[int, int] = {}
        for second in range(self.seconds)[slice(*between) if between else slice(None)]:
            for number in chosen:
                for bucket, count in _counts(self._latency[second * width + number]).items():
                    buckets[bucket] = buckets.get(bucket, 0) + count
        return Histogram.counted(buckets, self.total("took", fleet, between))

    def quantile(self, share: float, fleet: str | None = None, between: tuple[int, int] | None = None) -> float | None:
        """The latency that `share` of those served stayed below, within 1 %; None while nobody was served."""
        return self.latency(fleet, between).quantile(share)

    def utilisation(self, fleet: str) -> list[float]:
        """For each second, the share of the slots of instances that are up which were busy; 0 when none is up."""
        slots = self.series("slots", fleet)
        return [
            busy / self.runs / count if count else 0.0
            for busy, count in zip(self.series("busy", fleet), slots, strict=True)
        ]

    def picked_of(self, fleet: str, between: tuple[int, int] | None = None) -> list[int]:
        """Requests sent to each instance of a fleet: how even it was."""
        first = sum(room for name, room in list(self.fleets.items())[: self._fleet_numbers(fleet)[0]])
        width, room = sum(self.fleets.values()), self.fleets[fleet]
        seconds = range(self.seconds)[slice(*between) if between else slice(None)]
        return [sum(self.picked[second * width + first + i] for second in seconds) for i in range(room)]

    def _fleet_numbers(self, fleet: str | None) -> list[int]:
        """Its place among the fleets, or all places; `KeyError` when there is none of that name."""
        names = list(self.fleets)
        if fleet is None:
            return list(range(len(names)))
        if fleet not in self.fleets:
            raise KeyError(fleet)
        return [names.index(fleet)]

    # on paper

    def document(self) -> dict[str, Any]:
        """The JSON form: all that there is to know, in lists."""
        return {
            "version": VERSION,
            "fleets": dict(self.fleets),
            "balancers": self.balancers,
            "start": self.start,
            "runs": self.runs,
            "seconds": self.seconds,
            "quantile_error": RELATIVE_ERROR,
            "counts": {name: list(column) for name, column in self.counts.items()},
            "times": {name: list(column) for name, column in self.times.items()},
            "at_balancers": {name: list(column) for name, column in self.at_balancers.items()},
            "picked": list(self.picked),
            "latency": [list(flat) for flat in self._latency],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Tape:
        """Read the JSON form; raises `JournalError` when it is no tape, or one of another version."""
        if document.get("version") != VERSION:
            raise JournalError(f"this is no tape of version {VERSION}: it says version {document.get('version')!r}")
        try:
            tape = cls(document["fleets"], document["balancers"], document["start"], document["runs"])
            tape.seconds = document["seconds"]
            tape.counts = {name: array("q", document["counts"][name]) for name in tape.counts}
            tape.times = {name: array("d", document["times"][name]) for name in tape.times}
            tape.at_balancers = {name: array("q", document["at_balancers"][name]) for name in tape.at_balancers}
            tape.picked = array("q", document["picked"])
            tape._latency = [array("q", flat) for flat in document["latency"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise JournalError(f"this tape is damaged: {error!r}") from error
        return tape


def _flat(buckets: Mapping[int, int]) -> array[int]:
    return array("q", (number for pair in sorted(buckets.items()) for number in pair))


def _counts(flat: array[int]) -> dict[int, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
