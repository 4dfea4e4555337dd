"""`lbtutor challenge audit` in a process of its own: without a terminal it tells everything and asks nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("asked", [(), ("--plain",)])
def test_question_run_and_answer_are_told_in_this_order(tmp_path: Path, asked: tuple[str, ...]) -> None:
    environment = {**os.environ, "LBTUTOR_STATE": str(tmp_path / "state"), "PYTHONUTF8": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "lbtutor", "challenge", "audit", *asked],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    ) as process:
        assert process.stdout is not None
        told = [line.rstrip("\n") for line in takewhile(lambda line: not line.startswith("2 of 11."), process.stdout)]
        process.kill()  # enough was read: the rest is ten times as long
    text = "\n".join(told)
    order = ["1 of 11. Fifty instances", "The chapter:", "Question:", "  a)", "Run:", "  - 48.8 %", "The answer is:"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert max(map(len, told)) <= 80
    assert not (tmp_path / "state" / "progress.json").exists(), "nobody answered"
