"""The decision record as a table."""

from __future__ import annotations

from lbtutor.core.events import Candidate, Finished, HealthChanged, Picked, Rejected, Why
from lbtutor.tui.glyphs import ASCII, UNICODE
from lbtutor.tui.screens.record import Record, record

PICKED = Picked(
    4.2,
    12,
    1,
    "web",
    "srv-3",
    "algorithm",
    Why(
        "turns to wait",
        "lowest",
        "nobody shares a turn",
        (
            Candidate("srv-1", 1.0, None),
            Candidate("srv-2", None, "down"),
            Candidate("srv-3", 0.0, None),
        ),
    ),
)


def rows(told: Record) -> list[str]:
    return [row.plain for row in told.rows]


def test_a_decision_shows_every_candidate_with_its_number_or_the_reason_against_it() -> None:
    assert rows(record(PICKED, UNICODE)) == [
        "server  turns to wait",
        "srv-1               1",
        "srv-2               -  down",
        "srv-3               0  ← picked",
    ]


def test_a_decision_says_which_end_wins_and_who_wins_a_tie() -> None:
    assert record(PICKED, UNICODE).rule == "lowest wins; in a tie: nobody shares a turn"


def test_the_title_says_which_request_went_where_and_when() -> None:
    assert record(PICKED, UNICODE).title == "r12 → srv-3, at 4.20 s"


def test_the_title_says_what_is_unusual_about_the_choice() -> None:
    retried = Picked(4.2, 12, 2, "web", "srv-3", "retry", PICKED.why)
    assert record(retried, ASCII).title == "r12 -> srv-3, at 4.20 s, attempt 2, tried again elsewhere"


def test_an_algorithm_that_does_not_explain_itself_is_said_not_to() -> None:
    mute = Picked(4.2, 12, 1, "web", "a", "algorithm", Why("", "lowest", "", (Candidate("a", None, None),)))
    assert record(mute, UNICODE).rule == "this algorithm does not explain itself"
    assert rows(record(mute, UNICODE)) == ["server  number", "a            -  ← picked"]


def test_a_rejection_shows_why_nobody_could_take_the_request() -> None:
    rejected = Rejected(1.0, 7, 503, "no backend is available", "web", (Candidate("a", None, "down"),))
    told = record(rejected, UNICODE)
    assert told.title == "r7 was answered 503 by the balancer"
    assert rows(told) == ["no backend is available", "a  down"]


def test_any_other_event_shows_its_fields() -> None:
    told = record(HealthChanged(3.5, "web", "a", "up", "down", "3 probes in a row failed"), UNICODE)
    assert told.title == "health changed"
    assert rows(told) == [
        "at       3.500 s",
        "pool     web",
        "backend  a",
        "was      up",
        "now      down",
        "because  3 probes in a row failed",
    ]


def test_numbers_stay_numbers_and_truths_become_words() -> None:
    told = record(Finished(2.0, 1, 1, "web", "a", "answered 200", 200, 0.25, ok=True, final=False), UNICODE)
    assert "request  1" in rows(told)
    assert "took     0.250 s" in rows(told)
    assert "ok       yes" in rows(told)
    assert "final    no" in rows(told)


def test_a_client_that_stays_is_told_by_what_it_was_known() -> None:
    known = Picked(4.2, 12, 1, "web", "srv-3", "sticky", PICKED.why, "cookie SERVER_ID names srv-3")
    told = record(known, UNICODE)
    assert told.title == "r12 → srv-3, at 4.20 s, the client stays"
    assert told.rule == "cookie SERVER_ID names srv-3"


def test_why_a_client_could_not_stay_stands_below_the_choice() -> None:
    moved = Picked(
        4.2, 12, 1, "web", "srv-3", "algorithm", PICKED.why, "cookie names srv-2, which is down: balanced anew"
    )
    assert rows(record(moved, UNICODE))[-1] == "cookie names srv-2, which is down: balanced anew"
