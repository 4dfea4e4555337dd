"""The list of events: follows the newest, keeps its place, forgets the oldest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from lbtutor.core.events import ProbeSent
from lbtutor.tui.screens.log import KEPT_LINES, EventList
from lbtutor.tui.screens.watched import Line


class Listing(App[None]):
    def compose(self) -> ComposeResult:
        yield EventList(id="events")


def lines(first: int, last: int) -> list[Line]:
    return [Line(ProbeSent(float(n), "web", "a"), f"line {n}") for n in range(first, last)]


def play(script: Callable[[Pilot[None], EventList], Awaitable[None]]) -> None:
    async def go() -> None:
        app = Listing()
        async with app.run_test(size=(60, 10)) as pilot:
            await script(pilot, app.query_one(EventList))

    asyncio.run(go())


def says(events: EventList) -> str:
    assert events.chosen is not None
    return events.chosen.says


def test_it_follows_the_newest_line_until_somebody_moves_up() -> None:
    async def script(pilot: Pilot[None], events: EventList) -> None:
        events.extend(lines(0, 30))
        assert says(events) == "line 29"
        events.focus()
        await pilot.press("up")
        events.extend(lines(30, 40))
        assert says(events) == "line 28"
        await pilot.press("end")
        events.extend(lines(40, 50))
        assert says(events) == "line 49"

    play(script)


def test_keys_move_by_lines_pages_and_ends() -> None:
    async def script(pilot: Pilot[None], events: EventList) -> None:
        events.extend(lines(0, 100))
        events.focus()
        found = []
        for key in ("home", "down", "j", "k", "pagedown", "pageup", "up", "G", "g"):
            await pilot.press(key)
            found.append(says(events))
        assert found == [f"line {n}" for n in (0, 1, 2, 1, 10, 1, 0, 99, 0)]

    play(script)


def test_the_oldest_lines_are_forgotten_and_the_cursor_stays_on_its_line() -> None:
    async def script(pilot: Pilot[None], events: EventList) -> None:
        events.extend(lines(0, 1_000))
        events.focus()
        await pilot.press("up")
        events.extend(lines(1_000, KEPT_LINES + 800))
        assert len(events.lines) == KEPT_LINES
        assert says(events) == "line 998"

    play(script)


def test_a_cleared_list_is_empty_and_follows_again() -> None:
    async def script(pilot: Pilot[None], events: EventList) -> None:
        events.extend(lines(0, 5))
        events.clear()
        assert events.chosen is None
        events.extend(lines(5, 7))
        assert says(events) == "line 6"

    play(script)


def test_a_line_shows_when_it_happened_and_what() -> None:
    async def script(pilot: Pilot[None], events: EventList) -> None:
        events.extend(lines(3, 4))
        await pilot.pause()
        assert events.render_line(0).text.rstrip() == "   3.00  line 3"

    play(script)
