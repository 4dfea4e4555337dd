"""Routing: precedence, whole segments, splits, paths that read one way only, and a dumb reference."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from random import Random
from typing import Any, Literal
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.answers import Redirect, Respond
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Answered, Arrived, Event, Picked, Rejected, Routed, Shifted
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Answer, BackendConfig, Decision, Forward, Outcome, Reject, Request, Shift
from lbtutor.core.pool import PoolConfig
from lbtutor.core.routing import Route, Router, with_doors
from lbtutor.core.workload import Plan


def request(path: str = "/", host: str = "", **more: Any) -> Request:
    return Request(id=1, at=0.0, host=host, path=path, **more)


HEADED = request(headers={"x-a": "1"})


def pool_for(routes: Sequence[Route], asked: Request) -> str | None:
    rule = Router(routes).match(asked)
    return None if rule is None else rule.pool_for(asked)


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (Route("win", host="a.com"), Route("lose", host="*.com")),
        (Route("win", host="a.com"), Route("lose", path="/api/users")),
        (Route("win", host="*.com"), Route("lose", path="/api/users")),
        (Route("win", path="/api/users"), Route("lose", path="/api")),
        (Route("win", path="/api"), Route("lose")),
        (Route("win", host="*.com", path="/api"), Route("lose", host="*.com")),
        (Route("win", path="/api/users", exact=True), Route("lose", path="/api/users", method="GET")),
        (Route("win", host="*.com"), Route("lose", path="/api/users", exact=True)),
        (Route("win", path="/api/users"), Route("lose", method="GET", header={"X-A": "1"})),
        (Route("win", method="GET"), Route("lose")),
        (Route("win", listener="front"), Route("lose")),
        (Route("win", header={"X-A": "1"}, cookie={"group": "b"}), Route("lose", method="GET")),
        (Route("win", header={"X-A": "1", "x-b": "2"}), Route("lose", header={"X-A": "1"})),
        (Route("win", sni="a.com"), Route("lose", sni="*.com")),
        (Route("win", sni="*.com"), Route("lose", path="/api/users", exact=True)),
        (Route("win", host="*.com"), Route("lose", sni="a.com")),
    ],
)
def test_the_more_precise_route_wins_wherever_it_stands(winner: Route, loser: Route) -> None:
    headers = {"x-a": "1", "x-b": "2", "cookie": "group=b"}
    asked = request("/api/users", "a.com", headers=headers, listener="front", sni="a.com")
    assert pool_for([winner, loser], asked) == "win"
    assert pool_for([loser, winner], asked) == "win"
    assert pool_for([loser], asked) == "lose"


def test_among_equals_the_earlier_in_the_file_wins() -> None:
    assert pool_for([Route("first", path="/a"), Route("second", path="/a/")], request("/a")) == "first"
    assert pool_for([Route("reads", method="GET"), Route("tests", header={"x-a": "1"})], HEADED) == "reads"
    assert pool_for([Route("tests", header={"x-a": "1"}), Route("reads", method="GET")], HEADED) == "tests"


@pytest.mark.parametrize("path", ["/api/users", "/api/users/", "/api/users/7", "/api/users?page=2", "/api/users/7?x=/"])
def test_a_path_takes_itself_and_what_lies_below(path: str) -> None:
    assert pool_for([Route("users", path="/api/users")], request(path)) == "users"
    assert pool_for([Route("users", path="/api/users/")], request(path)) == "users"


@pytest.mark.parametrize("path", ["/api/usersx", "/api", "/api/user", "/x/api/users", "/API/users", "/"])
def test_a_path_takes_nothing_that_merely_begins_like_it(path: str) -> None:
    assert pool_for([Route("users", path="/api/users")], request(path)) is None


@pytest.mark.parametrize("path", ["/api/users", "/api/users/7", "/api/usersx", "/api/users-of/7", "/api/users?x=1"])
def test_a_plain_prefix_takes_whatever_begins_like_it(path: str) -> None:
    assert pool_for([Route("users", path="/api/users", prefix="plain")], request(path)) == "users"


@pytest.mark.parametrize("path", ["/api/user", "/api", "/x/api/users", "/"])
def test_a_plain_prefix_takes_nothing_that_begins_otherwise(path: str) -> None:
    assert pool_for([Route("users", path="/api/users", prefix="plain")], request(path)) is None


def test_a_plain_prefix_with_a_slash_at_its_end_wants_that_slash() -> None:
    """The ALB's `/api/users/*`, which misses `/api/users` itself."""
    routes = [Route("users", path="/api/users/", prefix="plain")]
    assert pool_for(routes, request("/api/users/7")) == "users"
    assert pool_for(routes, request("/api/users")) is None


