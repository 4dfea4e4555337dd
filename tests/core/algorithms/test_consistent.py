"""Consistent hashing: who moves when the pool changes, and the vectors of the products."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import ceil, isqrt
from random import Random
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core.algorithms.base import Algorithm, Part
from lbtutor.core.algorithms.consistent import (
    LARGEST_TABLE,
    ConsistentHash,
    Maglev,
    Rendezvous,
    Ring,
    fill,
    preference,
    ring_points,
    stable_hash,
)
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import BackendConfig, Request

Make = Callable[[], Algorithm]


def small_ring() -> ConsistentHash:
    return ConsistentHash(points=20)


def small_table() -> Maglev:
    return Maglev(size=251)


everyone = pytest.mark.parametrize("make", [small_ring, small_table, Rendezvous])
strict = pytest.mark.parametrize("make", [small_ring, Rendezvous])

weights = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0])
pools = st.dictionaries(st.text(max_size=4), weights, min_size=2, max_size=6)
keys = st.lists(st.text(max_size=20), min_size=1, max_size=30)

KEYS = [f"10.{index // 250}.{index % 250}.1" for index in range(4000)]


def backends(names_and_weights: dict[str, float]) -> tuple[Backend, ...]:
    return tuple(Backend(BackendConfig(name, weight=weight), now=0.0) for name, weight in names_and_weights.items())


def servers(count: int, weight: float = 1) -> tuple[Backend, ...]:
    return backends({f"srv-{number}": weight for number in range(1, count + 1)})


def request(key: str, attempt: int = 1) -> Request:
    return Request(id=1, at=0.0, key=key, attempt=attempt)


def places(algorithm: Algorithm, pool: tuple[Backend, ...], keys: list[str] = KEYS) -> dict[str, str]:
    """Where each key goes, by name."""
    return {key: algorithm.pick(request(key), pool).name for key in keys}


def without(pool: tuple[Backend, ...], gone: Backend) -> tuple[Backend, ...]:
    return tuple(backend for backend in pool if backend is not gone)


@everyone
@given(pools, keys, st.randoms(use_true_random=False))
def test_the_order_of_the_configuration_does_not_matter(
    make: Make, pool: dict[str, float], keys: list[str], rng: Random
) -> None:
    shuffled = rng.sample(list(pool.items()), len(pool))
    assert places(make(), backends(pool), keys) == places(make(), backends(dict(shuffled)), keys)


@strict
@given(pools, keys, st.integers(min_value=0))
def test_one_that_leaves_moves_only_its_own_keys_and_takes_them_back(
    make: Make, names: dict[str, float], keys: list[str], leaver: int
) -> None:
    algorithm, pool = make(), backends(names)
    gone = pool[leaver % len(pool)]
    before, after = places(algorithm, pool, keys), places(algorithm, without(pool, gone), keys)
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == gone.name}
    assert places(algorithm, pool, keys) == before


@strict
@given(pools, keys, st.sampled_from([1.5, 2.0, 4.0]))
def test_one_whose_weight_grows_takes_keys_and_nobody_else_does(
    make: Make, names: dict[str, float], keys: list[str], by: float
) -> None:
    pool = backends(names)
    before = places(make(), pool, keys)
    pool[0].weight *= by
    after = places(make(), pool, keys)
    assert {after[key] for key in keys if before[key] != after[key]} <= {pool[0].name}


@everyone
@given(pools, keys)
def test_a_key_stays_whoever_else_asks_and_whatever_the_load(
    make: Make, names: dict[str, float], keys: list[str]
) -> None:
    algorithm, pool = make(), backends(names)
    before = algorithm.pick(request("mine"), pool)
    for key in keys:
        algorithm.pick(request(key), pool).in_flight += 1
    assert algorithm.pick(request("mine"), pool) is before


@everyone
@given(pools, keys)
def test_a_retry_goes_on_to_another_and_moves_nobody(make: Make, names: dict[str, float], keys: list[str]) -> None:
    algorithm, pool = make(), backends(names)
    before = places(algorithm, pool, keys)
    for key in keys:
        left = without(pool, algorithm.pick(request(key), pool))
        assert algorithm.pick(request(key, attempt=2), left) in left
    assert places(algorithm, pool, keys) == before


@strict
@given(pools, keys)
def test_a_retry_goes_where_the_key_would_go_if_the_first_had_left(
    make: Make, names: dict[str, float], keys: list[str]
) -> None:
    algorithm, pool = make(), backends(names)
    for key in keys:
        left = without(pool, algorithm.pick(request(key), pool))
        assert algorithm.pick(request(key, attempt=2), left) is make().pick(request(key), left)


@everyone
def test_a_retry_that_finds_nobody_it_knows_is_placed_like_a_first_try(make: Make) -> None:
    algorithm, pool, strangers = make(), servers(2), backends({"new": 1, "newer": 1})
    for key in KEYS[:20]:
        algorithm.pick(request(key), pool)
        expected = make().pick(request(key), strangers)
        assert algorithm.pick(request(key, attempt=2), strangers) is expected
        assert make().pick(request(key, attempt=2), strangers) is expected


@everyone
def test_without_a_key_the_address_of_the_client_counts(make: Make) -> None:
    algorithm, pool = make(), servers(5)
    for client in KEYS[:50]:
        keyless = algorithm.pick(Request(id=1, at=0.0, client=client), pool)
        assert keyless is algorithm.pick(Request(id=1, at=0.0, client="10.0.0.1", key=client), pool)


@everyone
@pytest.mark.parametrize("key", ["é", "\udc80", "x" * 10_000, "a\0b"])
def test_any_text_is_a_key(make: Make, key: str) -> None:
    pool = servers(3)
    assert make().pick(request(key), pool) in pool


@pytest.mark.parametrize("make", [ConsistentHash, Maglev, Rendezvous])
def test_each_has_its_share_by_weight(make: Make) -> None:
    shares = Counter(places(make(), backends({"a": 1, "b": 2, "c": 5})).values())
    assert [shares[name] / len(KEYS) for name in "abc"] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.04)


def test_the_hash_is_blake2b_cut_to_64_bits() -> None:
    assert stable_hash("") == 0xE4A6A0577479B2B4
    assert stable_hash("abc") == 0xD8BB14D833D59559


def test_another_process_with_another_hash_seed_agrees() -> None:
    program = (
        "from lbtutor.core.algorithms.consistent import *\n"
        "from lbtutor.core.backend import Backend\n"
        "from lbtutor.core.messages import BackendConfig, Request\n"
        "pool = tuple(Backend(BackendConfig(f'srv-{n}'), 0.0) for n in range(1, 6))\n"
        "for algorithm in ConsistentHash(), Maglev(251), Rendezvous():\n"
        "    print(*(algorithm.pick(Request(1, 0.0, key=str(key)), pool).name for key in range(20)))\n"
    )
    numbers = [str(number) for number in range(20)]
    own = [" ".join(places(make(), servers(5), numbers).values()) for make in (ConsistentHash, small_table, Rendezvous)]
    for seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.splitlines() == own


def nginx_points(server: str, weight: int = 1) -> Iterator[int]:
    """NGINX's ring: 160 points for each 1 of weight, each the CRC-32 of the address and the point before."""
    host, _, port = server.partition(":")
    point = 0
    for _ in range(160 * weight):
        point = zlib.crc32(f"{host}\0{port}".encode() + point.to_bytes(4, "little"))
        yield point


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("8081 8082 8083", "1 3 1 3 1 3 1 2 1 2 1 1 2 1 2 2 3 1 1 2"),
        ("8081 8083", "1 3 1 3 1 3 1 3 1 1 1 1 1 1 1 3 3 1 1 1"),
    ],
)
def test_a_ring_with_nginxs_points_places_keys_as_nginx_does(ports: str, expected: str) -> None:
    """Seen in nginx 1.22.1, `hash $arg_key consistent`, for the keys 1 to 20; the last digit of the port."""
    pool = backends({f"127.0.0.1:{port}": 1.0 for port in ports.split()})
    ring = Ring((backend, nginx_points(backend.name)) for backend in pool)
    placed = [ring.owner(zlib.crc32(str(key).encode())).name[-1] for key in range(1, 21)]
    assert " ".join(placed) == expected


