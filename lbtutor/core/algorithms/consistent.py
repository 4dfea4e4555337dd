"""Algorithms that hash consistently: a ring, Maglev's table, rendezvous.

The same key goes to the same backend, and when the pool changes, hardly more keys move than must: those of a backend
that left, and a newcomer's share. (The modulo of `IpHash` moves nearly all of them.) What is hashed is `request.key`,
and the client's address where there is none. The order of the configuration does not matter, for backends count by
name; so balancers that never talk agree.

The hash is BLAKE2b, cut to 64 bits: the same in every process and on every machine. CRC-32 of "name#number" is no good
for points: it is linear, so names that differ in one letter get points in step, and the shares of ten servers with 160
points each spread by 18 % of their mean instead of 6 %. (NGINX chains its CRCs, each from the last, which helps.)

A retry is offered the pool without those tried, once; and while somebody is full, the pool is offered without him.
Both walk on in the table as it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import chain, count, islice
from math import inf, isqrt, log
from struct import unpack

from lbtutor.core.algorithms.base import Comparison, whole_of
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Request

MOST_POINTS = 2**18
"""A ring is no larger: 1600 backends of weight 1. One that would be gives everybody fewer points, in proportion."""

LARGEST_TABLE = 655_373
"""The larger of the two tables in Maglev's paper; this program fills it in about a second."""

_CIRCLE = 2**64


def stable_hash(text: str) -> int:
    """BLAKE2b (RFC 7693) of the text's UTF-8, 0 to 2**64 - 1."""
    return int.from_bytes(blake2b(_bytes(text), digest_size=8).digest(), "big")


def _key_hash(request: Request) -> int:
    return stable_hash(request.key or request.client)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Ring:
    """Points on a circle, each owned by a backend. Of two at the same place, the one whose name comes first owns it."""

    def __init__(self, points: Iterable[tuple[Backend, Iterable[int]]]) -> None:
        owner: dict[int, Backend] = {}
        for backend, places in sorted(points, key=lambda entry: entry[0].name):
            for place in places:
                owner.setdefault(place, backend)
        self._places = sorted(owner)
        self._owners = [owner[place] for place in self._places]
        self.members = frozenset(self._owners)

    def owner(self, place: int) -> Backend:
        """Whose point is the first at `place` or after it (ketama, NGINX; in HAProxy the nearer on either side)."""
        return self._owners[bisect_left(self._places, place) % len(self._owners)]

    def walk(self, place: int) -> Iterator[Backend]:
        """Every member, in the order in which the clockwise walk from `place` first meets a point of it."""
        start = bisect_left(self._places, place)
        met: set[Backend] = set()
        for position in chain(range(start, len(self._places)), range(start)):
            backend = self._owners[position]
            if backend not in met:
                yield backend
                met.add(backend)
            if len(met) == len(self.members):
                return

    def next_of(self, member: Backend, place: int) -> int:
        """Where that walk first meets a point of this member."""
        own = self._places_of[member]
        return own[bisect_left(own, place) % len(own)]

    @cached_property
    def _places_of(self) -> dict[Backend, list[int]]:
        places_of: dict[Backend, list[int]] = {member: [] for member in self.members}
        for place, owner in zip(self._places, self._owners, strict=True):
            places_of[owner].append(place)
        return places_of


def ring_points(name: str, count: int) -> Iterator[int]:
    """The first `count` points of a backend: eight from each hash of its name with a number (ketama: four, of an MD5).

    A larger weight continues the same sequence, so it only adds points.
    """
    for block in range(0, count, 8):
        yield from unpack(">8Q", blake2b(_bytes(f"{name}\0{block}")).digest())[: count - block]


