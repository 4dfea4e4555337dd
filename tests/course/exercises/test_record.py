"""What is remembered of exercises: by two terminals at once, over a reset, and across versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from lbtutor.course.exercises.judging import Outcome
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.record import ExerciseRecord
from lbtutor.course.progress import Progress
from lbtutor.course.record import Table, united

NOW = datetime(2026, 1, 2, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def record(folder: Path) -> ExerciseRecord:
    return ExerciseRecord(Progress.load(folder))


def test_everything_comes_back_from_the_file(tmp_path: Path, counting: Exercise) -> None:
    mine = record(tmp_path)
    assert (mine.state(counting), mine.last, mine.folder) == ("new", None, None)
    mine.record_start(counting, tmp_path / "mine", NOW)
    assert mine.state(counting) == "begun"
    mine.record_hint(counting, 1, NOW)
    mine.record_try(counting, "pass", tmp_path / "mine", NOW)
    again = record(tmp_path)
    assert again.state(counting) == "passed"
    assert (again.last, again.folder, again.hints(counting)) == (counting.id, tmp_path / "mine", 1)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("fail", "failed"),
        ("not gradable", "failed"),
        ("unknown", "begun"),
        ("grader error", "begun"),
        ("pass", "passed"),
    ],
)
def test_a_try_is_remembered_by_its_outcome(tmp_path: Path, counting: Exercise, outcome: Outcome, state: str) -> None:
    mine = record(tmp_path)
    mine.record_start(counting, tmp_path, NOW)
    mine.record_try(counting, outcome, tmp_path, NOW)
    assert record(tmp_path).state(counting) == state


def test_what_was_passed_stays_passed_over_a_failure_and_a_reset(tmp_path: Path, counting: Exercise) -> None:
    mine = record(tmp_path)
    mine.record_try(counting, "pass", tmp_path, NOW)
    mine.record_try(counting, "fail", tmp_path, NOW + SECOND)
    mine.record_reset(counting, NOW + 2 * SECOND)
    assert record(tmp_path).has_passed(counting)


def test_after_a_reset_hints_and_tries_begin_again(tmp_path: Path, counting: Exercise) -> None:
    mine = record(tmp_path)
    mine.record_start(counting, tmp_path, NOW)
    mine.record_try(counting, "fail", tmp_path, NOW)
    mine.record_hint(counting, 2, NOW)
    mine.record_reset(counting, NOW + SECOND)
    assert (mine.hints(counting), mine.state(counting)) == (0, "begun")
    mine.record_hint(counting, 1, NOW + 2 * SECOND)
    assert record(tmp_path).hints(counting) == 1


def test_the_file_has_the_first_pass_and_no_try_from_before_a_reset(tmp_path: Path, counting: Exercise) -> None:
    mine = record(tmp_path)
    mine.record_try(counting, "pass", tmp_path, NOW)
    mine.record_try(counting, "pass", tmp_path, NOW + SECOND)
    mine.record_reset(counting, NOW + 2 * SECOND)
    kept = json.loads((tmp_path / "progress.json").read_text())["exercises"][counting.id]
    assert kept == {"passed": "2026-01-02T10:00:00.000+00:00", "reset": "2026-01-02T10:00:02.000+00:00"}


def test_two_terminals_lose_nothing_of_one_another(tmp_path: Path, counting: Exercise) -> None:
    other = replace(counting, id="other")
    one, two = record(tmp_path), record(tmp_path)
    one.record_try(counting, "pass", tmp_path, NOW)
    two.record_try(other, "fail", tmp_path, NOW + SECOND)
    one.record_hint(other, 1, NOW + 2 * SECOND)
    again = record(tmp_path)
    assert again.has_passed(counting)
    assert (again.state(other), again.hints(other), again.last) == ("failed", 1, "other")


def test_records_are_united_to_the_same_in_any_order(tmp_path: Path, counting: Exercise) -> None:
    kept: list[Table] = []
    for name, steps in {"a": ("start", "fail"), "b": ("pass", "hint"), "c": ("reset", "hint")}.items():
        mine = record(tmp_path / name)
        for number, step in enumerate(steps):
            at = NOW + number * SECOND
            match step:
                case "start":
                    mine.record_start(counting, tmp_path / name, at)
                case "hint":
                    mine.record_hint(counting, 1, at)
                case "reset":
                    mine.record_reset(counting, at)
                case "pass" | "fail":
                    mine.record_try(counting, step, tmp_path / name, at)
        kept.append(json.loads((tmp_path / name / "progress.json").read_text()))
    unions = [united(united(one, two), three) for one, two, three in permutations(kept)]
    assert all(union == unions[0] for union in unions)
    assert united(unions[0], unions[0]) == unions[0]
    assert unions[0]["exercises"][counting.id]["passed"]
    assert unions[0]["exercises"][counting.id]["tried"]["outcome"] == "fail"


def test_what_another_version_wrote_is_kept(tmp_path: Path, counting: Exercise) -> None:
    foreign = {"format": 1, "exercises": {"gone": {"stars": 3}, counting.id: {"mood": "good"}}, "theme": "dark"}
    (tmp_path / "progress.json").write_text(json.dumps(foreign))
    record(tmp_path).record_try(counting, "pass", tmp_path, NOW)
    written = json.loads((tmp_path / "progress.json").read_text())
    assert written["exercises"]["gone"] == {"stars": 3}
    assert written["exercises"][counting.id]["mood"] == "good"
    assert written["theme"] == "dark"


def test_a_newer_format_is_left_alone_and_a_broken_one_set_aside(tmp_path: Path, counting: Exercise) -> None:
    path = tmp_path / "progress.json"
    path.write_text('{"format": 99}')
    newer = record(tmp_path)
    newer.record_try(counting, "pass", tmp_path, NOW)
    assert path.read_text() == '{"format": 99}'
    assert "newer lbtutor" in newer.progress.notices[0]
    path.write_text('{"format": 1, "exercises": {"x": {"passed": "yesterday"}}}')
    broken = record(tmp_path)
    broken.record_try(counting, "pass", tmp_path, NOW)
    assert "set aside" in broken.progress.notices[0]
    assert "yesterday" in (tmp_path / "progress.json.broken-1").read_text()
    assert record(tmp_path).has_passed(counting)


def test_the_next_is_the_first_for_which_all_it_needs_are_passed(tmp_path: Path, counting: Exercise) -> None:
    first = replace(counting, id="first", needs=("second",))
    second = replace(counting, id="second")
    mine = record(tmp_path)
    assert mine.next_of((first, second)) is second
    mine.record_try(second, "pass", tmp_path, NOW)
    assert mine.next_of((first, second)) is first
    mine.record_try(first, "pass", tmp_path, NOW)
    assert mine.next_of((first, second)) is None


def test_who_left_some_out_is_not_sent_back_to_them(tmp_path: Path, counting: Exercise) -> None:
    first, second, third = (replace(counting, id=name) for name in ("one", "two", "three"))
    mine = record(tmp_path)
    mine.record_try(second, "pass", tmp_path, NOW)
    assert mine.next_of((first, second, third)) is third
    mine.record_try(third, "pass", tmp_path, NOW + SECOND)
    assert mine.next_of((first, second, third)) is first
