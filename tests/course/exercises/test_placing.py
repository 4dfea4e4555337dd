"""Where a learner is sent to look in a file."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.manifest import exercise
from lbtutor.course.exercises.placing import Place, place_of
from lbtutor.testing.program import Program
from lbtutor.testing.recording import Call
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import submission

DRAIN = exercise("drain")
FILE = submission(
    "drain.py",
    "class Drain:\n"
    "    def __init__(self, deadline): ...\n"
    "    def drain(self, now): ...\n"
    "    def state(self, now): ...\n"
    "    def accepts(self, now): ...\n",
)
CALLS = (
    Call(-1, (), "drain = Drain(60)"),
    Call(0, (), "drain.drain(0.0)"),
    Call(0, (), "drain.state(0.0)", "drained"),
    Call(0, (), "drain.accepts(0.0)", False),
)


def broken(calls: tuple[Call, ...] = (), op: str = "drain", got: str = "drained", line: int = 0) -> Finding:
    example = Counterexample(Program({}, ((op,),)), 0, (), "draining", got, "", line, calls=calls)
    return Finding("a_law", "It drains.", "failed", line=line, counterexample=example)


@pytest.mark.parametrize(
    ("found", "place"),
    [
        pytest.param(broken(CALLS, line=3), Place("at", 3), id="the line that raised"),
        pytest.param(broken(CALLS), Place("from", 4), id="the method that answered so"),
        pytest.param(broken(CALLS, got="twice"), Place("from", 5), id="the method that was asked last"),
        pytest.param(broken(), Place("from", 3), id="the method that the story names"),
        pytest.param(broken(op="fail"), Place("from", 1), id="the class, where nobody knows which method"),
    ],
)
def test_a_wrong_answer_comes_from_somewhere(found: Finding, place: Place) -> None:
    assert place_of(found, DRAIN, FILE) == place


def test_a_finding_without_a_story_names_no_place() -> None:
    assert place_of(Finding("a_law", "It drains.", "unknown"), DRAIN, FILE) is None


@pytest.mark.parametrize("text", ["class Other:\n    pass\n", "class Drain(:\n"])
def test_a_file_without_the_class_has_no_place(text: str) -> None:
    assert place_of(broken(), DRAIN, submission("drain.py", text)) is None


def test_a_law_answers_from_its_function() -> None:
    law = exercise("turns-law")
    file = submission("law.py", "import math\n\n\ndef holds(story):\n    return True\n")
    assert place_of(Judgement(law.id, "fail"), law, file) == Place("from", 4)
    assert place_of(Judgement(law.id, "fail"), replace(law, settings={"function": "other"}), file) is None


def test_what_a_load_does_comes_from_its_traffic() -> None:
    crowd = exercise("break-ip-hash")
    file = submission(crowd.gives, "# a crowd\n\n[[traffic]]\nrate = 80\n\n[[traffic]]\nrate = 1\n")
    assert place_of(Finding("it breaks", "It breaks.", "failed"), crowd, file) == Place("from", 3)
    assert place_of(Judgement(crowd.id, "fail"), crowd, submission(crowd.gives, "# nothing\n")) is None
