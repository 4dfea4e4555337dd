"""Each requirement on its own: held by the passing design, broken by the one change that should break it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from lbtutor.core import Seconds
from lbtutor.core.listening import Tls
from lbtutor.core.routing import Route
from lbtutor.course.challenge.day import drains_of, world_of
from lbtutor.course.challenge.design import HIDDEN, Design, Listen, find_design, load_design
from lbtutor.course.challenge.judge import Judged, cost_of, judge
from lbtutor.sim.flow import play_flow
from lbtutor.sim.tape import Tape


@pytest.fixture(scope="module")
def passing() -> Design:
    return load_design(find_design(HIDDEN))


@pytest.fixture(scope="module")
def tape(passing: Design) -> Tape:
    return play_flow(world_of(passing, 1), drains_of(passing)).tape


@pytest.fixture
def judged(passing: Design, tape: Tape) -> Callable[..., dict[str, Judged]]:
    """The passing design's day, judged as that of another design: what does not change the day can be seen alone."""

    def verdicts(**changes: Any) -> dict[str, Judged]:
        return {one.id: one for one in judge(structs.replace(passing, **changes), tape)}

    return verdicts


Verdicts = Callable[..., dict[str, Judged]]


def test_every_requirement_of_the_chapters_list_is_judged_in_its_order(judged: Verdicts) -> None:
    assert list(judged()) == [
        "capacity",
        "routing",
        "even",
        "failures",
        "carts",
        "websocket",
        "tls",
        "latency",
        "availability",
        "cost",
    ]


@pytest.mark.parametrize(
    ("listen", "told"),
    [(Listen(), "plain HTTP"), (Listen(tls=Tls(passthrough=True)), "leaves it to the instances")],
)
def test_tls_must_end_at_the_doors(judged: Verdicts, listen: Listen, told: str) -> None:
    one = judged(listen=listen)["tls"]
    assert one.verdict == "failed"
    assert told in one.measured


def test_an_idle_timeout_below_the_ping_cuts_every_websocket(judged: Verdicts, passing: Design) -> None:
    one = judged(listen=structs.replace(passing.listen, idle_timeout=Seconds(20)))["websocket"]
    assert (one.verdict, one.first_broken_at) == ("failed", 20)


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ((Route("users"),), "/api/products goes to users, not to products"),
        ((Route("users", "/api/users", exact=True),), "/api/users/123 goes to nobody"),
        ((Route("users", "/api/users", prefix="plain"),), "/api/usersx goes to users"),
        ((Route("users", "/api/users/*"),), "/api/users goes to nobody, not to users"),
    ],
)
def test_routes_are_asked_of_the_real_router(
    judged: Verdicts, passing: Design, routes: tuple[Route, ...], told: str
) -> None:
    others = tuple(route for route in passing.route if route.pool not in ("", "users"))
    changed = judged(route=routes if routes == (Route("users"),) else (*routes, *others))
    assert changed["routing"].verdict == "failed"
    assert told in changed["routing"].measured
    assert changed["capacity"].verdict == changed["availability"].verdict == "unknown", "requests never got there"


def test_a_hash_is_not_called_even_by_a_model_that_deals_it_out_evenly(judged: Verdicts, passing: Design) -> None:
    pools = {**passing.pool, "users": structs.replace(passing.pool["users"], algorithm="ip_hash")}
    assert judged(pool=pools)["even"].verdict == "unknown"


@pytest.mark.parametrize(("most", "verdict"), [(1.1, "passed"), (1.3, "failed")])
def test_what_was_played_exactly_says_whether_a_hash_is_even(
    passing: Design, tape: Tape, most: float, verdict: str
) -> None:
    pools = {**passing.pool, "users": structs.replace(passing.pool["users"], algorithm="ip_hash")}
    judged = {one.id: one for one in judge(structs.replace(passing, pool=pools), tape, {"users": most})}
    assert judged["even"].verdict == verdict
    assert f"{most:.2f} times (users)" in judged["even"].measured


def test_the_cost_adds_instances_balancers_and_stores(passing: Design, tape: Tape) -> None:
    cost = cost_of(passing, tape)
    capacity = passing.balancers.count * passing.balancers.capacity
    assert cost.instance_hours == pytest.approx(sum(tape.series("instances")) / 3600, abs=0.1)
    assert cost.total == pytest.approx(cost.instance_hours + 2 * capacity / 100_000 + 10, abs=0.2)


def test_an_hour_of_the_day_offers_what_the_chapter_says(tape: Tape) -> None:
    assert max(tape.series("offered")) == pytest.approx(1_000_000, abs=5)
    shares = [tape.total("offered", name) / tape.total("offered") for name in tape.fleets]
    assert shares == pytest.approx([0.2, 0.4, 0.3, 0.1])