class ConsistentHash:
    """A ring: each backend owns many points on a circle, and a key belongs to the first point clockwise from its own.

    Who leaves gives its arcs to its neighbours, and a newcomer takes from them; no other key moves. Each gets `points`
    for each 1 of weight: with 160 the shares of equal backends lie within some 8 % of even (one standard deviation, as
    1 / sqrt(160) says); with one point each, they would hardly be shares. (Karger et al. 1997; ketama; NGINX
    `hash … consistent`.)

    With `bound` nobody holds much more than its share. A backend is full when it has at least
    `bound * (all in flight + 1) * weight / all weight` in flight, and keys of the full go on clockwise to the first
    that has room; they come home when theirs has. (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded
    Loads", 2016; HAProxy's `hash-balance-factor 125` is `bound = 1.25`.) The bounds add up to more than all that is in
    flight, so somebody has room; if rounding says otherwise, the least loaded takes it.
    """

    def __init__(self, points: int = 160, bound: float | None = None) -> None:
        if type(points) is not int or not 1 <= points <= 10_000:
            raise ConfigError(f"consistent_hash: `points` is a whole number from 1 to 10000, not {points!r}")
        if bound is not None and (type(bound) not in (int, float) or not 1 <= bound < inf):
            raise ConfigError(f"consistent_hash: `bound` is 1 or more, such as 1.25, not {bound!r}")
        self._points = points
        self._bound = bound
        self._seen: tuple[Backend, ...] = ()
        self._ring = Ring(())

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        ring, place = self._ring_for(request, backends), _key_hash(request)
        if backends is self._seen and self._bound is None:
            return ring.owner(place)
        room = self._with_room(backends)
        return next((backend for backend in ring.walk(place) if backend in room), None) or min(backends, key=_load)

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        ring, place, room = self._ring_for(request, backends), _key_hash(request), self._with_room(backends)
        walks = {backend: _degrees(ring.next_of(backend, place) - place) for backend in ring.members.intersection(room)}
        if not walks:
            loads = tuple(map(_load, backends))
            return Comparison("nobody has room: in flight per weight", loads, "lowest", _EARLIER)
        rule = f"key at {_degrees(place):.1f} degrees: degrees to walk"
        skipped = "new to the ring" if self._bound is None else "full"
        return Comparison(rule, tuple(map(walks.get, backends)), "lowest", "nobody shares a point", skipped)

    def _ring_for(self, request: Request, backends: tuple[Backend, ...]) -> Ring:
        whole = whole_of(backends)
        if whole is not self._seen and (request.attempt == 1 or self._ring.members.isdisjoint(whole)):
            points = self._points * min(1.0, MOST_POINTS / (self._points * _weight(whole)))
            self._ring = Ring(
                (backend, ring_points(backend.name, max(1, round(points * backend.weight)))) for backend in whole
            )
            self._seen = whole
        return self._ring

    def _with_room(self, backends: tuple[Backend, ...]) -> Collection[Backend]:
        if self._bound is None:
            return backends
        share = self._bound * (sum(backend.in_flight for backend in backends) + 1) / _weight(backends)
        return frozenset(backend for backend in backends if backend.in_flight < share * backend.weight)


_EARLIER = "the earlier in configuration order"


def _degrees(distance: int) -> float:
    return distance % _CIRCLE / _CIRCLE * 360


def _load(backend: Backend) -> float:
    return backend.in_flight / backend.weight


def _weight(backends: tuple[Backend, ...]) -> float:
    return sum(backend.weight for backend in backends)


class Maglev:
    """A table of `size` slots in which everybody has its share almost exactly, and a key is one look-up.

    Each backend has its own order of preference among the slots. In rounds, each takes its favourite of those still
    free, until none is; by weight, the heaviest takes one in each round and one of half its weight in every other.
    Equal backends differ by one slot at most, where a ring's shares differ by several per cent. When somebody leaves,
    its keys move, and a few others: when one of ten leaves, one key in 400 of the rest with 65537 slots, one in 18 with
    251. (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4; weights
    as in Envoy.)

    `size` must be prime, so that every step through the table visits all of it, and should be a hundred times the
    number of backends.
    """

    def __init__(self, size: int = 65_537) -> None:
        if type(size) is not int or not 2 <= size <= LARGEST_TABLE or not _is_prime(size):
            raise ConfigError(f"maglev: `size` is a prime number up to {LARGEST_TABLE}, such as 65537, not {size!r}")
        self._size = size
        self._seen: tuple[Backend, ...] = ()
        self._holders: list[Backend] = []
        self._members: frozenset[Backend] = frozenset()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        slot = self._slot(request, backends)
        return self._holders[slot]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        slot = self._slot(request, backends)
        walked = (slot - _key_hash(request)) % self._size
        rule = f"slot {slot} of {self._size}" + (f", {walked} after the key's own" if walked else "")
        holds = tuple(1.0 if backend is self._holders[slot] else 0.0 for backend in backends)
        return Comparison(rule, holds, "highest", "a slot has one holder")

    def _slot(self, request: Request, backends: tuple[Backend, ...]) -> int:
        """The key's slot, or the first from there on whose holder is offered."""
        whole = whole_of(backends)
        if whole is not self._seen and (request.attempt == 1 or self._members.isdisjoint(whole)):
            self._holders = _table(sorted(whole, key=lambda backend: backend.name), self._size)
            self._members = frozenset(self._holders)
            self._seen = whole
        slot = _key_hash(request) % self._size
        while backends is not self._seen and self._holders[slot] not in backends:
            slot = (slot + 1) % self._size
        return slot


