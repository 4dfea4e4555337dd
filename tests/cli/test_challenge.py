"""`lbtutor challenge`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


def test_without_a_command_it_says_where_to_start(lbtutor: Program) -> None:
    done = lbtutor("challenge")
    assert done.returncode == 0
    assert "challenge run chapter" in done.stdout
    assert "no editor" in done.stdout


def test_json_is_one_document_with_the_promised_keys(lbtutor: Program) -> None:
    done = lbtutor("challenge", "run", "chapter", "--json", "--seeds", "2")
    assert done.returncode == 1, "a requirement failed"
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert {"design", "verdict", "requirements", "cost", "seeds"} <= set(document)
    assert document["design"] == "chapter"
    assert document["seeds"] == [1, 2]
    assert all(set(one) == {"id", "says", "verdict", "measured", "first_broken_at"} for one in document["requirements"])
    assert "flow model" in document["told_by"]


def test_a_design_that_passes_exits_0_and_is_in_no_list(lbtutor: Program) -> None:
    done = lbtutor("challenge", "run", "passing")
    assert done.returncode == 0
    assert "flow model" in done.stdout, "the numbers say what they are worth"
    assert "passing" not in lbtutor("challenge", "list").stdout
    assert "passing" in lbtutor("challenge", "list", "--reveal").stdout


def test_the_answer_is_shown_to_who_asks_for_it(lbtutor: Program) -> None:
    refused = lbtutor("challenge", "show", "passing")
    assert refused.returncode == 2
    assert "--reveal" in refused.stderr
    assert "[balancers]" in lbtutor("challenge", "show", "passing", "--reveal").stdout


def test_a_shipped_design_is_a_file_to_begin_with(lbtutor: Program, tmp_path: Path) -> None:
    text = lbtutor("challenge", "show", "chapter").stdout
    (tmp_path / "mine.toml").write_text(text)
    done = lbtutor("challenge", "run", "mine.toml")
    assert done.returncode == 1
    assert "✕ failed   handles 1 000 000 requests a second" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "chaptr"), "did you mean `chapter`"),
        (("run", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("run", "chapter", "--seeds", "0"), "--seeds"),
        (("runn",), "runn"),
    ],
)
def test_wrong_usage_exits_2_with_one_clear_message(lbtutor: Program, arguments: tuple[str, ...], told: str) -> None:
    done = lbtutor("challenge", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_names_file_line_key_and_step(lbtutor: Program, tmp_path: Path) -> None:
    text = lbtutor("challenge", "show", "chapter").stdout
    (tmp_path / "wrong.toml").write_text(text.replace('sticky = { cookie = "AWSALB"', 'sticky = { cokie = "AWSALB"'))
    done = lbtutor("challenge", "run", "wrong.toml")
    assert done.returncode == 2
    assert (
        "pool.orders.sticky.cokie: there is no such key; did you mean `cookie`? (step 4: sticky sessions)"
        in done.stderr
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send, and no pty")
def test_ctrl_c_exits_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    import pty

    screen, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "lbtutor", "challenge", "run", "chapter", "--seeds", "1000", "--json"],
            stdout=subprocess.PIPE,
            stderr=terminal,
            cwd=tmp_path,
            text=True,
        ) as running:
            assert b"%" in _until_percent(screen), "progress is shown to whoever watches"
            running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=60)
    finally:
        os.close(screen)
        os.close(terminal)
    assert running.returncode == 130
    assert not out or json.loads(out)["seeds"], "either nothing or whole seeds"
    assert not list(tmp_path.iterdir())


def _until_percent(screen: int) -> bytes:
    seen = b""
    while b"%" not in seen:
        seen += os.read(screen, 100)
    return seen
