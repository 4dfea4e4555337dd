"""The kernel's algorithms against those of the core: the same picks on the same arrivals, ends and changes of health.

Covered: round robin, smooth weights, least connections, two choices and random (given the same draws), least response
time, IP hash, the ring. The core's other algorithms (Maglev, rendezvous, peak EWMA) the kernel does not have. Not held
together: a retry on the ring while somebody just came, where the core still walks on in the ring without the newcomer.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core import Backend, BackendConfig
from lbtutor.core.algorithms import build_algorithm
from lbtutor.core.messages import Request
from lbtutor.sim.kernel.beliefs import list_offered
from lbtutor.sim.kernel.compiled import words
from lbtutor.sim.kernel.dice import CHOICE, new_dice, uniform
from lbtutor.sim.kernel.journey import enter, leave
from lbtutor.sim.kernel.layout import BELIEVED, HEALTHY, LATENCY, LATENCY_AT, SICK, SINCE
from lbtutor.sim.kernel.memory import client_address, instance_name, new_memory
from lbtutor.sim.kernel.picks import pick
from lbtutor.sim.kernel.rows import belief_at, belief_times_at
from lbtutor.sim.world import KERNEL_ALGORITHMS, Balancers, Fleet, Load, World

CLIENTS = 50


class SameDice(Random):
    """Draws what the kernel draws."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._words = words(int(word) for word in new_dice(seed))

    def random(self) -> float:
        return float(uniform(self._words, CHOICE))


class Twins:
    """One pool, known to the core and to the kernel; whatever happens, happens to both."""

    def __init__(self, algorithm: str, weights: tuple[float, ...], seed: int) -> None:
        fleet = Fleet(name="web", instances=len(weights), algorithm=algorithm, weights=weights)
        world = World(fleets=(fleet,), balancers=Balancers(count=1), load=Load(clients=CLIENTS), seed=seed)
        self.memory = new_memory(world)
        self.algorithm = build_algorithm(algorithm, SameDice(seed))
        self.backends = [
            Backend(BackendConfig(name=instance_name(i), weight=weight), 0.0) for i, weight in enumerate(weights)
        ]
        self.down: set[int] = set()
        self.now = 0.0
        self.under_way: list[int] = []
        self.tell()

    def tell(self) -> None:
        """Both hear who is up."""
        for i in range(len(self.backends)):
            self.memory.n[belief_at(self.memory, i) + BELIEVED] = SICK if i in self.down else HEALTHY
        list_offered(self.memory, 0, 0, self.now)
        for i, backend in enumerate(self.backends):
            backend.since = float(self.memory.x[belief_times_at(self.memory, i) + SINCE])
        self.offered = tuple(backend for i, backend in enumerate(self.backends) if i not in self.down)

    def turn(self, i: int) -> None:
        """That one goes down, or comes up."""
        self.down ^= {i % len(self.backends)}
        self.tell()

    def arrive(self, client: int, tried: int | None = None) -> None:
        """Both pick for that client; `tried` is where a retry has been."""
        offered = self.offered if tried is None else tuple(b for b in self.offered if b is not self.backends[tried])
        attempt = 1 if tried is None else 2
        theirs = pick(self.memory, 0, 0, client, attempt, 0 if tried is None else tried + 1, self.now)
        if not offered:
            assert theirs == -1
            return
        request = Request(id=1, at=self.now, client=client_address(client), attempt=attempt)
        ours = self.backends.index(self.algorithm.pick(request, offered))
        assert theirs == ours
        self.backends[ours].in_flight += 1
        enter(self.memory, 0, ours)
        self.under_way.append(ours)

    def finish(self, which: int, took: float) -> None:
        """One of those under way is answered."""
        if not self.under_way:
            return
        i = self.under_way.pop(which % len(self.under_way))
        self.backends[i].in_flight -= 1
        leave(self.memory, 0, i)
        self.backends[i].answered(took, self.now)
        row = belief_times_at(self.memory, i)
        self.memory.x[row + LATENCY], self.memory.x[row + LATENCY_AT] = self.backends[i].latency, self.now


def _steps(retries: bool) -> st.SearchStrategy[list[tuple[str, int, float]]]:
    kinds = ["arrive", "arrive", "arrive", "finish", "turn", "wait"] + ["retry"] * retries
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 1000), st.floats(0.001, 12.0)), min_size=5, max_size=60
    )


def _play(twins: Twins, steps: list[tuple[str, int, float]]) -> None:
    for kind, number, seconds in steps:
        if kind == "arrive":
            twins.arrive(number % CLIENTS)
        elif kind == "retry":
            twins.arrive(number % CLIENTS, tried=number % len(twins.backends))
        elif kind == "finish":
            twins.finish(number, seconds / 100)
        elif kind == "turn":
            twins.turn(number)
        else:
            twins.now += seconds


WEIGHTS = st.one_of(
    st.integers(1, 6).map(lambda count: (1.0,) * count),
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0]), min_size=1, max_size=6).map(tuple),
)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [name for name in KERNEL_ALGORITHMS if name != "consistent_hash"])
@given(weights=WEIGHTS, steps=_steps(retries=True), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_kernel_picks_what_the_core_picks(
    algorithm: str, weights: tuple[float, ...], steps: list[tuple[str, int, float]], seed: int
) -> None:
    _play(Twins(algorithm, weights, seed), steps)


@pytest.mark.slow
@given(weights=WEIGHTS, steps=_steps(retries=False))
@settings(max_examples=60, deadline=None)
def test_the_kernel_walks_the_ring_as_the_core_does(
    weights: tuple[float, ...], steps: list[tuple[str, int, float]]
) -> None:
    _play(Twins("consistent_hash", weights, 1), steps)


def test_a_tenth_of_the_weight_gets_a_tenth_of_the_load() -> None:
    twins = Twins("least_connections", (1.0, 0.1), 1)
    for client in range(22):
        twins.arrive(client)
    assert [backend.in_flight for backend in twins.backends] == [20, 2]


def test_sixty_turns_of_six_are_ten_each() -> None:
    twins = Twins("round_robin", (1.0,) * 6, 1)
    for client in range(60 % CLIENTS, 60 % CLIENTS + 60):
        twins.arrive(client % CLIENTS)
    assert {backend.in_flight for backend in twins.backends} == {10}
