"""One section of a lesson becomes a `Step`: its block read, its names resolved, its complaints collected.

    id       = "failure"
    kind     = "predict"                  # predict run observe explain change task recall
    scene    = "round-robin-failure"      # a file of scenes/; the run goes on while steps name the same one
    question = "lost-requests"            # a table of questions.toml
    claims   = [{ says = "a quarter each", share = { backend = "web/srv-1", about = 0.25 } }]

    [task]
    says     = "Crash srv-2 and wait until the traffic has failed over."
    goals    = [{ says = "traffic has failed over", failed_over = "web/srv-2" }]
    rehearse = [{ at = "5s", crash = { backend = "web/srv-2" } }]

The structs whose names end in `Spec` are the block, key for key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields, replace

from lbtutor.core import ALGORITHMS, ConfigError, Seconds
from lbtutor.course.goals import CONDITIONS, condition_type
from lbtutor.course.lesson import KINDS, Goal, Question, Step, Task, rehearsal_at
from lbtutor.course.manuscript import Section, toml_at
from lbtutor.labs.checks import Expect
from lbtutor.labs.reading import place, read_table, read_toml, suggest
from lbtutor.labs.scenario import Scenario
from lbtutor.labs.timeline import TimelineEntry

T = TypeVar("T", bound=Struct)
Where = tuple[str | int, ...]

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class TaskSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The `task` of a step; each goal is `says` and the keys of one condition of `lbtutor.course.goals`."""

    says: str
    goals: tuple[dict[str, Any], ...]
    rehearse: tuple[TimelineEntry, ...] = ()


class StepSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The block under a step's heading; see `Step`. A claim is an `[[expect]]` of a scenario, or a goal."""

    id: str
    kind: str
    scene: str | None = None
    question: str | None = None
    algorithm: str | None = None
    watch: Seconds = Seconds(6)
    task: TaskSpec | None = None
    claims: tuple[dict[str, Any], ...] = ()


