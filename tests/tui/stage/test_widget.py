"""The stage in a running app: what reaches the terminal, and what keys and clicks do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pyte
import pytest
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.pilot import Pilot
from textual.widgets import Static

from lbtutor.core import Event
from lbtutor.core.events import HealthChanged, Joined, Left
from lbtutor.core.workload import Act
from lbtutor.tui.theme import THEMES
from lbtutor.tui.widgets.stage import Stage

Told = Callable[..., list[Event]]
Play = Callable[..., None]
SIZES = [(120, 40), (80, 24)]
FPS = 30


class Recording(Protocol):
    """A terminal that keeps all that it was sent."""

    sent: str


class Lesson(App[None]):
    """Text to the left and lines below, so that the stage does not begin where the screen does."""

    CSS = "#text { width: 38; } Stage { height: 1fr; } #below { height: 5; }"

    def __init__(self, glyphs: str = "unicode", theme: str = "lbtutor-dark") -> None:
        super().__init__()
        self.said: list[str | None] = []
        self._stage = Stage(glyphs=glyphs, id="stage")
        for one in THEMES:
            self.register_theme(one)
        self.theme = theme

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("The lesson's text. " * 20, id="text")
            with Vertical():
                yield self._stage
                yield Static("▌ What will happen next?", id="below")

    def on_mount(self) -> None:
        self.query_one("#text").display = self.size.width >= 100

    def on_stage_selected(self, message: Stage.Selected) -> None:
        self.said.append(message.backend)


def stage_of(pilot: Pilot[object]) -> Stage:
    return pilot.app.query_one(Stage)


async def watch(pilot: Pilot[object], seconds: float, start: float = 0.0) -> None:
    """Advance frame by frame, and let each frame reach the terminal."""
    for frame in range(int(seconds * FPS)):
        stage_of(pilot).advance(start + (frame + 1) / FPS)
        await pilot.pause()


@pytest.fixture(scope="module")
def events(run: Told, crash_and_heal: tuple[Act, ...]) -> list[Event]:
    return run(acts=crash_and_heal)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_terminal_shows_exactly_what_was_painted(size: tuple[int, int], events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage_of(pilot).take(events)
        stage_of(pilot).advance(3.0)
        await watch(pilot, 2.5, start=3.0)
        stage_of(pilot).selected = "web/srv-3"
        await pilot.pause()
        screen = pyte.Screen(*size)
        pyte.Stream(screen).feed(terminal.sent)
        painted = ["".join(segment.text for segment in strip) for strip in pilot.app.screen._compositor.render_strips()]
        assert screen.display == painted
        assert any("srv-2 DOWN" in row for row in painted)

    play(Lesson, size, script)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_costs_few_bytes(size: tuple[int, int], events: list[Event], play: Play) -> None:
    """20 requests a second at 30 frames a second: 180 kB/s, which a slow SSH link carries."""

    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage_of(pilot).take(events)
        await watch(pilot, 0.2, start=2.0)
        before = len(terminal.sent.encode())
        await watch(pilot, 2.0, start=2.2)
        mean = (len(terminal.sent.encode()) - before) / (2 * FPS)
        assert 500 < mean <= 6_000

    play(Lesson, size, script)


def test_a_stage_that_stands_still_sends_nothing(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take([event for event in events if event.at <= 2])
        for _ in range(20):
            stage.advance(2.0)
        await pilot.pause()
        before = len(terminal.sent)
        for _ in range(20):
            stage.advance(2.0)
            await pilot.pause()
        assert len(terminal.sent) == before

    play(Lesson, (120, 40), script)


def test_up_down_and_a_click_select_and_say_so(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take(events)
        stage.advance(3.0)
        stage.focus()
        await pilot.press("down", "down", "up", "up")
        assert stage.selected == "web/srv-4"
        rows = [number for number, row in enumerate(texts(stage)) if "srv-3" in row]
        await pilot.click(Stage, offset=(60, rows[0] + 1))
        assert stage.selected == "web/srv-3"
        await pilot.click(Stage, offset=(60, 0))
        assert stage.selected == "web/srv-3"
        assert isinstance(pilot.app, Lesson)
        assert pilot.app.said == [f"web/srv-{number}" for number in (1, 2, 1, 4, 3)]

    play(Lesson, (120, 40), script)


def test_keys_follow_the_order_of_the_servers_and_a_lost_one_is_not_selected(play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take([Joined(0.0, "web", name, 1, "up") for name in "cab"])
        stage.advance(1.0)
        assert stage.backends() == ["web/c", "web/a", "web/b"]
        stage.selected = "web/a"
        stage.take([Left(1.1, "web", "a", 0)])
        stage.advance(3.0)
        assert stage.backends() == ["web/c", "web/b"]
        assert stage.selected is None

    play(Lesson, (80, 24), script)


def test_the_hint_of_who_is_next_can_be_switched_off(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take(events)
        stage.advance(3.0)
        assert stage.next_backend in stage.backends()
        assert any("next▶" in row for row in texts(stage))
        stage.next_hint = False
        await pilot.pause()
        assert not any("next" in row for row in texts(stage))

    play(Lesson, (80, 24), script)


def test_reduced_motion_replaces_dots_by_counts(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.reduced_motion = True
        stage.take(events)
        stage.advance(3.0)
        assert stage.shown_at == 3.0
        assert sum("in flight" in row.split("│")[-1][:14] for row in texts(stage)) == 4

    play(Lesson, (80, 24), script)


def test_reduced_motion_set_before_the_stage_is_shown_holds(play: Play) -> None:
    class Calm(Lesson):
        def compose(self) -> ComposeResult:
            self._stage.reduced_motion = True
            yield from super().compose()

    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage_of(pilot).advance(3.0)
        assert stage_of(pilot).shown_at == 3.0

    play(Calm, (80, 24), script)


def test_a_reset_stage_is_empty_and_knows_who_will_come(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take(events)
        stage.advance(3.0)
        stage.selected = "web/srv-1"
        stage.reset(["127.0.1.1", "127.0.1.2"])
        assert stage.backends() == []
        assert not stage.selected
        assert stage.shown_at == 0.0
        assert sum("client" in row for row in texts(stage)) == 2

    play(Lesson, (80, 24), script)


def test_a_resized_stage_is_laid_out_anew(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take(events)
        stage.advance(3.0)
        for size in ((60, 16), (200, 60), (30, 5), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert {len(row) for row in texts(stage)} <= {stage.size.width}
            assert len(texts(stage)) == stage.size.height

    play(Lesson, (120, 40), script)


def test_what_the_picture_leaves_out_is_said_in_its_border(journey: Told, play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take([Joined(0.0, "web", "a", 1, "up")])
        crowd = [event for n in range(2000) for event in journey(n, at=1 + n / 4000, took=2.0)]
        stage.take(sorted(crowd, key=lambda event: event.at))
        stage.advance(1.0)
        stage.advance(1.8)
        assert stage.border_subtitle == "1 request in 8 drawn"

    play(Lesson, (80, 24), script)


def test_without_colour_states_are_told_by_glyph_and_word(
    events: list[Event], play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        down = HealthChanged(3.0, "web", "srv-2", "up", "down", "")
        stage.take([*(event for event in events if event.at <= 3), down])
        stage.advance(3.0)
        stage.advance(4.0)
        await pilot.pause()
        for strip in pilot.app.screen._compositor.render_strips():
            for segment in strip:
                colours = [segment.style.color, segment.style.bgcolor] if segment.style else []
                assert all(len(set(colour.triplet or ())) <= 1 for colour in colours if colour is not None)
        rows = texts(stage)
        assert any("● srv-1 UP " in row for row in rows)
        assert any("✕ srv-2 DOWN " in row for row in rows)

    monkeypatch.setenv("NO_COLOR", "1")
    play(Lesson, (80, 24), script)


def test_every_theme_gives_the_stage_its_own_colours(events: list[Event], play: Play) -> None:
    async def script(pilot: Pilot[object], terminal: Recording) -> None:
        stage = stage_of(pilot)
        stage.take(events)
        stage.advance(3.0)
        seen = set()
        for theme in (*(theme.name for theme in THEMES), "nord", "ansi-dark"):
            pilot.app.theme = theme
            await pilot.pause()
            styles = [segment.style for y in range(stage.size.height) for segment in stage.render_line(y)]
            seen.add(tuple(str(style) for style in styles))
        assert len(seen) == len(THEMES) + 2

    play(Lesson, (80, 24), script)


def texts(stage: Stage) -> list[str]:
    return [stage.render_line(y).text for y in range(stage.size.height)]
