"""Expectations: each measure, and the three verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

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
    OriginChanged,
    Panicked,
    Picked,
    Queued,
    Rejected,
    SessionLost,
    Stranded,
    Why,
)
from lbtutor.labs.checks import Check, Expect, Judged, overall

_WHY = Why("", "lowest", "", ())


def request(number: int, at: float, backend: str, took: float = 0.1, ok: bool = True) -> list[Event]:
    """One whole request, as the trace tells it."""
    status = 200 if ok else 502
    return [
        Arrived(at, number, "127.0.1.1", "GET", "", "/", "front"),
        Picked(at, number, 1, "web", backend, "algorithm", _WHY),
        Finished(at + took, number, 1, "web", backend, "answered 200", status, took, ok, True),
    ]


def story(*parts: Iterable[Event], ended: str = "lasted", at: float = 30.0) -> list[Event]:
    events = sorted((event for part in parts for event in part), key=lambda event: event.at)
    return [*events, Ended(at, ended)]  # type: ignore[arg-type]


def judge(events: list[Event], **expect: Any) -> Judged:
    check = Check(msgspec.convert(expect, Expect, dec_hook=lambda kind, value: Seconds.parse(value)))
    for event in events:
        check.take(event)
    return check.judge()


def even(count: int = 600, took: float = 0.1) -> list[Event]:
    return [event for n in range(count) for event in request(n, n / 50, "ab"[n % 2], took)]


def test_a_latency_bound_passes_or_fails_on_what_was_measured() -> None:
    events = story(even(took=0.25))
    assert judge(events, p99={"over": "200ms"}).verdict == "passed"
    assert judge(events, p99={"under": "200ms"}).verdict == "failed"
    assert judge(events, mean={"over": "240ms", "under": "260ms"}).verdict == "passed"


def test_too_few_answers_make_a_percentile_unknown() -> None:
    judged = judge(story(even(count=20)), p99={"under": "1s"})
    assert judged.verdict == "unknown"
    assert "20 answers are too few" in judged.measured


def test_only_requests_that_arrived_in_the_stretch_count() -> None:
    early = [event for n in range(10) for event in request(n, 1 + n / 10, "a", ok=False)]
    late = [event for n in range(10, 20) for event in request(n, 11 + n / 10, "a")]
    events = story(early, late)
    assert judge(events, failed={"is": 10}).verdict == "passed"
    assert judge(events, between=("10s", "20s"), failed={"is": 0}).verdict == "passed"
    assert judge(events, between=("0s", "10s"), total={"is": 10}).verdict == "passed"


def test_a_share_is_judged_to_the_request() -> None:
    events = story(even())
    assert judge(events, share={"backend": "web/a", "about": 0.5}).verdict == "passed"
    assert judge(events, share={"backend": "web/a", "about": 0.4}).verdict == "failed"
    assert judge(story(even(count=20)), share={"backend": "web/a", "about": 0.5}).verdict == "unknown"


def test_down_wants_the_moment_of_belief() -> None:
    down = [HealthChanged(14.0, "web", "b", "up", "down", "3 probes in a row failed")]
    assert judge(story(even(), down), down={"backend": "web/b", "between": ("12s", "15s")}).verdict == "passed"
    assert judge(story(even(), down), down={"backend": "web/b", "between": ("1s", "2s")}).verdict == "failed"
    assert judge(story(even()), down={"backend": "web/b", "between": ("1s", "2s")}).verdict == "failed"


def test_an_ejection_is_expected_within_a_stretch_of_time() -> None:
    out = [Ejected(at, "web", "b", at + 30, "") for at in (12.0, 20.0)]
    assert judge(story(even(), out), ejected={"backend": "web/b", "between": ("12s", "15s")}) == Judged(
        "ejected as stated", "passed", "ejected at 12.00s"
    )
    assert judge(story(even(), out), ejected={"backend": "web/b", "between": ("15s", "25s")}).verdict == "failed"
    assert judge(story(even()), ejected={"backend": "web/b", "between": ("1s", "2s")}).verdict == "failed"
    assert judge(story(even(), out), down={"backend": "web/b", "between": ("12s", "15s")}).verdict == "failed"
    cut = story(even(count=100), ended="interrupted", at=2.0)
    assert judge(cut, ejected={"backend": "web/b", "between": ("10s", "20s")}).verdict == "unknown"


class TestLost:
    crash = OriginChanged(10.0, "web", "b", "crash", 0.0, "timeline")
    down = HealthChanged(14.0, "web", "b", "up", "down", "")

    def test_failures_at_the_broken_backend_before_it_is_believed_down_are_its_own(self) -> None:
        events = story([self.crash, self.down], request(1, 11.0, "b", ok=False), request(2, 11.5, "a"))
        assert judge(events, lost={"by": "web/b"}).verdict == "passed"

    def test_what_was_under_way_when_it_broke_is_its_own_too(self) -> None:
        events = story([self.crash, self.down], request(1, 9.95, "b", took=0.1, ok=False))
        assert judge(events, lost={"by": "web/b"}).verdict == "passed"

    def test_a_failure_elsewhere_is_not(self) -> None:
        events = story([self.crash, self.down], request(1, 11.0, "b", ok=False), request(2, 11.5, "a", ok=False))
        judged = judge(events, lost={"by": "web/b"})
        assert judged.verdict == "failed"
        assert judged.measured == "2 failed, 1 of them for another reason"

    def test_a_failure_after_it_was_believed_down_is_not(self) -> None:
        events = story([self.crash, self.down], request(1, 15.0, "b", ok=False))
        assert judge(events, lost={"by": "web/b"}).verdict == "failed"

    def test_without_a_failure_nothing_is_known(self) -> None:
        assert judge(story([self.crash, self.down], even()), lost={"by": "web/b"}).verdict == "unknown"


def test_an_interrupted_run_leaves_what_it_did_not_show_unknown() -> None:
    cut = story(even(count=100), ended="interrupted", at=2.0)
    assert judge(cut, failed={"is": 0}).verdict == "unknown"
    assert judge(cut, between=("0s", "1s"), failed={"is": 0}).verdict == "passed"
    assert judge(cut, between=("0s", "10s"), failed={"is": 0}).verdict == "unknown"


def test_a_failed_expectation_stays_failed_when_the_run_is_cut_short() -> None:
    cut = story(request(1, 0.5, "a", ok=False), ended="interrupted", at=2.0)
    assert judge(cut, failed={"is": 0}).verdict == "failed"


def test_what_a_longer_run_could_still_have_shown_is_unknown() -> None:
    cut = story(even(count=100), ended="interrupted", at=2.0)
    assert judge(cut, total={"is": 600}).verdict == "unknown"
    assert judge(cut, down={"backend": "web/b", "between": ("10s", "20s")}).verdict == "unknown"
    assert judge(cut, p50={"over": "1s"}).verdict == "unknown"


def test_a_rejected_request_is_counted_apart() -> None:
    turned_away: list[Event] = [
        Arrived(1.0, 1, "127.0.1.1", "GET", "", "/", "front"),
        Rejected(1.0, 1, 503, "no backend is available", "web", ()),
    ]
    assert judge(story(turned_away), rejected={"is": 1}).verdict == "passed"


def test_what_a_route_answers_counts_as_ok_within_its_stretch() -> None:
    answered: list[Event] = []
    for number, at in enumerate((0.5, 1.0, 1.5)):
        answered.append(Arrived(at, number, "127.0.1.1", "GET", "", "/", "front"))
        answered.append(Answered(at, number, 301, "a redirect"))
    assert judge(story(answered), ok={"is": 3}).verdict == "passed"
    assert judge(story(answered), between=("1s", "2s"), ok={"is": 2}).verdict == "passed"


def test_an_expectation_names_one_measure() -> None:
    with pytest.raises(msgspec.ValidationError, match="exactly one measure"):
        msgspec.convert({"failed": {"is": 0}, "ok": {"is": 1}}, Expect)
    with pytest.raises(ConfigError, match="exactly one measure"):
        Expect(says="nothing")


def test_one_failure_fails_all_and_one_unknown_leaves_all_unknown() -> None:
    assert overall(["passed", "unknown", "failed"]) == "failed"
    assert overall(["passed", "unknown"]) == "unknown"
    assert overall(["passed"]) == "passed"
    assert overall([]) == "passed"


def test_picks_of_one_backend_are_counted() -> None:
    events = story(even(count=600))
    assert judge(events, picked={"backend": "web/a", "is": 300}).verdict == "passed"
    assert judge(events, picked={"backend": "web/a", "under": 300}).verdict == "failed"
    assert judge(events, picked={"backend": "web/c", "is": 0}).measured == "0 of 600 picks"


def test_a_status_is_counted_whoever_gave_it() -> None:
    events = story(
        even(count=10),
        request(10, 1, "a", ok=False),
        [Arrived(2, 11, "c", "GET", "", "/", "front"), Rejected(2, 11, 404, "no route", None, ())],
        [Arrived(3, 12, "c", "GET", "", "/old", "front"), Answered(3, 12, 308, "a redirect")],
    )
    for code, times in ((200, 10), (502, 1), (404, 1), (308, 1), (500, 0)):
        assert judge(events, status={"code": code, "is": times}).verdict == "passed"
    assert judge(events, status={"code": 404, "is": 2}).measured == "1 of 13 requests got 404"


def test_requests_that_waited_are_counted_by_what_they_waited_for() -> None:
    events = story(
        even(count=4),
        [Queued(0.03, 1, "web", 1, 2.0, "all are full"), BackedOff(0.05, 2, "web", 2, 0.1)],
    )
    assert judge(events, queued={"is": 1}).verdict == "passed"
    assert judge(events, backed_off={"is": 1}).verdict == "passed"
    assert judge(events, queued={"over": 1}).measured == "1 of 4 requests waited"


def test_a_client_that_changes_its_backend_has_moved() -> None:
    stays = [event for n in range(5) for event in request(n, n, "a")]
    assert judge(story(stays), moved={"is": 0}).verdict == "passed"
    moves = [event for n in range(5) for event in request(n, n, "abbab"[n])]
    assert judge(story(moves), moved={"is": 3}).verdict == "passed"
    assert judge(story(moves), moved={"is": 0}).verdict == "failed"


def test_sticky_picks_are_counted() -> None:
    events: list[Event] = [Arrived(0, 1, "c", "GET", "", "/", "front"), Picked(0, 1, 1, "web", "a", "sticky", _WHY)]
    assert judge(story(even(count=3), events), sticky={"is": 1}).verdict == "passed"


def test_visits_whose_session_was_not_known_are_counted_within_the_stretch() -> None:
    lost: list[Event] = [SessionLost(at, "web", "a", "5e55104f", "c") for at in (1.0, 5.0, 9.0)]
    events = story(even(), lost)
    assert judge(events, forgotten={"is": 3}).verdict == "passed"
    assert judge(events, forgotten={"is": 0}).verdict == "failed"
    assert judge(events, forgotten={"is": 1}, between=("4s", "6s")).verdict == "passed"


def test_who_went_to_a_dead_balancer_is_counted_within_the_stretch() -> None:
    events = story(even(), [Stranded(at, "c", "lb-2") for at in (1.0, 5.0, 9.0)])
    assert judge(events, stranded={"is": 3}).verdict == "passed"
    assert judge(events, stranded={"is": 1}, between=("4s", "6s")).verdict == "passed"
    assert judge(events, stranded={"over": 1}, between=("4s", "6s")).verdict == "failed"


def test_the_busiest_is_found_by_what_was_answered_on_connections_too() -> None:
    answers: list[Event] = [Exchanged(n, "raw", "ab"[n % 4 == 0], "c", 200, 0.1) for n in range(40)]
    events = story(even(), answers)
    assert judge(events, busiest={"pool": "raw", "over": 0.74, "under": 0.76}).verdict == "passed"
    assert judge(events, busiest={"pool": "raw", "under": 0.7}).verdict == "failed"
    assert judge(events, busiest={"pool": "raw", "over": 0.5}, between=("0s", "20s")).verdict == "unknown"


def test_up_and_drained_want_the_first_moment() -> None:
    moments: list[Event] = [HealthChanged(9.0, "web", "b", "down", "up", "2 probes passed"), Drained(11.0, "web", "a")]
    events = story(even(), moments)
    assert judge(events, up={"backend": "web/b", "between": ("8s", "10s")}).verdict == "passed"
    assert judge(events, up={"backend": "web/a", "between": ("8s", "10s")}).verdict == "failed"
    assert judge(events, drained={"backend": "web/a", "between": ("10s", "12s")}).measured == "drained at 11.00s"


def test_panic_wants_its_moment() -> None:
    events = story(even(), [Panicked(5.0, "web", 1, 4, 0.5)])
    assert judge(events, panics={"pool": "web", "between": ("4s", "6s")}).verdict == "passed"
    assert judge(events, panics={"pool": "web", "between": ("1s", "2s")}).verdict == "failed"
    assert judge(story(even()), panics={"pool": "web", "between": ("1s", "2s")}).measured == "it was never panicked"


def test_an_interrupted_run_has_not_shown_a_panic_that_may_still_come() -> None:
    events = story(even(count=10), ended="interrupted", at=3.0)
    assert judge(events, panics={"pool": "web", "between": ("4s", "6s")}).verdict == "unknown"