@pytest.mark.parametrize("prefix", ["plain", "segments"])
def test_the_root_takes_every_path_in_either_way(prefix: Literal["plain", "segments"]) -> None:
    for path in ("/", "/x", "/a/b"):
        assert pool_for([Route("web", path="/", prefix=prefix), Route("odd", path="/odd")], request(path)) == "web"


def test_a_path_cannot_be_exact_and_a_prefix() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        Route("web", path="/a", exact=True, prefix="plain")


@pytest.mark.parametrize("host", ["a.com", "A.COM", "a.com:8080", "a.com.", "a.com.:8080"])
def test_a_host_matches_in_any_case_with_any_port_and_a_final_dot(host: str) -> None:
    assert pool_for([Route("web", host="a.Com")], request(host=host)) == "web"


def test_an_ipv6_host_keeps_its_colons() -> None:
    routes = [Route("web", host="[::1]")]
    assert pool_for(routes, request(host="[::1]")) == "web"
    assert pool_for(routes, request(host="[::1]:8080")) == "web"
    assert pool_for(routes, request(host="[::2]:8080")) is None


@pytest.mark.parametrize(
    ("host", "matches"), [("x.a.com", True), ("y.x.a.com", True), ("a.com", False), ("xa.com", False)]
)
def test_a_wildcard_takes_every_name_below_but_not_the_name_itself(host: str, matches: bool) -> None:
    assert pool_for([Route("web", host="*.a.com")], request(host=host)) == ("web" if matches else None)


@pytest.mark.parametrize("sni", ["shop.example", "SHOP.Example", "shop.example."])
def test_a_server_name_matches_in_any_case(sni: str) -> None:
    assert pool_for([Route("shop", sni="Shop.example")], request(sni=sni, method="TCP")) == "shop"
    assert pool_for([Route("shop", sni="*.Example")], request(sni=sni, method="TCP")) == "shop"


@pytest.mark.parametrize("sni", ["", "example", "shop.example.net", "xexample"])
def test_another_server_name_or_none_at_all_does_not(sni: str) -> None:
    assert pool_for([Route("shop", sni="shop.example"), Route("any", sni="*.example")], request(sni=sni)) is None


def test_a_door_that_names_its_pool_is_the_last_resort_of_that_door() -> None:
    doors = [ListenerConfig("wire", mode="tcp", pool="raw"), ListenerConfig("front")]
    routes = with_doors([Route("shop", sni="shop.example"), Route("web")], doors)
    wire = {"method": "TCP", "listener": "wire"}
    assert pool_for(routes, request(**wire)) == "raw"
    assert pool_for(routes, request(sni="shop.example", **wire)) == "shop"
    assert pool_for(routes, request(listener="front")) == "web"
    assert Plan(tuple(doors), (Route("web"),), ()).every_route == with_doors([Route("web")], doors)


