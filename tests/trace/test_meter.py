"""What a meter counts of a trace, and what it does not need for that."""

from __future__ import annotations

from lbtutor.core.events import (
    Arrived,
    BackedOff,
    Ejected,
    Event,
    Finished,
    HealthChanged,
    Missed,
    Picked,
    Probed,
    Queued,
    Rejected,
    Reloaded,
    Why,
)
from lbtutor.trace.meter import BUCKETS, KINDS, Histogram, Meter


def finished(
    request: int, outcome: str = "answered 200", *, at: float = 1.0, took: float = 0.01, final: bool = True
) -> Finished:
    status = int(outcome.removeprefix("answered ")) if outcome.startswith("answered") else 502
    return Finished(at, request, 1, "web", "a", outcome, status, took, status < 500, final)


def metered(*events: Event) -> Meter:
    meter = Meter()
    meter.take(events)
    return meter


def test_attempts_are_counted_by_how_they_ended_and_whether_another_followed() -> None:
    meter = metered(
        finished(1, "connection refused", final=False), finished(1), finished(2), finished(3, "answered 404")
    )
    assert meter.attempts == {
        ("web", "a", "connection refused", 502, False): 1,
        ("web", "a", "answered 200", 200, True): 2,
        ("web", "a", "answered 404", 404, True): 1,
    }


def test_a_duration_falls_into_the_first_bucket_that_it_does_not_exceed() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.0011, 10.0, 99.0):
        histogram.take(seconds)
    cumulative = dict(histogram.buckets)
    assert (cumulative["0.001"], cumulative["0.0025"], cumulative["5.0"]) == (1, 2, 2)
    assert (cumulative["10.0"], cumulative["+Inf"]) == (3, 4)
    assert len(cumulative) == len(BUCKETS) + 1


def test_time_in_the_queue_ends_when_the_attempt_begins() -> None:
    meter = metered(Queued(1.0, 1, "web", 1, 5.0, "full"), finished(1, at=3.0, took=0.5))
    assert (meter.waited["web"].total, dict(meter.waited["web"].buckets)["+Inf"]) == (1.5, 1)


def test_who_is_turned_away_after_waiting_has_waited_too() -> None:
    meter = metered(Queued(1.0, 1, "web", 1, 2.0, "full"), Rejected(2.0, 1, 503, "waited too long", "web", ()))
    assert meter.waited["web"].total == 1.0
    assert meter.rejected == {("web", 503): 1}


def test_who_did_not_wait_is_not_in_the_histogram_of_waiting() -> None:
    assert not metered(finished(1), finished(2)).waited


def test_every_other_thing_is_counted_by_its_names() -> None:
    meter = metered(
        BackedOff(1.0, 1, "web", 2, 1.5),
        Probed(1.0, "web", "a", False, "connection refused", 1, 3, "down"),
        HealthChanged(1.0, "web", "a", "up", "down", "3 probes"),
        Ejected(1.0, "web", "a", 31.0, "5 errors"),
        Rejected(1.0, 1, 404, "no route for /x", None, ()),
        Reloaded(1.0, "routes"),
    )
    assert meter.backed_off == {"web": 1}
    assert meter.probes == {("web", "a", False): 1}
    assert meter.health_changes == {("web", "a", "down"): 1}
    assert meter.ejections == {("web", "a"): 1}
    assert meter.rejected == {("", 404): 1}
    assert meter.reloads == 1


def test_after_a_gap_nobody_is_thought_to_wait_still() -> None:
    meter = metered(Queued(1.0, 1, "web", 1, 5.0, "full"), Missed(2.0, 7), finished(1, at=3.0))
    assert meter.missed == 7
    assert not meter.waited


def test_counting_needs_neither_arrivals_nor_picks_nor_their_reasons() -> None:
    assert KINDS.isdisjoint({Arrived, Picked, Why})


def test_what_is_not_counted_changes_nothing() -> None:
    assert repr(metered(Arrived(1.0, 1, "127.0.0.1", "GET", "h", "/", "front"))) == "<Meter 0 attempts>"
