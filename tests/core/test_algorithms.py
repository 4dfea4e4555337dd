"""The laws that hold for every algorithm in the catalogue, and how one is built from a configuration.

Each law is tried on programs: requests that arrive, end, fail and are retried, in a real `Balancer` whose members come
and go. Indices are taken modulo what exists, so that every part of a program is a program too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core.algorithms import (
    ALGORITHMS,
    Algorithm,
    AlgorithmConfig,
    Comparison,
    Explains,
    Observes,
    build_algorithm,
)
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import ContractBroken, Event, Picked
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Command,
    Drain,
    Enable,
    Forward,
    Outcome,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route

names = pytest.mark.parametrize("name", ALGORITHMS)

SMALL: dict[str, AlgorithmConfig] = {
    "consistent_hash": {"name": "consistent_hash", "points": 40},
    "maglev": {"name": "maglev", "size": 251},
}
"""Those that build tables, with tables that are soon built."""

Step = tuple[Any, ...]

_index = st.integers(min_value=0, max_value=20)
_weights = st.sampled_from([0.25, 1, 1, 2, 3, 5, 10])
_steps = st.one_of(
    st.tuples(st.just("arrive"), _index),
    st.tuples(st.just("arrive"), _index),
    st.tuples(st.just("serve"), _index, st.sampled_from([0.001, 0.02, 0.5])),
    st.tuples(st.just("finish"), _index, st.sampled_from(["answered", "refused", "timed_out"])),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 1.0, 11.0, 300.0])),
    st.tuples(st.just("drain"), _index),
    st.tuples(st.just("enable"), _index),
    st.tuples(st.just("weight"), _index, _weights | st.just(0)),
    st.tuples(st.just("add"), _weights),
    st.tuples(st.just("remove"), _index),
)
pools = st.lists(_weights, min_size=1, max_size=5)
programs = st.lists(_steps, min_size=10, max_size=40)


class Choice(NamedTuple):
    """One pick, as a witness saw it."""

    request: Request
    offered: tuple[Backend, ...]
    comparison: Comparison
    chosen: Backend
    state_before: tuple[Any, ...]
    state_after: tuple[Any, ...]


class Witness:
    """Watches an algorithm at work."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.observe = getattr(algorithm, "observe", None)
        self.choices: list[Choice] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        before = state_of(backends)
        assert isinstance(self.algorithm, Explains)
        comparison = self.algorithm.compare(request, backends)
        chosen = self.algorithm.pick(request, backends)
        self.choices.append(Choice(request, backends, comparison, chosen, before, state_of(backends)))
        return chosen


def state_of(backends: Iterable[Backend]) -> tuple[Any, ...]:
    return tuple(tuple(getattr(backend, name) for name in Backend.__slots__) for backend in backends)


def play(
    program: Iterable[Step],
    weights: list[float],
    algorithm: Algorithm | None,
    configured: AlgorithmConfig = "round_robin",
    report: Callable[[Event], None] | None = None,
) -> list[str | None]:
    """Play `program`; what each request and each retry was given: a backend's name, or None."""
    config = PoolConfig("web", configured, tuple(map(member, range(len(weights)), weights)), retry=Retry(attempts=3))
    replaced = {} if algorithm is None else {"web": algorithm}
    balancer = Balancer([config], [Route("web")], rng=Random(5), report=report, algorithms=replaced)
    members = [backend.name for backend in config.backends]
    open_ids: list[int] = []
    given_to: list[str | None] = []
    now = 0.0

    def arrive(client: int) -> None:
        request = Request(id=len(given_to), at=now, client=f"10.0.0.{client}")
        decision = balancer.arrive(request)
        backend = getattr(decision, "backend", None)
        given_to.append(None if backend is None else backend.name)
        if backend is not None:
            open_ids.append(request.id)

    def finish(index: int, outcome: Outcome) -> None:
        request_id = open_ids.pop(index % len(open_ids))
        again = balancer.finish(request_id, outcome, now)
        if isinstance(again, Forward):
            given_to.append(again.backend.name)
            open_ids.append(request_id)

    def command(kind: Callable[..., Command], index: int, *more: float) -> None:
        balancer.command(kind("web", members[index % len(members)], *more), now)

    for kind, *arguments in program:
        match kind:
            case "arrive":
                arrive(arguments[0])
            case "serve":
                arrive(arguments[0])
                if open_ids:
                    now += arguments[1]
                    finish(-1, Outcome.answered(200))
            case "finish" if open_ids:
                outcome = Outcome.answered(200) if arguments[1] == "answered" else Outcome.failed(arguments[1])
                finish(arguments[0], outcome)
            case "wait":
                now += arguments[0]
            case "drain" if members:
                command(Drain, arguments[0])
            case "enable" if members:
                command(Enable, arguments[0])
            case "weight" if members:
                command(SetWeight, arguments[0], arguments[1])
            case "add" if len(members) < 8:
                newcomer = member(len(given_to) + 100, arguments[0])
                if newcomer.name not in members:
                    balancer.command(Add("web", newcomer), now)
                    members.append(newcomer.name)
            case "remove" if members:
                name = members.pop(arguments[0] % len(members))
                balancer.command(Remove("web", name), now)
    return given_to


