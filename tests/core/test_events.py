"""The union of events: it reads and writes its own JSON, and keeps the manners of `design.md`."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.events import Candidate, Event, Why

KINDS: tuple[type, ...] = get_args(Event)

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(min_value=0, max_value=2**53)
candidates = st.builds(Candidate, texts, st.none() | numbers, st.none() | texts)
whys = st.builds(Why, texts, st.sampled_from(["lowest", "highest"]), texts, st.lists(candidates, max_size=4).map(tuple))


def of_kind(kind: type) -> st.SearchStrategy[Event]:
    """Any event of that kind."""
    with_texts = {str: texts, float: numbers, int: counts, Why: whys, Candidate: candidates}
    fields = {}
    for spec in msgspec.structs.fields(kind):
        if spec.type in with_texts:
            fields[spec.name] = with_texts[spec.type]
        elif spec.type == dict[str, float]:
            fields[spec.name] = st.dictionaries(texts, numbers, max_size=4)
        elif spec.type == tuple[Candidate, ...]:
            fields[spec.name] = st.lists(candidates, max_size=4).map(tuple)
        else:
            fields[spec.name] = st.from_type(spec.type)
    return st.builds(kind, **fields)


events = st.one_of([of_kind(kind) for kind in KINDS])


@given(events)
def test_every_event_is_read_back_as_it_was_written(event: Event) -> None:
    line = msgspec.json.encode(event)
    assert b"\n" not in line
    again = msgspec.json.decode(line, type=Event)
    assert again == event
    assert type(again) is type(event)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_keeps_its_manners(kind: type) -> None:
    fields = msgspec.structs.fields(kind)
    assert fields[0].name == "at"
    assert fields[0].type is float
    assert all(spec.required or not spec.default for spec in fields), "what an event leaves out is nothing"
    assert kind.__struct_config__.frozen  # type: ignore[attr-defined]
    assert kind.__doc__


def test_no_two_kinds_share_a_tag() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]  # type: ignore[attr-defined]
    assert len(set(tags)) == len(KINDS)
