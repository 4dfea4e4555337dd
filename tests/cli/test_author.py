"""`lbtutor author check` in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_sound_exercise_is_one_line_and_exit_code_0(lbtutor: Program) -> None:
    done = lbtutor("author", "check", "break-ip-hash")
    assert done.returncode == 0
    assert done.stdout == "✓ exercise break-ip-hash\n"


def test_an_exercise_that_is_not_there_is_a_usage_error(lbtutor: Program) -> None:
    done = lbtutor("author", "check", "break-ip-hsh")
    assert done.returncode == 2
    assert "break-ip-hash" in done.stderr
