"""The flow model: what comes goes exactly once, and each line of its story against numbers worked out by hand."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

from lbtutor.core import HealthCheck, PassiveCheck, Retry, Seconds
from lbtutor.core.scaling import Scaling
from lbtutor.sim.flow import play_flow
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import Balancers, Carts, Dns, Fleet, Load, Mishap, Sockets, World

QUICK = HealthCheck(interval=Seconds(10), timeout=Seconds(2), rise=2, fall=2)
NOT_MENDED = Retry(1)
ALONE = Balancers(1, 100_000.0)


def fleet(**words: Any) -> Fleet:
    return Fleet(
        **{
            "name": "web",
            "instances": 10,
            "capacity": 1000.0,
            "health": QUICK,
            "retry": NOT_MENDED,
            "queue": 100,
            **words,
        }
    )


def world(*mishaps: Mishap, rate: float = 5000.0, lasts: float = 120, **words: Any) -> World:
    return World(
        fleets=words.pop("fleets", None) or (fleet(**words.pop("fleet", {})),),
        balancers=words.pop("balancers", Balancers(4, 100_000.0)),
        load=words.pop("load", Load(((0.0, rate),))),
        mishaps=mishaps,
        lasts=Seconds(lasts),
        **words,
    )


def at(second: float, kind: Any, **words: Any) -> Mishap:
    return Mishap(**{"at": Seconds(second), "kind": kind, "fleet": "" if "balancer" in words else "web", **words})


CALAMITIES = (
    at(10, "crash", instances=(0, 1), lasts=Seconds(30)),
    at(15, "hang", instances=(2,), lasts=Seconds(30)),
    at(20, "crash", balancer=1, lasts=Seconds(40)),
    at(40, "slow", share=1.0, amount=3.0, lasts=Seconds(20)),
    at(70, "deploy", amount=0.3, drain=Seconds(5), restart=Seconds(5)),
)
WORLDS = {
    "quiet": world(),
    "overload": world(rate=20_000.0),
    "calamities": world(*CALAMITIES),
    "two choices": world(*CALAMITIES, fleet={"algorithm": "power_of_two", "passive": PassiveCheck()}),
    "round robin": world(*CALAMITIES, fleet={"algorithm": "round_robin", "timeout": Seconds(1)}),
    "retries": world(
        *CALAMITIES, fleet={"retry": Retry(4, on=("connect", "timeout", "503")), "timeout": Seconds(0.02)}
    ),
    "sticky": world(
        *CALAMITIES, fleet={"sticky": Seconds(1800), "carts": Carts(0.5, 10_000), "sockets": Sockets(50_000)}
    ),
    "scaled": world(
        *CALAMITIES, rate=9000.0, fleet={"scaling": Scaling(10, 20, target=0.7, up_after=1, warm_up=Seconds(5))}
    ),
    "nobody": world(at(0, "crash", zone=0)),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_request_ends_exactly_once(name: str) -> None:
    tape = play_flow(WORLDS[name]).tape
    ended = [sum(row) for row in zip(*(tape.series(how) for how in _ENDS), strict=True)]
    in_flight = [0.0, *tape.series("in_flight")]
    for second, came in enumerate(tape.series("offered")):
        assert came == ended[second] + in_flight[second + 1] - in_flight[second], second
    assert all(number >= 0 for column in tape.counts.values() for number in column)


_ENDS = ("served", "shed", "shed_by_balancer", "failed_before", "failed_after")


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_world_gives_the_same_tape(name: str) -> None:
    assert play_flow(WORLDS[name]).tape == play_flow(WORLDS[name]).tape


def test_a_quiet_world_serves_everybody_at_the_load_that_was_offered() -> None:
    tape = play_flow(WORLDS["quiet"]).tape
    assert tape.total("served") == pytest.approx(120 * 5000, rel=1e-3)
    assert tape.utilisation("web")[60] == pytest.approx(0.5)
    assert tape.latency().mean == pytest.approx(0.005 + 0.001, rel=0.01)
    assert tape.quantile(0.5) == pytest.approx(0.001 + 0.005 * 0.693, rel=0.02)
    assert tape.quantile(0.99) == pytest.approx(0.001 + 0.005 * 4.605, rel=0.03)


def test_a_full_service_serves_its_capacity_and_sheds_the_rest() -> None:
    tape = play_flow(WORLDS["overload"]).tape
    assert tape.total("served", between=(10, 110)) == pytest.approx(100 * 10_000, rel=1e-3)
    assert tape.total("shed", between=(10, 110)) == pytest.approx(100 * 10_000, rel=1e-3)
    assert tape.utilisation("web")[60] == pytest.approx(1.0)


def test_balancers_shed_what_is_beyond_their_capacity_and_add_their_whole_queue() -> None:
    tape = play_flow(world(balancers=Balancers(4, 1000.0))).tape
    assert tape.total("shed_by_balancer", between=(0, 100)) == pytest.approx(100 * 1000, rel=1e-3)
    assert tape.total("added") / tape.total("served") == pytest.approx(0.011)


def test_a_dead_balancer_keeps_its_clients_until_it_is_noticed_and_loses_them_within_one_ttl() -> None:
    dns = Dns(Seconds(20), HealthCheck(interval=Seconds(10), timeout=Seconds(2), fall=3))
    tape = play_flow(world(at(30, "crash", balancer=0), balancers=Balancers(4, 100_000.0, dns=dns))).tape
    failed = tape.at_balancer("failed", 0)
    assert failed[29] == 0
    assert failed[30:50] == pytest.approx([1250] * 20, abs=1)
    gone = next(second for second in range(30, 120) if not failed[second])
    begins = next(second for second in range(30, 120) if failed[second] < 1249)
    assert 50 <= begins <= 61, "three failed probes, ten seconds apart"
    assert gone - begins == pytest.approx(20, abs=1), "and the time to live after that"
    assert failed[begins + 9] == pytest.approx(625, abs=70)


def test_names_that_nobody_checks_lead_to_the_dead_for_ever() -> None:
    dns = Dns(Seconds(20))
    tape = play_flow(world(at(30, "crash", balancer=0), balancers=Balancers(4, 100_000.0, dns=dns))).tape
    assert tape.at_balancer("failed", 0)[119] == pytest.approx(1250, abs=1)


def test_a_crash_is_noticed_by_each_balancer_at_its_own_next_probes() -> None:
    """Round robin with interval 10 s and fall 2: all errors until 10 s, half as many at 15 s, none after 20 s."""
    tape = play_flow(world(at(30, "crash", instances=(3,)), fleet={"algorithm": "round_robin"})).tape
    failed = tape.series("failed_before")
    assert failed[31:40] == pytest.approx([500] * 9, abs=1)
    assert failed[44] == pytest.approx(250, rel=0.15)
    assert not sum(failed[50:])


def test_least_connections_sends_more_to_a_machine_that_refuses_everything() -> None:
    def lost(algorithm: str) -> float:
        words = {"algorithm": algorithm}
        tape = play_flow(world(at(30, "crash", instances=(3,)), balancers=ALONE, fleet=words)).tape
        return tape.total("failed_before", between=(31, 40))

    assert lost("round_robin") == pytest.approx(9 * 500, rel=0.01)
    assert lost("power_of_two") == pytest.approx(9 * 1000, rel=0.01)
    assert lost("least_connections") > 3 * lost("round_robin")


def test_passive_checks_cost_so_many_requests_as_they_count_at_each_balancer() -> None:
    words = {"algorithm": "round_robin", "health": None, "passive": PassiveCheck(fails=5, eject=Seconds(300))}
    tape = play_flow(world(at(30, "crash", instances=(3,)), fleet=words)).tape
    assert tape.total("failed_before") == pytest.approx(5 * 4 + 500 * 0.005, abs=1)
    assert tape.total("ejected") == 4


def test_a_retry_mends_what_one_dead_machine_refuses() -> None:
    tape = play_flow(world(at(30, "crash", instances=(3,)), fleet={"retry": Retry(2)})).tape
    assert tape.failed(between=(31, 120)) == 0
    assert tape.total("retried") == tape.total("served_late") > 0


def test_slow_instances_get_less_from_who_looks_and_shed_where_nobody_does() -> None:
    slow = at(30, "slow", instances=(0,), amount=4.0)
    looking = play_flow(world(slow)).tape
    blind = play_flow(world(slow, fleet={"algorithm": "round_robin"})).tape
    assert looking.total("shed") == 0
    assert looking.picked_of("web", (60, 61))[0] < 150
    assert blind.series("shed")[60] == pytest.approx(250, abs=2)


@pytest.mark.parametrize(
    ("algorithm", "at_the_newcomer"), [("least_connections", 5000), ("power_of_two", 950), ("round_robin", 500)]
)
def test_to_who_counts_what_is_in_flight_an_instance_without_websockets_is_idle(
    algorithm: str, at_the_newcomer: int
) -> None:
    """A fresh machine has none, the others have thousands: least connections sends it everything that comes."""
    words = {"algorithm": algorithm, "sockets": Sockets(100_000), "capacity": 6000.0}
    tape = play_flow(world(at(30, "crash", instances=(0,), lasts=Seconds(30)), fleet=words)).tape
    assert tape.picked_of("web", (100, 101))[0] == pytest.approx(at_the_newcomer, rel=0.02)


@pytest.mark.parametrize(("budget", "recovers"), [(0.1, True), (None, False)])
def test_without_a_budget_a_storm_of_retries_outlives_what_began_it(budget: float | None, *, recovers: bool) -> None:
    words = {"retry": Retry(4, budget, on=("timeout",)), "timeout": Seconds(0.02), "queue": 1000}
    tape = play_flow(world(at(30, "slow", share=1.0, amount=2.0, lasts=Seconds(10)), rate=7000.0, fleet=words)).tape
    served = sum(tape.series("served")[100:110]) / 10
    assert (served > 6900) is recovers
    assert (served < 2000) is not recovers


def test_carts_are_lost_with_their_machine_unless_there_is_a_store() -> None:
    carts = {"carts": Carts(0.5, 10_000), "sticky": Seconds(1800)}
    crash = at(30, "crash", instances=(0,))
    assert play_flow(world(crash, fleet=carts)).tape.total("carts_lost") == pytest.approx(1000, abs=5)
    assert play_flow(world(crash, fleet={**carts, "store": True})).tape.total("carts_lost") == 0


def test_without_stickiness_nearly_every_request_misses_its_cart() -> None:
    tape = play_flow(world(fleet={"carts": Carts(0.5, 10_000)})).tape
    assert tape.total("carts_lost") == pytest.approx(120 * 2500 * 0.9, rel=0.01)


def test_a_newcomer_gets_few_carts_for_as_long_as_carts_live() -> None:
    """After scaling from 10 to 15, a newcomer's carts are those that began since: 1 - exp(-t / 1800) of its part."""
    words = {
        "carts": Carts(1.0, 10_000),
        "sticky": Seconds(1800),
        "scaling": Scaling(10, 15, target=0.5, up_after=1, warm_up=Seconds(0), scale_in=False),
    }
    tape = play_flow(world(rate=7500.0, lasts=700, fleet=words)).tape
    picked = tape.picked_of("web", (660, 661))
    assert picked[14] == pytest.approx(500 * (1 - exp(-600 / 1800)), rel=0.02)
    assert sum(picked) == pytest.approx(7500, abs=15)


