"""A counterexample that is kept: it breaks again as it did, and becomes a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lbtutor.core.errors import ConfigError
from lbtutor.testing import Case, as_test, case_of, check, played_again, read_case
from lbtutor.testing.zoo import Specimen, specimens

WRONG = {
    specimen.name: specimen
    for component in ("least_connections", "round_robin")
    for specimen in specimens(component)
    if specimen.fault
}
NAMES = ("FailuresNeverEnd", "RecoveryForgets", "TotalServed", "MostBusy", "CountOverHealthy", "TurnsForEver")


def cases_of(specimen: Specimen) -> list[Case]:
    report = check(specimen.file, specimen.component, cls=specimen.name, seed=3, in_process=True)
    return [case_of(report, law) for law in report.laws if law.counterexample is not None]


@pytest.mark.parametrize("name", NAMES)
def test_a_case_that_was_written_and_read_breaks_as_it_did(name: str) -> None:
    specimen = WRONG[name]
    for case in cases_of(specimen):
        kept = read_case(msgspec.json.decode(msgspec.json.encode(case)))
        found = played_again(kept, specimen.file, cls=name, in_process=True)
        assert found is not None
        assert (found.story, found.expected, found.got) == (case.story, case.expected, case.got)


def test_a_right_implementation_comes_through_the_cases_of_wrong_ones() -> None:
    right = next(one for one in specimens("least_connections") if one.name == "Counting")
    for case in cases_of(WRONG["FailuresNeverEnd"]) + cases_of(WRONG["TotalServed"]):
        assert played_again(case, right.file, cls="Counting", in_process=True) is None


def test_a_case_of_a_law_that_is_gone_names_the_nearest() -> None:
    (case, *_) = cases_of(WRONG["FailuresNeverEnd"])
    old = msgspec.structs.replace(case, law="however_it_ends_it_ends_onc")
    with pytest.raises(ConfigError, match="however_it_ends_it_ends_once"):
        played_again(old, WRONG["FailuresNeverEnd"].file, cls="FailuresNeverEnd", in_process=True)


def test_what_is_no_case_is_refused() -> None:
    with pytest.raises(ConfigError, match="no case"):
        read_case({"kit": "1", "ops": 7})


def test_a_law_without_a_counterexample_makes_no_case() -> None:
    specimen = WRONG["FailuresNeverEnd"]
    report = check(specimen.file, specimen.component, cls=specimen.name, seed=3, in_process=True)
    with pytest.raises(ValueError, match="no counterexample"):
        case_of(report, report.law("it_never_fails"))


def test_the_plain_test_needs_nothing_of_ours_and_pins_what_was_expected() -> None:
    (case,) = (one for one in cases_of(WRONG["FailuresNeverEnd"]) if one.law == "however_it_ends_it_ends_once")
    text = as_test(case)
    assert "lbtutor.testing" not in text
    assert "hypothesis" not in text.lower()
    assert 'assert balancer.pick("1.0.0.1", 0.0) == "b"' in text


@pytest.mark.slow
def test_each_case_as_a_test_fails_on_the_fault_and_never_on_what_is_right(tmp_path: Path) -> None:
    right = {"least_connections": "Counting", "round_robin": "Cursor"}
    for component, name in right.items():
        file = next(one.file for one in specimens(component) if one.name == name)
        (tmp_path / f"{component}.py").write_bytes(file.data)
    for name in NAMES:
        for number, case in enumerate(cases_of(WRONG[name])):
            if case.setting.get("servers") is not None and "Request(" not in as_test(case):
                other = as_test(case).replace(f"import {name}\n", f"import {right[case.component]} as {name}\n")
                (tmp_path / f"test_right_{name}_{number}.py").write_text(other)
            (tmp_path / f"test_wrong_{name}_{number}.py").write_text(as_test(case))
    wrong, well = (_ran(tmp_path, sorted(tmp_path.glob(f"test_{kind}_*.py"))) for kind in ("wrong", "right"))
    assert wrong.keys() == {"failed"}
    assert "passed" in well
    assert well.keys() <= {"passed", "skipped"}


def _ran(folder: Path, files: list[Path]) -> dict[str, int]:
    """How many tests of these files ended how, under the very pytest that somebody else would run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *map(str, files)]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=120, check=False)
    counts = done.stdout.splitlines()[-1].split(" in ")[0].split(", ")
    return {word: int(number) for number, word in (count.split(" ") for count in counts)}