def test_two_routes_of_one_name_are_refused_and_the_nameless_are_not() -> None:
    assert Router([Route("a", name="x"), Route("b", name="y"), Route("c"), Route("d")]).named("y") == Route(
        "b", name="y"
    )
    with pytest.raises(ConfigError, match="two routes are named 'x'"):
        Router([Route("a", name="x"), Route("b", name="x")])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shpo", "there is no route named 'shpo'; did you mean 'shop'"),
        ("", "there is no route named ''"),
        ("q", "there is no route named 'q'; there is shop, old"),
        ("old", "route 'old' is a fixed response and leads to no pool"),
    ],
)
def test_a_name_that_leads_to_no_pool_is_refused(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Router([Route("a", name="shop"), Route(respond=Respond(), name="old"), Route("b")]).named(name)


weights = st.dictionaries(st.sampled_from(["blue", "green", "red"]), st.integers(0, 5), min_size=1).filter(
    lambda split: any(split.values())
)


@given(weights, weights, st.booleans())
def test_a_shift_moves_only_clients_that_must_move(was: dict[str, float], to: dict[str, float], bare: bool) -> None:
    """A client leaves a pool only if that pool's share of the weight falls, and joins one only if its share grows."""
    route = Route(next(iter(was)), name="r") if bare else Route(split=was, name="r")
    shifted = route.shifted(to)
    assert shifted.weights == to or list(shifted.weights) == list(to)
    before, after = Router([route]), Router([route]).with_route(route, shifted)
    share = {pool: weight / sum(route.weights.values()) for pool, weight in route.weights.items()}
    ratio = {pool: shifted.weights.get(pool, 0) / weight for pool, weight in route.weights.items() if weight}
    for number in range(40):
        asked = request(client=f"10.0.0.{number}")
        rules = before.match(asked), after.match(asked)
        assert rules[0] is not None
        assert rules[1] is not None
        old, new = rules[0].pool_for(asked), rules[1].pool_for(asked)
        assert share[old] > 0
        assert shifted.weights[new] > 0
        if old != new:
            assert ratio[old] < ratio.get(new, inf)


def test_a_route_that_names_a_method_or_a_listener_serves_it_alone() -> None:
    routes = [Route("posts", method="POST"), Route("inside", listener="inner")]
    assert pool_for(routes, request(method="POST")) == "posts"
    assert pool_for(routes, request(listener="inner")) == "inside"
    assert pool_for(routes, request(listener="outer")) is None


@pytest.mark.parametrize("path", ["/", "/anything/at/all", "*", ""])
def test_a_bare_route_takes_everything_alone_or_after_others(path: str) -> None:
    assert pool_for([Route("all")], request(path)) == "all"
    assert pool_for([Route("all"), Route("other", host="other.com")], request(path)) == "all"


def test_without_routes_nothing_matches() -> None:
    assert pool_for([], request()) is None


@pytest.mark.parametrize(
    "wrong", [{"path": "api"}, {"host": "a.*"}, {"host": "*"}, {"host": "*."}, {"host": "*.*.com"}]
)
def test_what_cannot_match_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="route to 'web'"):
        Route("web", **wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "exactly one target .* not none"),
        ({"pool": "web", "respond": Respond()}, "not pool and respond"),
        ({"split": {"a": 1}, "redirect": Redirect("/new")}, "not split and redirect"),
        ({"split": {"a": -1, "b": 1}}, "0 or more, not a = -1"),
        ({"split": {"a": float("nan")}}, "0 or more"),
        ({"split": {"a": 0, "b": 0}}, "above 0"),
        ({"split": {}}, "above 0"),
        ({"split": {"a": 1}, "split_key": "user"}, "header:NAME"),
        ({"pool": "web", "path": "/a?b"}, "without"),
        ({"pool": "web", "path": "/caf\u00e9"}, "visible ASCII"),
        ({"pool": "web", "path": "/a/../b"}, "a dot segment"),
        ({"pool": "web", "path": "/a//b"}, "two slashes"),
        ({"pool": "web", "path": "/a%2Fb"}, "an encoded slash"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Route(**wrong)


def test_an_exact_path_takes_itself_alone() -> None:
    routes = [
        Route("home", path="/", exact=True),
        Route("one", path="/a", exact=True),
        Route("two", path="/b/", exact=True),
    ]
    asked = ["/", "/?x=1", "/a", "/a?b=/c", "/a/", "/a/b", "/b", "/b/", "/c"]
    assert [pool_for(routes, request(path)) for path in asked] == [
        "home", "home", "one", "one", None, None, None, "two", None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "pool"),
    [
        ({"x-beta": "Yes"}, "beta"),
        ({"x-beta": "yes"}, None),
        ({"x-beta": "Yes, Yes"}, None),
        ({"cookie": "a=1; group=b"}, "b"),
        ({"cookie": "group=bb"}, None),
        ({"cookie": "Group=b"}, None),
        ({}, None),
    ],
)
def test_a_header_matches_in_any_case_of_its_name_and_a_cookie_in_its_own(
    headers: dict[str, str], pool: str | None
) -> None:
    routes = [Route("beta", header={"X-Beta": "Yes"}), Route("b", cookie={"group": "b"})]
    assert pool_for(routes, request(headers=headers)) == pool


