"""How a health state machine is recognised, built and understood."""

from __future__ import annotations

import pytest

from lbtutor.testing.checking import check
from lbtutor.testing.sandbox import submission
from lbtutor.testing.worlds.health import in_our_words

MACHINE = """
class Health:
    def __init__(self, {parameters}):
        self.rise, self.fall, self.up, self.streak = rise, fall, True, 0

    def {method}(self, ok):
        self.streak = 0 if ok == self.up else self.streak + 1
        if self.streak >= (self.rise if ok else self.fall):
            self.up, self.streak = ok, 0
        return {answer}
"""


@pytest.mark.parametrize(
    ("parameters", "method", "answer"),
    [
        ("rise, fall", "on_probe", "'UP' if self.up else 'DOWN'"),
        ("fall, rise", "record", "self.up"),
        ("rise=2, fall=3", "update", "int(self.up)"),
    ],
)
def test_names_order_and_words_are_free(parameters: str, method: str, answer: str) -> None:
    text = MACHINE.format(parameters=parameters, method=method, answer=answer)
    report = check(submission("health.py", text.encode()), "health", cls="Health", seed=1, in_process=True)
    assert report.verdict == "passed"


def test_a_start_that_is_claimed_is_asked_for() -> None:
    text = MACHINE.format(parameters="rise, fall", method="on_probe", answer="self.up")
    file = submission("health.py", text.encode())
    report = check(file, "health", cls="Health", seed=1, in_process=True, claims={"initial": "down"})
    assert report.law("it_rises_after_that_many_successes_in_a_row").verdict == "failed"


@pytest.mark.parametrize(
    ("answer", "word"), [("Health.UP", "up"), (False, "down"), ("unchecked", "undecided"), ("?", "")]
)
def test_states_have_many_names(answer: object, word: str) -> None:
    assert in_our_words(answer) == word
