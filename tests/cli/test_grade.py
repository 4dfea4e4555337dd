"""`lbtutor grade`: a class, its formats, and exit codes that say whether grading worked, not how good anybody was."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len

from lbtutor.cli.grade import _text
from lbtutor.course.grading.record import Mark, Record, Suite
from lbtutor.course.grading.run import Graded, Same

Program = Callable[..., "subprocess.CompletedProcess[str]"]

HEAD = "class LeastConnections:\n    def pick(self, request, backends):\n"
RIGHT = HEAD + "        return min(backends, key=lambda b: b.in_flight)\n"
ONE = ("--exercise", "least-connections")
LEARNERS = 3
"""Those of the class whose grading is stopped."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two learners: one is right, one is refused. What graders would import, were they careless, lies beside them."""
    for name in ("ann", "=bob"):
        (tmp_path / "class" / name).mkdir(parents=True)
    (tmp_path / "class" / "ann" / "least_connections.py").write_text(RIGHT)
    (tmp_path / "class" / "=bob" / "least_connections.py").symlink_to("/etc/passwd")
    (tmp_path / "class" / "ann" / "json.py").write_text("raise SystemExit('imported')")
    return tmp_path / "class"


@pytest.mark.slow
def test_a_class_is_graded_and_told_in_three_formats(lbtutor: Program, folder: Path, tmp_path: Path) -> None:
    table = lbtutor("grade", str(folder), *ONE, "--seed", "5")
    assert (table.returncode, "confinement: rlimits" in table.stderr) == (0, True)
    assert "ann   2 of 2 points  1 pass" in table.stdout
    assert "refused: it is a symbolic link" in table.stdout
    assert "confinement" not in table.stdout
    assert "records: " in table.stderr

    sheet = lbtutor("grade", str(folder), *ONE, "--resume", "--format", "csv", "--out", str(tmp_path / "marks.csv"))
    assert (sheet.returncode, sheet.stdout) == (0, "")
    assert "1 mark was known before" in sheet.stderr
    rows = list(csv.reader(io.StringIO((tmp_path / "marks.csv").read_text())))
    assert [row[:2] for row in rows] == [["learner", "score"], ["'=bob", "0"], ["ann", "2"]]

    printed = lbtutor("grade", str(folder), *ONE, "--resume", "--format", "csv")
    assert list(csv.reader(io.StringIO(printed.stdout))) == rows

    results = lbtutor("grade", str(folder / "ann"), *ONE, "--resume", "--format", "gradescope")
    assert results.returncode == 0
    assert json.loads(results.stdout)["score"] == 2.0

    whole = lbtutor("grade", str(folder / "ann"), *ONE, "--resume", "--format", "json")
    (ann,) = json.loads(whole.stdout)["learners"]
    assert (whole.returncode, ann["marks"][0]["verdict"], ann["marks"][0]["seed"]) == (0, "pass", 5)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere"], 2, "nowhere is not there"),
        (["class", "--exercise", "least-connection"], 2, "did you mean 'least-connections'?"),
        (["class", "--format", "gradescope", *ONE], 2, "--format gradescope is for one submission, and here are 2"),
        (["class", "--require", "landluck"], 2, "did you mean 'landlock'?"),
        (["class", "--out", "nowhere/marks.csv"], 4, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    arguments: list[str], code: int, told: str, lbtutor: Program, folder: Path, tmp_path: Path
) -> None:
    ran = lbtutor("grade", *arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert told in ran.stderr
    assert not (tmp_path / "state" / "grading").exists()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `lbtutor *args` in a session of its own, with its own state, and end it for certain."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "LBTUTOR_STATE": str(tmp_path / "state"), "PYTHONUTF8": "1"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "lbtutor", *args],
                env=environment,
                cwd=tmp_path,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def descendants(pid: int) -> set[int]:
    """The processes below that one, as /proc has them."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        here = todo.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{here}/task").glob("*/children"):
                children = {int(child) for child in task.read_text().split()}
                todo += children - found
                found |= children
    return found


def one_more_record(process: subprocess.Popen[str], folder: Path) -> set[int]:
    """Wait until there is one more record; gives all processes that were seen below the program until then."""
    before, seen = set(folder.glob("*.json")), descendants(process.pid)
    end = os.pidfd_open(process.pid)
    while set(folder.glob("*.json")) == before:
        assert not select.select([end], [], [], 0.05)[0], process.communicate()
        seen |= descendants(process.pid)
    os.close(end)
    return seen | descendants(process.pid)


def wait_for_end(pids: set[int]) -> None:
    """Until none of these runs any more; whoever hangs is seen by the time limit of the test."""
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            with suppress(OSError):
                select.select([descriptor], [], [], 20)
            os.close(descriptor)
    assert not {pid for pid in pids if is_running(pid)}


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(LEARNERS):
        (tmp_path / "many" / f"learner{number:02}").mkdir(parents=True)
        (tmp_path / "many" / f"learner{number:02}" / "least_connections.py").write_text(f"{RIGHT}# {number}\n")
    return tmp_path / "many"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_grading_that_is_interrupted_and_then_killed_leaves_no_process_and_no_half_record_and_goes_on(
    running: Callable[..., subprocess.Popen[str]], lbtutor: Program, many: Path, tmp_path: Path
) -> None:
    command = ("grade", str(many), *ONE, "--format", "json", "--resume", "--jobs", "1")
    records = tmp_path / "state" / "grading"

    interrupted = running(*command)
    below = one_more_record(interrupted, records)
    interrupted.send_signal(signal.SIGINT)
    stdout, stderr = interrupted.communicate(timeout=60)
    wait_for_end(below)
    kept = marks_in(records)
    assert interrupted.returncode == 130
    assert 0 < len(kept) < LEARNERS
    assert f"interrupted; {len(kept)} of {LEARNERS} are done, --resume goes on from there" in stderr
    assert (json.loads(stdout)["interrupted"], len(json.loads(stdout)["learners"])) == (True, len(kept))

    killed = running(*command)
    below = one_more_record(killed, records)
    killed.kill()
    assert killed.communicate(timeout=60)[0] == ""
    wait_for_end(below)
    known = marks_in(records)
    assert known.items() > kept.items()

    again = lbtutor(*command)
    assert f"{len(known)} marks were known before" in again.stderr
    assert [learner["score"] for learner in json.loads(again.stdout)["learners"]] == [2.0] * LEARNERS
    assert marks_in(records).items() >= known.items()


def marks_in(records: Path) -> dict[str, object]:
    return {path.name: json.loads(path.read_text())["marks"] for path in records.iterdir()}


WITHOUT_LANDLOCK = """
import ctypes, errno, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50000 | errno.ENOSYS), (6, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
filter_ = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(program))
if libc.prctl(22, 2, ctypes.c_char_p(filter_), 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "lbtutor", *sys.argv[1:]])
"""
"""A kernel without Landlock, as a filter makes it look: its first system call is not there."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_demand_that_this_machine_cannot_meet_is_told_before_anything_is_graded(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_LANDLOCK, "grade", str(folder), *ONE]
    environment = {**os.environ, "LBTUTOR_STATE": str(tmp_path / "state"), "PYTHONUTF8": "1"}
    ran = subprocess.run(
        [*command, "--require", "landlock,seccomp"], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if ran.returncode == 77:
        pytest.skip("no filter can be installed here")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "landlock no" in ran.stderr
    assert "this machine has no landlock for learner code, so nothing was graded" in ran.stderr
    assert not (tmp_path / "state" / "grading").exists()


CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    quiet = dict(dashboard_address=None, silence_logs=50)
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", **quiet) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
def test_the_workers_of_a_cluster_grade_as_this_machine_does(lbtutor: Program, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="lbtutor[cluster] is not installed")
    script = tmp_path / "start_cluster.py"
    script.write_text(CLUSTER)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as cluster:
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        there = lbtutor("grade", str(folder), *ONE, "--seed", "5", "--format", "csv", "--dask", address)
        cluster.communicate()
    here = lbtutor("grade", str(folder), *ONE, "--seed", "5", "--format", "csv")
    assert (there.returncode, there.stdout) == (0, here.stdout), there.stderr


def test_a_cluster_that_is_not_there_is_said(lbtutor: Program, folder: Path) -> None:
    ran = lbtutor("grade", str(folder), *ONE, "--dask", "tcp://127.0.0.1:1")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "127.0.0.1:1" in ran.stderr or "lbtutor[cluster]" in ran.stderr


def test_a_table_fits_the_screen_and_says_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    law = "When servers come and go, whoever stays up still has a turn in each round, and nobody has two."
    broken = Suite("l", law, "failed", 3, 1, 0.0, 1.0, hidden=True)
    fail = Mark(
        "round-robin", "fail", 1 / 3, 2.0, suites=(broken,), expected="an answer", got="raised E: " + "x " * 500,
        cause=law,
    )  # fmt: skip
    away = Mark("health", "missing", 0.0, 3.0, cause="no health.py was handed in, but there is Health (1).py")
    ours = Mark("ring", "grader_error", 0.0, 3.0, cause="it fell over")
    records = tuple(
        Record(name, "", "", marks) for name, marks in (("王 小明", (fail, away)), ("Müller" * 12, (ours, away)))
    )
    told = _text(Graded(records, (Same("ring", "ff", ("ann", "bob"), alike=True),)), is_secret=True)
    lines = told.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert " ".join(told.split()).count("has a turn in each round, and nobody has two. (a hidden law)") == 1
    assert told.count("x ") < 250
    assert "Müller" * 12 in lines
    assert lines[0].startswith("王 小明   ")
    assert "  0.33 of 5 points  1 fail, 1 missing" in lines[0]
    assert "  · missing: health" in lines
    assert "      no health.py was handed in, but there is Health (1).py" in lines
    assert "the same but for names, comments and layout for ring: ann, bob" in lines
    assert "no points lost" in told
    assert "! grading itself failed for" in told
