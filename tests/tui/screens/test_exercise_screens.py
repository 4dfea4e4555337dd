"""The exercises by keys: a file is saved, the verdict comes by itself, and what broke a law is on the stage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from lbtutor.course.exercises.manifest import exercise
from lbtutor.course.exercises.record import ExerciseRecord
from lbtutor.course.progress import Progress
from lbtutor.tui.exercise import ExerciseApp
from lbtutor.tui.keymap import rows
from lbtutor.tui.screens.exercise import CounterexampleScreen, ExerciseScreen
from lbtutor.tui.screens.exercise_keys import EXERCISE, EXERCISES
from lbtutor.tui.screens.exercises import ExercisesScreen

pytestmark = pytest.mark.slow

Keys = Pilot[None]
Script = Callable[[Keys, ExerciseApp], Awaitable[None]]
Open = Callable[..., None]

COUNTING = exercise("least-connections")
FILE = Path("lbtutor-exercises") / COUNTING.gives


def text_of(app: ExerciseApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in strips)


def save(text: str) -> None:
    """As an editor does: beside it, and then in its place."""
    beside = FILE.with_suffix(".swp")
    beside.write_text(text)
    os.replace(beside, FILE)


@pytest.fixture
def open_it(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Run a script against the exercises in a terminal of that size, in a folder that nobody else has."""
    monkeypatch.chdir(tmp_path)

    def open_(script: Script, size: tuple[int, int] = (80, 24), first: bool = True) -> None:
        async def go() -> None:
            app = ExerciseApp(ExerciseRecord(Progress.load()), COUNTING if first else None)
            async with app.run_test(size=size) as pilot:
                await script(pilot, app)

        asyncio.run(go())

    return open_


async def come(pilot: Keys, condition: Callable[[], object]) -> None:
    """Let the program work until that is so; ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():
            await pilot.pause(0.02)


async def judged(pilot: Keys, app: ExerciseApp, outcome: str) -> ExerciseScreen:
    screen = app.screen
    assert isinstance(screen, ExerciseScreen)
    await come(pilot, lambda: screen.judged is not None and screen.judged.outcome == outcome)
    await pilot.pause()
    return screen


def test_a_broken_law_is_told_marked_in_the_file_and_played_on_the_stage(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        screen = await judged(pilot, app, "fail")
        seen = text_of(app)
        assert "✕ failed" in seen
        assert "expected  b" in seen
        assert "got       a" in seen
        assert "● passed" in seen
        await pilot.press("l")
        await pilot.pause()
        marked = next(line for line in text_of(app).splitlines() if "▶" in line)
        assert "def pick(self, request, backends):" in marked
        await pilot.press("l", "s")
        await come(pilot, lambda: isinstance(app.screen, CounterexampleScreen))
        await pilot.press("G")
        await come(pilot, lambda: "The law is broken" in text_of(app) or "expected" in text_of(app))
        await pilot.press("q")
        await come(pilot, lambda: app.screen is screen)

    open_it(script)


def test_a_save_is_checked_by_itself_and_a_pass_is_recorded(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        await judged(pilot, app, "fail")
        save(COUNTING.solution.read_text())
        await judged(pilot, app, "pass")
        assert "lbtutor exercise run least-connections" in text_of(app)
        assert ExerciseRecord(Progress.load()).has_passed(COUNTING)
        save("def")
        screen = await judged(pilot, app, "not gradable")
        assert screen.judged is not None
        assert screen.judged.line == 1
        await pilot.press("q")
        await come(pilot, lambda: isinstance(app.screen, ExercisesScreen))
        assert "1 of " in text_of(app).splitlines()[0]

    open_it(script)


def test_hints_come_one_at_a_time(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        await judged(pilot, app, "fail")
        assert "Hint" not in text_of(app).replace("h Hint", "")
        for number in (1, 2, 3, 3):
            await pilot.press("h")
            await pilot.pause()
            assert f"Hint {number} of 3" in text_of(app)
        assert ExerciseRecord(Progress.load()).hints(COUNTING) == 3

    open_it(script)


def test_hints_go_on_where_they_were_when_the_screen_is_opened_again(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        await pilot.pause()
        await pilot.press("h", "h", "q")
        await come(pilot, lambda: isinstance(app.screen, ExercisesScreen))
        await pilot.press("enter")
        await come(pilot, lambda: isinstance(app.screen, ExerciseScreen))
        await come(pilot, lambda: "Hint 2 of 3" in text_of(app))
        await pilot.press("h")
        await come(pilot, lambda: "Hint 3 of 3" in text_of(app))
        assert ExerciseRecord(Progress.load()).hints(COUNTING) == 3

    open_it(script)


def test_leaving_gives_up_a_check_under_way(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        screen = app.screen
        assert isinstance(screen, ExerciseScreen)
        await pilot.press("q")
        await come(pilot, lambda: isinstance(app.screen, ExercisesScreen))
        await come(pilot, lambda: not screen._thread.is_alive())

    open_it(script)


def test_the_next_exercise_is_selected_and_begins_with_enter(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        assert app.screen.query_one("#exercises", OptionList).highlighted == 0
        await pilot.press("j", "k", "enter")
        await come(pilot, lambda: isinstance(app.screen, ExerciseScreen))
        assert list(Path("lbtutor-exercises").iterdir())

    open_it(script, first=False)


def test_verdicts_and_file_are_side_by_side_where_both_fit(open_it: Open) -> None:
    async def script(pilot: Keys, app: ExerciseApp) -> None:
        await judged(pilot, app, "fail")
        await come(pilot, lambda: "▶" in text_of(app))
        seen = text_of(app)
        assert "Verdicts" in seen
        assert "class LeastConnections:" in seen

    open_it(script, size=(120, 40))


def test_plain_characters_are_enough(open_it: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_GLYPHS", "ascii")
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Keys, app: ExerciseApp) -> None:
        await judged(pilot, app, "fail")
        assert "x failed" in text_of(app)

    open_it(script)


@pytest.mark.parametrize(("screen", "table"), [(ExerciseScreen, EXERCISE), (ExercisesScreen, EXERCISES)])
def test_every_key_of_the_tables_does_something(screen: type, table: dict[str, tuple[object, ...]]) -> None:
    for row in rows(table):  # type: ignore[arg-type]
        assert hasattr(screen, f"action_{row.action.partition('(')[0]}")
