"""Each kind of goal: when it is reached, when it is not, and what it says on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lbtutor.core import Event
from lbtutor.course.goals import (
    Condition,
    Decided,
    FailedOver,
    HealthyAgain,
    InFlight,
    PickedOften,
    Struck,
)
from lbtutor.course.watches import Stage, Watch, watch


class Audience:
    """A stage and one watch, taking events together as a session has them do."""

    def __init__(self, condition: Condition, before: Iterable[Event] = ()) -> None:
        self.stage = Stage()
        for event in before:
            self.stage.take(event)
        self.watch: Watch = watch(condition, self.stage)

    def sees(self, *events: Event) -> tuple[bool, str]:
        for event in events:
            self.stage.take(event)
            self.watch.take(event)
        return self.watch.done, self.watch.detail


def test_a_fault_is_reached_when_that_fault_befalls_that_machine(trace: Any) -> None:
    audience = Audience(Struck("crash", "web/a"))
    assert audience.sees(trace.befell("b", "crash")) == (False, "a runs well")
    assert audience.sees(trace.befell("a", "slow")) == (False, "a slowed down")
    assert audience.sees(trace.befell("a", "crash")) == (True, "the balancer was not told")


def test_a_fault_that_was_there_before_the_task_counts(trace: Any) -> None:
    assert Audience(Struck("crash", "web/a"), [trace.befell("a", "crash")]).watch.done


def test_any_fault_will_do_when_the_goal_says_any_but_a_healed_one_will_not(trace: Any) -> None:
    assert not Audience(Struck("any", "web/a"), [trace.befell("a", "hang"), trace.befell("a", "heal")]).watch.done
    assert Audience(Struck("any", "web/a"), [trace.befell("a", "hang")]).watch.done


def test_failing_over_counts_the_losses_and_then_the_answers_elsewhere(trace: Any) -> None:
    audience = Audience(FailedOver("web/a", requests=2))
    assert audience.sees() == (False, "a is up")
    assert audience.sees(trace.befell("a", "crash"), *trace.request("a", ok=False)) == (
        False,
        "no probe has failed yet, 1 request failed there so far",
    )
    assert audience.sees(trace.probed("a", 2, 3)) == (False, "2 of 3 probes failed, 1 request failed there so far")
    audience.sees(trace.believed("a", "down"))
    assert audience.sees(*trace.request("b")) == (False, "a is down: 1 of 2 requests answered elsewhere since")
    assert audience.sees(*trace.request("b")) == (
        True,
        "1 request failed at a; the next 2 were answered elsewhere",
    )


def test_a_failure_elsewhere_begins_the_count_again(trace: Any) -> None:
    audience = Audience(FailedOver("web/a", requests=2), [trace.befell("a", "crash"), trace.believed("a", "down")])
    audience.sees(*trace.request("b"), *trace.request("c", ok=False))
    assert audience.sees(*trace.request("b")) == (False, "a is down: 1 of 2 requests answered elsewhere since")


def test_requests_sent_before_the_balancer_knew_do_not_count_as_failed_over(trace: Any) -> None:
    audience = Audience(FailedOver("web/a", requests=1), [trace.befell("a", "crash")])
    early = [trace.arrived(), trace.picked("b")]
    assert audience.sees(*early, trace.believed("a", "down"), trace.finished("b"))[0] is False


def test_a_server_that_comes_back_too_soon_has_not_failed_over(trace: Any) -> None:
    audience = Audience(FailedOver("web/a", requests=2), [trace.befell("a", "crash"), trace.believed("a", "down")])
    audience.sees(*trace.request("b"), trace.befell("a", "heal"), trace.believed("a", "up"))
    assert audience.sees(*trace.request("b")) == (False, "a is up")


def test_a_server_that_goes_down_again_must_fail_over_again(trace: Any) -> None:
    audience = Audience(FailedOver("web/a", requests=2), [trace.befell("a", "crash"), trace.believed("a", "down")])
    audience.sees(*trace.request("b"), trace.believed("a", "up"), trace.believed("a", "down"))
    assert audience.sees(*trace.request("b")) == (False, "a is down: 1 of 2 requests answered elsewhere since")


def test_healthy_again_needs_down_and_up_and_a_pick(trace: Any) -> None:
    audience = Audience(HealthyAgain("web/a"))
    assert audience.sees(*trace.request("a")) == (False, "a has not been down yet")
    assert audience.sees(trace.befell("a", "crash"), trace.believed("a", "down")) == (False, "a is still broken")
    assert audience.sees(trace.befell("a", "heal")) == (False, "a: no probe has passed yet")
    assert audience.sees(trace.probed("a", 1, 2, ok=True)) == (False, "a: 1 of 2 probes passed")
    assert audience.sees(trace.believed("a", "up")) == (False, "a is up: waiting for it to be picked again")
    assert audience.sees(*trace.request("b"))[0] is False
    assert audience.sees(trace.arrived(), trace.picked("a")) == (True, "a is up and gets requests again")


def test_picks_of_one_backend_are_counted(trace: Any) -> None:
    audience = Audience(PickedOften("web/a", times=2))
    assert audience.sees(*trace.request("a"), *trace.request("b")) == (False, "1 of 2 requests")
    assert audience.sees(*trace.request("a")) == (True, "2 of 2 requests")


def test_a_request_is_counted_by_its_arrival_and_not_by_its_number(trace: Any) -> None:
    trace.requests = 100
    audience = Audience(Decided(2, to="web/b"))
    assert audience.sees(*trace.request("a")) == (False, "request 1 of 2")
    assert audience.sees(*trace.request("b")) == (True, "request 2 went to b")


def test_a_request_that_went_elsewhere_never_reaches_the_goal(trace: Any) -> None:
    audience = Audience(Decided(1, to="web/b"))
    assert audience.sees(*trace.request("a"), *trace.request("b")) == (False, "request 1 went to a")


def test_only_the_first_attempt_decides(trace: Any) -> None:
    audience = Audience(Decided(1, to="web/b"))
    assert audience.sees(trace.arrived(), trace.picked("a"), trace.picked("b", attempt=2))[0] is False


def test_requests_in_flight_are_counted_from_the_start_of_the_run(trace: Any) -> None:
    audience = Audience(InFlight("web/a", reaches=2), [trace.arrived(), trace.picked("a")])
    assert audience.watch.detail == "1 of 2 requests under way at a"
    assert audience.sees(trace.finished("a"))[1] == "0 of 2 requests under way at a"
    two_more = [trace.arrived(), trace.picked("a"), trace.arrived(), trace.picked("a")]
    assert audience.sees(*two_more) == (True, "2 requests under way at a")


def test_a_goal_once_reached_stays_reached(trace: Any) -> None:
    audience = Audience(Struck("crash", "web/a"), [trace.befell("a", "crash")])
    assert audience.sees(trace.befell("a", "heal"))[0] is True
