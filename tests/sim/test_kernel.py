"""The kernel plays a world: against theory, against the books, and against what must follow from a mishap."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from math import factorial, sqrt
from statistics import fmean, stdev

import pytest

from lbtutor.core import PassiveCheck, Retry, Seconds
from lbtutor.core.errors import ConfigError
from lbtutor.core.health import HealthCheck
from lbtutor.core.scaling import Scaling
from lbtutor.sim.kernel import AVAILABLE, Player, is_made, play, play_all
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import KERNEL_ALGORITHMS, Balancers, Carts, Dns, Fleet, Load, Mishap, Sockets, World

STUDENT = 4.781
"""The 99.95th percentile of Student's t with 9 degrees of freedom: a 99.9 % interval from ten seeds."""

BARE = Balancers(count=1, capacity=1e9, adds=Seconds(0))
QUICK = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5), rise=2, fall=3)


def station(slots: int, load: float, *, shape: str = "exponential", spread: float = 1.0, seed: int = 1) -> World:
    """One machine of so many slots, each busy for 10 ms on average, at that share of what it can do."""
    fleet = Fleet(
        name="web",
        instances=1,
        capacity=slots * 100,
        work=Seconds(0.01),
        shape=shape,  # type: ignore[arg-type]
        spread=spread,
        queue=10**6,
        algorithm="round_robin",
    )
    rate = load * slots * 100
    return World(
        fleets=(fleet,), balancers=BARE, load=Load(rate=((0.0, rate),)), lasts=Seconds(round(30_000 / rate)), seed=seed
    )


def web(**changes: object) -> Fleet:
    """Ten instances that do a hundred requests a second each."""
    numbers: dict[str, object] = {"name": "web", "instances": 10, "capacity": 100, "work": Seconds(0.05)}
    return Fleet(**{**numbers, "health": QUICK, **changes})  # type: ignore[arg-type]


def world(
    fleet: Fleet, *mishaps: Mishap, rate: float = 300, lasts: float = 10, seed: int = 1, **parts: object
) -> World:
    return World(
        fleets=(fleet,),
        load=Load(rate=((0.0, rate),), clients=200),
        mishaps=mishaps,
        lasts=Seconds(lasts),
        seed=seed,
        **{"balancers": Balancers(count=2), **parts},  # type: ignore[arg-type]
    )


def books_balance(tape: Tape) -> bool:
    """Every request ended once, or is still under way."""
    ended = sum(tape.total(name) for name in ("served", "shed", "shed_by_balancer")) + tape.failed()
    return tape.total("offered") == ended + tape.series("in_flight")[-1]


def assert_theory(theory: float, runs: Sequence[float], within: float) -> None:
    """The 99.9 % interval of the mean of ten runs holds `theory`, and is no wider to a side than `within` of it."""
    mean, reach = fmean(runs), STUDENT * stdev(runs) / sqrt(len(runs))
    assert mean - reach <= theory <= mean + reach, f"{mean:.5g} ± {reach:.2g}, where theory says {theory:.5g}"
    assert reach <= within * theory, f"± {reach / theory:.1%} is too wide to tell"


def erlang_c_wait(slots: int, load: float, work: float) -> float:
    """The mean wait of M/M/c (Erlang 1917)."""
    offered = slots * load
    waits = offered**slots / factorial(slots) / (1 - load)
    waits /= sum(offered**k / factorial(k) for k in range(slots)) + waits
    return waits * work / (slots * (1 - load))


def waits(worlds: Sequence[World]) -> list[float]:
    return [tape.total("waited") / tape.total("served") for tape in map(play, worlds)]


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "load"), [(1, 0.7), (5, 0.8)])
def test_the_wait_in_line_is_erlangs(slots: int, load: float) -> None:
    runs = waits([station(slots, load, seed=seed) for seed in range(10)])
    assert_theory(erlang_c_wait(slots, load, 0.01), runs, within=0.12)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "spread"), [("constant", 0.0), ("lognormal", 1.5)])
def test_the_wait_in_line_is_pollaczeks_and_khinchines(shape: str, spread: float) -> None:
    runs = waits([station(1, 0.6, shape=shape, spread=spread or 1.0, seed=seed) for seed in range(10)])
    assert_theory(0.6 / 0.4 * (1 + spread**2) / 2 * 0.01, runs, within=0.15)


