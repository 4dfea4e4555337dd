"""What can be checked: each component by its name, with the shapes it may come in and the claims it may make.

A component belongs to a family, which knows how to talk to it (its world), which programs are worth playing (its
grammar) and how to make one simpler. Laws are in `lbtutor.testing.laws`, one module a kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol

from msgspec import Struct

from lbtutor.core.errors import ConfigError, hint
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import LAWS, Law
from lbtutor.testing.program import Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room


class World(Protocol):
    """The model, and the code under test beside it: does one operation after the other and notes what came of it."""

    moments: list[Any]

    def do(self, op: int, what: Op) -> None:
        """Do operation number `op`; append its moments. A `Fault` of the code under test goes through."""
        ...


class Family(Protocol):
    """What components of one kind have in common. Each family is a module of `lbtutor.testing.worlds`."""

    @staticmethod
    def recognise(cls: Class) -> str | None:
        """The name of the shape that a class has, if it is one of this family's."""
        ...

    @staticmethod
    def grammar(draw: Draw, component: str) -> Program:
        """An ordinary program."""
        ...

    @staticmethod
    def world(room: Room, target: Target, setting: Mapping[str, Any]) -> World:
        """A fresh model with a fresh object of the code under test. A `Fault` of its constructor goes through."""
        ...

    @staticmethod
    def simpler(program: Program) -> Iterator[Program]:
        """Programs that say less than this one, the greatest steps first; whatever they are, they are legal."""
        ...

    @staticmethod
    def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:
        """The lines that introduce a story: what is there at its beginning."""
        ...


class Claim(Struct, frozen=True):
    """A freedom that implementations have: what the course asks for, what foreign code may do, and what it means."""

    strict: Any
    lenient: Any
    says: str


class Component(Struct, frozen=True):
    """Something that can be checked: its title, its family, the modules of its laws and the claims it may make."""

    title: str
    family: str
    laws: tuple[str, ...]
    claims: Mapping[str, Claim] = {}


class Target(Struct, frozen=True):
    """The code under test: which class of its file, in which shape, as which component, claiming what."""

    cls: Class
    shape: str
    component: str
    claims: Mapping[str, Any]
    adapter: Adapter


_BALANCER = {
    "unknown": Claim(
        "ignore",
        "raise",
        "what it does with a name it does not know: `ignore` it, or `raise` an error. A request that ends late, on a"
        " server that has left, is nothing odd",
    ),
}

_MEASURING = _BALANCER | {
    "explores": Claim(
        strict=True,
        lenient=False,
        says="a server that nobody has measured is tried however fast the others are; else its start value may be worse"
        " than these for ever, unless they take seconds",
    ),
}

_CONSISTENT = _BALANCER | {
    "order_free": Claim(strict=True, lenient=False, says="the order in which servers came does not matter"),
    "weights": Claim(strict=True, lenient=False, says="a server of more weight gets more clients"),
    "extra_moves": Claim(0, 0.12, "the share of clients that may move although their server is still there"),
}

_UNKNOWN = {
    "unknown": Claim("ignore", "raise", "what it does with the odd (a name that is unknown): `ignore` or `raise`"),
}