def test_a_key_belongs_to_the_first_point_at_its_own_or_after_it() -> None:
    a, b, c = backends({"a": 1, "b": 1, "c": 1})
    ring = Ring([(b, [20, 40]), (a, [10]), (c, [30])])
    assert "".join(ring.owner(place).name for place in (0, 10, 11, 20, 21, 30, 31, 40, 41, 99)) == "aabbccbbaa"
    assert "".join(backend.name for backend in ring.walk(15)) == "bca"
    assert [ring.next_of(backend, 25) for backend in (a, b, c)] == [10, 40, 30]


def test_two_points_at_one_place_belong_to_the_name_that_comes_first() -> None:
    a, b = backends({"a": 1, "b": 1})
    assert Ring([(b, [7]), (a, [7])]).owner(3) is Ring([(a, [7]), (b, [7])]).owner(3) is a


def test_more_points_continue_the_same_sequence() -> None:
    points = [list(ring_points("a", count)) for count in range(1, 40)]
    assert all(longer[:-1] == shorter for shorter, longer in pairwise(points))
    assert len(set(points[-1])) == len(points[-1]) == 39


def test_with_160_points_shares_spread_by_8_per_cent_and_with_one_they_are_none() -> None:
    spread = {}
    for points in (160, 1):
        shares = Counter(places(ConsistentHash(points), servers(10)).values())
        counts = [shares[backend.name] for backend in servers(10)]
        spread[points] = pstdev(counts) / fmean(counts)
    assert 0.04 < spread[160] < 0.12
    assert spread[1] > 0.5


