"""The text that Prometheus scrapes: read back with Prometheus' own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lbtutor.core.events import Answered, Event, Finished, Health, Rejected
from lbtutor.core.snapshot import BackendSnapshot, PoolSnapshot
from lbtutor.trace.exposition import STATES, Now, expose, state_of
from lbtutor.trace.meter import Meter

NOBODY = Now((), {})


def backend(name: str, *, excluded: str | None = None, health: Health = "up") -> BackendSnapshot:
    return BackendSnapshot(name, 2.5, 3, 0.01, health, excluded, full_weight=2.5, limit=None, backup=False)


def finished(
    status: int, *, pool: str = "web", backend: str = "a", outcome: str = "", took: float = 0.01, final: bool = True
) -> Finished:
    said = outcome or f"answered {status}"
    return Finished(1.0, 1, 1, pool, backend, said, status, took, status < 500, final)


def scrape(meter: Meter, now: Now = NOBODY) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    text, content_type = expose(meter, now)
    assert content_type.startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    read = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(read) == len(samples), "a series appears twice"
    return read


def value(meter: Meter, name: str, now: Now = NOBODY, **labels: str) -> float | None:
    return scrape(meter, now).get((f"lbtutor_{name}", frozenset(labels.items())))


def metered(*events: Event) -> Meter:
    meter = Meter()
    meter.take(events)
    return meter


def test_requests_are_counted_by_class_of_status_and_retries_apart() -> None:
    refused = finished(502, outcome="connection refused", final=False)
    meter = metered(finished(200), finished(204), finished(404), refused, finished(0, outcome="ended well"))
    assert value(meter, "requests_total", pool="web", backend="a", code="2xx") == 2
    assert value(meter, "requests_total", pool="web", backend="a", code="4xx") == 1
    assert value(meter, "requests_total", pool="web", backend="a", code="none") == 1
    assert value(meter, "requests_total", pool="web", backend="a", code="5xx") is None
    assert value(meter, "attempts_total", pool="web", backend="a", outcome="answered") == 3
    assert value(meter, "attempts_total", pool="web", backend="a", outcome="connection refused") == 1
    assert value(meter, "retries_total", pool="web") == 1


def test_latency_is_a_histogram_with_sum_and_count() -> None:
    meter = metered(finished(200, took=0.003), finished(200, took=0.2))
    assert value(meter, "attempt_seconds_bucket", pool="web", le="0.005") == 1
    assert value(meter, "attempt_seconds_bucket", pool="web", le="+Inf") == 2
    assert value(meter, "attempt_seconds_count", pool="web") == 2
    assert value(meter, "attempt_seconds_sum", pool="web") == pytest.approx(0.203)


def test_how_things_stand_is_told_of_every_backend() -> None:
    members = (backend("a"), backend("b", excluded="down 0/2", health="down"))
    now = Now((PoolSnapshot("web", "RoundRobin", members, 4),), {"front": 7}, 9)
    meter = Meter()
    assert value(meter, "backend_up", now, pool="web", backend="a") == 1
    assert value(meter, "backend_up", now, pool="web", backend="b") == 0
    assert value(meter, "backend_weight", now, pool="web", backend="a") == 2.5
    assert value(meter, "backend_in_flight", now, pool="web", backend="a") == 3
    assert value(meter, "backend_state", now, pool="web", backend="b", state="down") == 1
    assert value(meter, "backend_state", now, pool="web", backend="b", state="available") == 0
    assert value(meter, "queue_length", now, pool="web") == 4
    assert value(meter, "connections", now, listener="front") == 7
    assert value(meter, "backend_connections", now) == 9


@pytest.mark.parametrize(
    ("excluded", "health", "state"),
    [
        (None, "up", "available"),
        ("in maintenance", "up", "maintenance"),
        ("draining", "up", "draining"),
        ("weight 0", "up", "weight_0"),
        ("ejected until 31.5 s", "up", "ejected"),
        ("full, 8 of 8", "up", "full"),
        ("backup", "up", "backup"),
        ("down, 1 of 2 probes passed", "down", "down"),
        ("unchecked, 0 of 2", "unchecked", "unchecked"),
    ],
)
def test_a_state_is_one_of_a_closed_list(excluded: str | None, health: Health, state: str) -> None:
    assert state_of(backend("a", excluded=excluded, health=health)) == state
    assert state in STATES


def test_no_client_can_make_the_series_more() -> None:
    paths = [f"/{count}" for count in range(200)]
    meter = metered(
        *(Rejected(1.0, count, 404, f"no route for h{path}", None, ()) for count, path in enumerate(paths)),
        *(Answered(1.0, count, 301, f"a redirect for {path}") for count, path in enumerate(paths)),
        *(finished(status) for status in range(200, 600)),
    )
    ours = [labels for name, labels in scrape(meter) if name.startswith("lbtutor_")]
    assert len(ours) < 40
    assert not any("/" in value for labels in ours for _, value in labels)


def test_names_with_quotes_and_newlines_are_escaped() -> None:
    meter = metered(finished(200, backend='a "b"\\\nc'))
    assert value(meter, "requests_total", pool="web", backend='a "b"\\\nc', code="2xx") == 1


def test_a_scrape_changes_nothing() -> None:
    meter = metered(finished(200))
    assert value(meter, "requests_total", pool="web", backend="a", code="2xx") == 1
    assert value(meter, "requests_total", pool="web", backend="a", code="2xx") == 1
