"""The laws, held against the zoo: every wrong implementation is caught, no right one is accused, and no law is idle."""

from __future__ import annotations

import random

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.components import COMPONENTS, laws_of
from lbtutor.testing.report import Report
from lbtutor.testing.search import Profile
from lbtutor.testing.zoo import Specimen, specimens

SEEDS = (1, 2)
"""For those who must never be accused. The wrong ones have the first; `tests/benchmarks/test_zoo.py` looks at more."""

VERDICT = Profile("verdict", programs=100, own=30, seconds=600, shorten=False)
"""As hard as quick looks, without a clock."""


def judged(specimen: Specimen, seed: int, *, lenient: bool = False) -> Report:
    """In this process; and what looks right here and is wrong, where there are two, whose `hash()` differs."""
    random.seed(seed)  # some of the wrong ones throw dice of their own
    report = check(
        specimen.file, specimen.component, cls=specimen.name, seed=seed, profile=VERDICT, in_process=True,
        lenient=lenient,
    )  # fmt: skip
    if specimen.fault and report.verdict == "passed" and not lenient:
        return check(specimen.file, specimen.component, cls=specimen.name, seed=seed, profile=VERDICT)
    return report


def named(report: Report, verdict: str) -> set[str]:
    return {law.name for law in report.laws if law.verdict == verdict}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_right_implementations_are_not_accused(component: str, seed: int) -> None:
    for specimen in specimens(component):
        if not specimen.fault:
            report = judged(specimen, seed)
            assert (named(report, "failed"), named(report, "unknown")) == (set(), set()), specimen
            assert report.verdict == "passed"


@pytest.mark.parametrize("component", COMPONENTS)
def test_wrong_implementations_are_caught_and_each_law_catches_one_that_no_other_law_catches(component: str) -> None:
    wrong = [specimen for specimen in specimens(component) if specimen.fault]
    caught = {specimen.name: named(judged(specimen, SEEDS[0]), "failed") for specimen in wrong}
    assert all(caught.values()), caught
    assert caught_alone(caught) >= {law.name for law in laws_of(component) if law.applies(usual(component))}


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_law_for_foreign_code_alone_catches_one_that_foreign_code_may_not_be_either(component: str) -> None:
    foreign = {name: claim.lenient for name, claim in COMPONENTS[component].claims.items()}
    lenient = {law.name for law in laws_of(component) if law.applies(foreign) and not law.applies(usual(component))}
    wrong = [specimen for specimen in specimens(component) if specimen.fault and lenient]
    caught = {specimen.name: named(judged(specimen, SEEDS[0], lenient=True), "failed") for specimen in wrong}
    assert caught_alone(caught) >= lenient


def usual(component: str) -> dict[str, object]:
    """The claims of the course."""
    return {name: claim.strict for name, claim in COMPONENTS[component].claims.items()}


def caught_alone(caught: dict[str, set[str]]) -> set[str]:
    """The laws that catch one that no other law catches."""
    return set().union(*(laws for laws in caught.values() if len(laws) == 1))


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_has_three_right_styles_and_six_wrong_ones(component: str) -> None:
    kinds = [bool(specimen.fault) for specimen in specimens(component)]
    assert kinds.count(False) >= 3
    assert kinds.count(True) >= 6