def test_all_headers_and_cookies_of_a_route_are_wanted() -> None:
    routes = [Route("web", header={"x-a": "1"}, cookie={"b": "2"})]
    assert pool_for(routes, request(headers={"x-a": "1"})) is None
    assert pool_for(routes, request(headers={"cookie": "b=2"})) is None
    assert pool_for(routes, request(headers={"x-a": "1", "cookie": "b=2"})) == "web"


# -- splits


def groups(split: dict[str, float], clients: int = 2000, **more: Any) -> list[str]:
    """The group of each of so many clients."""
    router = Router([Route(split=split, **more)])
    return [router_pool(router, request(client=f"10.0.{number // 250}.{number % 250}")) for number in range(clients)]


def router_pool(router: Router, asked: Request) -> str:
    rule = router.match(asked)
    assert rule is not None
    return rule.pool_for(asked)


@pytest.mark.parametrize("split", [{"blue": 90, "green": 10}, {"a": 1, "b": 1, "c": 2}, {"a": 0.5, "b": 99.5}])
def test_each_pool_of_a_split_gets_its_share_of_the_clients(split: dict[str, float]) -> None:
    counted, total = Counter(groups(split, 20_000)), sum(split.values())
    for pool, weight in split.items():
        share = weight / total
        assert abs(counted[pool] - 20_000 * share) < 4 * (20_000 * share * (1 - share)) ** 0.5, "4 standard deviations"


def test_a_pool_of_weight_0_gets_nobody() -> None:
    assert set(groups({"blue": 1, "green": 0})) == {"blue"}


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ({"a": 80, "b": 10, "c": 10}, {"a": 80, "b": 30, "c": 10}, 30 / 120 - 10 / 100),
        ({"a": 90, "b": 10}, {"a": 80, "b": 20}, 0.1),
    ],
)
def test_a_weight_that_grows_moves_clients_to_its_own_pool_alone(
    before: dict[str, float], after: dict[str, float], share: float
) -> None:
    moved = [(was, now) for was, now in zip(groups(before), groups(after), strict=True) if was != now]
    assert {now for _, now in moved} == {"b"}
    assert abs(len(moved) / 2000 - share) < 0.03


