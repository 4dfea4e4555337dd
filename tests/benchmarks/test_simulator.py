"""How many requests a second the simulator plays: `pytest -m benchmark -s tests/benchmarks/test_simulator.py`.

The same M/M/4 queue at 80 % load, played by `simulate` (whole balancer, one backend with four workers, nobody
listening), by SimPy (a process for each customer) and by Ciw, on one core. They take turns, round after round; told are
the medians, in requests a second of CPU time, and the medians of the ratios within a round, so that a slow minute is
slow for all. That they play the same queue is seen from the mean wait. Where SimPy or Ciw is not installed, it is
left out.

Measured on two shared Xeon cores, CPython 3.11: 458 000 requests/s, 3.1 times SimPy 4.1 and 7.1 times Ciw 3.2. What a
request costs, in microseconds, by the number of backends:

                          3     10     30    100    250
    round_robin         2.4    2.4    2.6    3.2    4.1
    weighted            2.7    3.3    5.0   12.1   25.1
    least_connections   3.6    4.3    5.8   10.3   20.2
    power_of_two        2.9    3.1    3.4    3.9    4.8
    consistent_hash     4.4    3.5    4.0    4.5    6.3

Of the 2.1 us that a request costs with one backend, the stream of arrivals takes 0.15, the balancer 0.65 (`arrive` and
`finish`), the station 0.56 and the heap 0.13; the rest is carrying between them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from importlib.util import find_spec
from random import Random
from statistics import fmean, median
from time import process_time
from typing import Any

import pytest

from lbtutor.core import (
    BackendConfig,
    ListenerConfig,
    MachineConfig,
    Plan,
    PoolConfig,
    Route,
    Seconds,
    Service,
    Traffic,
)
from lbtutor.core.events import EVERYTHING, Event, Finished, Why
from lbtutor.sim import simulate

REQUESTS = 50_000
ROUNDS = 7
WORKERS = 4
WORK = 0.010
LOAD = 0.8
RATE = LOAD * WORKERS / WORK
MEAN_WAIT = 0.0074554
"""Erlang C: see `tests/sim/test_theory.py`."""

pytestmark = pytest.mark.benchmark


def plan(backends: int = 1, algorithm: str = "round_robin", seed: int = 1, requests: int = REQUESTS) -> Plan:
    names = [f"srv-{number}" for number in range(backends)]
    rate = RATE * backends
    return Plan(
        listeners=(ListenerConfig("front"),),
        routes=(Route("web"),),
        pools=(PoolConfig("web", algorithm, tuple(map(BackendConfig, names))),),
        machines=tuple(MachineConfig("web", name, WORKERS, Service("exponential", WORK)) for name in names),
        traffic=(Traffic("front", rate),),
        lasts=Seconds(requests / rate),
        seed=seed,
    )


def ours(seed: int) -> None:
    simulate(plan(seed=seed), None)


def simpy(seed: int) -> float:
    """The mean wait."""
    import simpy as library

    dice = Random(seed)
    environment = library.Environment()
    workers = library.Resource(environment, capacity=WORKERS)
    waits: list[float] = []

    def customer() -> Generator[Any, Any, None]:
        came = environment.now
        with workers.request() as turn:
            yield turn
            waits.append(environment.now - came)
            yield environment.timeout(dice.expovariate(1 / WORK))

    def source() -> Generator[Any, Any, None]:
        for _ in range(REQUESTS):
            yield environment.timeout(dice.expovariate(RATE))
            environment.process(customer())

    environment.process(source())
    environment.run()
    return fmean(waits)


def ciw(seed: int) -> float:
    """The mean wait."""
    import ciw as library

    library.seed(seed)
    network = library.create_network(
        arrival_distributions=[library.dists.Exponential(RATE)],
        service_distributions=[library.dists.Exponential(1 / WORK)],
        number_of_servers=[WORKERS],
    )
    simulation = library.Simulation(network)
    simulation.simulate_until_max_customers(REQUESTS)
    return fmean(record.waiting_time for record in simulation.get_all_records())


def our_wait(seed: int) -> float:
    took: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            took.append(event.took)

    simulate(plan(seed=seed), note, kinds=frozenset({Finished}))
    return fmean(took) - WORK


def seconds(play: Callable[..., object], *arguments: object, **options: object) -> float:
    """CPU time."""
    before = process_time()
    play(*arguments, **options)
    return process_time() - before


OTHERS = {name: play for name, play in {"simpy": simpy, "ciw": ciw}.items() if find_spec(name)}


def test_requests_a_second_beside_simpy_and_ciw() -> None:
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *OTHERS)}
    for seed in range(ROUNDS):
        for name, play in {"ours": ours, **OTHERS}.items():
            rates[name].append(REQUESTS / seconds(play, seed))
    print(f"\nM/M/{WORKERS} at {LOAD:.0%}, {ROUNDS} rounds of {REQUESTS} requests, one core")
    for name, measured in rates.items():
        ratio = median(mine / its for mine, its in zip(rates["ours"], measured, strict=True))
        print(f"  {name:6} {median(measured):>10,.0f} requests/s   ours is {ratio:4.2f} x")
    for name, play in {"ours": our_wait, **OTHERS}.items():
        wait = fmean(play(seed) for seed in range(ROUNDS))
        print(f"  {name:6} mean wait {1000 * wait:5.2f} ms (Erlang C: {1000 * MEAN_WAIT:.2f} ms)")
        assert wait == pytest.approx(MEAN_WAIT, rel=0.1)
    if "simpy" in rates:
        assert median(rates["ours"]) >= 3 * median(rates["simpy"])


@pytest.mark.parametrize(
    "algorithm", ["round_robin", "weighted_round_robin", "least_connections", "power_of_two", "consistent_hash"]
)
def test_cost_of_a_request_against_the_number_of_backends(algorithm: str) -> None:
    told = []
    for backends in (3, 10, 30, 100, 250):
        plans = [plan(backends, algorithm, seed, requests=20_000) for seed in range(3)]
        cost = median(seconds(simulate, one, None) for one in plans) / 20_000
        told.append(f"{backends:>4}: {1e6 * cost:5.1f} us")
    print(f"\n{algorithm:22} {'   '.join(told)}")


@pytest.mark.parametrize("listens", ["everything", "everything but Why", "ends", "nothing"])
def test_cost_of_listening(listens: str) -> None:
    kinds = {"everything": EVERYTHING, "everything but Why": EVERYTHING - {Why}, "ends": frozenset({Finished})}
    plans = [plan(10, seed=seed) for seed in range(3)]
    told = median(
        REQUESTS / seconds(simulate, one, lambda event: None, kinds=kinds.get(listens, frozenset())) for one in plans
    )
    print(f"\n10 backends, listening to {listens}: {told:,.0f} requests/s")
