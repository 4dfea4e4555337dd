"""The file of progress: what it remembers, and what it survives."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbtutor.core import Seconds
from lbtutor.course.lesson import Choice, Question
from lbtutor.course.progress import Due, Progress, state_folder

NOW = datetime(2026, 1, 2, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

RIGHT = Choice("a", "srv-3", right=True, because="So it is.")
WRONG = Choice("b", "srv-1", right=False, because="It is not.", misconception="M21")
QUESTION = Question("whose", "Whose turn?", (RIGHT, WRONG), "Look.", Seconds(86_400))


def test_everything_comes_back_from_the_file(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_answer("turns", QUESTION, WRONG, NOW)
    progress.record_step("turns", "first", NOW)
    progress.record_place("turns", "second", NOW)

    again = Progress.load(tmp_path)
    assert again.answered("turns", QUESTION) is WRONG
    assert again.done("turns") == {"first"}
    assert again.resume == ("turns", "second")
    assert again.notices == []


def test_the_file_says_in_words_what_was_answered_and_believed(tmp_path: Path) -> None:
    Progress.load(tmp_path).record_answer("turns", QUESTION, WRONG, NOW)
    recorded = json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))
    assert recorded["lessons"]["turns"]["answers"]["whose"] == [
        {
            "at": "2026-01-02T10:00:00.000+00:00",
            "choice": "srv-1",
            "misconception": "M21",
            "returns_after": "24h",
            "right": False,
        }
    ]


def test_nothing_is_known_at_the_very_beginning(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path / "not" / "there")
    assert progress.resume is None
    assert progress.answered("turns", QUESTION) is None
    assert progress.done("turns") == frozenset()
    assert not progress.finished("turns")
    assert progress.due(NOW) == ()
    assert not (tmp_path / "not").exists()


def test_a_choice_that_the_lesson_no_longer_offers_is_no_answer(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_answer("turns", QUESTION, WRONG, NOW)
    changed = Question("whose", "Whose turn?", (RIGHT,), "Look.")
    assert progress.answered("turns", changed) is None


def test_a_lesson_is_finished_with_its_last_step(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_step("turns", "first", NOW)
    assert not progress.finished("turns")
    progress.record_step("turns", "second", NOW, last=True)
    assert progress.finished("turns")


def test_a_reset_forgets_one_lesson_and_where_it_was_left(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    for lesson in ("turns", "other"):
        progress.record_answer(lesson, QUESTION, RIGHT, NOW)
        progress.record_step(lesson, "first", NOW, last=True)
    progress.record_place("turns", "first", NOW)
    progress.reset("turns", NOW + SECOND)

    for copy in (progress, Progress.load(tmp_path)):
        assert copy.answered("turns", QUESTION) is None
        assert copy.done("turns") == frozenset()
        assert not copy.finished("turns")
        assert copy.resume is None
        assert copy.finished("other")


def test_a_question_is_due_when_its_rest_is_over(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_answer("turns", QUESTION, RIGHT, NOW)
    assert progress.due(NOW + DAY - SECOND) == ()
    assert progress.due(NOW + DAY) == (Due("turns", "whose", NOW + DAY),)


def test_the_longest_waiting_question_comes_first_and_others_do_not_return(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_answer("b", QUESTION, RIGHT, NOW)
    progress.record_answer("a", QUESTION, WRONG, NOW)
    progress.record_answer("c", Question("once", "Once?", (RIGHT, WRONG), "Look."), RIGHT, NOW)
    assert [due.lesson for due in progress.due(NOW + 2 * DAY)] == ["a", "b"]


def test_two_terminals_do_not_lose_each_others_answers(tmp_path: Path) -> None:
    one, other = Progress.load(tmp_path), Progress.load(tmp_path)
    one.record_step("turns", "first", NOW)
    other.record_step("turns", "second", NOW)
    assert other.done("turns") == {"first", "second"}
    assert Progress.load(tmp_path).done("turns") == {"first", "second"}


@pytest.mark.slow
def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from lbtutor.course.progress import Progress
        for number in range(20):
            Progress(Path(sys.argv[1])).record_step("turns", f"{sys.argv[2]}-{number}", datetime.now(UTC))
    """
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(name)]) for name in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(Progress.load(tmp_path).done("turns")) == 60


def test_a_broken_file_is_set_aside_and_the_learner_told(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    for number in (1, 2):
        file.write_text('{"format": 1, "less', encoding="utf-8")
        progress = Progress.load(tmp_path)
        assert len(progress.notices) == 1
        assert f"set aside as progress.json.broken-{number}" in progress.notices[0]
        assert (tmp_path / f"progress.json.broken-{number}").read_text(encoding="utf-8") == '{"format": 1, "less'
        progress.record_step("turns", "first", NOW)
        assert Progress.load(tmp_path).done("turns") == {"first"}


def test_a_file_that_breaks_while_lbtutor_runs_is_set_aside_too(tmp_path: Path) -> None:
    progress = Progress.load(tmp_path)
    progress.record_step("turns", "first", NOW)
    (tmp_path / "progress.json").write_text("mine now", encoding="utf-8")
    progress.record_step("turns", "second", NOW)
    assert (tmp_path / "progress.json.broken-1").read_text(encoding="utf-8") == "mine now"
    assert Progress.load(tmp_path).done("turns") == {"first", "second"}


def test_a_newer_file_is_left_alone_and_nothing_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    newer = '{"format": 2, "pupils": []}'
    file.write_text(newer, encoding="utf-8")
    progress = Progress.load(tmp_path)
    progress.record_step("turns", "first", NOW)
    assert file.read_text(encoding="utf-8") == newer
    assert progress.done("turns") == {"first"}
    assert len(progress.notices) == 1
    assert "pip install -U lbtutor" in progress.notices[0]


def test_keys_of_others_survive_a_save(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"format": 1, "teacher": "Ms Iyer"}', encoding="utf-8")
    Progress.load(tmp_path).record_step("turns", "first", NOW)
    assert json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))["teacher"] == "Ms Iyer"


def test_a_folder_that_cannot_be_made_costs_a_notice_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    progress = Progress.load(tmp_path / "file" / "folder")
    progress.record_step("turns", "first", NOW)
    assert progress.done("turns") == {"first"}
    assert len(progress.notices) == 1


def test_a_file_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "progress.json").mkdir()
    progress = Progress.load(tmp_path)
    progress.record_step("turns", "first", NOW)
    assert (tmp_path / "progress.json").is_dir()
    assert "it is left as it is and nothing is saved" in progress.notices[0]


def test_a_save_leaves_no_other_file_than_its_lock(tmp_path: Path) -> None:
    Progress.load(tmp_path).record_step("turns", "first", NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "progress.lock"]


def test_the_folder_is_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_STATE", str(tmp_path))
    assert state_folder() == tmp_path
    monkeypatch.delenv("LBTUTOR_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder().name == "lbtutor"
