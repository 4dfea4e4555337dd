"""Chapter, section 3 (Load Balancing Algorithms) and the hashing of section 5: what it says, held against what runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from statistics import fmean

import pytest

from lbtutor.core import ALGORITHMS, Act, Algorithm, Backend, Balancer, Fault, PoolConfig, Service
from lbtutor.core.algorithms.hashing import IpHash, address_hash
from lbtutor.core.algorithms.load import LeastConnections, LeastResponseTime
from lbtutor.core.algorithms.turns import RoundRobin, WeightedRoundRobin
from lbtutor.core.events import Arrived, Event, Finished, Picked
from lbtutor.core.messages import BackendConfig, Forward, Outcome, Request
from lbtutor.core.routing import Route

Play = Callable[..., list[Event]]


def picks(trace: Iterable[Event]) -> list[str]:
    return [event.backend for event in trace if isinstance(event, Picked)]


def shares(trace: Iterable[Event]) -> dict[str, int]:
    return dict(Counter(picks(trace)))


def mean_response(trace: Iterable[Event], server: str) -> float:
    return fmean(event.took for event in trace if isinstance(event, Finished) and event.backend == server)


def slowed(server: str, by: float, at: float = 0.0) -> Act:
    return Act(at, Fault("slow", "servers", server, by))


def servers(*weights: float) -> tuple[Backend, ...]:
    return tuple(Backend(BackendConfig(str(number), weight), 0.0) for number, weight in enumerate(weights, start=1))


def pick_of(algorithm: Algorithm, offered: tuple[Backend, ...], client: str = "127.0.0.1", at: float = 0.0) -> str:
    return algorithm.pick(Request(1, at, client, client), offered).name


class InFlightSpread:
    """An algorithm that notes, before each pick of another, the most and the fewest requests in flight."""

    def __init__(self, chooser: Algorithm) -> None:
        self._chooser = chooser
        self.spreads: list[int] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        counts = [backend.in_flight for backend in backends]
        self.spreads.append(max(counts) - min(counts))
        return self._chooser.pick(request, backends)


def test_round_robin_sends_the_first_five_requests_to_1_2_3_1_2(play: Play) -> None:
    assert picks(play(algorithm="round_robin"))[:5] == ["1", "2", "3", "1", "2"]


def test_round_robin_is_fair_over_any_number_of_requests(play: Play) -> None:
    order = picks(play(algorithm="round_robin", arrivals="poisson", rate=10))
    assert len(order) > 200
    for length in range(1, len(order) + 1):
        counts = [order[:length].count(server) for server in "123"]
        assert max(counts) - min(counts) <= 1


def test_round_robin_does_not_notice_that_a_server_is_slow(play: Play) -> None:
    trace = play(algorithm="round_robin", acts=[slowed("2", by=20)])
    assert max(shares(trace).values()) - min(shares(trace).values()) <= 1
    assert mean_response(trace, "2") == pytest.approx(20 * mean_response(trace, "1"))


def test_with_different_capacities_round_robin_stays_even_in_requests_and_becomes_uneven_in_load(play: Play) -> None:
    """ "Uneven distribution" is loosely said: the requests are distributed evenly, and that is the trouble."""
    trace = play(algorithm="round_robin", workers=[4, 4, 1], rate=200, service=Service("constant", 0.02), lasts=10)
    assert max(shares(trace).values()) - min(shares(trace).values()) <= 1
    assert mean_response(trace, "1") == pytest.approx(0.02)
    assert mean_response(trace, "3") > 10 * mean_response(trace, "1")


def test_least_connections_sends_the_next_to_server_2_when_10_5_and_8_are_active() -> None:
    offered = servers(1, 1, 1)
    for backend, active in zip(offered, (10, 5, 8), strict=True):
        backend.in_flight = active
    assert pick_of(LeastConnections(), offered) == "2"


def test_least_connections_spares_a_slow_server_without_being_told(play: Play) -> None:
    slow = [slowed("2", by=20)]
    blind = play(algorithm="round_robin", rate=100, acts=slow, service=Service("exponential", 0.02), workers=[50] * 3)
    adaptive = play(
        algorithm="least_connections", rate=100, acts=slow, service=Service("exponential", 0.02), workers=[50] * 3
    )
    assert shares(adaptive)["2"] < shares(blind)["2"] / 3


def test_what_least_connections_counts_are_requests_under_way_not_connections_that_stay_open() -> None:
    balancer = Balancer(
        [PoolConfig("servers", "least_connections", (BackendConfig("1"), BackendConfig("2")))],
        [Route("servers")],
        rng=Random(1),
    )

    def arrive(number: int) -> str:
        decision = balancer.arrive(Request(number, float(number)))
        assert isinstance(decision, Forward)
        return decision.backend.name

    assert [arrive(1), arrive(2)] == ["1", "2"]
    balancer.finish(2, Outcome.answered(200), 2.5)
    assert [arrive(3), balancer.finish(3, Outcome.answered(200), 3.5)] == ["2", None]
    assert arrive(4) == "2"


def test_least_connections_keeps_long_requests_more_even_than_round_robin_does(play: Play) -> None:
    spread: dict[str, float] = {}
    for name, chooser in (("turns", RoundRobin()), ("counts", LeastConnections())):
        noting = InFlightSpread(chooser)
        play(algorithm=noting, rate=20, service=Service("exponential", 2.0), workers=[1000] * 3, lasts=100)
        spread[name] = fmean(noting.spreads)
    assert spread["counts"] <= 1.5
    assert spread["turns"] > 3 * spread["counts"]


def test_least_connections_does_not_know_capacity_unless_weights_say_it() -> None:
    for weights, chosen in (((1, 1), "2"), ((4, 1), "1")):
        offered = servers(*weights)
        offered[0].in_flight, offered[1].in_flight = 5, 2
        assert pick_of(LeastConnections(), offered) == chosen


def test_ip_hash_sends_the_same_client_to_the_same_server(play: Play) -> None:
    trace = play(algorithm="ip_hash", arrivals="poisson", clients=40, rate=50)
    client_of = {event.request: event.client for event in trace if isinstance(event, Arrived)}
    seen: dict[str, set[str]] = {}
    for event in trace:
        if isinstance(event, Picked):
            seen.setdefault(client_of[event.request], set()).add(event.backend)
    assert len(seen) == 40
    assert all(len(one) == 1 for one in seen.values())


def test_ip_hash_decides_alike_in_another_balancer_in_another_order() -> None:
    clients = [f"10.0.{block}.{last}" for block in range(4) for last in range(1, 50)]
    once = {client: pick_of(IpHash(), servers(1, 1, 1), client) for client in clients}
    again = {client: pick_of(IpHash(), servers(1, 1, 1), client) for client in reversed(clients)}
    assert once == again


def test_the_chapters_three_clients_go_to_two_servers_under_our_hash_not_to_one_each() -> None:
    """Its places 1, 2, 0 belong to some other hash, and its places 1, 2, 0 to servers 1, 2, 3 to another numbering."""
    clients = ["192.168.1.100", "192.168.1.101", "192.168.1.102"]
    assert [address_hash(client) % 3 for client in clients] == [2, 1, 1]
    assert [pick_of(IpHash(), servers(1, 1, 1), client) for client in clients] == ["3", "2", "2"]


def test_neighbouring_addresses_are_spread_and_it_is_shared_addresses_that_are_not() -> None:
    """ "Uneven if IPs are clustered" holds for a network behind one address; ours spreads neighbours evenly."""
    network = Counter(pick_of(IpHash(), servers(1, 1, 1), f"10.1.1.{last}") for last in range(1, 255))
    assert all(count == pytest.approx(254 / 3, rel=0.2) for count in network.values())
    company = Counter(pick_of(IpHash(), servers(1, 1, 1), "203.0.113.7") for _ in range(254))
    assert list(company.values()) == [254]


def test_ip_hash_goes_on_sending_its_clients_to_a_slow_server(play: Play) -> None:
    calm = play(algorithm="ip_hash", clients=40)
    slow = play(algorithm="ip_hash", clients=40, acts=[slowed("2", by=20)])
    assert picks(slow) == picks(calm)


def test_the_same_ip_goes_elsewhere_when_the_pool_changes_and_not_only_those_of_the_lost_server() -> None:
    """ "Same IP always routes to same server" is true while the pool stays as it is."""
    clients = [f"10.0.{block}.{last}" for block in range(10) for last in range(1, 101)]
    three = servers(1, 1, 1)
    two = three[:2]
    before = {client: pick_of(IpHash(), three, client) for client in clients}
    after = {client: pick_of(IpHash(), two, client) for client in clients}
    lost = [client for client in clients if before[client] == "3"]
    moved = [client for client in clients if before[client] != after[client]]
    assert set(lost) < set(moved)
    assert len(moved) / len(clients) == pytest.approx(2 / 3, abs=0.05)


def test_weights_3_2_1_give_3_2_and_1_of_each_six_requests(play: Play) -> None:
    order = picks(play(algorithm="weighted_round_robin", weights=[3, 2, 1], lasts=30))
    assert len(order) >= 294
    for start in range(0, 294, 6):
        assert Counter(order[start : start + 6]) == {"1": 3, "2": 2, "3": 1}


def test_weights_3_2_1_are_served_spread_out_not_3_then_2_then_1(play: Play) -> None:
    assert picks(play(algorithm="weighted_round_robin", weights=[3, 2, 1]))[:6] == ["1", "2", "1", "3", "2", "1"]


def test_weights_that_match_capacities_even_out_what_round_robin_does_not(play: Play) -> None:
    service = Service("exponential", 0.02)

    def worst(algorithm: str, weights: list[float]) -> float:
        trace = play(
            algorithm=algorithm,
            weights=weights,
            workers=[4, 2, 1],
            rate=250,
            arrivals="poisson",
            service=service,
            lasts=20,
        )
        return max(mean_response(trace, server) for server in "123")

    assert worst("round_robin", [1, 1, 1]) > 5 * worst("weighted_round_robin", [4, 2, 1])


def test_weighted_round_robin_does_not_adapt_to_load(play: Play) -> None:
    calm = play(algorithm="weighted_round_robin", weights=[3, 2, 1])
    slow = play(algorithm="weighted_round_robin", weights=[3, 2, 1], acts=[slowed("1", by=50)])
    assert picks(slow) == picks(calm)


def test_round_robin_is_weighted_round_robin_with_equal_weights() -> None:
    offered = servers(1, 1, 1)
    plain, weighted = RoundRobin(), WeightedRoundRobin()
    assert [pick_of(plain, offered) for _ in range(30)] == [pick_of(weighted, offered) for _ in range(30)]


def answered(backend: Backend, took: float, in_flight: int = 0) -> None:
    backend.answered(took, now=0.0)
    backend.in_flight = in_flight


def test_least_response_time_sends_an_idle_pools_next_request_to_the_server_with_the_lowest_average() -> None:
    offered = servers(1, 1, 1)
    for backend, took in zip(offered, (0.030, 0.010, 0.020), strict=True):
        answered(backend, took)
    assert pick_of(LeastResponseTime(), offered) == "2"


def test_least_response_time_is_not_the_average_alone_but_also_who_has_how_many_under_way() -> None:
    offered = servers(1, 1, 1)
    for backend, took, in_flight in zip(offered, (0.030, 0.010, 0.020), (0, 3, 0), strict=True):
        answered(backend, took, in_flight)
    assert pick_of(LeastResponseTime(), offered) == "3"


class LowestAverage:
    """What the chapter says and no more: the server with the lowest average response time."""

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return min(backends, key=lambda backend: backend.latency or 0.0)


def test_the_lowest_average_alone_overloads_the_fast_server_in_turns_and_ours_does_not(play: Play) -> None:
    worst: dict[str, float] = {}
    for name, chooser in (("average alone", LowestAverage()), ("ours", LeastResponseTime())):
        noting = InFlightSpread(chooser)
        play(algorithm=noting, rate=100, workers=[1] * 3, service=Service("exponential", 0.02), arrivals="poisson")
        worst[name] = fmean(noting.spreads)
    assert worst["average alone"] > 3 * worst["ours"]


def test_least_response_time_leaves_a_server_that_became_slow(play: Play) -> None:
    before, after = Counter[str](), Counter[str]()
    for seed in range(10):
        trace = play(
            algorithm="least_response_time",
            rate=60,
            service=Service("exponential", 0.02),
            acts=[slowed("2", by=20, at=15.0)],
            seed=seed,
        )
        for event in trace:
            if isinstance(event, Picked):
                (before if event.at < 15 else after)[event.backend] += 1
    assert before["2"] == pytest.approx(before.total() / 3, rel=0.25)
    assert 0 < after["2"] < before["2"] / 10


def test_all_five_algorithms_of_the_chapter_are_here() -> None:
    assert {
        "round_robin",
        "least_connections",
        "ip_hash",
        "weighted_round_robin",
        "least_response_time",
    } <= set(ALGORITHMS)