def test_a_client_is_in_the_same_group_of_every_split_alike_and_in_every_process() -> None:
    here = groups({"blue": 60, "green": 40}, 200)
    assert here == groups({"green": 4, "blue": 6}, 200)
    program = (
        "from lbtutor.core.routing import Route, Router\n"
        "from lbtutor.core.messages import Request\n"
        "rule = Router([Route(split={'blue': 60, 'green': 40})]).match(Request(1, 0.0))\n"
        "print(*(rule.pool_for(Request(1, 0.0, client=f'10.0.{n // 250}.{n % 250}')) for n in range(200)))\n"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.split() == here


def test_a_split_by_cookie_keeps_a_user_wherever_the_request_comes_from() -> None:
    router = Router([Route(split={"blue": 50, "green": 50}, split_key="cookie:user")])
    for user in range(30):
        calls = {
            router_pool(router, request(client=f"10.0.0.{number}", headers={"cookie": f"user=u{user}"}))
            for number in range(5)
        }
        assert len(calls) == 1
    assert len({router_pool(router, request(client=f"10.0.0.{number}")) for number in range(30)}) == 2, "no cookie"


def test_the_group_says_nothing_about_the_place_within_the_pool() -> None:
    """Were both choices made by the same hash, one group's clients would crowd at a few of its servers."""
    members = tuple(map(BackendConfig, "ab"))
    pools = [PoolConfig("a", "rendezvous", members), PoolConfig("b", "rendezvous", members)]
    balancer = Balancer(pools, [Route(split={"a": 1, "b": 1})], rng=Random(1))
    chosen: Counter[tuple[str, str]] = Counter()
    for number in range(2000):
        client = f"10.0.{number // 250}.{number % 250}"
        decision = balancer.arrive(Request(number, 0.0, client=client, key=client))
        assert isinstance(decision, Forward)
        chosen[decision.pool, decision.backend.name] += 1
    assert len(chosen) == 4
    assert min(chosen.values()) > 430, chosen


# -- what is told


POOLS = [PoolConfig(name, backends=(BackendConfig(f"{name}-1"),)) for name in ("web", "users", "blue", "green")]


def told(routes: Sequence[Route], asked: Request) -> tuple[Decision, list[Event]]:
    """What was decided, and what was told of it."""
    events: list[Event] = []
    balancer = Balancer(POOLS, routes, rng=Random(1))
    balancer.report_to(events.append)
    return balancer.arrive(asked), events


@pytest.mark.parametrize(
    ("routes", "because"),
    [
        ([Route("users", path="/api/users"), Route("web", path="/api")], "the longer path, before /api"),
        ([Route("users", path="/api"), Route("web", path="/other")], "no other route matches"),
        ([Route("users", host="a.com"), Route("web", host="*.com")], "the more exact host, before *.com/"),
        ([Route("users", path="/api/users", exact=True), Route("web")], "an exact path, before /"),
        ([Route("web"), Route("users", method="GET")], "more conditions, before /"),
        ([Route("users"), Route("web")], "earlier in the file, before /"),
    ],
)
def test_the_record_says_why_it_was_this_route_and_before_which(routes: list[Route], because: str) -> None:
    decision, events = told(routes, request("/api/users", "a.com"))
    assert isinstance(decision, Forward)
    assert [type(event) for event in events] == [Arrived, Routed, Picked]
    winner = next(route for route in routes if route.pool == "users")
    assert events[1] == Routed(0.0, 1, winner.says, "users", because)


def test_where_there_is_no_choice_of_routes_nothing_is_told_of_it() -> None:
    assert [type(event) for event in told([Route("web")], request())[1]] == [Arrived, Picked]
    assert [type(event) for event in told([Route("web", path="/a")], request("/a"))[1]] == [Arrived, Picked]


def test_a_split_says_whose_share_it_was() -> None:
    decision, events = told([Route(split={"blue": 90, "green": 10}, path="/api")], request("/api"))
    assert isinstance(decision, Forward)
    assert isinstance(events[1], Routed)
    assert events[1].pool == decision.pool
    assert events[1].route == f"/api (split: {decision.pool}, {90 if decision.pool == 'blue' else 10} of 100)"


def test_a_split_to_a_pool_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="'grene', which does not exist"):
        Balancer(POOLS, [Route(split={"blue": 1, "grene": 1})], rng=Random(1))


def test_a_route_may_answer_by_itself() -> None:
    routes = [Route(respond=Respond(410, "gone"), path="/old"), Route("web")]
    decision, events = told(routes, request("/old/7"))
    assert decision == Answer(1, 410, (("Content-Type", "text/plain; charset=utf-8"),), "gone")
    assert events[1:] == [Answered(0.0, 1, 410, "a fixed response for /old (the longer path, before /)")]


def test_an_answer_leaves_nothing_to_finish() -> None:
    balancer = Balancer(POOLS, [Route(respond=Respond())], rng=Random(1))
    assert isinstance(balancer.arrive(request()), Answer)
    assert balancer.open_requests == 0


# -- shifts


BLUE_GREEN = (Route("blue", name="shop"), Route(split={"blue": 1, "green": 1}, path="/beta", name="beta"))


def shop() -> tuple[Balancer, list[Event]]:
    """A shop in two colours, one backend each."""
    events: list[Event] = []
    pools = [PoolConfig(name, backends=(BackendConfig(name[0]),)) for name in ("blue", "green")]
    return Balancer(pools, BLUE_GREEN, rng=Random(1), report=events.append), events


def colours(balancer: Balancer, path: str = "/") -> dict[str, str]:
    """Where each of many clients is sent."""
    found = {}
    for number in range(200):
        asked = Request(number, 9.0, f"10.0.0.{number}", path=path)
        decision = balancer.arrive(asked)
        assert isinstance(decision, Forward)
        balancer.finish(number, Outcome.answered(200), 9.0)
        found[asked.client] = decision.pool
    return found


