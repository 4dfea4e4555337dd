"""How sticky balancers are talked to, and which of their freedoms they keep."""

from __future__ import annotations

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.report import Report
from lbtutor.testing.sandbox import submission
from lbtutor.testing.zoo import specimens

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


WANDERS = """
class Affinity:
    def __init__(self, names):
        self.names = list(names)
        self.turn = 0

    def add(self, name):
        if name in self.names:
            raise ValueError(name)
        self.names.append(name)

    def remove(self, name):
        self.names.remove(name)

    def route(self, cookie, healthy):
        up = [name for name in self.names if name in healthy]
        if not up:
            return None, None
        if cookie in self.names:
            return cookie if cookie in up else up[sum(cookie.encode()) % len(up)], None
        self.turn += 1
        return up[self.turn % len(up)], up[self.turn % len(up)]
"""


def judged(text: str = FAILBACK, lenient: bool = False, seed: int = 1, **claims: object) -> Report:
    file = submission("affinity.py", text.encode())
    return check(file, "affinity", cls="Affinity", seed=seed, in_process=True, lenient=lenient, claims=claims)


def test_who_has_no_add_and_remove_is_not_asked_for_them() -> None:
    assert judged(failback=True).verdict == "passed"


@pytest.mark.parametrize(("claimed", "verdict"), [(True, "passed"), ("any", "passed"), (False, "failed")])
def test_going_back_to_the_first_server_is_a_claim(claimed: object, verdict: str) -> None:
    assert judged(failback=claimed).law("a_client_stays").verdict == verdict


@pytest.mark.parametrize("seed", [1, 2, 10, 19, 24, 35])
def test_who_waits_elsewhere_for_its_first_server_may_move_when_the_pool_changes(seed: int) -> None:
    assert judged(WANDERS, lenient=True, seed=seed).verdict == "passed"


def test_to_add_one_that_is_there_may_be_refused_by_foreign_code_alone() -> None:
    assert judged(WANDERS, failback="any").law("it_never_fails").verdict == "failed"


@pytest.mark.parametrize(("name", "verdict"), [("Signed", "passed"), ("Named", "failed"), ("Sessions", "failed")])
def test_a_cookie_that_can_be_made_from_others_breaks_the_claim_that_it_is_signed(name: str, verdict: str) -> None:
    (found,) = (specimen for specimen in specimens("affinity") if specimen.name == name)
    report = check(found.file, "affinity", cls=name, seed=1, in_process=True, claims={"signed": True})
    assert report.law("a_changed_cookie_is_not_followed").verdict == verdict
