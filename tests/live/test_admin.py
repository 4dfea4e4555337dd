"""The operator's hand: what each question and command answers, and does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from lbtutor.core import ConfigError, EnvironmentFault, HealthCheck, Plan, Route, Seconds
from lbtutor.core.events import Shifted
from lbtutor.live.admin import ENDPOINTS, Admin
from lbtutor.live.run import LiveRun

Start = Callable[..., LiveRun]
ProxyPlan = Callable[..., Plan]


class Hand:
    """An operator who reads JSON."""

    def __init__(self, run: LiveRun, **more: Any) -> None:
        self.run = run
        self.admin = Admin(run, **more)

    def ask(self, method: str, target: str, body: str = "") -> tuple[int, Any]:
        answer = self.admin.answer(method, target, body.encode())
        return answer.status, json.loads(answer.body)

    def member(self, name: str) -> Any:
        pools = self.ask("GET", "/snapshot")[1]["pools"]
        return next((one for one in pools[0]["backends"] if one["name"] == name), None)


@pytest.fixture
def hand(start: Start, proxy_plan: ProxyPlan) -> Hand:
    return Hand(start(proxy_plan("127.0.0.1:9", "127.0.0.1:10")))


def test_the_list_of_all_endpoints_is_at_the_root(hand: Hand) -> None:
    status, listed = hand.ask("GET", "/")
    assert status == 200
    assert list(listed) == [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]


def test_a_snapshot_tells_state_weight_and_numbers_of_every_backend(hand: Hand) -> None:
    status, told = hand.ask("GET", "/snapshot")
    assert status == 200
    assert told["listening"] == hand.run.addresses
    assert told["connections"] == {"of_clients": {"front": 0}, "to_backends": 0}
    (pool,) = told["pools"]
    assert (pool["name"], pool["algorithm"], pool["waiting"]) == ("web", "RoundRobin", 0)
    a, b = pool["backends"]
    assert (a["name"], a["state"], a["weight"], a["in_flight"], a["health"], a["excluded"]) == (
        *("a", "available", 1, 0, "up"),
        None,
    )
    assert b["name"] == "b"


def test_a_drain_with_a_deadline_and_back_to_ready(hand: Hand) -> None:
    status, told = hand.ask("POST", "/pools/web/backends/a/drain?within=30s")
    assert (status, told["backend"]["state"]) == (200, "draining")
    assert hand.ask("POST", "/pools/web/backends/a/ready")[1]["backend"]["state"] == "available"


def test_maintenance(hand: Hand) -> None:
    assert hand.ask("POST", "/pools/web/backends/a/maint")[1]["backend"]["state"] == "maintenance"
    assert hand.member("a")["excluded"] == "in maintenance"


def test_a_weight_is_a_number_in_the_body(hand: Hand) -> None:
    assert hand.ask("PUT", "/pools/web/backends/a/weight", "2.5")[1]["backend"]["weight"] == 2.5
    assert hand.ask("PUT", "/pools/web/backends/a/weight", "0")[1]["backend"]["state"] == "weight_0"
    assert hand.ask("PUT", "/pools/web/backends/a/weight", "-1")[0] == 422
    status, told = hand.ask("PUT", "/pools/web/backends/a/weight", "much")
    assert (status, "an example: 3" in told["error"]) == (400, True)


def test_a_backend_joins_and_leaves(hand: Hand) -> None:
    status, told = hand.ask("POST", "/pools/web/backends", '{"name": "c", "address": "127.0.0.1:11", "weight": 2}')
    assert (status, told["backend"]["weight"]) == (201, 2)
    status, told = hand.ask("DELETE", "/pools/web/backends/c")
    assert (status, [one["name"] for one in told["backends"]]) == (200, ["a", "b"])


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ('{"name": "a", "address": "127.0.0.1:11"}', 422, "'a' is already a member"),
        ('{"name": "c"}', 422, "neither an `address` nor a machine"),
        ('{"name": "c", "address": "nowhere"}', 422, "host:port"),
        ('{"name": "c/d", "address": "127.0.0.1:11"}', 422, "without a slash"),
        ('{"nmae": "c"}', 400, "nmae"),
        ("c", 400, "an example"),
        ("", 400, "an example"),
        ("\xff", 400, "an example"),
    ],
)
def test_a_backend_that_cannot_join_is_refused_with_the_reason(hand: Hand, body: str, status: int, says: str) -> None:
    given, told = hand.ask("POST", "/pools/web/backends", body)
    assert (given, says in told["error"]) == (status, True), told
    assert [one["name"] for one in hand.ask("GET", "/snapshot")[1]["pools"][0]["backends"]] == ["a", "b"]


def test_the_proxy_does_not_become_its_own_backend(hand: Hand) -> None:
    own = hand.run.addresses["front"]
    status, told = hand.ask("POST", "/pools/web/backends", json.dumps({"name": "c", "address": own}))
    assert (status, "requests would go round" in told["error"]) == (422, True)


@pytest.mark.parametrize(
    ("method", "target", "says"),
    [
        ("POST", "/pools/wbe/backends/a/drain", "there is no pool 'wbe'; did you mean 'web'?"),
        ("POST", "/pools/web/backends/c/drain", "pool web has no backend 'c'; there is a, b"),
        ("DELETE", "/pools/web/backends/c", "pool web has no backend 'c'; there is a, b"),
        ("POST", "/routes/shop/shift", "there is no route named 'shop'; there is none"),
        ("GET", "/snapshots", "there is nothing at /snapshots; GET / lists what there is"),
        ("GET", "/pools/web", "there is nothing at /pools/web; GET / lists what there is"),
    ],
)
def test_what_does_not_exist_is_404_with_the_nearest_name(hand: Hand, method: str, target: str, says: str) -> None:
    assert hand.ask(method, target) == (404, {"error": says})


def test_names_in_a_path_may_be_percent_encoded(start: Start, proxy_plan: ProxyPlan) -> None:
    hand = Hand(start(proxy_plan("127.0.0.1:9")))
    hand.ask("POST", "/pools/web/backends", '{"name": "größer 2", "address": "127.0.0.1:11"}')
    status, told = hand.ask("POST", "/pools/web/backends/gr%C3%B6%C3%9Fer%202/maint")
    assert (status, told["backend"]["name"]) == (200, "größer 2")


def test_the_wrong_method_says_which_would_be_right(hand: Hand) -> None:
    answer = hand.admin.answer("DELETE", "/pools/web/backends/a/weight")
    assert (answer.status, answer.allow) == (405, ("PUT",))
    assert hand.member("a") is not None


def test_a_head_is_asked_like_a_get(hand: Hand) -> None:
    assert hand.ask("HEAD", "/ready")[0] == 200
    assert hand.ask("HEAD", "/reload")[0] == 405


def test_a_duration_that_makes_no_sense_is_refused(hand: Hand) -> None:
    status, told = hand.ask("POST", "/pools/web/backends/a/drain?within=soon")
    assert (status, "not a duration" in told["error"]) == (422, True)
    assert hand.member("a")["state"] == "available"


def test_it_is_ready_until_every_pool_is_down(hand: Hand) -> None:
    assert hand.ask("GET", "/ready") == (200, {"ready": True, "stopping": False, "pools_down": []})
    for name in "ab":
        hand.ask("POST", f"/pools/web/backends/{name}/maint")
    assert hand.ask("GET", "/ready") == (503, {"ready": False, "stopping": False, "pools_down": ["web"]})


def test_one_pool_that_is_down_does_not_take_the_others_with_it(start: Start, proxy_plan: ProxyPlan) -> None:
    plan = proxy_plan("127.0.0.1:9")
    check = HealthCheck("/", Seconds(600), initial="unchecked")
    other = replace(plan.pools[0], name="api", health=check)
    hand = Hand(start(replace(plan, pools=(*plan.pools, other))))
    assert hand.ask("GET", "/ready") == (200, {"ready": True, "stopping": False, "pools_down": ["api"]})


def test_a_pool_that_fails_open_is_never_the_reason(start: Start, proxy_plan: ProxyPlan) -> None:
    hand = Hand(start(proxy_plan("127.0.0.1:9", all_down="fail_open")))
    hand.ask("POST", "/pools/web/backends/a/maint")
    assert hand.ask("GET", "/ready")[0] == 200


def test_one_that_was_told_to_stop_is_not_ready(hand: Hand) -> None:
    hand.run.stop()
    assert hand.ask("GET", "/ready")[1]["stopping"] is True
    assert hand.ask("GET", "/ready")[0] == 503


def test_a_split_is_shifted_by_the_name_of_its_route(start: Start, proxy_plan: ProxyPlan) -> None:
    plan = proxy_plan("127.0.0.1:9")
    green = replace(plan.pools[0], name="green")
    route = Route(name="shop", split={"web": 100, "green": 0})
    run = start(replace(plan, pools=(*plan.pools, green), routes=(route,)))
    feed = run.feed(kinds=frozenset({Shifted}))
    hand = Hand(run)
    assert hand.ask("POST", "/routes/shop/shift", '{"web": 0, "green": 100}')[0] == 200
    (shifted,) = feed.drain()
    assert isinstance(shifted, Shifted)
    assert shifted.now == {"web": 0, "green": 100}
    assert hand.ask("POST", "/routes/shop/shift", '{"gren": 1}')[0] == 422
    assert hand.ask("POST", "/routes/shop/shift", "green")[0] == 400
    assert hand.ask("POST", "/routes/shpo/shift", "{}")[1]["error"].endswith("did you mean 'shop'?")


def test_a_reload_tells_what_is_different_or_why_it_is_not(start: Start, proxy_plan: ProxyPlan) -> None:
    answers: list[str | Exception] = ["c joins", ConfigError("front.toml:3: no"), EnvironmentFault("port in use")]

    def reload() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hand = Hand(start(proxy_plan("127.0.0.1:9")), reload=reload)
    assert hand.ask("POST", "/reload") == (200, {"reloaded": "c joins", "listening": hand.run.addresses})
    assert hand.ask("POST", "/reload") == (422, {"error": "front.toml:3: no"})
    assert hand.ask("POST", "/reload") == (503, {"error": "port in use"})


def test_what_is_not_there_to_be_asked_for_is_501(hand: Hand) -> None:
    assert hand.ask("POST", "/reload")[0] == 501
    assert hand.ask("GET", "/metrics")[0] == 501


def test_metrics_are_handed_on_as_they_are(start: Start, proxy_plan: ProxyPlan) -> None:
    hand = Hand(start(proxy_plan("127.0.0.1:9")), metrics=lambda: (b"up 1\n", "text/plain; version=1"))
    answer = hand.admin.answer("GET", "/metrics")
    assert (answer.status, answer.body, answer.content_type) == (200, b"up 1\n", "text/plain; version=1")
