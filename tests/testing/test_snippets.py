"""What the kit's documents show is run as printed: copied into somebody's own folder, with a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import lbtutor.testing
from lbtutor.testing import adapt, machines, pytest_plugin, strategies

pytestmark = pytest.mark.slow

Ran = Callable[..., "subprocess.CompletedProcess[str]"]

RIGHT = """\
class LeastConnections:
    def pick(self, request, backends):
        return min(backends, key=lambda backend: backend.in_flight)
"""
POOL = """\
class Pool:
    def __init__(self, backends):
        self.open = {name: 0 for name, _ in backends}
    def pick(self, client, now):
        if not self.open:
            return None
        name = min(self.open, key=self.open.get)
        self.open[name] += 1
        return name
    def release(self, name):
        if self.open.get(name):
            self.open[name] -= 1
    def add(self, name, weight):
        self.open.setdefault(name, 0)
    def remove(self, name):
        self.open.pop(name, None)
"""


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """Run a module of Python in a folder of somebody's own, with nothing of ours but what is installed."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LBTUTOR_STATE": str(tmp_path / "state"), "PYTHONUTF8": "1"}
        return subprocess.run(
            [sys.executable, "-m", *args], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8",
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip

    return run


def shown(text: str | None) -> str:
    """The code in a docstring: its indented lines."""
    lines = [line for line in (text or "").splitlines() if line.startswith("    ") or not line]
    return dedent("\n".join(lines))


def passes(ran: Ran, folder: Path, test: str, *, tests: int = 1) -> None:
    (folder / "test_mine.py").write_text(test)
    done = ran("pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")
    found = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found is not None
    assert int(found[1]) >= tests


def test_the_example_of_the_package(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RIGHT.replace("LeastConnections", "Mine"))
    passes(ran, tmp_path, shown(lbtutor.testing.__doc__) + "\nassert report.verdict == 'passed'\n")


def test_the_example_of_the_plugin(ran: Ran, tmp_path: Path) -> None:
    text = shown(pytest_plugin.__doc__)
    own = "import pytest\n\nclass Turns:\n    def pick(self, request, backends): ...\n\n"
    bodies = text.replace("def pick(self, request, backends): ...", f"{RIGHT.partition(chr(10))[2].strip()}")
    (tmp_path / "conftest.py").write_text("")
    (tmp_path / "test_mine.py").write_text(own + bodies)
    done = ran("pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")
    told = done.stdout
    assert "Turns: it_always_answers" in told or "Turns::" in told
    assert not re.findall(r"FAILED test_mine.py::(?:Mine|test_mine)\b", told), told
    assert "rror" not in told.replace("AssertionError", ""), told


def test_the_example_of_the_machines(ran: Ran, tmp_path: Path) -> None:
    head = "from lbtutor.testing import machine_for\n" + RIGHT.replace("LeastConnections", "Mine")
    passes(ran, tmp_path, f"{head}\n{shown(machines.__doc__)}")


def test_the_example_of_the_strategies(ran: Ran, tmp_path: Path) -> None:
    passes(
        ran,
        tmp_path,
        f"from hypothesis import given\nfrom lbtutor.testing import programs\n{shown(strategies.__doc__)}",
    )


def test_the_example_of_an_adapter(ran: Ran, tmp_path: Path) -> None:
    head = f"from lbtutor.testing import Adapter, check\n{POOL}\n\nadapter = "
    passes(
        ran, tmp_path, f"{head}{shown(adapt.__doc__).strip()}\n\ndef test_it():\n"
        "    report = check(Pool, 'least_connections', adapter=adapter, lenient=True, seed=3)\n"
        "    assert report.law('the_least_busy_is_chosen').verdict == 'passed', str(report)\n",
    )  # fmt: skip


def test_a_story_becomes_a_test_that_fails_until_the_fault_is_mended(ran: Ran, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(RIGHT.replace("min(", "max("))
    found = ran("lbtutor", "check", "mine.py:LeastConnections", "--seed", "3")
    command = re.search(r"lbtutor replay (\S+) --as-test", found.stdout)
    assert command is not None, found.stdout + found.stderr
    test = ran("lbtutor", "replay", command[1], "--as-test")
    (tmp_path / "test_found.py").write_text(test.stdout)
    wrong = ran("pytest", "-q", "-p", "no:cacheprovider", "test_found.py")
    mine.write_text(RIGHT)
    right = ran("pytest", "-q", "-p", "no:cacheprovider", "test_found.py")
    assert ("1 failed" in wrong.stdout, "1 passed" in right.stdout) == (True, True), wrong.stdout + right.stdout
