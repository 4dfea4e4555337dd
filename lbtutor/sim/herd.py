"""What the flow model counts: a herd of instances with the same fate, and what became of a second's requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

State = Literal["up", "crashed", "hung", "away"]


class Herd:
    """So many instances in the same state. `carts` and `sockets` are what each of them has: a share, a number."""

    __slots__ = (
        "back_at",
        "belief",
        "born",
        "carts",
        "ejected_until",
        "factor",
        "failures",
        "hung_since",
        "leaves_at",
        "leaving",
        "members",
        "ramp",
        "rate",
        "sockets",
        "state",
        "times",
        "tries",
    )

    def __init__(self, members: tuple[int, ...], carts: float, sockets: float, born: float = -1e9) -> None:
        self.members = members
        self.state: State = "up"
        self.factor = 1.0
        self.leaving = False
        self.leaves_at: float | None = None
        self.back_at: float | None = None
        self.belief = 1.0
        self.ramp: tuple[float, float, float] | None = None
        self.ejected_until = 0.0
        self.times = 0
        self.failures = 0.0
        self.tries = 0.0
        self.hung_since = 0.0
        self.carts = carts
        self.sockets = sockets
        self.born = born
        self.rate = 0.0

    def __repr__(self) -> str:
        return f"<Herd of {len(self.members)} {self.state} believed {self.belief:.2f}>"

    def without(self, members: tuple[int, ...]) -> Herd:
        """Take these out into a herd of their own, otherwise the same."""
        other = Herd(members, self.carts, self.sockets, self.born)
        for name in (
            "state",
            "factor",
            "leaving",
            "leaves_at",
            "back_at",
            "belief",
            "ramp",
            "ejected_until",
            "times",
            "rate",
        ):
            setattr(other, name, getattr(self, name))
        self.members = tuple(member for member in self.members if member not in members)
        return other


class Second(Struct):
    """What became of one fleet's requests in one second; names as in `lbtutor.sim.tape`, numbers not yet whole."""

    served: float = 0.0
    shed: float = 0.0
    failed_before: float = 0.0
    failed_after: float = 0.0
    retried: float = 0.0
    served_late: float = 0.0
    carts_lost: float = 0.0
    sockets_opened: float = 0.0
    sockets_lost: float = 0.0
    ejected: float = 0.0
    work: float = 0.0
    wait: float = 0.0
    busy: float = 0.0
    hung: float = 0.0
    released: float = 0.0


def over_all(herds: Sequence[Herd], each: Sequence[float]) -> float:
    """The sum over all instances of what each instance of a herd has."""
    return sum(one * len(herd.members) for herd, one in zip(herds, each, strict=True))
