"""IP hash: which bytes, which place, and the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.algorithms.hashing import IpHash, address_hash
from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig, Request

CHAPTER = ("192.168.1.100", "192.168.1.101", "192.168.1.102")

clients = st.ip_addresses().map(str) | st.text(st.characters(codec="utf-8"), max_size=20)


def backends(*weights: float) -> tuple[Backend, ...]:
    return tuple(Backend(BackendConfig(str(index), weight=weight), now=0.0) for index, weight in enumerate(weights))


def place_of(client: str, pool: tuple[Backend, ...]) -> int:
    return pool.index(IpHash().pick(Request(id=1, at=0.0, client=client), pool))


def test_the_chapters_three_clients_have_the_hashes_of_the_docstring() -> None:
    assert [address_hash(client) for client in CHAPTER] == [0xD3A6A9C2, 0xA4A19954, 0x3DA8C8EE]


def test_two_of_the_chapters_clients_share_a_server_and_one_server_has_nobody() -> None:
    assert [place_of(client, backends(1, 1, 1)) for client in CHAPTER] == [2, 1, 1]


@pytest.mark.parametrize("client", ["127.0.0.1", "10.0.0.1", "203.0.113.7", "2001:db8::1", "::1"])
def test_the_bytes_are_those_of_the_address_in_network_order(client: str) -> None:
    assert address_hash(client) == zlib.crc32(ip_address(client).packed)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_wrapped_in_ipv6_counts_as_itself(address: IPv4Address) -> None:
    assert address_hash(f"::ffff:{address}") == address_hash(str(address))


def test_the_notation_of_an_address_does_not_count() -> None:
    assert address_hash("2001:db8:0:0:0:0:0:1") == address_hash("2001:DB8::1")


@pytest.mark.parametrize("client", ["", "client.example", "127.0.0.1:80", "é", "\udc80", "x" * 10_000])
def test_text_that_is_no_address_counts_as_its_bytes(client: str) -> None:
    assert address_hash(client) == zlib.crc32(client.encode("utf-8", "surrogateescape"))


@given(clients, st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=6))
def test_each_has_as_many_places_as_it_has_weight(client: str, weights: list[int]) -> None:
    places = [index for index, weight in enumerate(weights) for _ in range(weight)]
    assert place_of(client, backends(*weights)) == places[address_hash(client) % len(places)]


@given(clients, st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=6))
def test_fractional_weights_leave_nobody_without_a_place(client: str, weights: list[float]) -> None:
    assert 0 <= place_of(client, backends(*weights)) < len(weights)


@given(clients, st.lists(clients))
def test_a_client_stays_whoever_else_comes_and_whatever_the_load(client: str, others: list[str]) -> None:
    pool, algorithm = backends(1, 2, 1), IpHash()
    before = algorithm.pick(Request(id=1, at=0.0, client=client), pool)
    for other in others:
        algorithm.pick(Request(id=2, at=1.0, client=other), pool).in_flight += 1
    assert algorithm.pick(Request(id=3, at=99.0, client=client), pool) is before


def test_a_change_of_the_pool_moves_most_clients() -> None:
    addresses = [f"10.{index % 7}.{index % 251}.{index % 13}" for index in range(2000)]
    moved = sum(
        place_of(address, backends(1, 1, 1)) != place_of(address, backends(1, 1, 1, 1)) for address in addresses
    )
    assert 0.65 < moved / len(addresses) < 0.85


def test_while_one_is_full_and_not_offered_clients_of_the_others_move_too() -> None:
    everybody = backends(1, 1, 1)
    addresses = [f"10.0.{index % 251}.{index % 13}" for index in range(1000)]
    elsewhere = [address for address in addresses if place_of(address, everybody) != 2]
    moved = sum(place_of(address, everybody[:2]) != place_of(address, everybody) for address in elsewhere)
    assert 0.3 < moved / len(elsewhere) < 0.7


def test_another_process_with_another_hash_seed_agrees() -> None:
    program = f"from lbtutor.core.algorithms.hashing import address_hash as h; print(*map(h, {CHAPTER!r}))"
    for seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.split() == [str(address_hash(client)) for client in CHAPTER]


def test_it_says_the_hash_and_the_place() -> None:
    comparison = IpHash().compare(Request(id=1, at=0.0, client=CHAPTER[0]), backends(1, 1, 1))
    assert comparison.rule == "hash of 192.168.1.100 is 3550915010, place 2 of 3"
    assert comparison.numbers == (0, 0, 1)