def _table(by_name: Sequence[Backend], size: int) -> list[Backend]:
    preferences = [preference(backend.name, size) for backend in by_name]
    return [by_name[index] for index in fill(preferences, [backend.weight for backend in by_name], size)]


def preference(name: str, size: int) -> tuple[int, int]:
    """A backend's order among the slots: where it begins (0 to size - 1), and its step (1 to size - 1)."""
    offset, skip = unpack(">2Q", blake2b(_bytes(name), digest_size=16).digest())
    return offset % size, skip % (size - 1) + 1


def fill(preferences: Sequence[tuple[int, int]], weights: Sequence[float], size: int) -> list[int]:
    """Maglev's table: for each slot the index of its holder, from each one's (offset, skip) and weight."""
    table = [-1] * size
    favourites = [offset for offset, _ in preferences]
    for index in islice(_turns(weights), size):
        slot, skip = favourites[index], preferences[index][1]
        while table[slot] >= 0:
            slot = (slot + skip) % size
        table[slot] = index
        favourites[index] = slot
    return table


def _turns(weights: Sequence[float]) -> Iterator[int]:
    """Whose turn it is to take a slot, for ever: everybody in the first round, then each as often as it has weight."""
    heaviest, due = max(weights), [0.0] * len(weights)
    for turn in count(1):
        for index, weight in enumerate(weights):
            if turn * weight >= due[index]:
                due[index] += heaviest
                yield index


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, isqrt(number) + 1))


class Rendezvous:
    """Hash the key with each backend's name; the highest score takes it.

    There is nothing to build and nothing to keep: whoever leaves, its keys go to their second-highest, which differ
    from key to key, and all others stay. The price is one hash for each backend at each pick, where a ring has one in
    all. (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; Caddy's hash policies,
    Traefik's `hrw`.)

    The score is -weight / ln(h), with h the hash as a number between 0 and 1: by it each wins in exact proportion to
    weight, and a weight that changes moves only keys to or from its own backend. (The logarithmic method of
    Schindelhauer and Schomaker, 2005.)
    """

    def __init__(self) -> None:
        self._seen: tuple[Backend, ...] = ()
        self._begun: list[blake2b] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        scores = self._scores(request, backends)
        return backends[scores.index(max(scores))]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        return Comparison("score", tuple(self._scores(request, backends)), "highest", _EARLIER)

    def _scores(self, request: Request, backends: tuple[Backend, ...]) -> list[float]:
        key = _bytes(request.key or request.client)
        hashes = self._hashes_begun(request, backends)
        return [weighted_score(begun, key, backend.weight) for begun, backend in zip(hashes, backends, strict=True)]

    def _hashes_begun(self, request: Request, backends: tuple[Backend, ...]) -> list[blake2b]:
        """For each backend a hash that has taken in its name and waits for the key."""
        if backends is self._seen:
            return self._begun
        begun = [blake2b(_bytes(f"{backend.name}\0"), digest_size=8) for backend in backends]
        if request.attempt == 1:
            self._seen, self._begun = backends, begun
        return begun


def weighted_score(begun: blake2b, key: bytes, weight: float) -> float:
    """The score for `key` of the one whose name `begun` has taken in, above 0.

    52 bits of the hash, so that neither 0 nor 1 comes out.
    """
    whole = begun.copy()
    whole.update(key)
    hashed = (int.from_bytes(whole.digest(), "big") >> 12) + 0.5
    return -weight / log(hashed / 2**52)
