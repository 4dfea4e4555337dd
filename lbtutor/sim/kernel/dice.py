"""Chance, the same whether compiled or not: SplitMix64, a counter and a mixer of its bits.

(Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.) Every constant is above 2**63, so
that numba takes it for an unsigned word as well; the masks do nothing there, and keep Python's numbers to 64 bits.

There are several streams, so that what one part draws does not change what another gets: two designs with one seed see
the same customers come at the same times with the same wishes, whatever their balancers do.
"""

from __future__ import annotations

from hashlib import blake2b
from math import cos, exp, log, pi, sqrt

from lbtutor.sim.kernel.compiled import Array, compiled, words

TRAFFIC, CHOICE, SOCKET, NAMES = range(4)
"""The streams: what customers want, what balancers draw, when WebSockets open and close, when names are looked up."""

EXPONENTIAL, CONSTANT, LOGNORMAL = range(3)


def new_dice(seed: int) -> Array:
    """The state of all streams for a seed."""
    return words(
        int.from_bytes(blake2b(f"{seed}/kernel/{stream}".encode(), digest_size=8).digest(), "big")
        for stream in (TRAFFIC, CHOICE, SOCKET, NAMES)
    )


@compiled
def uniform(dice: Array, stream: int) -> float:
    """From 0 up to 1, with 53 bits."""
    z = (dice[stream] + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    dice[stream] = z
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((z ^ (z >> 31)) >> 11) * 1.1102230246251565e-16  # type: ignore[no-any-return]


@compiled
def exponential(dice: Array, stream: int) -> float:
    """With mean 1."""
    return -log(1.0 - uniform(dice, stream))


@compiled
def work(dice: Array, stream: int, shape: int, mean: float, mu: float, sigma: float) -> float:
    """How long a request keeps a slot busy; `mu` and `sigma` are those of a lognormal's logarithm."""
    if shape == EXPONENTIAL:
        return mean * exponential(dice, stream)
    if shape == CONSTANT:
        return mean
    normal = sqrt(2.0 * exponential(dice, stream)) * cos(2.0 * pi * uniform(dice, stream))
    return exp(mu + sigma * normal)
