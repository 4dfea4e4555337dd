"""What is found amiss with an exercise before a learner meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from lbtutor.course.authoring import amiss_with, amiss_with_lesson
from lbtutor.course.exercises.manifest import Exercise, exercise
from lbtutor.labs.library import lesson_folders
from lbtutor.testing.components import laws_of

SOUND = exercise("break-ip-hash")
"""One that is judged quickly."""


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"asks": "Change it. Then check it."}, "it asks in one sentence"),
        ({"hints": ("Look there.", "There.", "There!")}, "its first hint is a question"),
        ({"hints": ("Where?", " ", "There.")}, "each of its three hints says something"),
        ({"fails": ""}, "`fails` names"),
        ({"lab": "no-such-lab"}, "there is no lab 'no-such-lab'"),
        ({"needs": ("audit-chapter",)}, "it needs audit-chapter, which does not come before it"),
        ({"title": "An easy one"}, "manifest: the word 'easy'"),
        ({"level": 9}, "its level is 1 to 5"),
        ({"points": 0}, "it is worth a point at least"),
        ({"id": "No Such Folder"}, "its id is written in small letters"),
    ],
)
def test_what_is_wrong_in_the_manifest_is_told(changes: dict[str, object], complaint: str) -> None:
    assert any(complaint in fault for fault in amiss_with(replace(SOUND, **changes)))


def test_a_sound_exercise_has_no_fault() -> None:
    assert amiss_with(SOUND) == []


def test_a_start_that_fails_for_another_reason_is_told() -> None:
    faults = amiss_with(replace(SOUND, fails="it bears"))
    assert faults == ["its start is sent back for it breaks, and not for it bears"]


@pytest.mark.slow
def test_a_start_of_which_something_else_is_told_first_is_told() -> None:
    drain = exercise("drain")
    assert amiss_with(drain, seed=5) == []
    other = next(name for name in (law.name for law in laws_of(drain.component)) if name != drain.fails)
    assert amiss_with(replace(drain, fails=other), seed=5) == [
        f"its start is sent back for {drain.fails}, and not for {other}"
    ]


def test_a_start_that_passes_is_told() -> None:
    mild = replace(SOUND, settings={**SOUND.settings, "above": 0.001, "below": 60.0})
    assert amiss_with(mild)[0].startswith("its start is not sent back: pass")


def test_a_solution_that_fails_is_told() -> None:
    hard = replace(SOUND, settings={**SOUND.settings, "above": 1000.0})
    assert "its solution does not pass: fail" in amiss_with(hard)[-1]


def test_a_law_that_is_none_is_told() -> None:
    faults = amiss_with(replace(exercise("round-robin"), hidden=("no_such_law",)))
    assert faults == ["round_robin has no law no_such_law"]


def test_a_start_may_import_the_standard_library_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "round-robin"
    folder.mkdir()
    given = exercise("round-robin")
    text = given.start.read_text(encoding="utf-8")
    (folder / "start.py").write_text(f"import math\nimport lbtutor\nfrom . import solution\n{text}", encoding="utf-8")
    (folder / "solution.py").write_text(given.solution.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(Exercise, "folder", folder)
    assert amiss_with(given) == ["its start imports lbtutor", "its start imports ."]


def test_the_lessons_have_no_fault() -> None:
    for folder in lesson_folders():
        assert amiss_with_lesson(folder.name) == []
