"""What comes in and what goes wrong: arrivals, service times, faults."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds
from lbtutor.core.workload import (
    Conversation,
    Fault,
    MachineConfig,
    Traffic,
    arrivals,
    client_address,
    with_cookies,
)

rules = st.builds(
    Traffic,
    to=st.just("front"),
    rate=st.floats(min_value=0.1, max_value=50),
    arrivals=st.sampled_from(["poisson", "steady"]),
    clients=st.integers(min_value=1, max_value=5),
    path=st.sampled_from(["/", "/a"]),
    start=st.floats(min_value=0, max_value=5).map(Seconds),
    stop=st.none() | st.floats(min_value=0, max_value=12).map(Seconds),
)


@given(st.lists(rules, max_size=4), st.integers(min_value=0, max_value=3))
def test_arrivals_are_in_order_within_their_bounds_and_repeatable(traffic: list[Traffic], seed: int) -> None:
    stream = list(arrivals(traffic, seed, lasts=10.0))
    assert [arrival.at for arrival in stream] == sorted(arrival.at for arrival in stream)
    assert all(0 < arrival.at < 10.0 for arrival in stream)
    assert stream == list(arrivals(traffic, seed, lasts=10.0))


@given(st.lists(rules, min_size=1, max_size=4))
def test_the_stream_is_the_rules_merged_and_each_keeps_its_own_dice(traffic: list[Traffic]) -> None:
    merged = Counter(arrivals(traffic, 7, lasts=10.0))
    first_alone = Counter(arrivals(traffic[:1], 7, lasts=10.0))
    assert first_alone <= merged
    longer = Counter(arrivals([*traffic, Traffic("front", rate=3.0)], 7, lasts=10.0))
    assert merged <= longer


def test_two_rules_that_are_alike_are_two_crowds() -> None:
    rule = Traffic("front", rate=5.0)
    times = [arrival.at for arrival in arrivals([rule, rule], 1, lasts=20.0)]
    assert len(set(times)) == len(times) > 100


def test_arrivals_of_the_same_time_are_in_the_order_of_their_rules() -> None:
    traffic = [Traffic(to, rate=1.0, arrivals="steady") for to in ("b", "a")]
    assert [(arrival.at, arrival.to) for arrival in arrivals(traffic, 1, lasts=2.5)] == [
        (1.0, "b"),
        (1.0, "a"),
        (2.0, "b"),
        (2.0, "a"),
    ]


def test_steady_arrivals_are_evenly_spaced_from_one_gap_after_the_start_and_clients_take_turns() -> None:
    traffic = [Traffic("front", rate=4.0, arrivals="steady", clients=3, start=Seconds(2), stop=Seconds(3.5))]
    stream = list(arrivals(traffic, 1, lasts=10.0))
    assert [arrival.at for arrival in stream] == [2.25, 2.5, 2.75, 3.0, 3.25]
    assert [arrival.client for arrival in stream] == [0, 1, 2, 0, 1]


def test_steady_arrivals_do_not_drift() -> None:
    stream = list(arrivals([Traffic("front", rate=3.0, arrivals="steady")], 1, lasts=1000.5))
    assert len(stream) == 3001
    assert stream[2999].at == 1000.0


def test_poisson_arrivals_have_their_rate_and_vary_as_they_should() -> None:
    seconds, rate = 2000, 20.0
    counts = Counter(int(arrival.at) for arrival in arrivals([Traffic("front", rate=rate)], 1, lasts=seconds))
    mean = sum(counts.values()) / seconds
    variance = sum((counts[second] - mean) ** 2 for second in range(seconds)) / seconds
    assert mean == pytest.approx(rate, abs=6 * math.sqrt(rate / seconds))
    assert variance == pytest.approx(rate, rel=0.2), "the variance of a Poisson count is its mean"


def test_another_seed_gives_other_arrivals_of_the_same_kind() -> None:
    traffic = [Traffic("front", rate=5.0, clients=2, method="PUT", host="a.com", path="/x")]
    one, other = list(arrivals(traffic, 1, 10.0)), list(arrivals(traffic, 2, 10.0))
    assert one != other
    assert {(arrival.to, arrival.method, arrival.host, arrival.path) for arrival in one + other} == {
        ("front", "PUT", "a.com", "/x")
    }
    assert {arrival.client for arrival in one} == {0, 1}


def test_a_day_of_arrivals_is_made_lazily() -> None:
    assert next(arrivals([Traffic("front", rate=1_000_000)], 1, lasts=86_400)).at < 1


@given(st.integers(min_value=0, max_value=59_999), st.integers(min_value=0, max_value=59_999))
def test_every_client_has_a_loopback_address_of_its_own(one: int, other: int) -> None:
    octets = [int(octet) for octet in client_address(one).split(".")]
    assert octets[:2] == [127, 0]
    assert 1 <= octets[2] <= 255
    assert 1 <= octets[3] <= 254
    assert (client_address(one) == client_address(other)) == (one == other)


def test_the_first_clients_are_easy_to_tell() -> None:
    assert [client_address(client) for client in (0, 1, 249, 250)] == [
        "127.0.1.1",
        "127.0.1.2",
        "127.0.1.250",
        "127.0.2.1",
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": -1}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 2e6}, "rate"),
        ({"clients": 0}, "clients"),
        ({"clients": 60_001}, "clients"),
        ({"path": "api"}, "must start with a slash"),
    ],
)
def test_traffic_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Traffic(**{"to": "front", "rate": 1.0, **wrong})


def test_each_machine_has_dice_of_its_own_that_a_seed_repeats() -> None:
    a, b = MachineConfig("web", "a"), MachineConfig("web", "b")
    assert a.rng(1).random() == a.rng(1).random()
    assert len({a.rng(1).random(), a.rng(2).random(), b.rng(1).random()}) == 3


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("slow", 0), ("slow", -1), ("slow", float("nan")), ("slow", float("inf")), ("error", 0), ("error", 1.1)],
)
def test_a_fault_that_makes_no_sense_is_refused(kind: Any, amount: float) -> None:
    with pytest.raises(ConfigError, match=kind):
        Fault(kind, "web", "a", amount)


def test_what_is_sent_along_has_names_in_lower_case_as_the_balancer_sees_them() -> None:
    assert Traffic("front", 1, header={"X-Group": "b"}).fields == {"x-group": "b"}
    talk = Traffic("front", 1, websocket=Conversation(Seconds(1)))
    assert talk.fields == {"connection": "Upgrade", "upgrade": "websocket"}


@pytest.mark.parametrize(
    "header",
    [
        {"Host": "elsewhere"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Connection": "close"},
        {"X": "a\r\nX-Evil: 1"},
        {"X": "a\0"},
        {"X": " a"},
        {"X": "ä"},
        {"X Y": "a"},
        {"": "a"},
    ],
)
def test_fields_that_would_make_another_message_are_refused(header: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="field"):
        Traffic("front", 1, header=header)


def test_cookies_are_added_to_those_that_are_shown_anyway() -> None:
    assert with_cookies({"x": "1"}, "") == {"x": "1"}
    assert with_cookies({"x": "1"}, "a=1") == {"x": "1", "cookie": "a=1"}
    assert with_cookies({"cookie": "group=b"}, "a=1") == {"cookie": "group=b; a=1"}


def test_a_websocket_is_opened_with_get() -> None:
    with pytest.raises(ConfigError, match="GET"):
        Traffic("front", 1, method="POST", websocket=Conversation(Seconds(1)))


@pytest.mark.parametrize(("lasts", "every"), [(0, 1), (1, 0)])
def test_a_conversation_takes_time(lasts: float, every: float) -> None:
    with pytest.raises(ConfigError, match="longer than 0"):
        Conversation(Seconds(lasts), Seconds(every))


def test_a_machine_keeps_its_sessions_where_they_can_be_kept() -> None:
    with pytest.raises(ConfigError, match="sessions"):
        MachineConfig("web", "a", sessions="disk")
