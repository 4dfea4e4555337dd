"""The lesson screen, played by keys on real traffic: what keys do is read off the run and the session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from lbtutor.core.events import Draining, Enabled, Event, Finished, HealthChanged, OriginChanged, Picked, Probed
from lbtutor.tui.app import LbtutorApp
from lbtutor.tui.screens.help import HelpScreen
from lbtutor.tui.screens.home import HomeScreen
from lbtutor.tui.screens.lesson import LessonScreen
from lbtutor.tui.screens.record import RecordView
from lbtutor.tui.screens.watched import WatchedRun

Keys = Pilot[None]
Script = Callable[[Keys, LessonScreen], Awaitable[None]]
Play = Callable[..., LbtutorApp]
Until = Callable[[Keys, Callable[[], object]], Awaitable[None]]

pytestmark = pytest.mark.slow

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
Size = tuple[int, int]


def run_of(screen: LessonScreen) -> WatchedRun:
    assert screen.theatre.run is not None
    return screen.theatre.run


@pytest.fixture
def on_stage(until: Until) -> Script:
    """Wait until the scene is on the stage, held or not."""

    async def on_stage_(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.run is not None and len(screen.stage.backends()) == 4)

    return on_stage_


@pytest.fixture
def predicted(until: Until, on_stage: Script) -> Script:
    """Make the right prediction, and let the scene run until it is settled."""

    async def predicted_(pilot: Keys, screen: LessonScreen) -> None:
        await on_stage(pilot, screen)
        await pilot.press("b")
        await until(pilot, lambda: screen.session.gate is None)

    return predicted_


# -- predictions and questions ----------------------------------------------------------------------------------------


@SIZES
def test_the_scene_stands_at_nought_until_the_prediction_is_made(
    play: Play, until: Until, on_stage: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await on_stage(pilot, screen)
        for key in ("space", "full_stop", "2"):
            await pilot.press(key)
            assert screen.captions.text == screen.session.held
        assert run_of(screen).now == 0
        assert run_of(screen).faults == {}
        await pilot.press("b")
        await until(pilot, lambda: run_of(screen).now > 0.1)
        assert screen.session.answered == "b"

    play(script, size)


@SIZES
def test_the_next_step_is_refused_with_the_reason_while_the_gate_holds(
    play: Play, on_stage: Script, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await on_stage(pilot, screen)
        await pilot.press("n")
        assert screen.session.index == 0
        assert screen.captions.text == screen.session.gate
        await predicted(pilot, screen)
        await pilot.press("n")
        assert screen.session.step.id == "look"

    play(script, size)


@SIZES
def test_a_prediction_is_noted_and_judged_by_what_the_stage_shows(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        assert screen.cue.head == "Right"
        await pilot.press("a")
        assert screen.session.answered == "b"
        assert screen.captions.text == "A prediction stands once it is made."

    play(script, size)


@SIZES
def test_a_wrong_answer_says_what_was_expected_and_may_be_given_again(play: Play, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await pilot.press("d")
        assert (screen.session.answered, screen.cue.tone, screen.cue.head) == ("d", "wrong", "Expected")
        await pilot.press("b")
        assert (screen.session.answered, screen.cue.tone, screen.cue.head) == ("b", "right", "Right")

    play(script, size, step="look")


@SIZES
def test_a_letter_answers_nothing_where_nothing_is_asked(play: Play, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await pilot.press("d")
        assert screen.captions.text == "No question is open. D drains the selected server."
        assert screen.session.answered is None

    play(script, size, step="crash")


@SIZES
def test_n_and_p_and_capital_n_walk_through_the_steps(play: Play, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await pilot.press("b", "n")
        assert screen.session.step.id == "crash"
        await pilot.press("p")
        assert screen.session.step.id == "look"
        await pilot.press("n", "n")
        assert screen.session.step.id == "crash", "its task is not done"
        await pilot.press("N")
        assert screen.session.step.id == "heal"
        assert "crash" in [step.id for step in screen.session.left]

    play(script, size, step="look")


# -- the clock --------------------------------------------------------------------------------------------------------


@SIZES
def test_space_stops_real_traffic_and_lets_it_go_on(play: Play, until: Until, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        run = run_of(screen)
        await pilot.press("space")
        assert run.paused
        stood_at, picked = run.now, run.metrics.requests.total
        await until(pilot, lambda: screen.theatre.still)
        assert run.now == stood_at
        assert screen.clock_word == "paused"
        await pilot.press("space")
        await until(pilot, lambda: run.now > stood_at and run.metrics.requests.total > picked)
        assert screen.clock_word == "running"

    play(script, size)


@SIZES
def test_a_step_goes_on_to_the_next_event_and_stops_there(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        run = run_of(screen)
        await pilot.press("space")
        await until(pilot, lambda: screen.theatre.still)
        stood_at = run.now

        def since() -> list[Event]:
            return [line.event for line in screen.events.lines if line.event.at > stood_at]

        await pilot.press("full_stop")
        await until(pilot, lambda: since() and run.paused and screen.theatre.still)
        assert sum(isinstance(event, Picked | Finished | Probed) for event in since()) == 1
        assert screen.captions.text == screen.events.lines[-1].says

    play(script, size)


@SIZES
def test_plus_and_minus_change_the_speed_of_the_traffic_between_a_quarter_and_four(
    play: Play, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        speeds = []
        for key in ("plus", "plus", "plus", "minus", "minus", "minus", "minus", "minus"):
            await pilot.press(key)
            speeds.append(run_of(screen).speed)
        assert speeds == [2, 4, 4, 2, 1, 0.5, 0.25, 0.25]
        assert screen.captions.text == "Speed 0.25×"

    play(script, size)


@SIZES
def test_r_runs_the_scene_from_its_start(play: Play, until: Until, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        first = run_of(screen)
        await pilot.press("r")
        await until(pilot, lambda: screen.theatre.run not in (None, first))
        assert run_of(screen).plan == first.plan
        assert first.trouble is None
        await until(pilot, lambda: run_of(screen).now > 0)

    play(script, size)


@SIZES
def test_a_scene_that_is_over_stays_on_the_stage_and_says_how_to_run_it_again(
    play: Play, until: Until, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await until(pilot, lambda: screen.theatre.run is not None)
        await pilot.press("space") if screen.narrow else None
        first = run_of(screen)
        await until(pilot, lambda: screen.clock_word == "scene over")
        await pilot.press("space")
        assert screen.captions.text == "The scene is over. r runs it again."
        assert len(screen.stage.backends()) == 4
        await pilot.press("r")
        await until(pilot, lambda: screen.theatre.run not in (None, first) and run_of(screen).now > 0)

    play(script, size, step="short")


# -- the servers ------------------------------------------------------------------------------------------------------


@SIZES
def test_a_crash_costs_requests_until_three_probes_have_failed_and_a_heal_brings_the_server_back(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("n", "b", "n")
        assert screen.session.step.id == "crash"
        await pilot.press("2")
        await until(pilot, lambda: screen.session.gate is None)
        run = run_of(screen)
        told = [line.event for line in screen.events.lines]
        assert [e.backend for e in told if isinstance(e, OriginChanged) and e.by == "hand"] == ["srv-2"]
        (down,) = [e for e in told if isinstance(e, HealthChanged)]
        assert (down.backend, down.now) == ("srv-2", "down")
        assert "3 probes in a row failed" in down.because
        lost = [e for e in told if isinstance(e, Finished) and not e.ok]
        assert lost
        assert {e.backend for e in lost} == {"srv-2"}
        assert run.metrics.requests.failed == len(lost)
        await pilot.press("n", "2")
        await until(pilot, lambda: screen.session.gate is None)
        up = [line.event for line in screen.events.lines if isinstance(line.event, HealthChanged)][-1]
        assert (up.backend, up.now) == ("srv-2", "up")
        assert run.faults["web/srv-2"] == "heal"

    play(script, size)


@SIZES
def test_the_same_number_twice_in_one_frame_takes_back_what_it_did(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("space")
        screen.action_crash(3)
        assert run_of(screen).faults["web/srv-3"] == "crash"
        screen.action_crash(3)
        assert run_of(screen).faults["web/srv-3"] == "heal"

    play(script, size)


@SIZES
def test_a_number_without_a_server_says_so(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        for number in range(5, 10):
            await pilot.press(str(number))
            assert screen.captions.text == f"There is no server {number}."

    play(script, size)


@SIZES
def test_every_server_has_its_number(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("1", "2", "3", "4")
        assert run_of(screen).faults == {f"web/srv-{n}": "crash" for n in (1, 2, 3, 4)}

    play(script, size)


@SIZES
def test_s_and_a_number_slow_that_server_down_and_bring_it_back(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("s", "3")
        assert run_of(screen).faults == {"web/srv-3": "slow"}
        await pilot.press("s", "3")
        assert run_of(screen).faults == {"web/srv-3": "heal"}
        await pilot.press("3")
        assert run_of(screen).faults == {"web/srv-3": "crash"}, "without s it is the key to crash again"
        await pilot.press("s", "3")
        assert run_of(screen).faults == {"web/srv-3": "crash"}
        assert screen.captions.text == "srv-3 is down: heal it first."

    play(script, size)


@SIZES
def test_arrows_select_a_server_and_s_slows_it_down(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        selected = []
        for key in ("down", "down", "up", "up"):
            await pilot.press(key)
            selected.append(screen.stage.selected)
        assert selected == ["web/srv-1", "web/srv-2", "web/srv-1", "web/srv-4"]
        await pilot.press("s")
        assert run_of(screen).faults == {"web/srv-4": "slow"}

    play(script, size)


@SIZES
def test_capital_d_drains_the_selected_server_and_lets_it_back(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("D")
        assert screen.captions.text == "Drain which server? Select one with the arrow keys first."
        run = run_of(screen)
        await pilot.press("down", "D")
        assert run.drained == {"web/srv-1"}

        def picked_since(kind: type) -> list[str]:
            told = [line.event for line in screen.events.lines]
            at = next((at for at, event in enumerate(told) if isinstance(event, kind)), len(told))
            return [event.backend for event in told[at:] if isinstance(event, Picked)]

        await until(pilot, lambda: len(picked_since(Draining)) >= 9)
        assert set(picked_since(Draining)) == {"srv-2", "srv-3", "srv-4"}
        await pilot.press("D")
        await until(pilot, lambda: len(picked_since(Enabled)) >= 9)
        assert "srv-1" in picked_since(Enabled)

    play(script, size)


# -- the view ---------------------------------------------------------------------------------------------------------


def test_on_a_narrow_screen_text_and_stage_take_turns_and_time_passes_only_on_stage(
    play: Play, until: Until, predicted: Script
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        text = screen.query_one("#text")
        assert text.region.area > 0
        assert not screen.stage.region.area
        await predicted(pilot, screen)
        await until(pilot, lambda: screen.stage.region.area and not text.region.area)
        assert not run_of(screen).paused
        await pilot.press("l")
        await until(pilot, lambda: text.region.area and not screen.stage.region.area)
        assert run_of(screen).paused
        assert screen.cue.then[0] == "space: to the stage"
        await pilot.press("space")
        await until(pilot, lambda: screen.stage.region.area)
        assert not run_of(screen).paused

    play(script, (80, 24))


@pytest.mark.parametrize("size", [(120, 40), (200, 60)])
def test_on_a_wide_screen_both_are_there_and_l_says_so(play: Play, predicted: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("l")
        assert screen.captions.text == "Text and stage both fit here. z gives the stage the whole width."
        assert screen.query_one("#text").region.area > 0
        assert screen.stage.region.area > 0

    play(script, size)


@SIZES
def test_z_gives_the_stage_the_whole_width_and_keeps_the_cue(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("z")
        await until(pilot, lambda: screen.stage.region.width == size[0])
        assert screen.query_one("#cue").region.area > 0
        await pilot.press("z")
        await until(pilot, lambda: size[0] == 80 or screen.stage.region.width < size[0])

    play(script, size)


@SIZES
def test_the_list_of_events_tells_the_record_of_the_chosen_line(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("e")
        assert screen.focused is screen.events
        await until(pilot, lambda: any(isinstance(line.event, Picked) for line in screen.events.lines))
        await until(pilot, lambda: screen.events.region.area)
        if not run_of(screen).paused:
            await pilot.press("space")
        await pilot.press("home")
        record = screen.query_one("#record", RecordView)
        while not (screen.events.chosen and isinstance(screen.events.chosen.event, Picked)):
            await pilot.press("down")
        chosen = screen.events.chosen
        await until(pilot, lambda: record.event is chosen.event)
        assert screen.captions.text == chosen.says
        await pilot.press("e")
        await until(pilot, lambda: not screen.events.region.area)
        assert screen.focused is None

    play(script, size)


@SIZES
def test_w_stops_and_shows_how_the_last_server_was_chosen(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("w")
        run = run_of(screen)
        assert run.paused
        why = screen.query_one("#why", RecordView)
        await until(pilot, lambda: why.region.area and why.event is run.last_pick)
        first = run.last_pick
        assert first is not None
        for _ in range(12):
            await pilot.press("full_stop")
            await until(pilot, lambda: run.paused and screen.theatre.still)
        await until(pilot, lambda: why.event is run.last_pick is not first)
        await pilot.press("escape")
        await until(pilot, lambda: not why.region.area)
        assert screen.app.is_running

    play(script, size)


@SIZES
def test_j_and_k_scroll_the_text(play: Play, until: Until, on_stage: Script, size: Size) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await on_stage(pilot, screen)
        text = screen.query_one("#text")
        await until(pilot, lambda: text.max_scroll_y > 0)
        await pilot.press("j")
        await until(pilot, lambda: text.scroll_y > 0)
        await pilot.press("k", "k", "k")
        await until(pilot, lambda: text.scroll_y == 0)

    play(script, size, step="other")


# -- the program ------------------------------------------------------------------------------------------------------


@SIZES
def test_help_and_the_lessons_stand_in_front_of_a_clock_that_stands(
    play: Play, until: Until, predicted: Script, size: Size
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        for key, kind in (("question_mark", HelpScreen), ("h", HomeScreen)):
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(pilot.app.screen, kind))  # type: ignore[misc]
            await until(pilot, lambda: run_of(screen).paused)
            await pilot.press("escape")
            await until(pilot, lambda: pilot.app.screen is screen)
            await until(pilot, lambda: not run_of(screen).paused)

    play(script, size)


@SIZES
def test_ctrl_s_saves_a_picture(
    play: Play, on_stage: Script, size: Size, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    monkeypatch.chdir(folder)

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await on_stage(pilot, screen)
        await pilot.press("ctrl+s")
        assert screen.captions.text == "Saved as ./lbtutor-small-guess.svg."
        assert "guess" in (folder / "lbtutor-small-guess.svg").read_text(encoding="utf-8")

    play(script, size)


@SIZES
@pytest.mark.parametrize("key", ["q", "escape"])
def test_leaving_ends_the_run_and_saves_where_the_learner_was(
    play: Play, predicted: Script, size: Size, key: str
) -> None:
    runs = []

    async def script(pilot: Keys, screen: LessonScreen) -> None:
        await predicted(pilot, screen)
        await pilot.press("n")
        runs.append(run_of(screen))
        await pilot.press(key)

    app = play(script, size)
    assert not app.is_running
    assert runs[0].paused
    assert app.progress.resume == ("small", "look")
    assert app.progress.path.exists()
