"""Every lesson that ships: it can be read, its tasks can be done, and what it claims is so, whatever the seed."""

from __future__ import annotations

from itertools import groupby

import pytest
from msgspec.structs import replace

from lbtutor.core import Act, Event, Plan, Seconds
from lbtutor.course.catalog import lessons, load_lesson
from lbtutor.course.lesson import Goal, Lesson, Step, rehearsal_at, stage_at
from lbtutor.course.loader import examine, misconceptions_for
from lbtutor.course.watches import Stage, watch
from lbtutor.labs.checks import Check, Expect
from lbtutor.sim.simulate import simulate

SEEDS = (1, 2, 3, 4, 5)
LESSONS = [entry.id for entry in lessons()]
LONG_ENOUGH = Seconds(150)
"""No claim looks further into a run than this, so that runs of many minutes for slow readers need not be played out."""


def runs(lesson: Lesson) -> list[tuple[Plan, list[Step]]]:
    """Each run of the lesson with all its tasks rehearsed, and the steps that go on in it."""
    found = []
    for stage, indices in groupby(range(len(lesson.steps)), key=lambda index: stage_at(lesson.steps, index)):
        here = list(indices)
        if stage is not None:
            plan = lesson.scenes[stage[0]].plan(algorithm=stage[1])
            plan = replace(plan, lasts=min(plan.lasts, LONG_ENOUGH), acts=(*plan.acts, *rehearsal(lesson, here[0])))
            found.append((plan, [lesson.steps[index] for index in here]))
    return found


def rehearsal(lesson: Lesson, index: int) -> tuple[Act, ...]:
    return rehearsal_at(lesson.steps, index)


def not_shown(plan: Plan, wanted: list[Goal | Expect]) -> list[str]:
    """What of `wanted` the run does not show, with what it shows instead."""
    stage = Stage()
    watches = [(goal.says, watch(goal.condition, stage)) for goal in wanted if isinstance(goal, Goal)]
    checks = [Check(expect) for expect in wanted if isinstance(expect, Expect)]

    def take(event: Event) -> None:
        stage.take(event)
        for _, seen in watches:
            seen.take(event)
        for check in checks:
            check.take(event)

    simulate(plan, take)
    judged = [check.judge() for check in checks]
    return [f"{says}: {seen.detail}" for says, seen in watches if not seen.done] + [
        f"{verdict.says}: {verdict.verdict}, {verdict.measured}" for verdict in judged if verdict.verdict != "passed"
    ]


@pytest.mark.parametrize("name", LESSONS)
def test_a_shipped_lesson_has_nothing_to_complain_of(name: str) -> None:
    examined = examine(next(entry.folder for entry in lessons() if entry.id == name))
    assert examined.complaints == ()
    assert examined.warnings == ()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LESSONS)
def test_the_tasks_of_a_lesson_can_be_done_and_its_claims_hold(name: str, seed: int) -> None:
    for plan, steps in runs(load_lesson(name)):
        goals = [goal for step in steps if step.task for goal in step.task.goals]
        claims = [claim for step in steps for claim in step.claims]
        assert not_shown(replace(plan, seed=seed), [*goals, *claims]) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LESSONS)
def test_the_scenes_of_a_lesson_show_what_they_expect(name: str, seed: int) -> None:
    for scene in load_lesson(name).scenes.values():
        assert not_shown(scene.plan(seed=seed), list(scene.expect)) == []


def test_no_two_scenes_share_a_name() -> None:
    names = [scene for name in LESSONS for scene in load_lesson(name).scenes]
    assert len(names) == len(set(names))


def test_a_task_is_not_done_by_watching_alone() -> None:
    """Without its rehearsal a task that asks for a hand stays undone: the goals can tell."""
    for name in LESSONS:
        for plan, steps in runs(load_lesson(name)):
            tasks = [step.task for step in steps if step.task and step.task.rehearse]
            for task in tasks:
                assert not_shown(replace(plan, acts=()), list(task.goals)), task.says


def test_the_catalogue_of_misconceptions_is_whole() -> None:
    catalogue = misconceptions_for(lessons()[0].folder)
    assert list(catalogue) == [f"M{number:02}" for number in range(1, len(catalogue) + 1)]
    for misconception in catalogue.values():
        assert misconception.belief.endswith(".")
        assert misconception.truth.endswith(".")
