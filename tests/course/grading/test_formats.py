"""Formats: what a spreadsheet, Gradescope and a program read, and what never gets into them."""

from __future__ import annotations

import csv
import io

from lbtutor.course.grading.formats import document, gradescope, spreadsheet
from lbtutor.course.grading.record import Failure, Mark, Record, Suite
from lbtutor.course.grading.run import Graded, Same

HIDDEN = Suite("h", "What is hidden holds.", "failed", 3, 1, 0.0, 1.5, hidden=True, failure=Failure("a", "b"))
SOMETIMES = Failure("a", "\x1b[2Jb\x07", "c", ("1  x",), 3, "14 of 20")
SHAKY = Suite(
    "s", "It holds.", "failed", 7, 1, 0.0, 1.5, failure=Failure("a", "\x1b[2Jb\x07", "c", ("1  x",), 3, "14 of 20")
)
HELD = Suite("p", "It is so.", "passed", 300, 2, 3.0, 3.0)


def record(learner: str, *marks: Mark) -> Record:
    return Record(learner, f"/class/{learner}", "2026-01-02T03:04:05+00:00", marks)


WRONG = Mark("one", "fail", 3.0, 6.0, "The one", suites=(HELD, SHAKY, HIDDEN), seed=77)
OURS = Mark("two", "grader_error", 0.0, 2.0, "The two", cause="it fell over")
WHOLE = Mark("two", "pass", 2.0, 2.0, "The two", is_whole=True, suites=(HELD,), got="all", expected="all")


def test_a_cell_never_begins_like_a_formula() -> None:
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "ann"]
    graded = Graded(tuple(record(name, WRONG) for name in names), ())
    rows = list(csv.reader(io.StringIO(spreadsheet(graded))))
    assert rows[0] == ["learner", "score", "max_score", "one", "one verdict"]
    assert [row[0] for row in rows[1:]] == ["'=HYPERLINK(1)", "'+1", "'-1", "'@x", " =1", "ann"]
    assert rows[1][1:] == ["3", "6", "3", "fail"]


def test_our_own_error_costs_nobody_a_point() -> None:
    one = record("ann", WRONG, OURS)
    assert (one.score, one.max_score) == (3, 6)
    assert list(csv.reader(io.StringIO(spreadsheet(Graded((one,), ())))))[1][-2:] == ["", "grader_error"]


def test_a_test_of_gradescope_says_all_that_is_asked_for_in_the_right_types() -> None:
    results = gradescope(record("ann", WRONG, WHOLE))
    assert (results["score"], results["execution_time"], results["stdout_visibility"]) == (5.0, 0.0, "hidden")
    keys = ("number", "score", "max_score", "status", "visibility")
    rows = [tuple(test[key] for key in keys) for test in results["tests"]]
    assert rows == [
        ("1.1", 3.0, 3.0, "passed", "visible"),
        ("1.2", 0.0, 1.5, "failed", "visible"),
        ("1.3", 0.0, 1.5, "failed", "hidden"),
        ("2", 2.0, 2.0, "passed", "visible"),
    ]
    assert {type(test[key]) for test in results["tests"] for key in ("score", "max_score")} == {float}
    assert sum(test["score"] for test in results["tests"]) == results["score"]


def test_gradescope_sees_neither_the_seed_nor_control_characters() -> None:
    results = gradescope(record("ann", WRONG))
    assert "77" not in str(results)
    output = results["tests"][1]["output"]
    assert output == "expected: a\ngot: �[2Jb�\nbecause c\nnot repeatable: it fails 14 of 20 times\n\n1  x"


def test_the_document_has_the_records_and_who_handed_in_the_same() -> None:
    found = document(Graded((record("ann", WRONG),), (Same("one", "ff", ("ann", "bob")),)))
    (ann,) = found["learners"]
    assert (ann["learner"], ann["score"], ann["marks"][0]["seed"]) == ("ann", 3.0, 77)
    assert found["identical"] == [{"exercise": "one", "sha256": "ff", "learners": ("ann", "bob"), "alike": False}]
