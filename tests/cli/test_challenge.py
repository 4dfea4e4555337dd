"""`lbtutor challenge`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from lbtutor.course.challenge.design import HIDDEN, designs_folder

Program = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


def test_without_a_command_it_says_where_to_start(lbtutor: Program) -> None:
    done = lbtutor("challenge")
    assert done.returncode == 0
    assert "challenge run chapter" in done.stdout
    assert "opens the TUI" in done.stdout


def test_json_is_one_document_with_the_promised_keys(lbtutor: Program, tmp_path: Path) -> None:
    done = lbtutor("challenge", "run", "chapter", "--json", "--seeds", "2", "--no-exact", "--out", "kept.json")
    assert done.returncode == 1, "a requirement failed"
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert json.loads((tmp_path / "kept.json").read_text()) == document
    assert list(document)[:5] == ["design", "verdict", "requirements", "cost", "seeds"]
    assert document["design"] == "chapter"
    assert document["seeds"] == [1, 2]
    assert all(set(one) == {"id", "says", "verdict", "measured", "first_broken_at"} for one in document["requirements"])
    assert "flow model" in document["told_by"]


def test_several_designs_are_told_one_by_one_and_side_by_side(lbtutor: Program, tmp_path: Path) -> None:
    done = lbtutor("challenge", "run", "passing", "one-balancer", "--no-exact", "--out", "kept.json")
    assert done.returncode == 1, "one of them failed"
    assert "A design that passes   one day" in done.stdout
    assert "One balancer   one day" in done.stdout
    assert re.search(r"^ +passing  one-balancer$", done.stdout, re.MULTILINE)
    assert re.search(r"^  capacity +✓ +30:01 ✕$", done.stdout, re.MULTILINE)
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert [one["design"] for one in kept] == ["passing", "one-balancer"], "a document each, in the command's order"


def test_a_design_that_passes_exits_0_and_is_in_no_list(lbtutor: Program) -> None:
    done = lbtutor("challenge", "run", "passing")
    assert done.returncode == 0
    assert "flow model" in done.stdout, "the numbers say what they are worth"
    assert "passing" not in lbtutor("challenge", "list").stdout, "a shipped design is nobody's own pass"


def test_the_answer_is_shown_to_who_asks_for_it_from_then_on(lbtutor: Program, tmp_path: Path) -> None:
    refused = lbtutor("challenge", "show", "passing")
    assert refused.returncode == 2
    assert "--reveal" in refused.stderr
    assert "[balancers]" in lbtutor("challenge", "show", "passing", "--reveal").stdout
    assert "[balancers]" in lbtutor("challenge", "show", "passing").stdout
    assert "passing" in lbtutor("challenge", "list").stdout
    assert list(json.loads((tmp_path / "state" / "challenge.json").read_text())) == ["format", "revealed"]


def test_who_has_passed_may_see_the_shipped_answer(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text((designs_folder() / f"{HIDDEN}.toml").read_text())
    done = lbtutor("challenge", "run", "mine.toml", "--no-exact")
    assert done.returncode == 0
    assert "You have passed the challenge" in done.stderr
    assert "passing" in lbtutor("challenge", "list").stdout
    assert "[balancers]" in lbtutor("challenge", "show", "passing").stdout
    (passed,) = json.loads((tmp_path / "state" / "challenge.json").read_text())["passed"]
    assert (passed["design"], passed["seeds"]) == ("mine", 1)


def test_an_unreachable_cluster_is_one_message_and_exits_4(lbtutor: Program) -> None:
    done = lbtutor("challenge", "run", "chapter", "--dask", "tcp://127.0.0.1:1")
    assert done.returncode == 4
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in done.stderr or "lbtutor[cluster]" in done.stderr


def test_a_result_that_cannot_be_kept_is_told_before_the_day_begins(lbtutor: Program) -> None:
    done = lbtutor("challenge", "run", "chapter", "--out", "no/such/folder/result.json")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "no/such/folder/result.json cannot be written" in done.stderr


def test_a_shipped_design_is_a_file_to_begin_with(lbtutor: Program, tmp_path: Path) -> None:
    text = lbtutor("challenge", "show", "chapter").stdout
    (tmp_path / "mine.toml").write_text(text)
    done = lbtutor("challenge", "run", "mine.toml")
    assert done.returncode == 1
    assert "✕ failed   handles 1 000 000 requests a second" in done.stdout
    assert "exact simulation" in done.stdout, "held against it, or said how"


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


def test_ctrl_c_keeps_the_days_that_are_done_and_says_that_some_are_missing(tmp_path: Path) -> None:
    code, out = stopped(tmp_path, signal.SIGINT, at_percent=20, seeds=12)
    assert code == 130
    document = json.loads(out)
    assert document["interrupted"]
    assert document["verdict"] == "failed"
    assert 1 <= len(document["seeds"]) < 12
    assert json.loads((tmp_path / "kept.json").read_text()) == document
    assert [one.name for one in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_the_old_result_and_nothing_else(tmp_path: Path, sign: signal.Signals) -> None:
    (tmp_path / "kept.json").write_text("of old")
    code, out = stopped(tmp_path, sign, at_percent=1, seeds=100)
    assert code == -sign
    assert out == ""
    assert (tmp_path / "kept.json").read_text() == "of old"
    assert [one.name for one in tmp_path.iterdir()] == ["kept.json"]


def stopped(folder: Path, sign: signal.Signals, *, at_percent: int, seeds: int) -> tuple[int, str]:
    """Run the chapter's solution where somebody watches, and stop it with that signal; exit code and output.

    The output ends when nobody holds it any more: a process that is left behind would keep this waiting.
    """
    ours, theirs = pty.openpty()
    arguments = ["challenge", "run", "chapter", "--seeds", str(seeds), "--no-exact", "--json", "--out", "kept.json"]
    with subprocess.Popen(
        [sys.executable, "-m", "lbtutor", *arguments], stdout=subprocess.PIPE, stderr=theirs, cwd=folder, text=True
    ) as running:
        os.close(theirs)
        try:
            seen = ""
            while max((int(share) for share in re.findall(r"(\d+)%", seen)), default=0) < at_percent:
                assert select.select([ours], [], [], 60)[0], "progress is shown to whoever watches"
                seen += os.read(ours, 4096).decode(errors="replace")
            running.send_signal(sign)
            watching = Thread(target=watch, args=(ours,))
            watching.start()
            out, _ = running.communicate(timeout=60)
        finally:
            running.kill()  # or else the end of this block would wait for it, however long that takes
    watching.join(20)
    os.close(ours)
    return running.returncode, out


def watch(screen: int) -> None:
    """Until nobody writes there any more: a terminal that nobody reads is full one day, and holds up who writes."""
    with suppress(OSError):
        while os.read(screen, 4096):
            pass
