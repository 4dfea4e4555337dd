"""What the model of a router takes for right."""

from __future__ import annotations

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.worlds.router import Asked, Rule
from lbtutor.testing.zoo import specimens


def best(rules: list[Rule], host: str, path: str, *, deep: bool = True) -> set[str]:
    return Asked(0, "ask", "", host=host, path=path, headers={"x-a": "1"}, rules=tuple(rules)).best(deep)


@pytest.mark.parametrize(
    ("host", "path", "target"),
    [
        ("a.com", "/x/y", "exact"),
        ("b.a.com", "/x", "wild"),
        ("c.b.a.com", "/x", "longer"),
        ("xa.com", "/x/y", "path"),
        ("xa.com", "/xy", "any"),
    ],
)
def test_the_host_decides_before_the_path(host: str, path: str, target: str) -> None:
    rules: list[Rule] = [
        (None, "/", None, "any"), (None, "/x", None, "path"), ("*.a.com", "/", None, "wild"),
        ("*.b.a.com", "/", None, "longer"), ("A.com", "/", None, "exact"),
    ]  # fmt: skip
    assert best(rules, host, path) == {target}


def test_headers_win_a_tie_and_their_names_have_no_case() -> None:
    assert best([(None, "/x", None, "plain"), (None, "/x", {"X-A": "1"}, "header")], "a.com", "/x") == {"header"}


def test_a_wildcard_may_stand_for_one_label_or_for_several() -> None:
    rules: list[Rule] = [("*.a.com", "/", None, "wild")]
    assert (best(rules, "c.b.a.com", "/"), best(rules, "c.b.a.com", "/", deep=False)) == ({"wild"}, set())


@pytest.mark.parametrize(("claimed", "verdict"), [("any", "passed"), ("all", "failed")])
def test_to_look_only_among_the_rules_of_the_best_host_is_a_freedom(claimed: str, verdict: str) -> None:
    (nginx,) = (specimen for specimen in specimens("router") if specimen.name == "HostDecides")
    claims = {"hosts": claimed}
    assert check(nginx.file, "router", cls=nginx.name, claims=claims, seed=1, in_process=True).verdict == verdict
