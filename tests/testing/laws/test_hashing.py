"""The laws of hashing, held against our own algorithms, and against variants that are right and might be accused."""

from __future__ import annotations

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.sandbox import submission

OURS = """
from lbtutor.core.algorithms import consistent, hashing

class IpHash(hashing.IpHash):
    pass

class ConsistentHash(consistent.ConsistentHash):
    pass

class Maglev(consistent.Maglev):
    def __init__(self):
        super().__init__(251)

class Rendezvous(consistent.Rendezvous):
    pass
"""


@pytest.mark.parametrize("component", ["ip_hash", "consistent_hash", "maglev", "rendezvous"])
def test_our_own_algorithms_obey(component: str) -> None:
    cls = "".join(word.capitalize() for word in component.split("_"))
    report = check(submission("ours.py", OURS.encode()), component, cls=cls, seed=1, in_process=True)
    assert report.verdict == "passed", [law for law in report.laws if law.verdict in ("failed", "unknown")]


PARTS = """
class ByWeight:
    def pick(self, request, backends):
        return max(backends, key=lambda b: b.weight)
"""


def test_one_server_for_all_is_no_hash() -> None:
    report = check(submission("one.py", PARTS.encode()), "ip_hash", cls="ByWeight", seed=1, in_process=True)
    assert [law.name for law in report.laws if law.verdict == "failed"] == ["clients_are_spread"]
