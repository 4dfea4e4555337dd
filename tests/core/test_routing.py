"""Routing: precedence, whole segments, and a dumb reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Request
from lbtutor.core.routing import Route, Router


def request(path: str = "/", host: str = "", **more: Any) -> Request:
    return Request(id=1, at=0.0, host=host, path=path, **more)


def pool_for(routes: Sequence[Route], asked: Request) -> str | None:
    route = Router(routes).match(asked)
    return None if route is None else route.pool


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (Route("win", host="a.com"), Route("lose", host="*.com")),
        (Route("win", host="a.com"), Route("lose", path="/api/users")),
        (Route("win", host="*.com"), Route("lose", path="/api/users")),
        (Route("win", path="/api/users"), Route("lose", path="/api")),
        (Route("win", path="/api"), Route("lose")),
        (Route("win", host="*.com", path="/api"), Route("lose", host="*.com")),
    ],
)
def test_the_more_precise_route_wins_wherever_it_stands(winner: Route, loser: Route) -> None:
    asked = request("/api/users", "a.com")
    assert pool_for([winner, loser], asked) == "win"
    assert pool_for([loser, winner], asked) == "win"
    assert pool_for([loser], asked) == "lose"


def test_among_equals_the_earlier_in_the_file_wins() -> None:
    assert pool_for([Route("first", path="/a"), Route("second", path="/a/")], request("/a")) == "first"
    assert pool_for([Route("all"), Route("posts", method="POST")], request(method="POST")) == "all"


@pytest.mark.parametrize("path", ["/api/users", "/api/users/", "/api/users/7", "/api/users?page=2", "/api/users/7?x=/"])
def test_a_path_takes_itself_and_what_lies_below(path: str) -> None:
    assert pool_for([Route("users", path="/api/users")], request(path)) == "users"
    assert pool_for([Route("users", path="/api/users/")], request(path)) == "users"


@pytest.mark.parametrize("path", ["/api/usersx", "/api", "/api/user", "/x/api/users", "/API/users", "/"])
def test_a_path_takes_nothing_that_merely_begins_like_it(path: str) -> None:
    assert pool_for([Route("users", path="/api/users")], request(path)) is None


@pytest.mark.parametrize("host", ["a.com", "A.COM", "a.com:8080"])
def test_a_host_matches_in_any_case_and_with_any_port(host: str) -> None:
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
def test_what_cannot_match_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="route to 'web'"):
        Route("web", **wrong)


def segments(path: str) -> list[str]:
    return [segment for segment in path.partition("?")[0].split("/") if segment]


def dumb_match(routes: Sequence[Route], asked: Request) -> Route | None:
    """The best of all matching routes by (kind of host, path segments' length, order)."""
    best: tuple[tuple[int, int, int], Route] | None = None
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
            rank = (kind, len("/".join(wanted)), -index)
            if best is None or rank > best[0]:
                best = (rank, route)
    return None if best is None else best[1]


hosts = st.sampled_from(["", "a.com", "b.a.com", "xa.com"])
paths = st.lists(st.sampled_from(["x", "xy", "y"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from(["", "GET", "POST"])
listeners = st.sampled_from(["", "front"])
rules = st.builds(Route, st.text("pqrs", max_size=3), paths, hosts | st.just("*.a.com"), methods, listeners)
requests = st.builds(request, paths, hosts, method=st.sampled_from(["GET", "POST"]), listener=listeners)


@given(st.lists(rules, max_size=6), requests)
def test_the_router_agrees_with_the_dumb_reference(routes: list[Route], asked: Request) -> None:
    assert Router(routes).match(asked) == dumb_match(routes, asked)
