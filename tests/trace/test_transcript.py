"""Lines in fixed columns."""

from __future__ import annotations

from lbtutor.core.events import Arrived, Candidate, Drained, Event, Finished, Picked, Why
from lbtutor.trace.transcript import Transcript

EVENTS: list[Event] = [
    Arrived(0.25, 2, "127.0.1.2", "GET", "", "/", "front"),
    Picked(0.25, 2, 1, "web", "a", "only", Why("", "lowest", "", (Candidate("a", 0, None),))),
    Finished(12.2709, 123456, 1, "web", "ä", "answered 200", 200, 0.021, True, True),
    Drained(86_400.0, "web", "a"),
]


def test_a_line_is_time_request_sign_and_text() -> None:
    assert [Transcript().line(event) for event in EVENTS] == [
        "    0.250  r2     < GET / from 127.0.1.2",
        "    0.250  r2     > a: the only one there is",
        "   12.271  r123456 < ä: answered 200 in 21 ms",
        "86400.000         = a is drained: nothing is in flight there any more",
    ]


def test_in_ascii_a_line_is_ascii() -> None:
    lines = [Transcript(ascii=True).line(event) for event in EVENTS]
    assert all(line.isascii() for line in lines)
    assert lines[2] == "   12.271  r123456 < \\xe4: answered 200 in 21 ms"


def test_backends_may_be_named_by_their_pool() -> None:
    assert "= web/a is drained" in Transcript(backends_qualified=True).line(EVENTS[3])
