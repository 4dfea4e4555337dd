"""Chapter, section 2 (Layer 7), the ALB example, and steps 2 and 3 of the design challenge: which pool answers."""

from __future__ import annotations

from random import Random

import pytest

from lbtutor.core import Balancer, PoolConfig
from lbtutor.core.messages import Answer, BackendConfig, Forward, Reject, Request, Wait
from lbtutor.core.routing import Route

SERVICES = ("users", "products", "orders", "payments")


def answered_by(path: str, host: str = "", *, routes: list[Route] | None = None) -> str | int:
    """The pool that a request goes to, or the status that the balancer answers itself."""
    pools = [
        PoolConfig(service, "least_connections", (BackendConfig(f"{service}-1"), BackendConfig(f"{service}-2")))
        for service in SERVICES
    ]
    by_path = [Route(service, path=f"/api/{service}") for service in SERVICES]
    balancer = Balancer(pools, routes or by_path, rng=Random(1))
    decision = balancer.arrive(Request(1, 0.0, host=host, path=path))
    match decision:
        case Forward():
            return decision.pool
        case Reject() | Answer():
            return decision.status
        case Wait():
            raise AssertionError("nobody has to wait here")


@pytest.mark.parametrize("service", SERVICES)
def test_a_path_leads_to_its_service(service: str) -> None:
    assert answered_by(f"/api/{service}/123") == service


def test_what_no_rule_matches_is_404() -> None:
    assert answered_by("/") == 404
    assert answered_by("/api/carts/1") == 404


def test_the_path_without_a_slash_belongs_to_the_service_too() -> None:
    """The rule is `/api/users/*` and the flow asks for `/api/users`: at ALB that pattern misses it and gives 404."""
    assert answered_by("/api/users") == "users"


def test_a_longer_word_is_another_path() -> None:
    """A plain prefix, as NGINX and Traefik match it, would send this to the users."""
    assert answered_by("/api/usersx") == 404


def test_what_comes_after_the_question_mark_does_not_route() -> None:
    assert answered_by("/api/users?next=/api/orders") == "users"


def test_a_host_leads_to_its_service() -> None:
    routes = [Route("users", host="api.example.com"), Route("products")]
    assert answered_by("/", "api.example.com", routes=routes) == "users"
    assert answered_by("/", "www.example.com", routes=routes) == "products"


def test_the_rule_picks_the_pool_and_the_algorithm_picks_the_instance() -> None:
    pools = [PoolConfig("users", "least_connections", (BackendConfig("i-1"), BackendConfig("i-2")))]
    balancer = Balancer(pools, [Route("users", path="/api/users")], rng=Random(1))
    chosen = [balancer.arrive(Request(number, 0.0, path="/api/users/123")) for number in range(4)]
    assert [decision.backend.name for decision in chosen if isinstance(decision, Forward)] == ["i-1", "i-2"] * 2
