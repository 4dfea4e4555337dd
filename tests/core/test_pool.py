"""A pool keeps its promise about the tuple: the same object means the same members and weights."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from lbtutor.core.algorithms.load import LeastConnections
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.units import Seconds


def pool_of(*names: str, **options: Any) -> Pool:
    backends = tuple(BackendConfig(name) for name in names)
    return Pool(PoolConfig("web", backends=backends, **options), Random(1), now=0.0)


def names(backends: tuple[Backend, ...]) -> str:
    return "".join(backend.name for backend in backends)


def test_the_available_are_in_configuration_order_and_a_newcomer_goes_last() -> None:
    pool = pool_of("b", "a")
    pool.join(BackendConfig("0"), now=1.0)
    assert names(pool.available) == "ba0"


def test_the_tuple_is_the_same_object_until_something_changes() -> None:
    pool = pool_of("a", "b")
    before = pool.available
    pool.members["a"].in_flight += 3
    pool.members["a"].answered(0.2, now=1.0)
    assert pool.available is before


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: pool.join(BackendConfig("c"), now=1.0),
        lambda pool: pool.leave("a"),
        lambda pool: pool.changed(),
    ],
    ids=["a newcomer", "a leaver", "a weight or a health"],
)
def test_a_change_makes_a_new_tuple_around_the_same_backends(change: Callable[[Pool], Any]) -> None:
    pool = pool_of("a", "b")
    before = pool.available
    change(pool)
    assert pool.available is not before
    assert pool.available is pool.available
    assert pool.members["b"] in before


def test_a_retry_gets_a_tuple_of_its_own_and_the_next_request_the_old_object() -> None:
    pool = pool_of("a", "b", "c")
    before = pool.available
    assert names(pool.available_without([pool.members["b"]])) == "ac"
    assert pool.available is before


def test_with_nobody_up_reject_offers_none_and_fail_open_all_the_willing() -> None:
    check = HealthCheck(fall=1)
    for policy, offered in (("reject", ""), ("fail_open", "ab")):
        pool = pool_of("a", "b", "draining", "disabled", "weightless", health=check, all_down=policy)
        for backend in pool.members.values():
            assert backend.health is not None
            backend.health.result(False)
        pool.members["draining"].draining = True
        pool.members["disabled"].disabled = True
        pool.members["weightless"].weight = 0
        pool.changed()
        assert names(pool.available) == offered


def test_fail_open_offers_only_those_who_are_up_while_one_is() -> None:
    pool = pool_of("a", "b", health=HealthCheck(fall=1), all_down="fail_open")
    health = pool.members["a"].health
    assert health is not None
    health.result(False)
    pool.changed()
    assert names(pool.available) == "b"


def test_the_members_take_turns_within_the_first_interval() -> None:
    pool = pool_of("a", "b", "c", "d", health=HealthCheck(interval=Seconds(8)))
    due = [backend.health.next_probe for backend in pool.members.values() if backend.health is not None]
    assert due == [0.0, 2.0, 4.0, 6.0]


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="pool web: a backend named 'a' is already a member"):
        pool_of("a", "a")


def test_a_name_that_left_and_returned_is_a_new_backend() -> None:
    pool = pool_of("a")
    old = pool.leave("a")
    new = pool.join(BackendConfig("a"), now=1.0)
    assert new is not old
    assert pool.has(new)
    assert not pool.has(old)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_is_a_number_from_0_up(weight: float) -> None:
    with pytest.raises(ConfigError, match="the weight of 'a' must be 0 or more"):
        Pool(PoolConfig("web", backends=(BackendConfig("a", weight=weight),)), Random(1), now=0.0)


def test_leaving_needs_a_member() -> None:
    with pytest.raises(KeyError):
        pool_of("a").leave("b")


@pytest.mark.parametrize("wrong", [{"connect_timeout": Seconds(0)}, {"response_timeout": Seconds(0)}])
def test_a_timeout_is_longer_than_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be longer than 0"):
        PoolConfig("web", **wrong)


def test_a_request_is_tried_at_least_once() -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        Retry(attempts=0)


def test_an_algorithm_that_is_handed_in_replaces_the_configured_one() -> None:
    mine = LeastConnections()
    pool = Pool(PoolConfig("web", backends=(BackendConfig("a"),)), Random(1), now=0.0, algorithm=mine)
    assert pool.algorithm is mine


def test_explaining_and_observing_are_optional() -> None:
    class Bare:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            return backends[0]

    pool = Pool(PoolConfig("web", backends=(BackendConfig("a"),)), Random(1), now=0.0, algorithm=Bare())
    assert pool.compare is None
    assert pool.observe is None


def test_its_repr_tells_its_state_in_a_line() -> None:
    assert repr(pool_of("a")) == "<Pool web RoundRobin [<Backend a weight=1 in_flight=0 available>]>"