@pytest.mark.slow
def test_littles_law_holds_for_the_slots() -> None:
    shares = [fmean(play(station(5, 0.8, seed=seed)).utilisation("web")) for seed in range(10)]
    assert_theory(0.8, shares, within=0.03)


def test_the_books_balance_through_every_mishap() -> None:
    fleet = web(
        retry=Retry(attempts=3, budget=0.5, on=("connect", "close", "timeout", "503"), backoff=Seconds(0.01)),
        passive=PassiveCheck(fails=3, eject=Seconds(2)),
        slow_start=Seconds(1),
        timeout=Seconds(0.5),
        queue=5,
        carts=Carts(share=0.5, open=100, lasts=Seconds(3)),
        sticky=Seconds(2),
        sockets=Sockets(open=40, lasts=Seconds(2)),
    )
    mishaps = (
        Mishap(at=Seconds(1), kind="crash", fleet="web", instances=(1,), lasts=Seconds(4)),
        Mishap(at=Seconds(1.5), kind="hang", fleet="web", instances=(2, 3), lasts=Seconds(3)),
        Mishap(at=Seconds(2), kind="slow", fleet="web", share=0.2, amount=5.0),
        Mishap(at=Seconds(3), kind="crash", balancer=1, lasts=Seconds(2)),
        Mishap(at=Seconds(6), kind="deploy", fleet="web", amount=0.3, drain=Seconds(0.2), restart=Seconds(0.3)),
    )
    tape = play(world(fleet, *mishaps, rate=900))
    assert books_balance(tape)
    for name in ("shed", "failed_before", "retried", "carts_lost", "sockets_lost", "ejected"):
        assert tape.total(name) > 0, name


def test_a_crash_costs_requests_until_the_probes_have_found_it() -> None:
    crash = Mishap(at=Seconds(2), kind="crash", fleet="web", instances=(4,))
    tape = play(world(web(algorithm="round_robin"), crash, lasts=8))
    failed = [
        before + after for before, after in zip(tape.series("failed_before"), tape.series("failed_after"), strict=True)
    ]
    assert failed[2] > 0
    assert sum(failed[:2]) == sum(failed[6:]) == 0, "three probes, a second apart"
    assert tape.series("up")[-1] == 9
    assert tape.series("offered_to")[-1] == 18


def test_a_hung_machine_is_found_later_than_one_that_refuses() -> None:
    def lost(kind: str) -> float:
        mishap = Mishap(at=Seconds(2.2), kind=kind, fleet="web", instances=(0,))  # type: ignore[arg-type]
        return play(world(web(algorithm="round_robin", timeout=Seconds(0.7)), mishap, lasts=10)).failed()

    assert lost("hang") > lost("crash") > 0


def test_least_connections_throws_everything_at_a_machine_that_fails_fast() -> None:
    crash = Mishap(at=Seconds(2), kind="crash", fleet="web", instances=(4,))
    drawn, in_turn = (
        play(world(web(algorithm=name), crash, rate=800, lasts=8)).failed()
        for name in ("least_connections", "round_robin")
    )
    assert drawn > 3 * in_turn


def test_a_retry_saves_what_was_refused() -> None:
    crash = Mishap(at=Seconds(2), kind="crash", fleet="web", instances=(4,))
    tape = play(world(web(retry=Retry(attempts=2)), crash))
    assert tape.failed() == 0
    assert tape.total("served_late") > 0


def test_without_a_budget_an_outage_is_multiplied() -> None:
    crash = Mishap(at=Seconds(2), kind="hang", fleet="web", zone=0)

    def tries(budget: float | None) -> float:
        retry = Retry(attempts=4, on=("timeout",), budget=budget)
        return play(world(web(zones=1, retry=retry, timeout=Seconds(0.1)), crash, lasts=5)).total("retried")

    assert tries(None) > 3 * tries(0.1)


def test_passive_checks_find_a_crash_before_the_probes() -> None:
    crash = Mishap(at=Seconds(2), kind="crash", fleet="web", instances=(4,))
    slowly = play(world(web(algorithm="round_robin"), crash))
    quickly = play(world(web(algorithm="round_robin", passive=PassiveCheck(fails=2)), crash))
    assert quickly.total("ejected") == 2
    assert quickly.failed() < slowly.failed() / 2


