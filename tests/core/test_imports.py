"""Hygiene: the core alone is light, and so is the bare package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded_by(module: str) -> set[str]:
    """The top-level modules that importing `module` loads in a fresh interpreter."""
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout))


OURS = {"lbtutor"}


@pytest.fixture(scope="module")
def of_msgspec() -> set[str]:
    """What msgspec brings along; `typing_extensions` too, where that is installed."""
    return loaded_by("msgspec")


def test_the_core_loads_no_third_party_module_but_msgspec(of_msgspec: set[str]) -> None:
    loaded = loaded_by("lbtutor.core")
    assert "msgspec" in loaded
    assert loaded - of_msgspec - set(sys.stdlib_module_names) == OURS


def test_the_core_loads_nothing_that_waits(of_msgspec: set[str]) -> None:
    waiting = {"asyncio", "socket", "select", "selectors", "ssl", "threading", "concurrent", "subprocess"}
    assert (loaded_by("lbtutor.core") - of_msgspec).isdisjoint(waiting)


def test_the_bare_package_loads_nothing_else() -> None:
    assert loaded_by("lbtutor") == OURS


@pytest.mark.parametrize("module", ["feed", "journal", "metrics", "ledger", "narrate", "transcript"])
def test_the_trace_loads_no_screen(module: str, of_msgspec: set[str]) -> None:
    loaded = loaded_by(f"lbtutor.trace.{module}")
    assert loaded - of_msgspec - set(sys.stdlib_module_names) == OURS