def test_points_from_crc_32_of_name_and_number_spread_the_shares_much_wider() -> None:
    def spread(points_of: Callable[[str], list[int]], circle: int) -> float:
        ring = Ring((backend, points_of(backend.name)) for backend in servers(10))
        counts = Counter(ring.owner(index * circle // 10_000).name for index in range(10_000))
        return pstdev(counts.values()) / 1000

    blake2b = spread(lambda name: list(ring_points(name, 160)), 2**64)
    crc32 = spread(lambda name: [zlib.crc32(f"{name}#{number}".encode()) for number in range(160)], 2**32)
    assert (round(blake2b, 2), round(crc32, 2)) == (0.06, 0.18)


def test_huge_weights_make_no_huge_ring() -> None:
    shares = Counter(places(ConsistentHash(), backends({"a": 1e9, "b": 3e9})).values())
    assert shares["b"] / len(KEYS) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    ("bound", "pool_weights", "in_flight", "full"),
    [
        (1.5, (1, 1, 1), (3, 2, 0), "a"),
        (1.5, (1, 1, 1), (2, 2, 1), ""),
        (1.5, (1, 1, 1), (5, 4, 0), "a"),
        (1.5, (1, 1, 1), (5, 0, 4), "a"),
        (1.5, (1, 1, 1), (4, 4, 1), ""),
        (1.25, (2, 1, 1), (4, 1, 0), "a"),
        (1.25, (2, 1, 1), (3, 2, 0), "b"),
        (1.25, (2, 1, 1), (3, 1, 1), ""),
        (1, (1, 1), (0, 0), ""),
        (1, (1, 1), (1, 0), "a"),
    ],
)
def test_who_is_full_is_as_in_haproxy(
    bound: float, pool_weights: tuple[float, ...], in_flight: tuple[int, ...], full: str
) -> None:
    """Three equal at 150 %: 3 each when 5 are served, 5 each when 9. Weights 2, 1, 1 at 125 %: 4, 2, 2 when 5 are."""
    pool = backends(dict(zip("abc", pool_weights, strict=False)))
    for backend, count in zip(pool, in_flight, strict=True):
        backend.in_flight = count
    comparison = ConsistentHash(bound=bound).compare(request("mine"), pool)
    without_number = [one.name for one, number in zip(pool, comparison.numbers, strict=True) if number is None]
    assert (without_number, comparison.skipped) == (list(full), "full")


@given(
    st.lists(weights, min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
    st.sampled_from([1, 1.25, 2]),
)
def test_with_a_bound_nobody_gets_more_than_its_bound(
    pool_weights: list[float], program: list[tuple[int, bool]], bound: float
) -> None:
    pool = backends({str(index): weight for index, weight in enumerate(pool_weights)})
    algorithm, under_way = ConsistentHash(20, bound), list[Backend]()
    for key, ends in program:
        if ends and under_way:
            under_way.pop(key % len(under_way)).in_flight -= 1
            continue
        chosen = algorithm.pick(request(str(key)), pool)
        under_way.append(chosen)
        chosen.in_flight += 1
        assert chosen.in_flight <= ceil(bound * len(under_way) * chosen.weight / sum(pool_weights))


def test_keys_of_a_full_one_go_on_clockwise_and_come_home() -> None:
    algorithm, plain, pool = ConsistentHash(bound=1.25), ConsistentHash(), servers(3)
    home = algorithm.pick(request("mine"), pool)
    next_on_the_ring = plain.pick(request("mine"), without(pool, home))
    home.in_flight = 2
    assert algorithm.pick(request("mine"), pool) is next_on_the_ring
    home.in_flight = 0
    assert algorithm.pick(request("mine"), pool) is home


def test_where_only_rounding_makes_everybody_full_the_least_loaded_takes_it() -> None:
    algorithm, pool = ConsistentHash(bound=1), servers(2)
    pool[0].in_flight, pool[1].in_flight = 2**53 + 2, 2**53
    pool[0].weight, pool[1].weight = 2**53 + 2, 2**53
    assert algorithm.pick(request("mine"), pool) is pool[0]
    assert algorithm.compare(request("mine"), pool).rule == "nobody has room: in flight per weight"


def test_a_ring_says_where_the_key_is_and_how_far_everybody_is() -> None:
    algorithm, pool = ConsistentHash(points=1), servers(3)
    comparison = algorithm.compare(request("mine"), pool)
    points = [next(ring_points(backend.name, 1)) for backend in pool]
    walks = [(point - stable_hash("mine")) % 2**64 / 2**64 * 360 for point in points]
    assert comparison.rule == f"key at {stable_hash('mine') / 2**64 * 360:.1f} degrees: degrees to walk"
    assert comparison.numbers == pytest.approx(walks)
    assert (comparison.best, comparison.tie) == ("lowest", "nobody shares a point")


EXAMPLE = [(3, 4), (0, 2), (3, 1)]
"""(offset, skip) of B0, B1 and B2 in the paper's table 1."""


def test_maglev_fills_the_table_of_its_paper() -> None:
    assert fill(EXAMPLE, [1, 1, 1], 7) == [1, 0, 1, 0, 2, 2, 0]


def test_maglev_fills_the_table_of_its_paper_without_b1() -> None:
    named = {0: 0, 1: 2}
    assert [named[index] for index in fill([EXAMPLE[0], EXAMPLE[2]], [1, 1], 7)] == [0, 0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("size", "table_weights", "slots"),
    [(17, (1, 2), [6, 11]), (65_537, (1, 2), [21_846, 43_691]), (7, (1, 1, 1, 1, 1, 1), [2, 1, 1, 1, 1, 1])],
)
def test_maglevs_slots_by_weight_are_those_of_envoys_tests(
    size: int, table_weights: tuple[float, ...], slots: list[int]
) -> None:
    preferences = [preference(str(index), size) for index in range(len(table_weights))]
    counts = Counter(fill(preferences, table_weights, size))
    assert [counts[index] for index in range(len(table_weights))] == slots


def test_by_weight_the_heaviest_takes_a_slot_in_each_round_and_half_its_weight_in_every_other() -> None:
    """Both prefer slots 0, 1, 2 … and so the table shows whose turn it was: the lighter has rounds 1, 2, 4 and 6."""
    assert fill([(0, 1), (0, 1)], [2, 1], 11) == [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0]


@settings(max_examples=50)
@given(
    st.lists(weights, min_size=1, max_size=8),
    st.sampled_from([11, 101, 251]),
    st.integers(min_value=0),
)
def test_each_has_slots_by_weight_to_within_two(table_weights: list[float], size: int, salt: int) -> None:
    preferences = [preference(f"{salt}-{index}", size) for index in range(len(table_weights))]
    counts = Counter(fill(preferences, table_weights, size))
    for index, weight in enumerate(table_weights):
        assert abs(counts[index] - size * weight / sum(table_weights)) < 2
        assert counts[index] > 0


@pytest.mark.parametrize(("size", "most"), [(251, 0.07), (1021, 0.04), (2039, 0.025), (65_537, 0.004)])
def test_one_that_leaves_maglev_moves_few_others_and_fewer_the_larger_the_table(size: int, most: float) -> None:
    """Envoy measured 15 of 226, 24 of 919 and 52 of 1835 in the first three."""
    pool, algorithm = servers(10), Maglev(size)
    before = places(algorithm, pool)
    after = places(algorithm, without(pool, pool[3]))
    stayed = [key for key in KEYS if before[key] != pool[3].name]
    moved = sum(before[key] != after[key] for key in stayed)
    assert 0 < moved / len(stayed) < most


def test_a_newcomer_takes_hardly_more_than_its_share_of_maglev() -> None:
    algorithm, pool = Maglev(), servers(10)
    before, after = places(algorithm, pool[:9]), places(algorithm, pool)
    moved = [key for key in KEYS if before[key] != after[key]]
    taken = [key for key in moved if after[key] == pool[9].name]
    assert len(taken) / len(KEYS) == pytest.approx(0.1, abs=0.02)
    assert len(moved) - len(taken) < len(KEYS) / 100


def test_a_retry_walks_on_in_maglevs_table() -> None:
    algorithm, pool = small_table(), servers(4)
    own = stable_hash("mine") % 251
    filled = fill([preference(backend.name, 251) for backend in pool], [1] * 4, 251)
    tried = algorithm.pick(request("mine"), pool)
    assert tried is pool[filled[own]]
    slot = next(slot % 251 for slot in range(own, own + 251) if pool[filled[slot % 251]] is not tried)
    left = without(pool, tried)
    assert algorithm.pick(request("mine", attempt=2), left) is pool[filled[slot]]
    comparison = algorithm.compare(request("mine", attempt=2), left)
    assert comparison.rule == f"slot {slot} of 251, {(slot - own) % 251} after the key's own"
    assert comparison.numbers == tuple(float(backend is pool[filled[slot]]) for backend in left)
    assert algorithm.compare(request("mine"), pool).rule == f"slot {own} of 251"


@pytest.mark.parametrize("make", [small_ring, small_table])
def test_while_one_is_full_its_keys_walk_on_and_come_home_and_the_table_stays(make: Make) -> None:
    algorithm, pool = make(), servers(5)
    before, built = places(algorithm, pool), dict(vars(algorithm))
    part = Part(without(pool, pool[2]), pool)
    meanwhile = places(algorithm, part)
    assert {key for key in KEYS if meanwhile[key] != before[key]} == {
        key for key in KEYS if before[key] == pool[2].name
    }
    assert pool[2].name not in meanwhile.values()
    assert places(algorithm, pool) == before
    assert all(vars(algorithm)[name] is value for name, value in built.items()), "nothing was built anew"


def test_what_a_ring_says_while_one_is_full_is_of_those_who_have_room() -> None:
    algorithm, pool = small_ring(), servers(3)
    part = Part(pool[1:], pool)
    chosen = algorithm.pick(request("mine"), part)
    numbers = algorithm.compare(request("mine"), part).numbers
    assert part[numbers.index(min(number for number in numbers if number is not None))] is chosen


def test_more_backends_than_slots_leave_some_without_any() -> None:
    algorithm, pool = Maglev(size=2), servers(4)
    assert len(set(places(algorithm, pool).values())) == 2
    for key in KEYS[:20]:
        left = without(pool, algorithm.pick(request(key), pool))
        assert algorithm.pick(request(key, attempt=2), left) in left
        slotless = tuple(backend for backend in pool if backend.name not in places(algorithm, pool).values())
        assert algorithm.pick(request(key, attempt=3), slotless) in slotless


def test_rendezvous_says_every_score() -> None:
    pool = servers(3)
    comparison = Rendezvous().compare(request("mine"), pool)
    assert (comparison.rule, comparison.best) == ("score", "highest")
    alone = [Rendezvous().compare(request("mine"), (backend,)).numbers[0] for backend in pool]
    assert comparison.numbers == tuple(alone)
    assert all(number is not None and number > 0 for number in comparison.numbers)


def test_the_score_of_rendezvous_is_weight_by_minus_ln_h() -> None:
    pool = servers(1)
    score = Rendezvous().compare(request("mine"), pool).numbers[0]
    pool[0].weight = 3
    assert score is not None
    assert Rendezvous().compare(request("mine"), pool).numbers[0] == pytest.approx(3 * score)


@pytest.mark.parametrize("points", [0, -1, 1.5, "160", True, 10_001])
def test_points_that_cannot_be_are_refused(points: int) -> None:
    with pytest.raises(ConfigError, match="`points` is a whole number from 1 to 10000, not"):
        ConsistentHash(points)


@pytest.mark.parametrize("bound", [0.99, -1, "1.25", float("nan"), float("inf"), True])
def test_a_bound_that_cannot_be_is_refused(bound: float) -> None:
    with pytest.raises(ConfigError, match=r"`bound` is 1 or more, such as 1\.25, not"):
        ConsistentHash(bound=bound)


@pytest.mark.parametrize("size", [-7, 0, 1, 4, 65_536, isqrt(LARGEST_TABLE) ** 2, 655_379, 7.0, "7", True])
def test_a_table_of_a_size_that_is_not_prime_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="`size` is a prime number up to 655373, such as 65537, not"):
        Maglev(size)
    assert Maglev(2)
    assert Maglev(LARGEST_TABLE)