COMPONENTS: dict[str, Component] = {
    "round_robin": Component(
        "round robin",
        "balancer",
        ("universal", "turns"),
        _BALANCER
        | {
            "strict": Claim(
                strict=True, lenient=False, says="nobody loses a turn when the pool changes, and nobody has two"
            )
        },
    ),
    "weighted_round_robin": Component(
        "weighted round robin",
        "balancer",
        ("universal", "weights"),
        _BALANCER
        | {
            "spread": Claim(
                strict="fair",
                lenient="any",
                says="how evenly turns are spread: `smooth` (within 3 of its share), `fair` (within one more than there"
                " are servers), or `any`, such as all turns of a server in a row",
            ),
            "zero": Claim(
                "drain", "reject", "what weight 0 does: `drain` (no new requests), or `reject` it with a ValueError"
            ),
        },
    ),
    "least_connections": Component("least connections", "balancer", ("universal", "load"), _BALANCER),
    "least_response_time": Component("least response time", "balancer", ("universal", "latency"), _MEASURING),
    "peak_ewma": Component(
        "peak EWMA",
        "balancer",
        ("universal", "latency"),
        _MEASURING
        | {"revisits": Claim(strict=True, lenient=False, says="a server that was slow is tried again after a while")},
    ),
    "power_of_two": Component(
        "power of two choices",
        "balancer",
        ("universal", "chance"),
        _BALANCER | {"distinct": Claim(strict=True, lenient=False, says="the two that are drawn are never the same")},
    ),
    "ip_hash": Component("IP hash", "balancer", ("universal", "hashing"), _BALANCER),
    "consistent_hash": Component("consistent hashing", "balancer", ("universal", "hashing"), _CONSISTENT),
    "bounded_load": Component(
        "consistent hashing with bounded loads",
        "balancer",
        ("universal", "hashing", "bounded"),
        _BALANCER
        | {
            "bound": Claim(
                1.25,
                "any",
                "how many times the mean of open requests a server may have: a number, or `any` from 1 to 2",
            ),
            "overflow": Claim(
                "same",
                "any",
                "whom the keys of a full server go to: each always to the `same` next one, or to `any` that has room",
            ),
            "extra_moves": Claim(0, 0.12, _CONSISTENT["extra_moves"].says),
        },
    ),
    "maglev": Component(
        "Maglev",
        "balancer",
        ("universal", "hashing"),
        _CONSISTENT | {"extra_moves": Claim(0.12, 0.12, _CONSISTENT["extra_moves"].says)},
    ),
    "rendezvous": Component("rendezvous hashing", "balancer", ("universal", "hashing"), _CONSISTENT),
    "health": Component(
        "the health state machine",
        "health",
        ("health",),
        {
            "initial": Claim(
                "any",
                "any",
                "what a new server is taken for: `up`, `down`, whatever the `first` probe says, or `any` of these",
            )
        },
    ),
    "affinity": Component(
        "cookie affinity",
        "affinity",
        ("affinity",),
        _BALANCER
        | {
            "failback": Claim(
                strict=False,
                lenient="any",
                says="whether a client goes back to its first server when that returns: True, False, or `any`",
            ),
            "signed": Claim(
                strict=False, lenient=False, says="cookies are signed: one with a letter changed is not followed"
            ),
        },
    ),
    "router": Component(
        "the router",
        "router",
        ("router",),
        {
            "precedence": Claim(
                "specific",
                "any",
                "which of several matching rules wins: the most `specific`, or `any`, such as the first",
            ),
            "hosts": Claim(
                "all",
                "any",
                "among which rules it looks: `all` that there are, or `any`, such as those of the best host alone, as"
                " NGINX does",
            ),
        },
    ),
    "ejection": Component(
        "passive ejection",
        "ejection",
        ("answering", "ejection"),
        _UNKNOWN
        | {
            "forgets": Claim(
                strict=True, lenient=False, says="who comes back has no failure to its name; else one more is enough"
            )
        },
    ),
    "retry": Component("retries with a budget", "retry", ("answering", "retry"), _UNKNOWN),
    "drain": Component("draining a server", "drain", ("answering", "drain"), _UNKNOWN),
    "slow_start": Component("slow start", "slow_start", ("answering", "slow_start")),
    "autoscaler": Component(
        "an autoscaler",
        "autoscaler",
        ("answering", "autoscaler"),
        {
            "rule": Claim(
                "proportional", "any", "how far it grows: `proportional` (current × utilisation / target) or `any`"
            ),
            "unmeasured": Claim(
                "hold", "any", "what it does without a measurement (None, NaN, below 0): `hold`, or `any` (never asked)"
            ),
        },
    ),
}


def component(name: str) -> Component:
    """Raises `ConfigError` with the nearest name for one that nobody knows."""
    if name not in COMPONENTS:
        raise ConfigError(f"there is no component named {name!r}; {hint(name, COMPONENTS)}")
    return COMPONENTS[name]


def family(name: str) -> Family:
    """The module of that family."""
    module: Family = import_module(f"lbtutor.testing.worlds.{name}")  # type: ignore[assignment]
    return module


def laws_of(name: str) -> list[Law]:
    """The laws of a component, in the order in which they are told."""
    for module in component(name).laws:
        import_module(f"lbtutor.testing.laws.{module}")
    return LAWS.get(name, [])


def asked_of(target: Target) -> list[Law]:
    """The laws that a report lists: what the course asks of the component, and what else is claimed. A weaker law, for
    who claims less than the course asks, is nothing to who does not."""
    usual = {name: claim.strict for name, claim in component(target.component).claims.items()}
    return [law for law in laws_of(target.component) if law.applies(usual) or law.applies(target.claims)]
