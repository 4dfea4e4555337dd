"""`check`: hold an implementation to the laws of what it claims to be.

    report = check("mine.py:LeastConnections")          # confined, in a process of its own
    report = check(LeastConnections)                    # your own class, right here
    report.verdict                                      # "passed", "failed" or "unknown"

What the file's class is (its shape) is recognised by its methods; what it claims to be, by `component` or by its name.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lbtutor.core.errors import ConfigError, hint
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.components import COMPONENTS, Component, Target, family
from lbtutor.testing.components import component as component_of
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.sandbox import (
    Class,
    Confined,
    Description,
    Ended,
    InProcess,
    Limits,
    NotGradable,
    Raised,
    Room,
    Submission,
    TooMuchMemory,
    TooSlow,
    read_submission,
)
from lbtutor.testing.sandbox.held import Held as OneClass
from lbtutor.testing.sandbox.held import source_of
from lbtutor.testing.search import PROFILES, Elsewhere, Profile, Search, nobody


def check(
    target: str | Submission | type,
    component: str = "",
    *,
    cls: str = "",
    claims: Mapping[str, Any] | None = None,
    lenient: bool = False,
    adapter: Adapter | None = None,
    profile: str | Profile = "quick",
    seed: int | None = None,
    in_process: bool = False,
    limits: Limits | None = None,
    told: Callable[[LawReport], None] = nobody,
    progress: Callable[[int, int], None] = nobody,
) -> Report:
    """Check a class of a file, `"FILE.py:Class"`, a `Submission` and the name of its class, or a class that is here.

    `component` is one of `COMPONENTS`; without it, the class's name must say it (`LeastConnections`). `claims` says how
    it uses the freedoms that implementations have; what is not said is the strict form, or with `lenient` the lenient.
    `told` hears of each law as soon as there is a verdict. The same `seed` looks at the same programs. A class itself
    is always checked in this process.

    Raises `ConfigError` for a target, component or claim that does not exist, and `NotGradable` for a file that cannot
    be judged. What the code does wrong while it runs is in the report, never raised.
    """
    started = time.perf_counter()
    seed = secrets.randbits(31) if seed is None else seed
    depth = PROFILES[profile] if isinstance(profile, str) else profile
    with opened(
        target, component, cls=cls, claims=claims, lenient=lenient, adapter=adapter, in_process=in_process,
        limits=limits,
    ) as held:  # fmt: skip
        laws = Search(held.room, held.target, depth, seed, held.elsewhere, told, progress).reports()
    return Report(
        held.name, held.target.component, held.target.shape, dict(held.target.claims), seed, laws,
        time.perf_counter() - started, held.where,
    )  # fmt: skip


def assert_holds(target: str | Submission | type, component: str = "", **how: Any) -> Report:
    """`check`, for a test: raises an `AssertionError` that tells the story, unless every law was seen to hold.

    `how` is what `check` takes: claims, lenient, adapter, profile, seed.
    """
    report = check(target, component, **how)
    report.raise_for_failure()
    return report


class Held(NamedTuple):
    """The code under test, in its room: what it is, what it is called, and where it runs, in words."""

    room: Room
    target: Target
    elsewhere: Elsewhere | None
    name: str
    where: str


@contextlib.contextmanager
def opened(
    target: str | Submission | type,
    component: str = "",
    *,
    cls: str = "",
    claims: Mapping[str, Any] | None = None,
    lenient: bool = False,
    adapter: Adapter | None = None,
    in_process: bool = False,
    limits: Limits | None = None,
) -> Iterator[Held]:
    """The code under test in a room of its own, for as long as the block lasts; as `check`, which says what is what."""
    limits = limits or Limits()
    within = in_process or isinstance(target, type)
    where = "in this process" if within else "in a process of its own"
    with contextlib.ExitStack() as stack:
        room: Confined | InProcess
        if isinstance(target, type):
            file, name = source_of(target), target.__name__
            room = OneClass(target, limits=limits)
        else:
            file, name = _file(target, cls)
            room = InProcess(file, limits=limits) if within else Confined(file, limits=limits)
        try:
            stack.enter_context(room)
        except (Raised, Ended, TooSlow, TooMuchMemory) as fault:
            line = fault.line if isinstance(fault, Raised) else 0
            raise NotGradable(f"running the file: it {fault}", line) from None
        found = recognised(room.describe(), name, component, adapter)
        own = _claims(found.component, claims or {}, lenient=lenient)
        held = Target(found.cls, found.shape, found.component, own, found.adapter)
        elsewhere = None if within else lambda: Confined(file, limits=limits, hash_seed=1)
        yield Held(room, held, elsewhere, f"{Path(file.name).name}:{held.cls.name}", where)


USUAL = "`pick(request, backends)` or, for one that keeps its own books, `__init__(backends)` and `pick(client, now)`"
"""What a balancer looks like; other families say so themselves."""


def recognised(description: Description, name: str, component: str = "", adapter: Adapter | None = None) -> Target:
    """Which class is meant, in which shape, as what. Raises `ConfigError` where that cannot be told."""
    cls = _class(description, name)
    component, adapter = component or _named_like(cls.name), adapter or Adapter()
    kind = family(component_of(component).family)
    shape = kind.recognise(_by_our_words(cls, adapter))
    if shape is None:
        methods = ", ".join(cls.methods) or "none"
        raise ConfigError(
            f"{cls.name} is not recognised as {COMPONENTS[component].title}: its methods are {methods}; what is"
            f" understood is {getattr(kind, 'SHAPE', USUAL)}; if one of them does what ours does, say so, as in"
            " --adapt 'pick=choose(client)'"
        )
    return Target(cls, shape, component, {}, adapter)


def _by_our_words(cls: Class, adapter: Adapter) -> Class:
    """The class as if its methods were called what the adapter says that they are."""
    wishes = ((word, str(getattr(adapter, word)).partition("(")[0].strip()) for word in Adapter.__struct_fields__)
    named = {word: cls.methods[wish] for word, wish in wishes if wish != word and wish in cls.methods}
    return cls._replace(methods={**cls.methods, **named})


def _class(description: Description, name: str) -> Class:
    if name:
        if name not in description.classes:
            raise ConfigError(f"the file has no class {name}; {hint(name, description.classes)}")
        return description.classes[name]
    if len(description.classes) != 1:
        raise ConfigError(f"which class? there is {', '.join(description.classes) or 'none'}; write FILE.py:Class")
    return next(iter(description.classes.values()))


def _named_like(name: str) -> str:
    """The component that a class is named after: LeastConnections, SmoothWeightedRoundRobin, MyMaglev."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for known in sorted(COMPONENTS, key=len, reverse=True):
        if known in words:
            return known
    raise ConfigError(f"what is {name} to be checked as? say --as with one of {', '.join(COMPONENTS)}")


def _claims(component: str, said: Mapping[str, Any], *, lenient: bool) -> dict[str, Any]:
    known: Component = COMPONENTS[component]
    for name in said:
        if name not in known.claims:
            raise ConfigError(f"{component} has no claim {name!r}; {hint(name, known.claims)}")
    usual = {name: claim.lenient if lenient else claim.strict for name, claim in known.claims.items()}
    return usual | dict(said)


def _file(target: str | Submission, cls: str) -> tuple[Submission, str]:
    if isinstance(target, Submission):
        return target, cls
    path, _, name = target.rpartition(":") if re.search(r":\w+$", target) else (target, "", cls)
    return read_submission(path), name