class StepReader:
    """Reads the sections of one lesson in order; `complaints` collects what is wrong in them."""

    def __init__(self, source: str, scenes: Mapping[str, Scenario], questions: Mapping[str, Question]) -> None:
        self.complaints: list[str] = []
        self.steps: list[Step] = []
        self.asked: dict[str, str] = {}
        self._source = source
        self._scenes = scenes
        self._questions = questions
        self._block = ""

    def read(self, section: Section) -> None:
        """Read one more section; a step that cannot be read at all leaves only a complaint."""
        try:
            self.steps.append(self._step(section))
        except ConfigError as error:
            self.complaints.append(str(error))

    def _step(self, section: Section) -> Step:
        spec = self._spec(section)
        scene = self._scenes.get(self._on_stage(spec) or "")
        self._collect(spec, scene)
        step = Step(
            spec.id,
            section.title,
            spec.kind,  # type: ignore[arg-type]  # any other kind is among the complaints
            section.text,
            spec.scene,
            self._questions.get(spec.question or ""),
            None if spec.task is None else self._task(spec.task, scene),
            spec.algorithm,
            spec.watch,
            tuple(self._claim(table, ("claims", index), scene) for index, table in enumerate(spec.claims)),
        )
        if not self._goes_on(step):
            raise ConfigError(
                f"{self._place(('task', 'rehearse'))}: step `{spec.id}`: the run goes on from the step before, "
                "so `rehearse` must begin with what was rehearsed there"
            )
        return step

    def _spec(self, section: Section) -> StepSpec:
        if section.block is None:
            raise ConfigError(
                f"{self._source}:{section.line}: the step {section.title!r} has no step block: right under the heading "
                'goes a block fenced by ```step and ```, with at least id = "…" and kind = "…"'
            )
        self._block = toml_at(section.block, section.block_line)
        return read_toml(self._block, self._source, StepSpec)

    def _collect(self, spec: StepSpec, scene: Scenario | None) -> None:
        for where, complaint in self._loose_ends(spec, scene):
            self.complaints.append(f"{self._place(where)}: step `{spec.id}`: {complaint}")
        if spec.question is not None:
            self.asked[spec.question] = spec.id

    def _task(self, spec: TaskSpec, scene: Scenario | None) -> Task:
        goals = tuple(self._goal(table, ("task", "goals", index), scene) for index, table in enumerate(spec.goals))
        return Task(spec.says, goals, tuple(entry.act() for entry in spec.rehearse))

    def _goes_on(self, step: Step) -> bool:
        """Whether the step's rehearsal contains those of the steps before it in the same run."""
        if step.task is None:
            return True
        before = rehearsal_at([*self.steps, replace(step, task=None)], len(self.steps))
        return step.task.rehearse[: len(before)] == before

    def _on_stage(self, spec: StepSpec) -> str | None:
        return spec.scene or next((step.scene for step in reversed(self.steps) if step.scene), None)

    def _loose_ends(self, spec: StepSpec, scene: Scenario | None) -> Iterator[tuple[Where, str]]:
        """Names that lead nowhere, and what a step of this kind must not lack."""
        if not _ID.fullmatch(spec.id):
            yield ("id",), "an id is made of lower-case letters, digits and single hyphens"
        if spec.id in [step.id for step in self.steps]:
            yield ("id",), "an earlier step has this id; ids stay for ever, since progress is kept by them"
        if spec.kind not in KINDS:
            yield ("kind",), f"there is no kind `{spec.kind}`; {suggest(spec.kind, KINDS)}"
        if spec.scene is not None and spec.scene not in self._scenes:
            yield ("scene",), f"there is no usable scenes/{spec.scene}.toml; {suggest(spec.scene, self._scenes)}"
        if spec.algorithm is not None and spec.algorithm not in ALGORITHMS:
            yield ("algorithm",), f"there is no algorithm `{spec.algorithm}`; {suggest(spec.algorithm, ALGORITHMS)}"
        yield from self._loose_question(spec)
        if spec.kind == "task" and spec.task is None:
            yield ("kind",), "a step of the kind `task` needs a [task]"
        if (spec.task or spec.algorithm or spec.claims or spec.kind in ("predict", "run", "change")) and scene is None:
            yield ("kind",), "this needs a `scene`, here or in a step before"
        if spec.task is not None and scene is not None:
            yield from _loose_task(spec.task, scene)

    def _loose_question(self, spec: StepSpec) -> Iterator[tuple[Where, str]]:
        if spec.question is None:
            if spec.kind in ("predict", "recall"):
                yield ("kind",), f"a step of the kind `{spec.kind}` needs a `question`"
        elif spec.question not in self._questions:
            hint = suggest(spec.question, self._questions)
            yield ("question",), f"questions.toml has no usable [{spec.question}]; {hint}"
        elif spec.question in self.asked:
            yield ("question",), f"step `{self.asked[spec.question]}` asks this question already"
        elif spec.kind == "recall" and self._questions[spec.question].returns_after is None:
            yield ("question",), "the question of a `recall` step needs `returns_after`, since it comes back"

    def _goal(self, table: dict[str, Any], where: Where, scene: Scenario | None) -> Goal:
        says = table.get("says")
        if not isinstance(says, str) or not says.strip():
            raise ConfigError(f"{self._place(where)}: a goal needs `says`: what it is in words")
        keys = {key: value for key, value in table.items() if key != "says"}
        try:
            kind = condition_type(keys.keys())
        except ConfigError as error:
            raise ConfigError(f"{self._place(where)}: {error}") from None
        condition = self._read(keys, kind, where)
        self._check_members(condition.backends(), where, scene)
        return Goal(says, condition)

    def _claim(self, table: dict[str, Any], where: Where, scene: Scenario | None) -> Expect | Goal:
        if CONDITIONS.keys() & table.keys():
            return self._goal(table, where, scene)
        expect = self._read(table, Expect, where)
        self._check_members(expect.backends(), where, scene)
        return expect

    def _check_members(self, labels: Iterable[str], where: Where, scene: Scenario | None) -> None:
        members = () if scene is None else _members(scene)
        for label in labels:
            if label not in members:
                raise ConfigError(
                    f"{self._place(where)}: the scene has no backend `{label}`; {suggest(label, members)}"
                )

    def _read(self, table: dict[str, Any], into: type[T], where: Where) -> T:
        """A table within the block as a struct, its unknown keys named first."""
        known = [spec.encode_name for spec in fields(into)]
        for key in table:
            if key not in known:
                raise ConfigError(f"{self._place((*where, key))}: there is no such key; {suggest(key, known)}")
        return read_table(table, into, text=self._block, source=self._source, at=where)

    def _place(self, where: Where) -> str:
        return place(self._block, self._source, where)


def _loose_task(task: TaskSpec, scene: Scenario) -> Iterator[tuple[Where, str]]:
    """A task that nobody could do, or that the rehearsal cannot."""
    if not task.goals:
        yield ("task", "goals"), "a task needs at least one goal, or nobody can tell when it is done"
    members = _members(scene)
    for index, entry in enumerate(task.rehearse):
        where = ("task", "rehearse", index)
        if entry.at > scene.lasts:
            yield where, f"{entry.at} is after the end of the scene ({scene.lasts})"
        if entry.target is not None and entry.target.backend not in members:
            label = entry.target.backend
            yield where, f"the scene has no backend `{label}`; {suggest(label, members)}"


def _members(scene: Scenario) -> Sequence[str]:
    """Every backend that the scene starts with, as pool/name."""
    return [f"{pool}/{backend.name}" for pool, spec in scene.pool.items() for backend in spec.backends]
