"""The ledger: what each failure cost, who was there, when it was noticed."""

from __future__ import annotations

from lbtutor.core.events import (
    Ejected,
    Event,
    FaultKind,
    Finished,
    Health,
    HealthChanged,
    OriginChanged,
    Picked,
    Readmitted,
    Why,
)
from lbtutor.trace.ledger import Failure, Ledger, Loss


def picked(at: float, request: int, backend: str = "a", attempt: int = 1) -> Picked:
    return Picked(at, request, attempt, "web", backend, "algorithm", Why("", "lowest", "", ()))


def ended(at: float, request: int, outcome: str, backend: str = "a", final: bool = True) -> Finished:
    ok = outcome == "answered 200"
    return Finished(at, request, 1, "web", backend, outcome, 200 if ok else 502, 0.1, ok, final)


def befell(at: float, fault: FaultKind, backend: str = "a") -> OriginChanged:
    return OriginChanged(at, "web", backend, fault, 0.0, "timeline")


def believed(at: float, now: Health, backend: str = "a") -> HealthChanged:
    return HealthChanged(at, "web", backend, "down" if now == "up" else "up", now, "probes")


def failures(*events: Event) -> list[Failure]:
    ledger = Ledger()
    for event in events:
        ledger.take(event)
    return ledger.failures


CRASH = (
    picked(0.5, 1),
    picked(0.9, 2),
    picked(0.9, 3, "b"),
    befell(1.0, "crash"),
    ended(1.0, 1, "closed before an answer"),
    picked(1.5, 4),
    ended(1.5, 4, "connection refused", final=False),
    picked(1.5, 4, "b", attempt=2),
    ended(1.6, 4, "answered 200", "b"),
    picked(2.0, 5),
    ended(2.0, 5, "connection refused"),
    believed(4.0, "down"),
    picked(4.5, 6, "b"),
    ended(4.6, 6, "connection refused", "b"),
    ended(5.0, 2, "no answer in time"),
    befell(9.0, "heal"),
    believed(12.0, "up"),
    picked(13.0, 7),
    ended(13.1, 7, "answered 500"),
)


def test_a_crash_costs_what_was_there_and_what_was_sent_until_it_was_noticed() -> None:
    (failure,) = failures(*CRASH)
    assert (failure.pool, failure.backend, failure.fault, failure.at) == ("web", "a", "crash", 1.0)
    assert failure.under_way == (1, 2)
    assert failure.sent == [4, 5]
    assert failure.losses == [
        Loss(1, 1.0, "closed before an answer", True),
        Loss(4, 1.5, "connection refused", False),
        Loss(5, 2.0, "connection refused", True),
        Loss(2, 5.0, "no answer in time", True),
    ]


def test_losses_are_told_apart_from_requests_that_another_try_saved() -> None:
    (failure,) = failures(*CRASH)
    assert failure.lost == (1, 5, 2)
    assert failure.saved == (4,)


def test_it_says_when_the_failure_was_noticed_mended_and_forgiven() -> None:
    (failure,) = failures(*CRASH)
    assert failure.detection == 3.0
    assert (failure.detected_at, failure.healed_at, failure.trusted_at) == (4.0, 9.0, 12.0)
    assert failure.over


def test_at_each_moment_it_knows_as_much_as_has_happened() -> None:
    (failure,) = failures(*CRASH[:9])
    assert failure.lost == (1,)
    assert failure.detection is None
    assert not failure.over
    (mended,) = failures(*CRASH[:-3])
    assert mended.healed_at == 9.0
    assert not mended.over, "it is not trusted yet"


def test_a_failure_that_was_mended_before_it_was_noticed_is_over() -> None:
    (failure,) = failures(befell(1.0, "refuse"), befell(2.0, "heal"), picked(3.0, 1), ended(3.1, 1, "answered 500"))
    assert failure.over
    assert failure.detection is None
    assert failure.losses == []


