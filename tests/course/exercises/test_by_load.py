"""A load is judged by what it does to two algorithms, and only within its budget."""

from __future__ import annotations

from lbtutor.course.exercises.judging import Depth, Judgement, judge
from lbtutor.course.exercises.manifest import exercise
from lbtutor.testing.sandbox import submission

TRAFFIC = '[[traffic]]\nto = "front"\nrate = {rate}\nclients = {clients}\n'


def judged(text: str, name: str = "break-ip-hash") -> Judgement:
    return judge(exercise(name), submission("load.toml", text), Depth())


def verdicts(found: Judgement) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in found.findings}


def test_one_address_breaks_ip_hash_and_not_round_robin() -> None:
    assert judged(TRAFFIC.format(rate=80, clients=1)).outcome == "pass"


def test_many_addresses_break_nothing() -> None:
    found = judged(TRAFFIC.format(rate=80, clients=500))
    assert found.outcome == "fail"
    assert verdicts(found) == {"within the budget": "passed", "it breaks": "failed", "it bears": "passed"}


def test_a_load_beyond_its_budget_is_not_run() -> None:
    found = judged(TRAFFIC.format(rate=1_000_000, clients=1))
    assert found.outcome == "fail"
    assert list(verdicts(found)) == ["within the budget"]
    assert found.cause == "requests in all: 2e+07, and there may be 1600."


def test_rules_that_overlap_are_counted_together() -> None:
    found = judged(TRAFFIC.format(rate=50, clients=1) * 2)
    assert verdicts(found) == {"within the budget": "failed"}


def test_what_may_not_happen_is_refused() -> None:
    text = TRAFFIC.format(rate=60, clients=3) + '[[timeline]]\nat = "1s"\ncrash = { backend = "web/b" }\n'
    found = judged(text, "break-round-robin")
    assert "`crash`" in found.cause


def test_a_load_that_hurts_both_says_nothing_against_either() -> None:
    text = '[[traffic]]\nto = "front"\nrate = 200\n[[timeline]]\nat = "1s"\nslow = { backend = "web/b", by = 2 }\n'
    found = judged(text, "break-round-robin")
    assert found.outcome == "fail"


def test_a_file_may_have_no_other_tables() -> None:
    found = judged('[pool.web]\nalgorithm = "round_robin"\n')
    assert found.outcome == "not gradable"
    assert "pool: there is no such key" in found.got


def test_a_backend_that_is_not_there_is_named() -> None:
    text = TRAFFIC.format(rate=60, clients=3) + '[[timeline]]\nat = "1s"\nslow = { backend = "web/z", by = 2 }\n'
    assert "web/z" in judged(text, "break-round-robin").got


def test_no_traffic_breaks_nothing() -> None:
    assert judged("").outcome == "fail"