def test_websockets_are_cut_with_what_they_went_through_and_come_back() -> None:
    words = {"sockets": Sockets(40_000, Seconds(600))}
    tape = play_flow(world(at(30, "crash", balancer=0), at(60, "crash", instances=(0,)), fleet=words)).tape
    lost = tape.series("sockets_lost")
    assert lost[30] == pytest.approx(10_000, abs=2)
    assert lost[60] == pytest.approx(4_000, rel=0.01)
    assert tape.series("sockets")[119] == pytest.approx(40_000, rel=0.001)


def test_scaling_adds_after_the_warm_up_and_removes_after_the_drain() -> None:
    scaling = Scaling(5, 20, target=0.5, up_after=2, down_after=2, warm_up=Seconds(45), cool_down=Seconds(0))
    load = Load(((0.0, 5000.0), (600.0, 5000.0), (601.0, 1000.0)))
    words = {"instances": 5, "scaling": scaling}
    played = play_flow(world(lasts=1200, load=load, fleet=words), {"web": 20.0})
    there = played.tape.series("instances")
    first = played.wishes[0][1]
    assert (first.at, first.was, first.wanted) == (120, 5, 10)
    assert (there[163], there[164]) == (5, 10)
    fewer = next(wish for _, wish in played.wishes if wish.wanted < wish.was)
    assert there[int(fewer.at) + 18] == 10 > there[int(fewer.at) + 20]


def test_herds_stay_few_through_a_day_of_trouble() -> None:
    mishaps = [at(60 * minute, "crash", share=0.1, lasts=Seconds(20)) for minute in range(1, 30)]
    tape = play_flow(world(*mishaps, lasts=1900, fleet={"instances": 60})).tape
    assert tape.series("up")[1899] == 60
    assert tape.series("offered_to")[1899] == 60 * 4


def test_the_minutes_are_told() -> None:
    told: list[float] = []
    play_flow(WORLDS["quiet"], each_minute=told.append)
    assert told == [60, 120]


def test_a_tape_of_the_flow_model_survives_paper() -> None:
    tape = play_flow(WORLDS["calamities"]).tape
    assert Tape.from_document(tape.document()) == tape
