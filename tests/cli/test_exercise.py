"""`lbtutor exercise`: from a fresh folder to a pass, as somebody at a keyboard does it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lbtutor.course.exercises.manifest import Exercise, exercise, exercises

Program = Callable[..., "subprocess.CompletedProcess[str]"]

FILE = "lbtutor-exercises/least_connections.py"


@pytest.fixture
def counting() -> Exercise:
    return exercise("least-connections")


def solve(folder: Path, solved: Exercise) -> None:
    """As an editor saves: beside it, and then in its place."""
    path = folder / "lbtutor-exercises" / solved.gives
    beside = path.with_suffix(".swp")
    beside.write_text(solved.solution.read_text())
    os.replace(beside, path)


def test_all_are_listed_with_their_state_and_one_is_next(lbtutor: Program) -> None:
    lines = lbtutor("exercise", "list").stdout.splitlines()
    assert len(lines) == len(exercises())
    assert [line for line in lines if line.startswith("→")] == lines[:1]
    assert all("· new" in line for line in lines)
    assert [line[2:] for line in lbtutor("list", "exercises").stdout.splitlines()[1:]] == lines
    documents = json.loads(lbtutor("exercise", "list", "--json").stdout)
    assert [one["id"] for one in documents] == [one.id for one in exercises()]
    assert [one["next"] for one in documents] == [number == 0 for number in range(len(documents))]


def test_the_list_is_not_wider_than_a_small_terminal(lbtutor: Program) -> None:
    assert max(map(len, lbtutor("list", "exercises").stdout.splitlines())) <= 80


def test_a_failed_check_names_the_method_that_answered_and_fits_a_small_terminal(lbtutor: Program) -> None:
    lbtutor("exercise", "start", "router")
    done = lbtutor("exercise", "check", "--seed", "1787685874")
    assert done.returncode == 1
    assert "  from      router.py:14   def match(self, host, path, headers):" in done.stdout.splitlines()
    assert "lbtutor exercise check router --seed 1787685874" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_story_on_the_stage_needs_a_terminal(lbtutor: Program) -> None:
    lbtutor("exercise", "start", "router")
    done = lbtutor("exercise", "check", "--show")
    assert done.returncode == 2
    assert "--show needs a terminal" in done.stderr


def test_a_record_of_an_exercise_that_is_gone_is_kept_and_means_none(lbtutor: Program, tmp_path: Path) -> None:
    lbtutor("exercise", "start", "router")
    path = tmp_path / "state" / "progress.json"
    record = json.loads(path.read_text())
    record["exercises"]["gone"] = {"passed": "2026-01-01T00:00:00.000+00:00", "colour": "red"}
    record["work"]["exercise"] = "gone"
    path.write_text(json.dumps(record))
    done = lbtutor("exercise", "hint")
    assert done.returncode == 2
    assert "which exercise?" in done.stderr
    lbtutor("exercise", "hint", "router")
    assert json.loads(path.read_text())["exercises"]["gone"] == record["exercises"]["gone"]


@pytest.mark.slow
def test_a_learner_begins_fails_asks_solves_and_compares(lbtutor: Program, tmp_path: Path, counting: Exercise) -> None:
    begun = lbtutor("exercise", "start", "least-connections")
    assert begun.returncode == 0
    assert counting.asks in " ".join(begun.stdout.split())
    assert FILE in begun.stdout

    failed = lbtutor("exercise", "check", "--seed", "3")
    assert failed.returncode == 1
    first, second, *_ = failed.stdout.splitlines()
    assert first.split() == ["expected", "b"]
    assert second.split() == ["got", "a"]
    assert "least_connections.py:11   def pick(self, request, backends):" in failed.stdout
    assert "request A arrives" in failed.stdout
    assert "more is tried when it is graded" in failed.stdout
    assert "✕ failed" in next(line for line in lbtutor("exercise", "list").stdout.splitlines() if counting.id in line)

    assert "Hint 1 of 3" in lbtutor("exercise", "hint").stdout
    assert "Hint 2 of 3" in lbtutor("exercise", "hint").stdout
    refused = lbtutor("exercise", "solution")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--force" in refused.stderr

    solve(tmp_path, counting)
    passed = lbtutor("exercise", "check")
    assert passed.returncode == 0
    assert "shown hold; 1 more is tried when it is graded." in passed.stdout
    assert "Recorded." in passed.stdout
    assert "Next: lbtutor exercise start" in passed.stdout
    assert lbtutor("exercise", "solution").stdout.rstrip() == counting.solution.read_text().rstrip()
    assert "✓ passed" in next(line for line in lbtutor("exercise", "list").stdout.splitlines() if counting.id in line)


def test_the_verdict_is_one_json_document(lbtutor: Program) -> None:
    lbtutor("exercise", "start", "least-connections")
    done = lbtutor("exercise", "check", "--json", "--seed", "3")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["exercise"], document["verdict"], document["seed"]) == ("least-connections", "failed", 3)
    assert (document["expected"], document["got"], document["hidden"]) == ("b", "a", 1)
    shown = {finding["name"] for finding in document["findings"]}
    assert shown.isdisjoint(exercise("least-connections").hidden)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class LeastConnections:\n    def pick(self, request backends):\n", "least_connections.py:2   def pick"),
        ("x = undefined\n", "least_connections.py:1   x = undefined"),
        ("import os\nos._exit(0)\n", "ended its process"),
        ("class LeastConnection:\n    def pick(self, request, backends):\n        ...\n", "no class LeastConnections"),
    ],
)
def test_a_file_that_cannot_be_run_says_where_and_what_to_do(
    lbtutor: Program, tmp_path: Path, text: str, told: str
) -> None:
    lbtutor("exercise", "start", "least-connections")
    (tmp_path / FILE).write_text(text)
    done = lbtutor("exercise", "check")
    assert done.returncode == 1
    assert told in done.stdout
    assert "next      Mend" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_workspace_is_remembered_and_nothing_in_it_is_overwritten(lbtutor: Program, tmp_path: Path) -> None:
    lbtutor("exercise", "start", "least-connections", "--in", "my work")
    own = tmp_path / "my work" / "least_connections.py"
    own.write_text("mine")
    again = lbtutor("exercise", "start", "least-connections")
    assert "it was there already" in again.stdout
    assert own.read_text() == "mine"
    assert not (tmp_path / "lbtutor-exercises").exists()


def test_a_reset_asks_keeps_a_copy_and_begins_the_hints_again(lbtutor: Program, tmp_path: Path) -> None:
    lbtutor("exercise", "start", "least-connections")
    (tmp_path / FILE).write_text("mine")
    lbtutor("exercise", "hint", "--all")
    assert lbtutor("exercise", "reset").returncode == 2, "there is nobody to ask"
    assert (tmp_path / FILE).read_text() == "mine"
    done = lbtutor("exercise", "reset", "--yes")
    assert "least_connections.before-1.py" in done.stdout
    assert (tmp_path / "lbtutor-exercises/least_connections.before-1.py").read_text() == "mine"
    assert "the gap" in (tmp_path / FILE).read_text()
    assert "Hint 1 of 3" in lbtutor("exercise", "hint").stdout


def test_a_solution_that_is_forced_is_recorded_and_overwrites_nothing(lbtutor: Program, tmp_path: Path) -> None:
    forced = lbtutor("exercise", "solution", "least-connections", "--force", "--out", "theirs.py")
    assert forced.returncode == 0
    assert "Recorded" in forced.stderr
    assert (tmp_path / "theirs.py").read_text() == exercise("least-connections").solution.read_text()
    kept = json.loads((tmp_path / "state" / "progress.json").read_text())
    assert kept["exercises"]["least-connections"]["revealed"]
    assert lbtutor("exercise", "solution", "least-connections", "--force", "--out", "theirs.py").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check",), "lbtutor exercise start"),
        (("check", "least-conections"), "did you mean 'least-connections'"),
        (("check", "least-connections"), "`lbtutor exercise start least-connections` puts it there"),
        (("watch", "least-connections"), "`lbtutor exercise start least-connections` puts it there"),
        (("chekc",), "chekc"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(lbtutor: Program, arguments: tuple[str, ...], told: str) -> None:
    done = lbtutor("exercise", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--poll",)])
def test_a_watch_in_a_log_is_one_line_a_verdict(
    lbtutor: Program, tmp_path: Path, counting: Exercise, options: tuple[str, ...]
) -> None:
    lbtutor("exercise", "start", "least-connections")
    with watching(tmp_path, options, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        failed = running.stdout.readline()
        assert "✕ failed least-connections: expected " in failed
        solve(tmp_path, counting)
        passed = running.stdout.readline()
        assert "✓ passed least-connections: All" in passed
        assert "Next: lbtutor exercise start" in passed
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=30)
    assert (running.returncode, rest) == (0, ""), "passed when it was ended"
    assert "Traceback" not in errors
    assert "\x1b" not in failed + passed
    kept = json.loads((tmp_path / "state" / "progress.json").read_text())
    assert kept["exercises"]["least-connections"]["passed"]


@pytest.mark.slow
def test_a_watch_on_a_terminal_shows_the_story_and_ends_with_130(lbtutor: Program, tmp_path: Path) -> None:
    lbtutor("exercise", "start", "least-connections")
    ours, theirs = pty.openpty()
    with watching(tmp_path, (), stdout=theirs) as running:
        os.close(theirs)
        seen = ""
        while "Ctrl-C ends" not in seen:
            seen += os.read(ours, 4096).decode()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    os.close(ours)
    assert running.returncode == 130
    assert "\x1b[H\x1b[2J" in seen, "the verdict has the screen for itself"
    assert seen.index("expected") < seen.index("request A") < seen.index("✕ failed")
    assert "\x1b[3" not in seen, "no colour"
    assert "Traceback" not in errors


def watching(folder: Path, options: tuple[str, ...], stdout: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "LBTUTOR_STATE": str(folder / "state"), "PYTHONUTF8": "1", "TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-m", "lbtutor", "exercise", "watch", *options],
        stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, cwd=folder, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_the_learners_own_class_runs_the_real_balancer(lbtutor: Program, tmp_path: Path, counting: Exercise) -> None:
    lbtutor("exercise", "start", "least-connections")
    solve(tmp_path, counting)
    done = lbtutor("exercise", "run", "--on", "sim")
    assert done.returncode == 0, done.stderr
    assert f"--algorithm {FILE}:LeastConnections" in done.stderr
    assert "✓ passed" in done.stdout
    (tmp_path / FILE).write_text(
        "class LeastConnections:\n    def pick(self, request, backends):\n        return None\n"
    )
    told = lbtutor("exercise", "run", "--on", "sim", "--plain").stdout
    assert "LeastConnections broke its contract: its pick returned None, which is not one of the backends" in told


def test_what_no_balancer_could_ask_is_seen_elsewhere(lbtutor: Program) -> None:
    done = lbtutor("exercise", "run", "ejection")
    assert done.returncode == 2
    assert "lbtutor lab run passive-ejection" in done.stderr
