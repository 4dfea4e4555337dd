"""The plugin, in somebody else's test suite: a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.lbtutor_laws("least_connections", seed=3)
class Least:
    def pick(self, request, backends):
        return min(backends, key=lambda backend: backend.in_flight / backend.weight)

@pytest.mark.lbtutor_laws("least_connections", seed=3)
class Most:
    def pick(self, request, backends):
        return max(backends, key=lambda backend: backend.in_flight)

Again = Most

class TestOthers:
    def test_are_collected_as_ever(self):
        pass

def test_by_fixture(lbtutor_laws):
    lbtutor_laws(Least, "least_connections", seed=3)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_theirs=SUITE)
    return pytester


def ran(suite: pytest.Pytester, *args: str) -> pytest.RunResult:
    return suite.runpytest_subprocess(
        "-p", "lbtutor.testing.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers", "-v", *args
    )


@pytest.mark.slow
def test_a_marked_class_is_one_test_a_law_with_the_story_as_its_failure(suite: pytest.Pytester) -> None:
    result = ran(suite)
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 1
    result.stdout.fnmatch_lines(
        ["*Least::the_least_busy_is_chosen PASSED*", "*Most::the_least_busy_is_chosen FAILED*",
         "*TestOthers::test_are_collected_as_ever PASSED*", "*test_by_fixture PASSED*",
         "*Most: the_least_busy_is_chosen*", "expected  *", "got  *", "*request A*", "*seed=3*"]
    )  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*Again::*")


@pytest.mark.slow
def test_one_law_can_be_asked_for_by_its_name(suite: pytest.Pytester) -> None:
    ran(suite, "test_theirs.py::Least::it_never_fails").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_component_that_is_none_is_an_error_of_the_suite(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_theirs=SUITE.replace('"least_connections", seed=3)\nclass Least', '"least", seed=3)\nclass Least')
    )
    result = ran(suite)
    result.stdout.fnmatch_lines(["*Least: there is no component named 'least'*"])


def test_the_plugin_costs_nothing_to_load() -> None:
    script = (
        "import sys, pytest, lbtutor.testing.pytest_plugin\n"
        "heavy = {'hypothesis', 'msgspec', 'lbtutor.core', 'lbtutor.testing.checking'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"lbtutor_laws": "lbtutor.testing.pytest_plugin"}
