"""Metrics for Prometheus: what a `Meter` counted and how things stand now, in the text format.

    text, content_type = expose(meter, Now(snapshot, connections, upstream_connections))

What happened is a counter or a histogram, and comes from the trace; what is so now is a gauge, and comes from the
balancer's numbers at the time of the scrape. Counters live as long as the meter, so a new configuration sets none of
them back. Labels are names of pools, backends and listeners, and words from the tables here: never a path, an address
or a reason in free text, so that no client can make the series more ("Metric and label naming", prometheus.io).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from lbtutor.core.snapshot import BackendSnapshot, PoolSnapshot
from lbtutor.trace.meter import Histogram, Meter

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric

    Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)

Values = Mapping[Any, float]
"""One number for each combination of labels, which is a tuple of text."""

_STATE_OF_WORDS = {
    "in maintenance": "maintenance",
    "draining": "draining",
    "weight 0": "weight_0",
    "ejected": "ejected",
    "full": "full",
    "backup": "backup",
}
"""The state that a reason for being excluded begins with; any other reason is the probes'."""

STATES = ("available", *_STATE_OF_WORDS.values(), "down", "unchecked")
"""Everything that a backend can be, as a label."""

_REASONS = {
    400: "ambiguous",
    404: "no_route",
    499: "client_left",
    500: "contract_broken",
    503: "nobody_available",
    504: "waited_too_long",
}
"""Why the balancer turned a request away, by the status that it gave."""


class Now(Struct, frozen=True):
    """How things stand at a scrape: the pools' numbers, open connections by listener, and those to backends."""

    pools: tuple[PoolSnapshot, ...]
    connections: Mapping[str, int]
    upstream_connections: int = 0


def expose(meter: Meter, now: Now) -> tuple[bytes, str]:
    """All metrics, and their content type. Needs `prometheus_client`, which is loaded here."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Families(meter, now))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def state_of(backend: BackendSnapshot) -> str:
    """One of `STATES`."""
    if backend.excluded is None:
        return "available"
    found = (state for words, state in _STATE_OF_WORDS.items() if backend.excluded.startswith(words))
    return next(found, "unchecked" if backend.health == "unchecked" else "down")


class _Families:
    """What `prometheus_client` calls a collector."""

    def __init__(self, meter: Meter, now: Now) -> None:
        self._meter = meter
        self._now = now

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        meter, now = self._meter, self._now
        with meter.lock:
            counted = [
                _filled(CounterMetricFamily(f"lbtutor_{name}", says, labels=labels), count(meter))
                for name, labels, count, says in _COUNTERS
            ]
            timed = [_histogram(name, says, of(meter)) for name, of, says in _HISTOGRAMS]
        yield from (*counted, *timed)
        for name, labels, number, says in _GAUGES:
            yield _filled(GaugeMetricFamily(f"lbtutor_{name}", says, labels=labels), number(now))


def _filled(family: Family, values: Values) -> Family:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(name: str, says: str, by_pool: Mapping[str, Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"lbtutor_{name}", says, labels=("pool",))
    for pool, histogram in by_pool.items():
        family.add_metric((pool,), histogram.buckets, histogram.total)
    return family


def _requests(meter: Meter) -> Values:
    counts: Counter[tuple[str, ...]] = Counter()
    for (pool, backend, _, status, final), count in meter.attempts.items():
        if final:
            counts[pool, backend, f"{status // 100}xx" if status else "none"] += count
    return counts


def _attempts(meter: Meter) -> Values:
    counts: Counter[tuple[str, ...]] = Counter()
    for (pool, backend, outcome, _, _), count in meter.attempts.items():
        counts[pool, backend, "answered" if outcome.startswith("answered ") else outcome] += count
    return counts


def _retries(meter: Meter) -> Values:
    counts: Counter[tuple[str, ...]] = Counter()
    for (pool, _, _, _, final), count in meter.attempts.items():
        counts[pool,] += 0 if final else count
    return counts


def _rejected(meter: Meter) -> Values:
    return {
        (pool, str(status), _REASONS.get(status, "other")): count for (pool, status), count in meter.rejected.items()
    }


def _probes(meter: Meter) -> Values:
    return {(pool, one, "passed" if ok else "failed"): count for (pool, one, ok), count in meter.probes.items()}


_COUNTERS: tuple[tuple[str, tuple[str, ...], Callable[[Meter], Values], str], ...] = (
    ("requests", ("pool", "backend", "code"), _requests, "Requests that a backend ended, by class of status"),
    ("rejected", ("pool", "status", "reason"), _rejected, "Requests that the balancer turned away with an error"),
    ("answered", ("status",), lambda meter: _one_label(meter.answered), "Requests that a route answered by itself"),
    ("attempts", ("pool", "backend", "outcome"), _attempts, "Attempts at a backend, by how they ended"),
    ("retries", ("pool",), _retries, "Attempts that another one followed"),
    ("backed_off", ("pool",), lambda meter: _one_label(meter.backed_off), "Retries that waited before they were sent"),
    ("probes", ("pool", "backend", "result"), _probes, "Health checks, by result"),
    (
        "health_changes",
        ("pool", "backend", "health"),
        lambda meter: meter.health_changes,
        "Times that probes changed what is believed of a backend, by what that became",
    ),
    ("ejections", ("pool", "backend"), lambda meter: meter.ejections, "Times that a backend was ejected"),
    ("reloads", (), lambda meter: {(): meter.reloads}, "New configurations that took effect"),
    ("missed", (), lambda meter: {(): meter.missed}, "Events that are not counted here because the counting was late"),
)

_HISTOGRAMS: tuple[tuple[str, Callable[[Meter], Mapping[str, Histogram]], str], ...] = (
    ("attempt_seconds", lambda meter: meter.took, "From an attempt's beginning to its end"),
    ("queue_seconds", lambda meter: meter.waited, "In the queue, of those requests that waited there"),
)


def _of_members(number: Callable[[BackendSnapshot], float]) -> Callable[[Now], Values]:
    return lambda now: {(pool.name, one.name): number(one) for pool in now.pools for one in pool.backends}


def _states(now: Now) -> Values:
    return {
        (pool.name, one.name, state): float(state == state_of(one))
        for pool in now.pools
        for one in pool.backends
        for state in STATES
    }


_GAUGES: tuple[tuple[str, tuple[str, ...], Callable[[Now], Values], str], ...] = (
    ("backend_up", ("pool", "backend"), _of_members(lambda one: one.excluded is None), "1 while it may get requests"),
    ("backend_weight", ("pool", "backend"), _of_members(lambda one: one.weight), "Its weight at this moment"),
    ("backend_in_flight", ("pool", "backend"), _of_members(lambda one: one.in_flight), "Attempts under way"),
    ("backend_state", ("pool", "backend", "state"), _states, "1 for the state that it is in"),
    (
        "queue_length",
        ("pool",),
        lambda now: {(pool.name,): pool.waiting for pool in now.pools},
        "Requests that wait for a backend that has room",
    ),
    ("connections", ("listener",), lambda now: _one_label(now.connections), "Connections of clients"),
    ("backend_connections", (), lambda now: {(): now.upstream_connections}, "Connections to backends, idle ones too"),
)


def _one_label(counts: Mapping[Any, int]) -> Values:
    return {(str(label),): count for label, count in counts.items()}