def test_blue_becomes_green_at_once_and_the_trace_says_so() -> None:
    balancer, events = shop()
    assert set(colours(balancer).values()) == {"blue"}
    balancer.command(Shift("shop", {"green": 100}), 3.0)
    assert [event for event in events if isinstance(event, Shifted)] == [
        Shifted(3.0, "shop", {"blue": 100}, {"green": 100})
    ]
    assert set(colours(balancer).values()) == {"green"}
    assert set(colours(balancer, "/beta").values()) == {"blue", "green"}, "no other route is moved"


def test_blue_becomes_green_by_degrees_and_nobody_moves_twice() -> None:
    balancer, _ = shop()
    stages = [colours(balancer)]
    for green in (10, 50, 90, 100):
        balancer.command(Shift("shop", {"blue": 100 - green, "green": green}), 3.0)
        stages.append(colours(balancer))
    shares = [Counter(stage.values())["green"] / 200 for stage in stages]
    assert shares == pytest.approx([0, 0.1, 0.5, 0.9, 1], abs=0.1)
    for before, after in pairwise(stages):
        assert all(after[client] == "green" for client, pool in before.items() if pool == "green")


def test_to_shift_twice_to_the_same_changes_nothing() -> None:
    balancer, events = shop()
    for to in ({"blue": 100}, {"blue": 100}, {"blue": 9, "green": 1}, {"blue": 9, "green": 1}):
        balancer.command(Shift("shop", to), 3.0)
    assert len([event for event in events if isinstance(event, Shifted)]) == 1


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        (Shift("shpo", {"green": 1}), "there is no route named 'shpo'; did you mean 'shop'"),
        (Shift("shop", {"gren": 1}), "leads to pool 'gren', which does not exist"),
        (Shift("shop", {"green": -1, "blue": 1}), "weights of 0 or more"),
        (Shift("shop", {"green": 0}), "needs a pool with a weight above 0"),
        (Shift("shop", {}), "needs a pool with a weight above 0"),
    ],
)
def test_a_shift_that_cannot_be_is_refused_and_changes_nothing(shift: Shift, says: str) -> None:
    balancer, events = shop()
    told = len(events)
    with pytest.raises(ConfigError, match=says):
        balancer.command(shift, 3.0)
    assert len(events) == told
    assert set(colours(balancer).values()) == {"blue"}


# -- paths that can be read in two ways