@pytest.mark.parametrize(("check", "lost_at_the_end"), [(None, True), (QUICK, False)])
def test_a_dead_balancer_keeps_its_clients_until_their_names_are_too_old(
    check: HealthCheck | None, lost_at_the_end: bool
) -> None:
    crash = Mishap(at=Seconds(2), kind="crash", balancer=0)
    tape = play(world(web(), crash, lasts=15, balancers=Balancers(dns=Dns(ttl=Seconds(4), health=check))))
    assert tape.failed(between=(3, 4)) > 0
    assert (tape.failed(between=(12, 15)) > 0) == lost_at_the_end
    assert (tape.total("failed_after") > 0) == (check is not None)


def test_a_balancer_sheds_what_it_cannot_take_in() -> None:
    tape = play(world(web(), rate=600, balancers=Balancers(count=2, capacity=200)))
    assert tape.total("shed_by_balancer", between=(2, 10)) / tape.total("offered", between=(2, 10)) == pytest.approx(
        1 / 3, abs=0.05
    )
    assert tape.total("added") / tape.total("served") > 0.005


@pytest.mark.parametrize(
    ("sticky", "store", "are_lost"), [(None, False, True), (Seconds(1800), False, False), (None, True, False)]
)
def test_carts_stay_only_where_they_are_found_again(sticky: Seconds | None, store: bool, are_lost: bool) -> None:
    tape = play(world(web(carts=Carts(open=50), sticky=sticky, store=store)))
    assert (tape.total("carts_lost") > 0) == are_lost


def test_a_sticky_cart_dies_with_its_machine() -> None:
    crash = Mishap(at=Seconds(4), kind="crash", fleet="web", instances=(0,))
    tape = play(world(web(carts=Carts(open=100), sticky=Seconds(1800)), crash))
    assert 0 < tape.total("carts_lost") < 40


def test_websockets_of_a_dead_machine_come_back_elsewhere() -> None:
    crash = Mishap(at=Seconds(4), kind="crash", fleet="web", instances=(0,))
    tape = play(world(web(sockets=Sockets(open=1000, reconnect=Seconds(0.5))), crash))
    assert tape.total("sockets_lost") == pytest.approx(100, abs=10)
    assert tape.series("sockets")[4] < 1000
    assert tape.series("sockets")[9] == pytest.approx(1000, abs=30)


def test_a_slow_start_gives_a_machine_its_share_by_degrees() -> None:
    back = Mishap(at=Seconds(1), kind="crash", fleet="web", instances=(0,), lasts=Seconds(3))
    weighted = web(algorithm="weighted_round_robin", slow_start=Seconds(4))
    picked = [play(world(weighted, back, lasts=14)).picked_of("web", between=(at, at + 1))[0] for at in (7, 12)]
    assert 0 < picked[0] < 0.8 * picked[1]


def test_a_deploy_that_drains_fails_nobody() -> None:
    deploy = Mishap(at=Seconds(1), kind="deploy", fleet="web", amount=0.2, drain=Seconds(0.8), restart=Seconds(0.5))
    tape = play(world(web(), deploy))
    assert tape.failed() == 0
    assert min(tape.series("up")) == 8
    assert tape.series("offered_to")[-1] == 20


def test_a_fleet_that_is_too_small_grows_and_one_too_large_shrinks() -> None:
    scaling = Scaling(
        min=2, max=20, target=0.6, period=Seconds(1), up_after=1, down_after=2, warm_up=Seconds(1), cool_down=Seconds(1)
    )
    busy = play(world(web(instances=4, scaling=scaling), rate=700, lasts=60))
    idle = play(world(web(instances=10, scaling=scaling), rate=60, lasts=50))
    assert 20 <= busy.series("offered_to")[-1] <= 28, "eleven or twelve, seen by two balancers"
    assert idle.series("instances")[-1] == 2
    assert idle.failed() == 0


def test_a_dead_machine_of_a_scaled_fleet_is_replaced() -> None:
    scaling = Scaling(min=10, max=10, warm_up=Seconds(2))
    crash = Mishap(at=Seconds(2), kind="crash", fleet="web", instances=(4,))
    tape = play(world(web(scaling=scaling), crash, lasts=12))
    assert tape.series("up")[4] == 9
    assert tape.series("up")[-1] == 10


