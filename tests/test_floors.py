"""The floors of the house: who may import whom. The contracts stand in `pyproject.toml`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")


def lint(house: Path) -> tuple[bool, str]:
    """Whether every contract is kept in the checkout at `house`, and the report."""
    done = subprocess.run(
        [LINT, "--no-cache", "--config", "pyproject.toml"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the house that may be damaged."""
    shutil.copytree(HOUSE / "lbtutor", tmp_path / "lbtutor", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOUSE / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_keeps_to_its_floor() -> None:
    kept, report = lint(HOUSE)
    assert kept, report


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("core.units", "textual", "the core neither waits nor draws"),
        ("core.pool", "threading", "the core neither waits nor draws"),
        ("core.health", "lbtutor.trace.feed", "floors"),
        ("trace.feed", "rich", "only cli and tui know the screen"),
        ("sim.__init__", "time", "the simulator opens no socket and reads no clock"),
    ],
)
def test_an_import_from_a_forbidden_floor_is_seen(copy: Path, importer: str, imported: str, contract: str) -> None:
    module = copy / "lbtutor" / f"{importer.replace('.', '/')}.py"
    module.write_text(f"{module.read_text(encoding='utf-8')}\nimport {imported}\n", encoding="utf-8")
    kept, report = lint(copy)
    assert not kept
    assert f"{contract} BROKEN" in report
    assert f"lbtutor.{importer.removesuffix('.__init__')} -> {imported}" in report
