"""The README's two commands: the ones that CI runs, and the ones that a newcomer copies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import lbtutor

_TOP = Path(__file__).parent.parent
_README = (_TOP / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = next(line.strip() for line in _README.splitlines() if "pytest -n auto" in line)
    assert command in (_TOP / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_start_command_ends_in_a_program_that_the_package_installs() -> None:
    project = tomllib.loads((_TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = next(line.strip() for line in _README.splitlines() if line.strip().startswith("git clone"))
    assert command.endswith("&& .venv/bin/lbtutor")
    assert project["scripts"] == {"lbtutor": "lbtutor.__main__:main"}


def test_every_module_that_the_readme_walks_through_exists() -> None:
    named = re.findall(r"`((?:core|live|trace|tui|sim|labs)/[\w/]+(?:\.py)?/?)`", _README)
    assert len(named) > 5
    assert [name for name in named if not (Path(lbtutor.__file__).parent / name).exists()] == []
