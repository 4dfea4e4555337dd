"""`lbtutor lab`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
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
        (["lab", "run", "round-robin", "--seeds", "3"], "--on sim"),
        (["lab", "run", "round-robin", "--on", "sim", "--seeds", "3", "--plain"], "tell one run"),
        (["lab", "run", "round-robin", "--on", "sim", "--seeds", "0"], "--seeds"),
        (["lab", "run", "round-robin", "--on", "sim", "--dask", "tcp://127.0.0.1:1"], "--seeds"),
        (["lab", "compare", "round-robin"], "--algorithm"),
        (["lab", "compare", "round-robin", "--algorithm", "random"], "given twice"),
        (["lab", "compare", "round-robin", "--algorithm", "random", "--algorithm", "random"], "two names"),
        (["lab", "compare", "round-robin", "--algorithm", "random", "--algorithm", "x"], "'x'"),
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


def test_an_unreachable_cluster_exits_4_and_says_which(lbtutor: Program) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--seeds", "2", "--dask", "tcp://127.0.0.1:1")
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr or "lbtutor[cluster]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_kept_result_is_the_document_that_json_prints(lbtutor: Program, tmp_path: Path) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--json", "--out", "kept.json")
    assert json.loads((tmp_path / "kept.json").read_text()) == json.loads(done.stdout)


def test_a_result_that_cannot_be_kept_is_told_before_the_run(lbtutor: Program) -> None:
    done = lbtutor("lab", "run", "round-robin", "--on", "sim", "--out", "no/such/folder/kept.json")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "no/such/folder/kept.json cannot be written" in done.stderr


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


@pytest.mark.slow
def test_several_seeds_are_a_table_and_what_they_say_together(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "doomed.toml").write_text(DOOMED)
    done = lbtutor("lab", "run", "doomed.toml", "--on", "sim", "--seeds", "3", "--seed", "7")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()[3:9]] == ["7", "8", "9", "mean", "least", "most"]
    assert "✕ failed   something fails: 3 failed (seed 7, 8, 9)" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_the_document_of_several_seeds_holds_those_of_each(lbtutor: Program) -> None:
    arguments = ("lab", "run", "power-of-two", "--on", "sim", "--json")
    done = lbtutor(*arguments, "--seeds", "2", "--seed", "5")
    document = json.loads(done.stdout)
    assert document["seeds"] == [5, 6]
    assert document["runs"] == [json.loads(lbtutor(*arguments, "--seed", seed).stdout) for seed in ("5", "6")]
    assert done.stderr == ""


def watched(arguments: list[str], folder: Path, *, interrupt_at: int) -> tuple[int, str, str]:
    """Run the program where somebody watches, and interrupt it at that many percent: exit code, output, messages."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "lbtutor", *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "LBTUTOR_STATE": str(folder / "state")},
        cwd=folder,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = ""
        while chunk := _read(ours):
            seen += chunk
            shares = [int(share) for share in re.findall(r"(\d+)%", seen)]
            if interrupt_at and max(shares, default=0) >= interrupt_at:
                os.killpg(process.pid, signal.SIGINT)
                interrupt_at = 0
        assert process.stdout is not None
        told = process.stdout.read()
    os.close(ours)
    return process.returncode, told, seen


def _read(terminal: int) -> str:
    """What comes next; empty when nobody holds the other end any more."""
    try:
        return os.read(terminal, 4096).decode()
    except OSError:  # how Linux says so
        return ""


@pytest.mark.slow
def test_ctrl_c_keeps_the_seeds_that_are_done_and_leaves_nobody_working(tmp_path: Path) -> None:
    (tmp_path / "doomed.toml").write_text(DOOMED.replace("5s", "60s").replace("rate = 20", "rate = 200"))
    arguments = ["lab", "run", "doomed.toml", "--on", "sim", "--seeds", "60", "--out", "kept.json"]
    code, told, seen = watched(arguments, tmp_path, interrupt_at=8)
    assert code == 130
    found = re.search(r"interrupted: (\d+) of 60 seeds", told)
    assert found is not None, told + seen
    assert 1 <= int(found[1]) < 60
    assert len(re.findall(r"^  \d+ .*✕$", told, re.MULTILINE)) == int(found[1])
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["interrupted"]
    assert len(kept["runs"]) == int(found[1])
    assert "Traceback" not in told + seen


@pytest.mark.slow
def test_ctrl_c_ends_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "doomed.toml").write_text(DOOMED.replace("5s", "600s").replace("rate = 20", "rate = 200"))
    arguments = ["lab", "compare", "doomed.toml", "--algorithm", "round_robin", "--algorithm", "random"]
    code, told, seen = watched(arguments, tmp_path, interrupt_at=5)
    assert code == 130
    assert told == ""
    assert "lbtutor: interrupted" in seen


def test_a_comparison_tells_where_two_algorithms_part_and_why(lbtutor: Program) -> None:
    done = lbtutor("lab", "compare", "least-connections", "--algorithm", "round_robin", "--algorithm", "random")
    assert done.returncode == 0
    assert "they first differ on request" in done.stdout
    assert re.search(r"^ +round_robin +random$", done.stdout, re.MULTILINE), "both records, side by side"
    assert re.search(r"^  srv-2 +→ 0 ", done.stdout, re.MULTILINE), "whom each chose"
    assert "in a tie" in done.stdout
    assert "its turn" in done.stdout or "the first in turn" in done.stdout
    assert "drew place" in done.stdout
    assert done.stderr == ""


def test_a_comparison_as_json_is_one_document(lbtutor: Program) -> None:
    arguments = ["round-robin", "--algorithm", "round_robin", "--algorithm", "weighted_round_robin", "--json"]
    document = json.loads(lbtutor("lab", "compare", *arguments).stdout)
    assert document["seed"] == 1
    assert [run["algorithm"] for run in document["runs"]] == ["round_robin", "weighted_round_robin"]
    assert document["runs"][0]["requests"]["total"] == 599
