"""The zoo over many seeds, as `lbtutor check` sees it: `pytest -m benchmark -s -n 2 tests/benchmarks/test_zoo.py`.

How many of the wrong implementations are caught and of the right ones accused, how long the shortened stories are, and
how long a check takes. `LBTUTOR_SEEDS` is how many seeds; twenty unless told.
"""

from __future__ import annotations

import os
from statistics import median

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.components import COMPONENTS
from lbtutor.testing.report import Report
from lbtutor.testing.zoo import Specimen, specimens

pytestmark = pytest.mark.benchmark

SEEDS = range(1, 1 + int(os.environ.get("LBTUTOR_SEEDS", "20")))


def judged(specimen: Specimen, seed: int) -> Report:
    """In this process; and what looks right here and is wrong, where there are two, whose `hash()` differs."""
    report = check(specimen.file, specimen.component, cls=specimen.name, seed=seed, in_process=True)
    if specimen.fault and report.verdict == "passed":
        return check(specimen.file, specimen.component, cls=specimen.name, seed=seed)
    return report


@pytest.mark.parametrize("component", COMPONENTS)
def test_all_that_is_wrong_is_caught_and_nothing_that_is_right_is_accused(component: str) -> None:
    wrong: list[str] = []
    right: list[str] = []
    lengths: list[int] = []
    told = ""
    for specimen in specimens(component):
        for seed in SEEDS:
            report = judged(specimen, seed)
            (wrong if specimen.fault else right).append(report.verdict)
            if report.verdict != ("failed" if specimen.fault else "passed"):
                verdicts = {law.name: law.verdict for law in report.laws if law.verdict != "passed"}
                told += f"\n    {specimen.name}, seed {seed}: {report.verdict} {verdicts}"
            lengths += [len(law.counterexample.program.ops) for law in report.laws if law.counterexample]
    print(
        f"{component}: {wrong.count('failed')} of {len(wrong)} caught, {len(right) - right.count('passed')} of "
        f"{len(right)} accused, {median(lengths):g} operations, {max(lengths)} at most{told}"
    )
    assert not told
