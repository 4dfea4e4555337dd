"""The program around the lesson: where it begins, what it does when things are not as they should be."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.events import AppBlur, AppFocus
from textual.pilot import Pilot

from lbtutor.core import ConfigError
from lbtutor.core.listening import ListenerConfig
from lbtutor.course.catalog import load_lesson
from lbtutor.course.lesson import Lesson
from lbtutor.course.progress import Progress
from lbtutor.tui.app import LbtutorApp, run
from lbtutor.tui.screens.help import HelpScreen
from lbtutor.tui.screens.home import HomeScreen
from lbtutor.tui.screens.lesson import LessonScreen
from lbtutor.tui.screens.small import SmallScreen

pytestmark = pytest.mark.slow

Keys = Pilot[None]
Play = Callable[..., LbtutorApp]
Until = Callable[[Keys, Callable[[], object]], Awaitable[None]]


def text_of(app: LbtutorApp) -> list[str]:
    """The lines on the screen, as a person reads them."""
    return ["".join(segment.text for segment in line).rstrip() for line in app.screen._compositor.render_strips()]


# -- where it begins --------------------------------------------------------------------------------------------------


def test_it_resumes_at_the_step_where_the_learner_was(play: Play) -> None:
    async def first(pilot: Keys, screen: LessonScreen) -> None:
        await pilot.press("b", "n", "q")

    async def then(pilot: Keys, screen: LessonScreen) -> None:
        assert screen.session.step.id == "crash"
        assert screen.session.progress.done("small") == {"look"}

    play(first, step="look")
    play(then)


def test_without_a_name_the_lesson_is_the_one_where_the_learner_was(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, str | None]] = []

    def open_it(app: LbtutorApp) -> None:
        screen = app._screen_for(app._lesson, app._step, ())
        opened.append((screen.session.lesson.id, screen.session.step.id))

    monkeypatch.setattr(LbtutorApp, "run", open_it)
    assert [run(), run("round-robin", step="what-decided"), run()] == [0, 0, 0]
    assert opened == [("round-robin", step) for step in ("request-seven", "what-decided", "what-decided")]


def test_a_lesson_or_step_that_does_not_exist_is_refused_before_the_screen_is_touched(state: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean `round-robin`"):
        run("round-robbin")
    with pytest.raises(ConfigError, match="has no step `nought`; its steps are request-seven"):
        run("round-robin", step="nought")


def test_a_question_from_another_day_is_asked_first_and_holds_the_scene(play: Play, state: Path, until: Until) -> None:
    lesson = load_lesson("round-robin")
    question = next(s.question for s in lesson.steps if s.question is not None and s.question.returns_after)
    Progress.load().record_answer("round-robin", question, question.right, datetime.now(UTC) - timedelta(days=9))

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        assert (screen.cue.head, screen.cue.says) == ("From Round robin", question.ask)
        await until(pilot, lambda: screen.theatre.run is not None)
        await pilot.press("space")
        assert screen.theatre.run is not None
        assert screen.theatre.run.now == 0
        await pilot.press(question.right.key)
        assert screen.cue.head == "Right"
        assert Progress.load().due(datetime.now(UTC)) == ()
        await pilot.press("n")
        assert screen.session.step.id == "short"
        await until(pilot, lambda: screen.theatre.run is not None and screen.theatre.run.now > 0)

    play(script, step="short")


def test_the_list_of_lessons_opens_another_one(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.run is not None)
        first = screen.theatre.run
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LessonScreen) and pilot.app.screen is not screen)
        assert isinstance(pilot.app.screen, LessonScreen)
        assert pilot.app.screen.session.lesson.id == "round-robin"
        await until(pilot, lambda: first is not None and first.ended)

    play(script)


# -- when things are not as they should be ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (20, 5)])
def test_a_terminal_too_small_is_told_what_is_needed_and_the_lesson_comes_back_when_it_grows(
    play: Play, until: Until, size: tuple[int, int]
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        app = pilot.app
        assert isinstance(app, LbtutorApp)
        await until(pilot, lambda: isinstance(app.screen, SmallScreen))
        await until(pilot, lambda: "try: lbtutor lesson small --plain" in " ".join(" ".join(text_of(app)).split()))
        assert f"needs 60x16, you have {size[0]}x{size[1]}" in " ".join(" ".join(text_of(app)).split())
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("b")
        assert screen.session.answered == "b"

    play(script, size)


def test_time_stands_while_the_terminal_is_too_small(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.run is not None and not screen.theatre.run.paused)
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: screen.theatre.run is not None and screen.theatre.run.paused)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: screen.theatre.run is not None and not screen.theatre.run.paused)

    play(script, step="other")


def test_a_corrupted_progress_file_is_set_aside_with_a_message_and_the_lesson_opens(play: Play, state: Path) -> None:
    state.mkdir()
    (state / "progress.json").write_text('{"format": 1, "lessons": {"small"', encoding="utf-8")

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        (message,) = [notification.message for notification in pilot.app._notifications]
        assert "progress.json.broken-1" in message
        await pilot.press("b", "q")

    play(script)
    assert (state / "progress.json.broken-1").exists()
    assert Progress.load().resume == ("small", "guess")


@pytest.fixture
def crowded(lesson: Lesson) -> socket.socket:
    """The port that the lesson's scene wants is somebody else's."""
    taken = socket.create_server(("127.0.0.1", 0))
    scene = lesson.scenes["fast"]
    at = f"127.0.0.1:{taken.getsockname()[1]}"
    lesson.scenes["fast"] = type(scene)(
        title=scene.title, pool=scene.pool, traffic=scene.traffic, listen=(ListenerConfig("front", at=at),)
    )
    return taken


def test_a_port_in_use_is_a_message_and_the_lesson_goes_on(crowded: socket.socket, play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.cue.tone == "broken")
        assert str(crowded.getsockname()[1]) in screen.cue.says
        assert screen.cue.then == ("r: try again",)
        await pilot.press("2")
        assert screen.captions.text == screen.session.held
        crowded.close()
        await pilot.press("r")
        await until(pilot, lambda: screen.theatre.run is not None)
        assert screen.cue.head == "Predict"

    with crowded:
        play(script)


def test_what_breaks_on_the_runs_own_thread_is_told_and_the_program_lives(
    play: Play, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.run is not None and not screen.theatre.run.paused)
        live = screen.theatre.run._live  # type: ignore[union-attr]
        assert live is not None

        def burst() -> None:
            raise RuntimeError("a pipe burst")

        live._gate.ask(lambda: asyncio.get_running_loop().call_soon(burst))
        await until(pilot, lambda: any("a pipe burst" in n.message for n in pilot.app._notifications))
        assert screen.cue.head == "Another host"

    play(script, step="other")


def test_a_run_that_cannot_be_made_is_told_and_the_questions_go_on(
    play: Play, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object, **__: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("lbtutor.live.run.Stage", burst)

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.cue.tone == "broken")
        assert "RuntimeError: no room" in screen.cue.says
        await pilot.press("N", "b")
        assert screen.session.step.id == "look"
        assert screen.session.answered == "b"

    play(script)


# -- terminals and people ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_a_terminal_that_is_not_utf_8_gets_ascii_and_nothing_else(
    play: Play, until: Until, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("LBTUTOR_GLYPHS", "ascii")

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        app = pilot.app
        assert isinstance(app, LbtutorApp)
        await until(pilot, lambda: len(screen.stage.backends()) == 4)
        await pilot.press("b")
        await until(pilot, lambda: screen.session.gate is None)
        for key in ("w", "e", "e", "l", "question_mark"):
            await pilot.press(key)
            shown = "".join(text_of(app))
            assert shown.isascii(), {character for character in shown if not character.isascii()}

    play(script, size)


def test_no_color_leaves_only_greys(play: Play, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: len(screen.stage.backends()) == 4)
        await pilot.pause()
        colours = {
            part.triplet
            for line in screen._compositor.render_strips()
            for segment in line
            if segment.style is not None
            for part in (segment.style.color, segment.style.bgcolor)
            if part is not None and part.triplet is not None
        }
        assert colours
        assert all(max(colour) - min(colour) <= 2 for colour in colours)

    play(script)


@pytest.mark.parametrize(("variable", "value"), [("LBTUTOR_MOTION", "0"), ("TEXTUAL_ANIMATIONS", "none")])
def test_who_asks_for_less_motion_gets_no_moving_dots(
    play: Play, until: Until, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    if variable == "TEXTUAL_ANIMATIONS":
        monkeypatch.setattr("textual.constants.TEXTUAL_ANIMATIONS", value)

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: len(screen.stage.backends()) == 4)
        assert screen.stage.reduced_motion
        await until(pilot, lambda: screen.theatre.frame_rate == 10)

    play(script, step="other")


def test_a_terminal_that_loses_the_focus_is_drawn_for_five_times_a_second(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.frame_rate == 30)
        pilot.app.post_message(AppBlur())
        await until(pilot, lambda: screen.theatre.frame_rate == 5)
        pilot.app.post_message(AppFocus())
        await until(pilot, lambda: screen.theatre.frame_rate == 30)

    play(script, step="other")


def test_a_paused_scene_is_drawn_four_times_a_second(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.frame_rate == 30)
        await pilot.press("space")
        await until(pilot, lambda: screen.theatre.frame_rate == 4)

    play(script, step="other")


def test_the_command_palette_knows_every_action(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        from textual.command import CommandPalette
        from textual.widgets import OptionList

        await until(pilot, lambda: screen.theatre.run is not None and not screen.theatre.run.paused)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        assert screen.theatre.run is not None
        await until(pilot, lambda: screen.theatre.run is not None and screen.theatre.run.paused)
        await pilot.press(*"crash server 3")
        options = pilot.app.screen.query_one(OptionList)
        await until(pilot, lambda: options.option_count > 0)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: screen.theatre.run is not None and screen.theatre.run.faults)
        assert screen.theatre.run.faults == {"web/srv-3": "crash"}

    play(script, step="other")


def runs_alive() -> int:
    return sum(thread.name == "lbtutor-live" for thread in threading.enumerate())


def test_however_fast_scenes_are_begun_again_one_run_is_alive_and_none_is_left_behind(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        for _ in range(5):
            screen.action_again()
        await until(pilot, lambda: screen.theatre.run is not None and screen.theatre.run.now > 0)
        assert runs_alive() == 1
        screen.action_again()

    play(script, step="other")
    assert runs_alive() == 0


def test_the_words_of_the_key_bar_can_be_clicked(play: Play, until: Until) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        app = pilot.app
        assert isinstance(app, LbtutorApp)
        await until(pilot, lambda: "? Help" in text_of(app)[-1])
        await pilot.click("#keys", offset=(text_of(app)[-1].index("? Help") + 3, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))

    play(script)
