"""`lbtutor check` and what `lbtutor replay` does with what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lbtutor.course.found import case_in
from lbtutor.trace.journal import read_journal

Program = Callable[..., "subprocess.CompletedProcess[str]"]

MOST = (
    "class Mine:\n    def pick(self, request, backends):\n        return max(backends, key=lambda one: one.in_flight)\n"
)
LEAST = MOST.replace("max(", "min(").replace("one.in_flight", "one.in_flight / one.weight")
CHECK = ("check", "mine.py:Mine", "--as", "least_connections", "--seed", "3", "--in-process")


@pytest.fixture
def kept(lbtutor: Program, tmp_path: Path) -> Path:
    """The counterexample of somebody who takes the busiest."""
    (tmp_path / "mine.py").write_text(MOST)
    (tmp_path / "mended.py").write_text(LEAST)
    assert lbtutor(*CHECK).returncode == 1
    return tmp_path / "state" / "found" / "least_connections-Mine.jsonl"


def test_the_first_counterexample_is_kept_with_all_it_takes_to_play_it(kept: Path) -> None:
    journal = read_journal(kept)
    case = case_in(journal)
    assert journal.complaint is None
    assert case is not None
    assert (case.file, case.cls, case.component, case.seed) == ("mine.py", "Mine", "least_connections", 3)
    assert journal.header.title == case.says


def test_the_place_can_be_chosen_and_is_in_the_document(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MOST)
    done = lbtutor(*CHECK, "--json", "--trace", "here.jsonl")
    laws = json.loads(done.stdout)["laws"]
    assert [law["trace"] for law in laws if law["trace"]] == ["here.jsonl"]
    assert next(law for law in laws if law["trace"])["verdict"] == "failed"
    assert case_in(read_journal(tmp_path / "here.jsonl")) is not None


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MOST)
    done = lbtutor(*CHECK, "--trace", "nowhere/here.jsonl")
    assert done.returncode == 4
    assert "cannot be written" in done.stderr
    assert done.stdout == ""


def test_what_holds_leaves_nothing_behind(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LEAST)
    assert lbtutor(*CHECK).returncode == 0
    assert not (tmp_path / "state" / "found").exists()


def test_show_without_a_terminal_is_refused(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MOST)
    done = lbtutor(*CHECK, "--show")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


def test_a_replay_tells_the_story_as_the_check_did(lbtutor: Program, kept: Path) -> None:
    told = lbtutor("replay", str(kept)).stdout.splitlines()
    checked = lbtutor(*CHECK).stdout.splitlines()
    story = [line for line in told[2:] if line.strip()]
    assert any("expected" in line for line in story)
    assert [line for line in checked if line in story][: len(story)] == story


def test_a_case_played_on_code_says_whether_it_still_breaks(lbtutor: Program, kept: Path) -> None:
    again = lbtutor("replay", str(kept), "--submission", "mine.py:Mine", "--in-process")
    mended = lbtutor("replay", str(kept), "--submission", "mended.py:Mine", "--in-process")
    assert (again.returncode, mended.returncode) == (1, 0)
    assert "it breaks" in again.stdout
    assert "it holds" in mended.stdout


def test_a_case_as_a_test_fails_until_the_code_is_mended(lbtutor: Program, kept: Path, tmp_path: Path) -> None:
    text = lbtutor("replay", str(kept), "--as-test").stdout
    (tmp_path / "test_found.py").write_text(text)
    (tmp_path / "test_mended.py").write_text(text.replace("from mine ", "from mended "))
    codes = [
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
            cwd=tmp_path, capture_output=True, timeout=60, check=False,
        ).returncode
        for name in ("test_found.py", "test_mended.py")
    ]  # fmt: skip
    assert codes == [1, 0]


def test_the_trace_of_a_run_is_no_case(lbtutor: Program, tmp_path: Path) -> None:
    run = str(tmp_path / "run.jsonl")
    assert lbtutor("lab", "run", "round-robin", "--on", "sim", "--trace", run).returncode == 0
    done = lbtutor("replay", run, "--as-test")
    assert done.returncode == 2
    assert "no counterexample" in done.stderr


def test_what_was_not_checked_is_listed_and_a_second_run_is_held_to_the_same(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MOST)
    said = ("--lenient", "--claim", "unknown=ignore")
    done = lbtutor("check", "mine.py:Mine", "--as", "round_robin", "--seed", "3", "--in-process", *said)
    assert "not checked When servers come and go" in done.stdout
    assert "it is not claimed (strict = True)" in done.stdout
    assert "--as round_robin --lenient --claim unknown=ignore --seed 3" in done.stdout
