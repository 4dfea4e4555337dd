"""A watched run without a screen: real sockets, the hand on it, and what is read off it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from lbtutor.core.events import Draining, Ended, Missed, OriginChanged, Picked
from lbtutor.course.lesson import Lesson
from lbtutor.trace.feed import Feed
from lbtutor.tui.screens.watched import WatchedRun

pytestmark = pytest.mark.slow


@pytest.fixture
def run(lesson: Lesson) -> Iterator[WatchedRun]:
    run = WatchedRun(lesson.scenes["fast"].plan())
    run.start()
    yield run
    run.stop()


def step_until(run: WatchedRun, kind: type) -> object:
    """Step through the run until such an event is seen."""
    for _ in range(200):
        run.step()
        while not run.paused:
            pass
        run.drain()
        for event in run.seen(run.now):
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} in 200 steps")


def test_a_run_begins_held_at_nought(run: WatchedRun) -> None:
    assert (run.paused, run.now, run.over, run.ended) == (True, 0.0, False, False)


def test_a_run_that_was_stopped_is_over_and_may_be_stopped_again(lesson: Lesson) -> None:
    usual = sys.getswitchinterval()
    run = WatchedRun(lesson.scenes["fast"].plan())
    run.start()
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    run.stop()
    run.stop()
    assert (run.ended, run.paused) == (True, True)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_nothing_is_seen_before_the_picture_has_reached_it(run: WatchedRun) -> None:
    pick = step_until(run, Picked)
    assert isinstance(pick, Picked)
    assert run.last_pick == pick
    assert run.metrics.requests.total == 1
    step_until(run, Picked)
    run.step()
    run.drain()
    assert run.metrics.requests.total == 2, "what was drained but not yet seen does not count"


def test_what_the_hand_does_is_known_at_once_and_then_stands_in_the_trace(run: WatchedRun) -> None:
    assert run.toggle_crash("web/srv-2").startswith("srv-2 crashed")
    assert run.faults == {"web/srv-2": "crash"}
    changed = [event for event in run.drain() if isinstance(event, OriginChanged)]
    assert [(event.backend, event.fault, event.by) for event in changed] == [("srv-2", "crash", "hand")]
    assert run.toggle_crash("web/srv-2").startswith("srv-2 runs again")


def test_a_slow_machine_is_crashed_by_its_number_and_not_healed(run: WatchedRun) -> None:
    run.toggle_slow("web/srv-1")
    run.toggle_crash("web/srv-1")
    assert run.faults == {"web/srv-1": "crash"}


def test_a_drain_is_a_command_to_the_balancer_and_may_be_taken_back(run: WatchedRun) -> None:
    run.toggle_drain("web/srv-3")
    assert any(isinstance(event, Draining) and event.backend == "srv-3" for event in run.drain())
    assert run.toggle_drain("web/srv-3") == "srv-3 gets new requests again"


def test_events_that_were_dropped_are_counted_and_told(run: WatchedRun) -> None:
    feed = Feed(size=2)
    for at in range(5):
        feed.write(Ended(float(at), "stopped"))
    run._feed = feed
    run.drain()
    assert run.missed == 3
    lines = run.tell(run.seen(until=10.0))
    assert isinstance(lines[0].event, Missed)
    assert "3 events" in lines[0].says


def test_each_event_that_is_told_is_told_once_in_order(run: WatchedRun) -> None:
    step_until(run, Picked)
    run.toggle_crash("web/srv-1")
    run.drain()
    lines = run.tell(run.seen(run.now))
    assert [line.event.at for line in lines] == sorted(line.event.at for line in lines)
    assert run.tell(run.seen(run.now)) == []