def test_the_rate_follows_its_line() -> None:
    ramp = Load(rate=((2.0, 0.0), (7.0, 1000.0)), arrivals="steady")
    tape = play(World(fleets=(web(instances=20),), load=ramp, lasts=Seconds(10)))
    assert tape.series("offered") == pytest.approx([0, 0, 100, 300, 500, 700, 900, 1000, 1000, 1000], abs=1)


def test_requests_go_to_fleets_in_proportion_to_their_shares() -> None:
    fleets = (web(share=3.0), web(name="api", share=1.0))
    tape = play(World(fleets=fleets, load=Load(rate=((0.0, 1000.0),)), lasts=Seconds(10)))
    assert tape.total("offered", "web") / tape.total("offered") == pytest.approx(0.75, abs=0.02)


def test_one_seed_gives_one_tape_and_another_another() -> None:
    assert play(world(web(), lasts=2)) == play(world(web(), lasts=2))
    assert play(world(web(), lasts=2)) != play(world(web(), lasts=2, seed=2))


def test_designs_with_one_seed_meet_the_same_customers() -> None:
    one, other = (play(world(web(algorithm=name), lasts=3)) for name in ("random", "least_connections"))
    assert one.series("offered") == other.series("offered")


def test_memory_is_that_of_what_is_in_flight() -> None:
    short, long = (Player(station(5, 0.5)) for _ in range(2))
    short.play_second()
    for _ in range(20):
        long.play_second()
    assert long.most_at_once == short.most_at_once
    crowded = Player(
        world(web(timeout=Seconds(100)), Mishap(at=Seconds(0), kind="hang", fleet="web", zone=0), rate=3000)
    )
    for _ in range(3):
        crowded.play_second()
    assert crowded.most_at_once > short.most_at_once, "nine thousand wait for an answer that never comes"


def test_a_world_with_more_requests_than_can_be_told_apart_is_refused() -> None:
    with pytest.raises(ConfigError, match="flow model"):
        play(world(web(), rate=1e6, lasts=3600))


def test_ctrl_c_keeps_the_seconds_that_were_played() -> None:
    def interrupt(done: int, of: int) -> None:
        assert of == 10
        if done == 3:
            raise KeyboardInterrupt

    assert play(world(web()), interrupt).seconds == 3


@pytest.mark.slow
def test_many_worlds_are_played_in_processes_and_told_in_order() -> None:
    worlds = [world(web(), lasts=2, seed=seed) for seed in range(3)]
    assert list(play_all(worlds, processes=2)) == list(map(play, worlds))


def test_ctrl_c_keeps_the_worlds_that_were_played(monkeypatch: pytest.MonkeyPatch) -> None:
    play_second = Player.play_second

    def until_ctrl_c(player: Player) -> None:
        if player.world.seed == 2 and player.tape.seconds == 1:
            raise KeyboardInterrupt
        play_second(player)

    monkeypatch.setattr(Player, "play_second", until_ctrl_c)
    tapes = list(play_all([world(web(), lasts=2, seed=seed) for seed in range(4)], processes=1))
    assert [tape.seconds for tape in tapes] == [2, 2]


_INTERPRETED = """
import pickle, sys
sys.modules["numba"] = sys.modules["numpy"] = None
from lbtutor.sim.kernel import AVAILABLE, play
assert not AVAILABLE
pickle.dump(list(map(play, pickle.load(sys.stdin.buffer))), sys.stdout.buffer)
"""


@pytest.mark.slow
@pytest.mark.skipif(not AVAILABLE, reason="numba is not installed: there is nothing to compare with")
def test_the_interpreted_kernel_gives_the_same_tape_to_the_last_digit() -> None:
    crash = Mishap(at=Seconds(0.5), kind="crash", fleet="web", instances=(1,), lasts=Seconds(1))
    worlds = [world(web(algorithm=name, shape="lognormal"), crash, lasts=3) for name in KERNEL_ALGORITHMS]
    command = [sys.executable, "-c", _INTERPRETED]
    said = subprocess.run(command, input=pickle.dumps(worlds), capture_output=True, check=True).stdout
    assert pickle.loads(said) == list(map(play, worlds))


@pytest.mark.skipif(not AVAILABLE, reason="nothing is compiled")
def test_machine_code_is_made_once() -> None:
    play(world(web(), lasts=1))
    assert is_made()
