"""How often the screen is drawn, and what is left out for slow terminals."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

from lbtutor.tui.screens.pace import CALM, LADDER, STILL, UNWATCHED, Pace, waiting_writes


def test_a_moving_picture_is_drawn_thirty_times_a_second() -> None:
    assert Pace().rate(still=False, watched=True) == 30


def test_a_picture_that_stands_still_is_drawn_seldom() -> None:
    assert Pace().rate(still=True, watched=True) == STILL == 4


def test_a_terminal_without_the_focus_is_drawn_for_seldom() -> None:
    assert Pace().rate(still=False, watched=False) == UNWATCHED == 5


def test_calm_asks_for_ten_frames_a_second() -> None:
    assert Pace(calm=True).rate(still=False, watched=True) == CALM == 10


def test_a_frame_is_left_out_while_more_than_one_chunk_waits() -> None:
    pace = Pace()
    assert pace.worth_drawing(0)
    assert pace.worth_drawing(1)
    assert not pace.worth_drawing(2)


def frames(pace: Pace, seconds: float, waiting: int) -> None:
    for _ in range(int(seconds * pace.rate(still=False, watched=True))):
        pace.worth_drawing(waiting)


def test_two_seconds_of_a_terminal_that_cannot_keep_up_lower_the_rate_a_step() -> None:
    pace = Pace()
    for expected in (*LADDER[1:], LADDER[-1]):
        frames(pace, 2, waiting=5)
        assert pace.rate(still=False, watched=True) == expected
    assert pace.slowed


def test_a_fifth_of_the_frames_may_be_left_out_before_that() -> None:
    pace = Pace()
    for number in range(600):
        pace.worth_drawing(5 if number % 5 == 0 else 0)
    assert pace.rate(still=False, watched=True) == LADDER[0]
    assert not pace.slowed


def an_app_that_writes_to(writer: object) -> Any:
    return SimpleNamespace(_driver=SimpleNamespace(_writer_thread=writer))


def test_the_chunks_that_wait_are_those_in_the_drivers_queue() -> None:
    waiting: queue.Queue[str] = queue.Queue()
    waiting.put("a")
    waiting.put("b")
    assert waiting_writes(an_app_that_writes_to(SimpleNamespace(_queue=waiting))) == 2


def test_a_driver_that_does_not_say_is_taken_to_keep_up() -> None:
    assert waiting_writes(an_app_that_writes_to(None)) == 0
    assert waiting_writes(an_app_that_writes_to(SimpleNamespace())) == 0
