"""The real program in a process of its own, with a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lbtutor(tmp_path: Path) -> Program:
    """Run `lbtutor *args` and return the finished process with its output as text."""

    def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LBTUTOR_STATE": str(tmp_path / "state"), "PYTHONUTF8": "1", **(env or {})}
        return subprocess.run(
            [sys.executable, "-m", "lbtutor", *args],
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=120,
            check=False,
            cwd=tmp_path,
        )

    return run
