"""The compiled kernel, measured: against SimPy on the same M/M/c work, and the full challenge, request by request.

CPU time of this process. The first second of each world is left out: it loads machine code, or makes it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from random import Random
from time import process_time
from typing import Any

import pytest

from lbtutor.core import Seconds
from lbtutor.sim.kernel import AVAILABLE, Player, play
from lbtutor.sim.world import Balancers, Carts, Fleet, Load, Sockets, World

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not AVAILABLE, reason="the kernel is compiled where lbtutor[fast] is installed"),
]

SLOTS, WORK, LOAD = 100, 0.001, 0.8


def station(lasts: float) -> World:
    """M/M/c and nothing else: one machine, one balancer that costs nothing."""
    fleet = Fleet(
        name="web", instances=1, capacity=SLOTS / WORK, work=Seconds(WORK), queue=10**6, algorithm="round_robin"
    )
    bare = Balancers(count=1, capacity=1e9, adds=Seconds(0))
    return World(fleets=(fleet,), balancers=bare, load=Load(rate=((0.0, LOAD * SLOTS / WORK),)), lasts=Seconds(lasts))


def challenge(lasts: float, instances: int = 250) -> World:
    """The chapter's four services with as many instances as it allows at most, at a million requests a second."""
    shares = (("users", 50), ("products", 100), ("orders", 75), ("payments", 25))
    fleets = tuple(
        Fleet(name=name, share=count, instances=max(1, count * instances // 250), capacity=10_000 * 250 / instances)
        for name, count in shares
    )
    return World(fleets=fleets, balancers=Balancers(count=12), load=Load(rate=((0.0, 1e6),)), lasts=Seconds(lasts))


def everything(lasts: float) -> World:
    """The same with carts that stick and WebSockets."""
    plain = challenge(lasts)
    users, _, _, payments = plain.fleets
    stuck = Fleet(
        name="orders", share=75, instances=75, carts=Carts(open=1_000_000), sticky=Seconds(1800), slow_start=Seconds(30)
    )
    open_to_all = Fleet(name="products", share=100, instances=100, sockets=Sockets(open=200_000))
    return World(
        fleets=(users, open_to_all, stuck, payments), balancers=plain.balancers, load=plain.load, lasts=plain.lasts
    )


def requests_a_second(world: World) -> tuple[float, float]:
    """How many the kernel plays in a second of CPU, and how many seconds it took."""
    player = Player(world)
    player.play_second()
    began = process_time()
    while player.tape.seconds < player.seconds:
        player.play_second()
    took = process_time() - began
    return player.tape.total("served", between=(1, player.seconds)) / took, took


def simpys(simpy: Any, requests: int) -> float:
    """The same for SimPy, written as its documentation writes a bank: a process a customer, a resource with slots."""
    rng, environment = Random(1), simpy.Environment()
    slots = simpy.Resource(environment, SLOTS)

    def customer() -> Iterator[Any]:
        with slots.request() as request:
            yield request
            yield environment.timeout(rng.expovariate(1 / WORK))

    def customers() -> Iterator[Any]:
        for _ in range(requests):
            yield environment.timeout(rng.expovariate(LOAD * SLOTS / WORK))
            environment.process(customer())

    environment.process(customers())
    began = process_time()
    environment.run()
    return requests / (process_time() - began)


def test_the_kernel_plays_forty_times_as_many_requests_as_simpy() -> None:
    simpy: Any = pytest.importorskip("simpy")
    play(station(1))
    ours, theirs = [], []
    for _ in range(3):
        ours.append(requests_a_second(station(20))[0])
        theirs.append(simpys(simpy, 100_000))
    ratio = sorted(mine / their for mine, their in zip(ours, theirs, strict=True))[1]
    print(f"\nM/M/{SLOTS}: kernel {max(ours) / 1e6:.2f} M requests/s, SimPy {max(theirs) / 1e6:.3f}, ratio {ratio:.0f}")
    assert ratio >= 40


def test_a_minute_of_the_challenge_is_played_in_less_than_twenty_seconds() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    speed, took = requests_a_second(challenge(60))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"\n59 s of the challenge in {took:.1f} s: {speed / 1e6:.2f} M requests/s, {grown / 1024:.0f} MiB more memory"
    )
    assert took < 20 * 59 / 60
    assert grown < 100 * 1024


def test_what_a_backend_more_costs() -> None:
    print("\ninstances  M requests/s")
    for instances in (4, 10, 25, 50, 100, 250):
        print(f"{instances:9}  {requests_a_second(challenge(4, instances))[0] / 1e6:12.2f}")


def test_what_carts_and_sockets_cost() -> None:
    speed, _ = requests_a_second(everything(6))
    print(f"\nwith a million carts and 200 000 WebSockets: {speed / 1e6:.2f} M requests/s")
    assert speed > 1e6
