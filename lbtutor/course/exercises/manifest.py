"""The manifest: which exercises there are, in which order, and what judges each.

`exercises/manifest.toml` lists them all; what a learner is given, and what solves it, are files in the folder with the
exercise's id:

    [[exercise]]
    id = "least-connections"            # stable: what was passed is recorded under it
    kind = "implement"                  # or fault, law, break, audit
    section = "4.3"                     # of the chapter
    title = "Count what is under way"
    asks = "Write `pick` so that the least busy server gets the request."
    level = 1                           # 1 to 5
    component = "least_connections"     # the laws that judge it
    gives = "least_connections.py"      # its file, for the learner
    cls = "LeastConnections"
    lab = "least-connections"           # where the learner's own class then runs
    sees = "Look at srv-3's share."     # what to look at there, where the lab's own story does not say it
    hidden = ["a_law"]                  # laws that are tried only when it is graded
    points = 3
    fails = "a_law"                     # what the start, as it is given, is meant to fail
    hints = ["A question.", "Where to look.", "The idea."]
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lbtutor.core.errors import ConfigError, hint
from lbtutor.labs.library import library_folder

Kind = Literal["implement", "fault", "law", "break", "audit"]
"""What there is to do: write it; repair one with a known product's fault; write a law that tells right from wrong; find
the load that breaks it; find what does not add up in a design."""


class Exercise(Struct, frozen=True, forbid_unknown_fields=True):
    """One exercise, as the manifest has it.

    `component`, `cls`, `claims` and `hidden` are for what the laws judge; `settings` for the other kinds (the budget
    and the bound of what is to be broken, the questions of an audit). `needs` are exercises that come before it.
    `fails` names the finding for which the start is sent back: it has one gap, and that is what the gap is about.
    """

    id: str
    kind: Kind
    section: str
    title: str
    asks: str
    gives: str
    hints: tuple[str, str, str]
    level: int = 1
    component: str = ""
    cls: str = ""
    claims: Mapping[str, Any] = {}
    hidden: tuple[str, ...] = ()
    lab: str = ""
    sees: str = ""
    points: int = 1
    needs: tuple[str, ...] = ()
    fails: str = ""
    settings: Mapping[str, Any] = {}

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return library_folder("exercises") / self.id

    @property
    def start(self) -> Path:
        """What the learner is given; `gives` is its name in the workspace."""
        return self.folder / f"start{Path(self.gives).suffix}"

    @property
    def solution(self) -> Path:
        """What solves it."""
        return self.folder / f"solution{Path(self.gives).suffix}"


class _Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    exercise: tuple[Exercise, ...] = ()


@cache
def exercises() -> tuple[Exercise, ...]:
    """All exercises in their order. Raises `ConfigError` for a manifest that cannot be read, or says an id twice."""
    path = library_folder("exercises") / "manifest.toml"
    try:
        listed = msgspec.toml.decode(path.read_bytes(), type=_Manifest).exercise
    except (msgspec.DecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    seen: set[str] = set()
    for exercise in listed:
        if exercise.id in seen:
            raise ConfigError(f"{path}: the id {exercise.id!r} is there twice")
        seen.add(exercise.id)
    return listed


def exercise(name: str) -> Exercise:
    """The exercise with that id; raises `ConfigError` with the nearest one."""
    known = {one.id: one for one in exercises()}
    if name not in known:
        raise ConfigError(f"there is no exercise {name!r}; {hint(name, known)}")
    return known[name]
