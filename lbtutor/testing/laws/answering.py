"""What holds for everything that is no balancer but is asked like one."""

from __future__ import annotations

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Moment, Run


@law(
    "ejection", "retry", "drain", "slow_start", "autoscaler",
    hint="Read the line that it points at with the smallest and the oddest values in mind that it can meet there.",
)  # fmt: skip
def it_always_answers(run: Run[Moment]) -> None:
    """Whatever is told, every question gets an answer and no call raises."""
    if run.fault is not None:
        moment = run.moments[-1] if run.moments else None
        raise Broken(moment, "an answer", str(run.fault))
