"""`lbtutor replay`: whole, cut, damaged and foreign traces."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def trace(lbtutor: Program, tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert lbtutor("lab", "run", "round-robin", "--on", "sim", "--trace", str(path)).returncode == 0
    return path


def test_a_replay_tells_what_the_run_told(lbtutor: Program, trace: Path) -> None:
    told = lbtutor("lab", "run", "round-robin", "--on", "sim", "--plain").stdout.splitlines()
    again = lbtutor("replay", str(trace))
    assert again.returncode == 0
    assert again.stderr == ""
    lines = again.stdout.splitlines()
    events = len(trace.read_text().splitlines()) - 1
    assert lines[:events] == told[:events]


def test_the_sums_of_a_replay_are_those_of_the_run(lbtutor: Program, trace: Path) -> None:
    run = json.loads(lbtutor("lab", "run", "round-robin", "--on", "sim", "--json").stdout)
    again = json.loads(lbtutor("replay", str(trace), "--json").stdout)
    assert {key: run[key] for key in again} == again


def test_a_cut_trace_is_told_up_to_the_cut_and_exits_3(lbtutor: Program, trace: Path) -> None:
    trace.write_bytes(trace.read_bytes()[:20_000])
    done = lbtutor("replay", str(trace))
    assert done.returncode == 3
    assert "r1 " in done.stdout
    assert "was cut after" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_trace_is_told_up_to_the_damage_and_exits_2(lbtutor: Program, trace: Path) -> None:
    lines = trace.read_text().splitlines(keepends=True)
    lines[40] = "this was an event once\n"
    trace.write_text("".join(lines))
    done = lbtutor("replay", str(trace))
    assert done.returncode == 2
    assert "r1 " in done.stdout
    assert "line 41" in done.stderr
    assert "39 events before it" in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"GET / HTTP/1.1\n", "is not a journal"), (b"\xff\xfe\x00\n", "is not a journal")],
    ids=["empty", "foreign", "binary"],
)
def test_a_file_that_is_no_trace_exits_2(lbtutor: Program, tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    done = lbtutor("replay", str(path))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
