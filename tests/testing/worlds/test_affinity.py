"""How sticky balancers are talked to, and which of their freedoms they keep."""

from __future__ import annotations

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.report import Report
from lbtutor.testing.sandbox import submission

FAILBACK = """
class Affinity:
    def __init__(self, names):
        self.names = list(names)
        self.turn = 0

    def route(self, cookie, healthy):
        up = [name for name in self.names if name in healthy]
        first, _, second = (cookie or "").partition("|")
        if not up:
            return None, None
        if first in up:
            return first, first
        self.turn += 1
        chosen = second if first in self.names and second in up else up[self.turn % len(up)]
        return chosen, f"{first}|{chosen}" if first in self.names else chosen
"""


def judged(**claims: object) -> Report:
    file = submission("affinity.py", FAILBACK.encode())
    return check(file, "affinity", cls="Affinity", seed=1, in_process=True, claims=claims)


def test_who_has_no_add_and_remove_is_not_asked_for_them() -> None:
    assert judged(failback=True).verdict == "passed"


@pytest.mark.parametrize(("claimed", "verdict"), [(True, "passed"), ("any", "passed"), (False, "failed")])
def test_going_back_to_the_first_server_is_a_claim(claimed: object, verdict: str) -> None:
    assert judged(failback=claimed).law("a_client_stays").verdict == verdict
