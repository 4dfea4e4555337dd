"""`lbtutor lab`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]

DOOMED = """\
title = "Nothing fails here, although somebody says so"
lasts = "5s"
[pool.web]
backends = [{ name = "a" }, { name = "b" }]
[[traffic]]
to = "front"
rate = 20
[[expect]]
failed = { over = 0 }
says = "something fails"
"""


def test_json_is_one_document_and_nothing_else(lbtutor: Program) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["on"] == "sim"
    assert document["verdict"] == "passed"
    assert done.stderr == ""


def test_a_failed_expectation_exits_1_and_says_what_was_measured(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "doomed.toml").write_text(DOOMED)
    done = lbtutor("lab", "run", "doomed.toml", "--on", "sim")
    assert done.returncode == 1
    assert "failed   something fails: 0 of " in done.stdout


def test_an_expectation_without_enough_samples_exits_3(lbtutor: Program, tmp_path: Path) -> None:
    text = DOOMED.replace("failed = { over = 0 }", 'p99 = { under = "1s" }')
    (tmp_path / "thin.toml").write_text(text)
    done = lbtutor("lab", "run", "thin.toml", "--on", "sim")
    assert done.returncode == 3
    assert "answers are too few" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lab", "run", "round-robbin"], "did you mean `round-robin`"),
        (["lab", "run", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["lab", "run", "round-robin", "--on", "moon"], "moon"),
        (["lab", "run", "round-robin", "--on", "sim", "--algorithm", "round_robbin"], "did you mean 'round_robin'"),
        (["lab", "run", "round-robin", "--plain", "--json"], "choose one"),
        (["lab", "run", "round-robin", "--speed", "0"], "--speed"),
        (["lab"], "Usage"),
        (["lba"], "lba"),
        (["lesson", "round-robbin", "--plain"], "round-robin"),
        (["lesson", "round-robin"], "needs a terminal"),
    ],
)
def test_wrong_usage_exits_2_with_one_clear_message(lbtutor: Program, arguments: list[str], told: str) -> None:
    done = lbtutor(*arguments)
    assert done.returncode == 2
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_names_file_line_and_nearest_key(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(DOOMED.replace("rate = 20", "rte = 20"))
    done = lbtutor("lab", "run", "wrong.toml", "--on", "sim")
    assert done.returncode == 2
    assert done.stderr == "lbtutor: wrong.toml:7: traffic[0].rte: there is no such key; did you mean `rate`?\n"


def test_plain_tells_one_line_an_event(lbtutor: Program) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--plain")
    assert done.returncode == 0
    assert "srv-2" in done.stdout
    assert len(done.stdout.splitlines()) > 1000


def test_plain_is_ascii_where_the_locale_is(lbtutor: Program) -> None:
    environment = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--plain", env=environment)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "+ passed" in done.stdout


def test_show_prints_a_scenario_with_every_default_that_runs_the_same(lbtutor: Program, tmp_path: Path) -> None:
    shown = lbtutor("lab", "show", "round-robin").stdout
    assert tomllib.loads(shown)["pool"]["web"]["health"]["rise"] == 2
    (tmp_path / "shown.toml").write_text(shown)
    again = lbtutor("lab", "run", "shown.toml", "--on", "sim", "--json")
    assert json.loads(again.stdout) == json.loads(lbtutor("lab", "run", "round-robin", "--on", "sim", "--json").stdout)


def test_a_kept_trace_is_whole_and_names_its_shell(lbtutor: Program, tmp_path: Path) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--trace", "run.jsonl")
    assert done.returncode == 0
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["shell"] == "sim"
    assert json.loads(lines[-1])["type"] == "ended"


def test_a_trace_that_cannot_be_written_exits_4(lbtutor: Program) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--trace", "no/such/folder/run.jsonl")
    assert done.returncode == 4
    assert "no/such/folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_port_in_use_exits_4_and_says_which(lbtutor: Program, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "taken.toml").write_text(
            DOOMED.replace("[pool.web]", f'[[listen]]\nname = "front"\nat = "127.0.0.1:{port}"\n[pool.web]')
        )
        done = lbtutor("lab", "run", "taken.toml")
    assert done.returncode == 4
    assert str(port) in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_a_live_run_with_what_was_measured_and_exits_130(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lbtutor", "lab", "run", "round-robin", "--plain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "LBTUTOR_STATE": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        told = 0
        for line in process.stdout:
            told += " > " in line
            if told == 5:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "interrupted" in rest
    assert "picked" in rest
