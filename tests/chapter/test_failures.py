"""Chapter, introduction ("if one server fails, others continue serving") and anti-pattern 2 ("No Health Checks")."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from lbtutor.core import Act, Fault, Seconds
from lbtutor.core.events import Event, Finished, HealthChanged, Picked, Rejected
from lbtutor.core.health import HealthCheck

Play = Callable[..., list[Event]]

QUICK = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5))
CRASH = Act(5.02, Fault("crash", "servers", "1"))


def ends(trace: Iterable[Event], since: float = 0.0) -> list[Finished]:
    return [event for event in trace if isinstance(event, Finished) and event.final and event.at >= since]


def test_without_health_checks_a_crashed_server_keeps_its_whole_share_of_requests(play: Play) -> None:
    trace = play(acts=[CRASH])
    after = [event.backend for event in trace if isinstance(event, Picked) and event.at > CRASH.at]
    assert after.count("1") == pytest.approx(len(after) / 3, abs=1)


def test_without_health_checks_it_is_the_crashed_servers_requests_that_fail_not_all(play: Play) -> None:
    """ "All requests fail" is true of those that it still receives: a third of all, for ever."""
    after = ends(play(acts=[CRASH], lasts=60), since=CRASH.at)
    assert all(event.ok == (event.backend != "1") for event in after)
    assert sum(not event.ok for event in after) == pytest.approx(len(after) / 3, abs=1)
    assert sum(not event.ok for event in after[-30:]) == 10


def test_with_health_checks_requests_fail_until_the_threshold_is_reached_and_then_no_more(play: Play) -> None:
    trace = play(acts=[CRASH], health=QUICK)
    (down,) = [event for event in trace if isinstance(event, HealthChanged)]
    assert down.now == "down"
    failed = [event.at for event in ends(trace) if not event.ok]
    assert failed
    assert CRASH.at <= min(failed) <= max(failed) <= down.at
    assert all(event.ok for event in ends(trace, since=down.at + 0.01))


def test_health_checks_alone_do_not_make_a_failure_unseen_a_retry_does(play: Play) -> None:
    lost = [event for event in ends(play(acts=[CRASH], health=QUICK)) if not event.ok]
    saved = [event for event in ends(play(acts=[CRASH], health=QUICK, attempts=2)) if not event.ok]
    assert len(lost) >= 8
    assert saved == []


def test_when_one_server_fails_the_others_carry_its_load(play: Play) -> None:
    trace = play(acts=[CRASH], health=QUICK)
    (down,) = [event for event in trace if isinstance(event, HealthChanged)]
    after = [event.backend for event in trace if isinstance(event, Picked) and event.at > down.at]
    assert after.count("2") == pytest.approx(len(after) / 2, abs=1)
    assert after.count("3") == pytest.approx(len(after) / 2, abs=1)


def test_a_balancer_cannot_help_when_every_server_has_failed(play: Play) -> None:
    """High availability ends with the last server: from then on the balancer answers 503 itself."""
    acts = [Act(5.0, Fault("crash", "servers", server)) for server in "123"]
    trace = play(acts=acts, health=QUICK)
    last_down = max(event.at for event in trace if isinstance(event, HealthChanged))
    assert {event.status for event in trace if isinstance(event, Rejected)} == {503}
    assert not ends(trace, since=last_down + 0.01)
