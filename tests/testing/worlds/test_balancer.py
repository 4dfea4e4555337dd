"""Which shape a balancer has, told by its methods, and what is said of one that has none."""

from __future__ import annotations

import pytest

from lbtutor.core.errors import ConfigError
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import check, recognised
from lbtutor.testing.sandbox import InProcess, submission
from lbtutor.testing.worlds.pool import CHOOSES, KEEPS_BOOKS


def shape(constructor: str, method: str, rest: str = "") -> str:
    """The shape of a class with that constructor and those methods."""
    text = f"class Mine:\n def __init__(self{constructor}): pass\n def {method}: pass\n{rest}"
    with InProcess(submission("mine.py", text)) as room:
        return recognised(room.describe(), "Mine", "round_robin").shape


@pytest.mark.parametrize(
    ("constructor", "method", "rest", "expected"),
    [
        ("", "pick(self, request, backends)", "", CHOOSES),
        (", rng", "pick(self, req, up)", "", CHOOSES),
        (", alpha=0.3", "pick(self, request, servers, now=None)", " def observe(self, event): pass", CHOOSES),
        (", backends", "pick(self, client, now)", "", KEEPS_BOOKS),
        (", backends", "pick(self)", "", KEEPS_BOOKS),
        (", backends=()", "pick(self, client, current_time)", "", KEEPS_BOOKS),
        (", backends=()", "pick(self, client, stamp)", " def remove(self, name): pass", KEEPS_BOOKS),
        (", *servers", "pick(self, *args)", "", KEEPS_BOOKS),
    ],
)
def test_the_shape_is_told_by_what_the_methods_take(constructor: str, method: str, rest: str, expected: str) -> None:
    assert shape(constructor, method, rest) == expected


@pytest.mark.parametrize(
    ("constructor", "method", "says"),
    [
        (", alpha", "pick(self, request, backends)", "needs alpha.*give these defaults"),
        ("", "pick(self, backends)", r"write `pick\(request, backends\)`"),
        (", backends, alpha", "pick(self, client, now)", "needs backends, alpha.*give the others defaults"),
        ("", "pick(self, client, now)", r"let its constructor take them, as \[\(name, weight\), …\]"),
        (", backends", "choose(self, client)", r"its methods are choose;.*--adapt 'pick=choose\(client\)'"),
    ],
)
def test_who_has_no_shape_is_told_what_was_seen_and_what_to_write(constructor: str, method: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        shape(constructor, method)


OTHER_NAMES = """
class Turns:
    def __init__(self, servers):
        self.names = [name for name, _ in servers]
    def choose(self, client):
        if not self.names:
            raise LookupError
        self.names.append(self.names.pop(0))
        return self.names[-1]
"""


def test_an_adapter_names_the_method_that_chooses_and_the_error_that_says_nobody() -> None:
    file = submission("turns.py", OTHER_NAMES)
    adapter = Adapter(pick="choose(client)", none="LookupError")
    assert check(file, "round_robin", cls="Turns", adapter=adapter, seed=1, in_process=True).verdict == "passed"
    found = check(file, "round_robin", cls="Turns", adapter=Adapter(pick="choose"), seed=1, in_process=True)
    story = found.law("it_never_fails").counterexample
    assert story is not None
    assert "--adapt none=LookupError" in story.because


@pytest.mark.parametrize("component", ["least_response_time", "peak_ewma"])
def test_who_chooses_by_time_must_be_told_how_long_answers_take(component: str) -> None:
    with pytest.raises(ConfigError, match=r"--adapt 'finished=record\(name, latency\)'"):
        check(submission("turns.py", OTHER_NAMES.replace("choose", "pick")), component, seed=1, in_process=True)