def member(number: int, weight: float) -> BackendConfig:
    return BackendConfig(f"n{number}", weight=weight)


def build(name: str) -> Algorithm:
    return build_algorithm(SMALL.get(name, name), Random(3))


def witnessed(name: str, program: list[Step], weights: list[float]) -> list[Choice]:
    witness = Witness(build(name))
    play(program, weights, witness)
    return witness.choices


@names
@settings(max_examples=40)
@given(programs, pools)
def test_it_picks_one_of_those_offered(name: str, program: list[Step], weights: list[float]) -> None:
    assert all(choice.chosen in choice.offered for choice in witnessed(name, program, weights))


@names
@settings(max_examples=40)
@given(programs, pools)
def test_it_changes_no_backend(name: str, program: list[Step], weights: list[float]) -> None:
    assert all(choice.state_before == choice.state_after for choice in witnessed(name, program, weights))


@names
@settings(max_examples=40)
@given(programs, pools)
def test_the_one_it_picks_has_the_best_number_of_its_comparison(
    name: str, program: list[Step], weights: list[float]
) -> None:
    for choice in witnessed(name, program, weights):
        best = min if choice.comparison.best == "lowest" else max
        assert len(choice.comparison.numbers) == len(choice.offered)
        own = choice.comparison.numbers[choice.offered.index(choice.chosen)]
        assert own == best(number for number in choice.comparison.numbers if number is not None)
        assert choice.comparison.skipped or None not in choice.comparison.numbers
        assert choice.comparison.rule
        assert choice.comparison.tie


@names
@settings(max_examples=40)
@given(programs, pools)
def test_the_same_calls_give_the_same_picks_whether_or_not_anybody_listens(
    name: str, program: list[Step], weights: list[float]
) -> None:
    events: list[Event] = []
    told = play(program, weights, None, SMALL.get(name, name), events.append)
    assert told == play(program, weights, None, SMALL.get(name, name))
    assert [event.backend for event in events if isinstance(event, Picked)] == [pick for pick in told if pick]
    assert not any(isinstance(event, ContractBroken) for event in events)


@names
@settings(max_examples=15)
@given(programs, pools, programs, pools)
def test_two_pools_do_not_disturb_one_another(
    name: str, program: list[Step], weights: list[float], other: list[Step], other_weights: list[float]
) -> None:
    alone = play(program, weights, build(name))
    play(other, other_weights, build(name))
    assert play(program, weights, build(name)) == alone


@names
@given(st.lists(st.integers(min_value=0, max_value=255), min_size=1))
def test_with_one_backend_there_is_no_choice(name: str, clients: list[int]) -> None:
    program = [("arrive", client) for client in clients]
    assert set(play(program, [1], build(name))) == {"n0"}


@names
def test_everybody_works_when_all_are_alike(name: str) -> None:
    program = [("serve", client, 0.02) for client in range(200)]
    shares = [play(program, [1, 1, 1, 1], build(name)).count(f"n{number}") for number in range(4)]
    assert sum(shares) == 200
    assert min(shares) >= 30, "not even chance leaves anybody idle"


@names
def test_its_sentence_for_the_catalogue_is_there(name: str) -> None:
    assert ALGORITHMS[name].__doc__


class WithParameters:
    def __init__(self, points: int, rng: Random) -> None:
        self.points = points
        self.rng = rng

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return self.rng.choice(backends)

    def observe(self, event: Event) -> None:
        """Learns nothing."""


def test_a_table_names_the_parameters_and_rng_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "mine", WithParameters)
    rng = Random(1)
    built = build_algorithm({"name": "mine", "points": 160}, rng)
    assert isinstance(built, WithParameters)
    assert (built.points, built.rng) == (160, rng)
    assert isinstance(built, Observes)
    assert not isinstance(built, Explains)


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="no algorithm named 'least_connection'; did you mean 'least_connections'"):
        build_algorithm("least_connection", Random(1))
    with pytest.raises(ConfigError, match="known: round_robin, "):
        build_algorithm("xyz", Random(1))
    with pytest.raises(ConfigError, match="no algorithm named None"):
        build_algorithm({"points": 160}, Random(1))


def test_a_missing_parameter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "mine", WithParameters)
    with pytest.raises(ConfigError, match="algorithm 'mine': missing a required argument: 'points'"):
        build_algorithm("mine", Random(1))


@pytest.mark.parametrize("parameter", ["points", "rng"])
def test_an_unknown_parameter_is_refused(parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"algorithm 'round_robin' takes no parameter '{parameter}'"):
        build_algorithm({"name": "round_robin", parameter: 1}, Random(1))
