"""`lbtutor grade`: a class, its formats, and exit codes that say whether grading worked, not how good anybody was."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]

HEAD = "class LeastConnections:\n    def pick(self, request, backends):\n"
RIGHT = HEAD + "        return min(backends, key=lambda b: b.in_flight)\n"
ONE = ("--exercise", "least-connections")


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
    assert "ann   2 of 2 points   1 pass" in table.stdout
    assert "refused: it is a symbolic link" in table.stdout

    sheet = lbtutor("grade", str(folder), *ONE, "--resume", "--format", "csv", "--out", str(tmp_path / "marks.csv"))
    assert (sheet.returncode, sheet.stdout) == (0, "")
    assert "1 mark was known before" in sheet.stderr
    rows = list(csv.reader(io.StringIO((tmp_path / "marks.csv").read_text())))
    assert [row[:2] for row in rows] == [["learner", "score"], ["'=bob", "0"], ["ann", "2"]]

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