AMBIGUOUS = [
    "/api/../admin", "/api/..", "/./admin", "/api/.", "/api//admin", "//admin", "/api/%2e%2e/admin", "/api/.%2E/admin",
    "/api%2fadmin", "/api/..%2Fadmin", "/api/..%5cadmin", "/api\\admin", "/api/..;/admin", "/api/..%3b/admin",
    "/api/..;x=1/admin", "/api%00/admin", "/api%0a",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_an_ambiguous_path_is_answered_400_and_reaches_nobody(path: str) -> None:
    decision, events = told([Route("users", path="/api"), Route("web")], request(path))
    assert isinstance(decision, Reject)
    assert decision.status == 400
    assert "ambiguous path" in decision.reason
    assert [type(event) for event in events] == [Arrived, Rejected]
    assert pool_for([Route("users", path="/api")], request(path)) is None, "a 404 is another reading, too"


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_where_no_route_asks_for_a_path_every_path_is_good(path: str) -> None:
    assert pool_for([Route("web")], request(path)) == "web"
    assert pool_for([Route("other", host="other.com"), Route("web", method="GET")], request(path)) == "web"


@pytest.mark.parametrize("path", ["/api/.well-known", "/api/a..b", "/api/...", "/api/x?to=/../y//z%2f", "/api/%7Euser"])
def test_a_path_that_only_looks_odd_goes_its_way(path: str) -> None:
    assert pool_for([Route("users", path="/api"), Route("web")], request(path)) == "users"


@pytest.mark.parametrize("path", ["/%61pi/x", "/a%70%69", "/ap%69?x"])
def test_encoded_letters_are_the_letters(path: str) -> None:
    assert pool_for([Route("users", path="/api"), Route("web")], request(path)) == "users"
    assert pool_for([Route("users", path="/%61pi"), Route("web")], request("/api")) == "users"


UNRESERVED = frozenset(map(ord, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"))


def decode_unreserved(path: str) -> str:
    """RFC 3986, section 6.2.2.2, written anew."""
    first, *rest = path.split("%")
    decoded = first
    for piece in rest:
        byte = int(piece[:2], 16)
        decoded += (chr(byte) if byte in UNRESERVED else f"%{piece[:2].upper()}") + piece[2:]
    return decoded


def remove_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4, step by step."""
    output: list[str] = []
    while path:
        if path.startswith(("../", "./")):
            path = path.partition("/")[2]
        elif path.startswith("/./") or path == "/.":
            path = "/" + path[3:]
        elif path.startswith("/../") or path == "/..":
            path = "/" + path[4:]
            del output[-1:]
        elif path in (".", ".."):
            path = ""
        else:
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            output.append(path[:end])
            path = path[end:]
    return "".join(output)


def test_the_normalisation_of_the_tests_is_the_one_of_the_rfc() -> None:
    assert remove_dot_segments("/a/b/c/./../../g") == "/a/g"
    assert remove_dot_segments("mid/content=5/../6") == "mid/6"
    assert decode_unreserved("/%7Euser/%2e%2f%c3") == "/~user/.%2F%C3"


pieces = st.sampled_from(
    [
        "/",
        "/",
        "/api",
        "/users",
        "/%61pi",
        "/user%73",
        "api",
        ".",
        "..",
        "/.",
        "/..",
        "//",
        "%2e",
        "%2E",
        "%2f",
        "%5C",
        "\\",
        ";",
        "%61",
        "%41",
    ]
) | st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="%?#").map(quote)
raw_paths = st.lists(pieces, max_size=6).map("".join).map(lambda path: path if path.startswith("/") else f"/{path}")
by_path = [
    Route("users", path="/api/users"),
    Route("api", path="/api"),
    Route("home", path="/", exact=True),
    Route("web"),
]


@given(raw_paths)
def test_the_route_of_a_path_is_the_route_of_what_the_path_means(path: str) -> None:
    """Whoever normalises as RFC 3986 says sees a path with the same route; or nobody sees it at all."""
    found = pool_for(by_path, request(path))
    normal = remove_dot_segments(decode_unreserved(path))
    assert found is None or found == pool_for(by_path, request(normal)), normal


def segments(path: str) -> list[str]:
    return [segment for segment in path.partition("?")[0].split("/") if segment]


def dumb_match(routes: Sequence[Route], asked: Request) -> Route | None:
    """The best of all matching routes by (kind of host, path segments' length, conditions, order)."""
    best: tuple[tuple[int, int, int, int], Route] | None = None
    for index, route in enumerate(routes):
        wanted = segments(route.path)
        host_fits = (
            not route.host
            or asked.host == route.host
            or (route.host.startswith("*.") and asked.host.endswith(route.host.removeprefix("*")))
        )
        fits = host_fits and segments(asked.path)[: len(wanted)] == wanted
        if fits and route.method in ("", asked.method) and route.listener in ("", asked.listener):
            kind = 0 if not route.host else 1 if route.host.startswith("*.") else 2
            rank = (kind, len("/".join(wanted)), bool(route.method) + bool(route.listener), -index)
            if best is None or rank > best[0]:
                best = (rank, route)
    return None if best is None else best[1]


hosts = st.sampled_from(["", "a.com", "b.a.com", "xa.com"])
paths = st.lists(st.sampled_from(["x", "xy", "y"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from(["", "GET", "POST"])
listeners = st.sampled_from(["", "front"])
rules = st.builds(Route, st.text("pqrs", min_size=1, max_size=3), paths, hosts | st.just("*.a.com"), methods, listeners)
requests = st.builds(request, paths, hosts, method=st.sampled_from(["GET", "POST"]), listener=listeners)


@given(st.lists(rules, max_size=6), requests)
def test_the_router_agrees_with_the_dumb_reference(routes: list[Route], asked: Request) -> None:
    rule = Router(routes).match(asked)
    assert (None if rule is None else rule.route) == dumb_match(routes, asked)
