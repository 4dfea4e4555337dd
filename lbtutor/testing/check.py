"""`check`: hold an implementation to the laws of what it claims to be.

    report = check("mine.py:LeastConnections")          # confined, in a process of its own
    report = check(LeastConnections, in_process=True)   # your own class, right here
    report.verdict                                      # "passed", "failed" or "unknown"

What the file's class is (its shape) is recognised by its methods; what it claims to be, by `component` or by its name.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from lbtutor.core.errors import ConfigError, hint
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.components import COMPONENTS, Component, Target, family
from lbtutor.testing.components import component as component_of
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.sandbox import Class, Confined, Description, InProcess, Limits, Submission, read_submission
from lbtutor.testing.search import PROFILES, Profile, Search, nobody


def check(
    target: str | Submission,
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
    """Check a class of a file, `"FILE.py:Class"`, or a `Submission` and the name of its class.

    `component` is one of `COMPONENTS`; without it, the class's name must say it (`LeastConnections`). `claims` says how
    it uses the freedoms that implementations have; what is not said is the strict form, or with `lenient` the lenient.
    `told` hears of each law as soon as there is a verdict. The same `seed` looks at the same programs.

    Raises `ConfigError` for a target, component or claim that does not exist, and `NotGradable` for a file that cannot be
    judged. What the code does wrong while it runs is in the report, never raised.
    """
    started = time.perf_counter()
    file, name = _file(target, cls)
    seed = secrets.randbits(31) if seed is None else seed
    depth = PROFILES[profile] if isinstance(profile, str) else profile
    limits = limits or Limits()
    with contextlib.ExitStack() as stack:
        room: Confined | InProcess = InProcess(file, limits=limits) if in_process else Confined(file, limits=limits)
        stack.enter_context(room)
        found = recognised(room.describe(), name, component)
        held = Target(
            found.cls,
            found.shape,
            found.component,
            _claims(found.component, claims or {}, lenient=lenient),
            adapter or Adapter(),
        )
        elsewhere = None if in_process else lambda: Confined(file, limits=limits, hash_seed=1)
        search = Search(room, held, depth, seed, elsewhere, told, progress)
        laws = search.reports()
    where = "in this process" if in_process else "in a process of its own"
    return Report(
        f"{file.name}:{held.cls.name}", held.component, held.shape, dict(held.claims), seed, laws,
        time.perf_counter() - started, where,
    )  # fmt: skip


def recognised(description: Description, name: str, component: str = "") -> Target:
    """Which class is meant, in which shape, as what. Raises `ConfigError` where that cannot be told."""
    cls = _class(description, name)
    component = component or _named_like(cls.name)
    shape = family(component_of(component).family).recognise(cls)
    if shape is None:
        methods = ", ".join(cls.methods) or "none"
        raise ConfigError(f"{cls.name} is not recognised as {COMPONENTS[component].title}: its methods are {methods}")
    return Target(cls, shape, component, {}, Adapter())


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
