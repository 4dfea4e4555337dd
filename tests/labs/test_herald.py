"""The herald: what the operator is told of a running proxy, and what not."""

from __future__ import annotations

from lbtutor.core import BackendConfig, Event, ListenerConfig, Plan, PoolConfig, Route
from lbtutor.core.events import (
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Health,
    HealthChanged,
    Joined,
    Left,
    Missed,
    Readmitted,
    WeightChanged,
)
from lbtutor.labs.herald import Herald

BACKENDS = (BackendConfig("a", address="127.0.0.1:9"), BackendConfig("b", address="127.0.0.1:10"))
PLAN = Plan((ListenerConfig("front"),), (Route("web"),), (PoolConfig("web", backends=BACKENDS),))
OPEN = Plan((ListenerConfig("front"),), (Route("web"),), (PoolConfig("web", backends=BACKENDS, all_down="fail_open"),))


def believed(backend: str, now: Health) -> HealthChanged:
    return HealthChanged(1.0, "web", backend, "down" if now == "up" else "up", now, "3 probes in a row")


def joins(*backends: str, weight: float = 1.0, health: Health = "up") -> list[Event]:
    return [Joined(0.0, "web", backend, weight, health) for backend in backends]


def told(*events: Event, plan: Plan = PLAN) -> list[str]:
    return Herald(lambda: plan).hear(events)


def test_a_pool_is_down_when_its_last_backend_is_and_up_with_the_first() -> None:
    events = [*joins("a", "b"), *[believed(*change) for change in _STORY]]
    assert told(*events) == [
        "web/a is down: 3 probes in a row",
        "web/b is down: 3 probes in a row",
        "pool web is down: none of its 2 backends is available, so requests are answered 503",
        "web/a is up again: 3 probes in a row",
        "pool web is up again with 1 of its 2 backends",
        "web/b is up again: 3 probes in a row",
    ]


_STORY: list[tuple[str, Health]] = [("a", "down"), ("b", "down"), ("a", "up"), ("b", "up")]


def test_a_pool_that_fails_open_says_so() -> None:
    assert told(*joins("a"), believed("a", "down"), plan=OPEN)[-1].endswith("so all of them get requests")


def test_a_backend_of_weight_0_keeps_no_pool_up() -> None:
    events = [*joins("a"), *joins("spare", weight=0), believed("a", "down")]
    assert told(*events)[-1].startswith("pool web is down: none of its 1 backend ")


def test_an_ejected_backend_is_not_available_whatever_its_probes_say() -> None:
    events = [
        *joins("a"),
        Ejected(1.0, "web", "a", 31.0, "5 errors in a row"),
        believed("a", "down"),
        Readmitted(31.0, "web", "a"),
        believed("a", "up"),
    ]
    sentences = told(*events)
    assert sentences[0] == "web/a is ejected for 30 s: 5 errors in a row"
    assert sentences[1].startswith("pool web is down")
    assert [sentence for sentence in sentences[2:] if sentence.startswith("pool")] == sentences[-1:]
    assert sentences[-1] == "pool web is up again with 1 of its 1 backend"


def test_a_pool_that_waits_for_its_first_probes_is_not_called_down() -> None:
    events = [*joins("a", "b", health="unchecked"), HealthChanged(1.0, "web", "a", "unchecked", "up", "one probe")]
    assert told(*events) == ["web/a is up: one probe"]


def test_what_was_missed_is_told() -> None:
    assert told(Missed(1.0, 7)) == ["7 events were missed here: the reader fell behind"]


def test_what_the_operator_does_by_hand_is_told_and_counts() -> None:
    sentences = told(
        *joins("a", "b"),
        Draining(1.0, "web", "a", 0),
        Drained(1.0, "web", "a"),
        Disabled(2.0, "web", "b"),
        Enabled(3.0, "web", "a"),
        WeightChanged(4.0, "web", "a", 1.0, 0.0),
        WeightChanged(5.0, "web", "a", 0.0, 2.0),
    )
    assert [sentence for sentence in sentences if sentence.startswith("pool")] == [
        "pool web is down: none of its 2 backends is available, so requests are answered 503",
        "pool web is up again with 1 of its 2 backends",
        "pool web is down: none of its 1 backend is available, so requests are answered 503",
        "pool web is up again with 1 of its 2 backends",
    ]
    assert len(sentences) == 10


def test_a_weight_that_grows_by_itself_is_no_news() -> None:
    assert told(*joins("a"), WeightChanged(1.0, "web", "a", 0.1, 0.2, "slow start: 2 of 10")) == []


def test_who_comes_and_goes_later_is_told_and_the_first_ones_are_not() -> None:
    told_later = told(*joins("a"), Joined(7.0, "web", "b", 1.0, "up"), Left(8.0, "web", "a", 0))
    assert told_later == [
        "b joins pool web, weight 1, believed up",
        "a leaves pool web with nothing in flight",
    ]


def test_a_pool_that_lost_its_only_healthy_backend_is_down() -> None:
    sentences = told(*joins("a"), *joins("b", health="down"), Left(8.0, "web", "a", 0))
    assert sentences[-1].startswith("pool web is down: none of its 1 backend ")


def test_a_pool_whose_only_backend_is_replaced_in_one_moment_was_never_down() -> None:
    sentences = told(*joins("a"), Left(8.0, "web", "a", 2), Joined(8.0, "web", "a", 1.0, "up"))
    assert [sentence.split()[0] for sentence in sentences] == ["a", "a"]


def test_a_pool_whose_new_backend_awaits_its_first_probe_is_down_until_then() -> None:
    sentences = told(
        *joins("a"),
        Left(8.0, "web", "a", 0),
        Joined(8.0, "web", "b", 1.0, "unchecked"),
        HealthChanged(9.0, "web", "b", "unchecked", "up", "one probe"),
    )
    assert [sentence for sentence in sentences if sentence.startswith("pool")] == [
        "pool web is down: none of its 1 backend is available, so requests are answered 503",
        "pool web is up again with 1 of its 1 backend",
    ]


def test_a_pool_that_was_taken_away_is_not_called_down() -> None:
    sentences = told(*joins("a"), Left(8.0, "web", "a", 0))
    assert len(sentences) == 1


def test_whether_a_pool_fails_open_is_looked_up_when_it_matters() -> None:
    plans = [PLAN]
    herald = Herald(lambda: plans[-1])
    herald.hear(joins("a"))
    plans.append(OPEN)
    assert herald.hear([believed("a", "down")])[-1].endswith("so all of them get requests")