def test_a_slow_machine_answers_and_so_ends_a_crash_and_is_none_itself() -> None:
    (failure,) = failures(befell(1.0, "crash"), befell(2.0, "slow"))
    assert failure.healed_at == 2.0
    assert failures(befell(1.0, "slow")) == []


def test_one_failure_after_another_takes_over_what_is_sent_from_then_on() -> None:
    first, second = failures(
        befell(1.0, "error"),
        picked(1.5, 1),
        befell(2.0, "crash"),
        picked(2.5, 2),
        ended(2.5, 2, "connection refused"),
        ended(2.6, 1, "closed before an answer"),
        believed(3.0, "down"),
        befell(4.0, "heal"),
        believed(5.0, "up"),
    )
    assert (first.sent, first.lost) == ([1], (1,))
    assert (second.under_way, second.sent, second.lost) == ((1,), [2], (2,))
    assert [failure.detection for failure in (first, second)] == [2.0, 1.0]
    assert first.over
    assert second.over


def test_one_that_is_trusted_again_before_it_was_mended_goes_on_losing() -> None:
    flapping = (
        befell(1.0, "error"),
        believed(2.0, "down"),
        believed(3.0, "up"),
        picked(4.0, 1),
        ended(4.1, 1, "answered 500"),
    )
    (failure,) = failures(*flapping)
    assert (failure.lost, failure.trusted_at, failure.over) == ((1,), None, False)
    (mended,) = failures(*flapping, befell(5.0, "heal"))
    assert (mended.healed_at, mended.trusted_at, mended.over) == (5.0, 5.0, True)


def test_one_that_is_down_already_is_noticed_at_once() -> None:
    (failure,) = failures(believed(1.0, "down"), befell(2.0, "hang"), picked(2.5, 1))
    assert failure.detection == 0.0
    assert failure.sent == []


def test_each_machine_has_its_own_account() -> None:
    a, b = failures(befell(1.0, "crash", "a"), befell(1.0, "crash", "b"), believed(2.0, "down", "b"), picked(3.0, 1))
    assert (a.backend, a.detection, a.sent) == ("a", None, [1])
    assert (b.backend, b.detection, b.sent) == ("b", 1.0, [])


def ejected(at: float, until: float, backend: str = "a") -> Ejected:
    return Ejected(at, "web", backend, until, "5 attempts in a row failed")


def readmitted(at: float, backend: str = "a") -> Readmitted:
    return Readmitted(at, "web", backend)


def test_an_ejection_notices_a_failure_too_and_a_readmission_forgives_it() -> None:
    (failure,) = failures(befell(1.0, "error"), ejected(3.0, 33.0), befell(20.0, "heal"), readmitted(33.0))
    assert (failure.detection, failure.healed_at, failure.trusted_at) == (2.0, 20.0, 33.0)
    assert failure.over


def test_who_is_readmitted_too_early_costs_more_requests() -> None:
    (failure,) = failures(
        befell(1.0, "error"),
        picked(1.5, 1),
        ended(1.6, 1, "answered 500"),
        ejected(1.6, 31.6),
        readmitted(31.6),
        picked(32.0, 2),
        ended(32.1, 2, "answered 500"),
        ejected(32.1, 92.1),
    )
    assert failure.lost == (1, 2)
    assert failure.detected_at == 1.6, "the first time is what counts"
    assert not failure.over


def test_who_is_both_ejected_and_down_is_trusted_when_neither_holds_any_more() -> None:
    events: list[Event] = [
        befell(1.0, "error"),
        ejected(2.0, 32.0),
        believed(3.0, "down"),
        befell(4.0, "heal"),
        believed(8.0, "up"),
    ]
    (failure,) = failures(*events)
    assert failure.trusted_at is None
    (failure,) = failures(*events, readmitted(32.0))
    assert failure.trusted_at == 32.0
    (failure,) = failures(*events[:-1], readmitted(32.0), believed(40.0, "up"))
    assert failure.trusted_at == 40.0
