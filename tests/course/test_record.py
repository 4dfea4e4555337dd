"""Records of progress merge in any order, as often as one likes, and lose nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core import ConfigError
from lbtutor.course.record import NewerFormat, read_record, united

times = st.integers(0, 9).map(lambda second: f"2026-01-01T00:00:0{second}.000+00:00")
answers = st.fixed_dictionaries({"at": times, "choice": st.sampled_from("ab"), "right": st.booleans()})
lessons = st.fixed_dictionaries(
    {},
    optional={
        "answers": st.dictionaries(st.sampled_from(["q1", "q2"]), st.lists(answers, min_size=1, max_size=3)),
        "steps": st.dictionaries(st.sampled_from(["s1", "s2"]), times),
        "finished": times,
        "reset": times,
    },
)
records = st.fixed_dictionaries(
    {"format": st.just(1), "lessons": st.dictionaries(st.sampled_from(["l1", "l2"]), lessons)},
    optional={
        "resume": st.fixed_dictionaries(
            {"at": times, "lesson": st.sampled_from(["l1", "l2"]), "step": st.sampled_from(["s1", "s2"])}
        )
    },
)


@given(records, records)
def test_it_does_not_matter_which_record_comes_first(one: Any, other: Any) -> None:
    assert united(one, other) == united(other, one)


@given(records, records, records)
def test_it_does_not_matter_which_two_are_united_first(one: Any, two: Any, three: Any) -> None:
    assert united(united(one, two), three) == united(one, united(two, three))


@given(records, records)
def test_uniting_again_changes_nothing(one: Any, other: Any) -> None:
    both = united(one, other)
    assert united(both, other) == both
    assert united(both, both) == both


@given(records)
def test_what_is_united_can_be_read_back(record: Any) -> None:
    both = united(record, {})
    assert read_record(json.dumps(both).encode()) == both


def test_an_answer_later_than_a_reset_counts_and_an_earlier_one_does_not() -> None:
    early = {"at": "2026-01-01T00:00:01.000+00:00", "choice": "a", "right": True}
    late = {"at": "2026-01-01T00:00:03.000+00:00", "choice": "b", "right": True}
    mine = {"lessons": {"l": {"answers": {"q": [early, late]}, "steps": {"s": early["at"]}}}}
    reset = {"lessons": {"l": {"reset": "2026-01-01T00:00:02.000+00:00"}}}
    assert united(mine, reset)["lessons"]["l"] == {
        "reset": "2026-01-01T00:00:02.000+00:00",
        "answers": {"q": [late]},
    }


def test_keys_that_are_not_ours_are_kept() -> None:
    theirs = {"format": 1, "teacher": {"class": "7b"}, "lessons": {"l": {"note": "hard", "steps": {}}}}
    both = united({"format": 1}, theirs)
    assert both["teacher"] == {"class": "7b"}
    assert both["lessons"]["l"] == {"note": "hard"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b'{"format": 1, "lessons": {', "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "names no format"),
        (b"{}", "names no format"),
        (b'{"format": true}', "names no format"),
        (b'{"format": 1, "lessons": []}', "not a record of progress: Expected `object`, got `array`"),
        (b'{"format": 1, "resume": {"at": "yesterday", "lesson": "l", "step": "s"}}', "Invalid RFC3339"),
        (b'{"format": 1, "lessons": {"l": {"steps": {"s": "2026-01-01T00:00:00"}}}}', "timezone"),
        (
            b'{"format": 1, "lessons": {"l": {"answers": {"q": [{"at": "2026-01-01T00:00:00Z", "choice": "a", '
            b'"right": true, "returns_after": "soon"}]}}}}',
            "'soon' is not a duration",
        ),
    ],
)
def test_what_is_not_a_record_is_refused_with_the_reason(content: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_record(content)


def test_a_newer_format_is_told_from_a_broken_file() -> None:
    with pytest.raises(NewerFormat, match="format 2"):
        read_record(b'{"format": 2, "lessons": "something else by then"}')


MINE = {"format": 1, "lessons": {}, "exercises": {"router": {"passed": "2026-01-01T00:00:01.000+00:00"}}}
THEIRS = {"format": 1, "lessons": {}, "exercises": {"drain": {"started": "2026-01-01T00:00:02.000+00:00"}}}


def test_two_records_one_behind_the_other_are_one() -> None:
    text = f"{json.dumps(MINE, indent=2)}\n{json.dumps(THEIRS)}\n"
    assert read_record(text.encode()) == united(MINE, THEIRS)


@pytest.mark.parametrize("base", ["", "||||||| base\n    {},\n"])
def test_what_git_could_not_merge_is_merged(base: str) -> None:
    ours, theirs = (json.dumps(record["exercises"]) for record in (MINE, THEIRS))
    text = f"""{{
  "format": 1, "lessons": {{}},
<<<<<<< HEAD
  "exercises": {ours}
{base}=======
  "exercises": {theirs}
>>>>>>> the other machine
}}
"""
    assert read_record(text.encode()) == united(MINE, THEIRS)


@pytest.mark.parametrize("content", [b"", b"{}{", b'{"format": 1} trailing', b"\xff", b'{"format": 1}[]'])
def test_a_record_with_something_else_behind_it_is_none(content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_record(content)
