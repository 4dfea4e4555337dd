"""Watching a file: what counts as a save, however an editor does it, and what becomes of the check before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from lbtutor.course.exercises.checking import Checker
from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.watching import Began, Gone, News, Unnoticed, saves, watch
from lbtutor.course.exercises.workspace import Workspace, given, solution
from lbtutor.testing.sandbox import submission

Save = Callable[[Path, str], None]

FOR_EVER = "while True:\n    pass\n"


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    """As most editors: the new one is written beside it, and takes its place."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text)
    os.replace(beside, path)


def by_backup(path: Path, text: str) -> None:
    """As vim with a backup: the old one goes out of the way first, and the new one has its name."""
    os.replace(path, path.with_name(f"{path.name}~"))
    path.write_text(text)


def until(news: Iterator[News], kind: type[News]) -> list[News]:
    """What is told up to the first of that kind, which comes last."""
    told: list[News] = []
    for one in news:
        told.append(one)
        if isinstance(one, kind):
            return told
    raise AssertionError(f"it ended without {kind}: {told}")


@pytest.mark.parametrize("save", [in_place, by_rename, by_backup])
@pytest.mark.parametrize("poll", [False, True])
def test_a_save_is_seen_once_however_it_is_done(tmp_path: Path, save: Save, poll: bool) -> None:
    path = tmp_path / "mine.py"
    path.write_text("one")
    stop = Event()
    looks = saves(path, poll=poll, stop=stop)
    assert next(seen for seen in looks if seen), "what is there at first counts"
    save(path, "two and more")
    assert next(seen for seen in looks if seen) is True
    assert not any(next(looks) for _ in range(5)), "and then nothing was saved"
    stop.set()
    assert not list(looks)


def test_a_neighbour_that_is_saved_is_no_save(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("one")
    looks = saves(path, poll=False, stop=Event())
    assert next(seen for seen in looks if seen)
    (tmp_path / "other.py").write_text("two")
    assert not any(next(looks) for _ in range(5))


def test_where_there_are_no_notices_it_looks_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "mine.py"
    looks = saves(path, poll=False, stop=Event())
    assert isinstance(next(looks), Unnoticed), "a folder that is not there gives none"
    path.parent.mkdir()
    path.write_text("one")
    assert next(seen for seen in looks if seen) is True


def test_a_file_that_is_gone_is_told_once_and_seen_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("one")
    looks = saves(path, poll=True, stop=Event())
    assert next(seen for seen in looks if seen) is True
    os.replace(path, tmp_path / "elsewhere")
    assert next(seen for seen in looks if seen) == Gone(path)
    assert not any(next(looks) for _ in range(30))
    os.replace(tmp_path / "elsewhere", path)
    assert next(seen for seen in looks if seen) is True


@pytest.mark.slow
def test_every_save_is_judged_and_a_check_under_way_is_given_up(counting: Exercise, workspace: Workspace) -> None:
    workspace.start(counting)
    news = watch(counting, workspace)
    failed = until(news, Judgement)
    assert failed[0] == Began()
    assert isinstance(failed[-1], Judgement)
    assert failed[-1].outcome == "fail"
    by_rename(workspace.path(counting), given(counting).replace("return backends[0]", "while True: pass"))
    assert until(news, Began) == [Began()]
    by_rename(workspace.path(counting), solution(counting))
    passed = until(news, Judgement)
    again = next(number for number, one in enumerate(passed) if isinstance(one, Began))
    assert passed[again] == Began(again=True)
    assert all(isinstance(one, Finding) and one.verdict == "passed" for one in passed[again + 1 : -1])
    assert isinstance(passed[-1], Judgement)
    assert passed[-1].outcome == "pass"


@pytest.mark.slow
def test_what_is_no_file_is_judged_so_and_watched_on(counting: Exercise, workspace: Workspace) -> None:
    workspace.folder.mkdir()
    workspace.path(counting).symlink_to(counting.solution)
    news = watch(counting, workspace, poll=True)
    told = until(news, Judgement)[-1]
    assert isinstance(told, Judgement)
    assert (told.outcome, told.got) == ("not gradable", "it is a symbolic link")
    workspace.reset(counting)
    assert isinstance(until(news, Began)[-1], Began)


@pytest.mark.slow
def test_a_check_that_is_given_up_says_nothing_more(counting: Exercise) -> None:
    with Checker(counting) as checker:
        checker.begin(submission("loop.py", FOR_EVER))
        checker.begin(submission("right.py", solution(counting)))
        told: list[Finding | Judgement] = []
        while checker.is_busy:
            told += checker.news(timeout=10)
        assert isinstance(told[-1], Judgement)
        assert told[-1].outcome == "pass"
        assert sum(isinstance(one, Judgement) for one in told) == 1


@pytest.mark.slow
def test_a_checker_that_is_killed_is_a_fault_of_ours(counting: Exercise) -> None:
    with Checker(counting) as checker:
        checker.begin(submission("loop.py", FOR_EVER))
        assert checker._busy is not None
        checker._busy._process.kill()
        told = list(checker.news(timeout=10))
        assert isinstance(told[-1], Judgement)
        assert told[-1].outcome == "grader error"
        assert "-9" in told[-1].cause
        assert not checker.is_busy
