"""A counterexample and a run, watched again: forwards, back, without motion, colour or Unicode."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from lbtutor.core.events import Arrived, Ended, Finished, Joined, Picked, Why
from lbtutor.course.found import keep_found, keep_law
from lbtutor.testing import check
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import submission
from lbtutor.testing.zoo import specimens
from lbtutor.trace.journal import Header, JournalWriter, read_journal
from lbtutor.tui.replay import ReplayApp
from lbtutor.tui.screens.replay import ReplayScreen

MOST = (
    "class Mine:\n    def pick(self, request, backends):\n        return max(backends, key=lambda one: one.in_flight)\n"
)

Script = Callable[[Pilot[None], ReplayScreen], Awaitable[None]]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    report = check(submission("mine.py", MOST), "least_connections", cls="Mine", in_process=True, seed=3)
    path = keep_found(report, tmp_path / "case.jsonl")
    assert path is not None
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    why = Why("", "lowest", "", ())
    with JournalWriter(path, Header(title="A run", pools={"web": "round_robin"})) as journal:
        journal.write(Joined(0.0, "web", "a", 1.0, "up"))
        journal.write(Arrived(1.0, 1, "10.0.0.1", "GET", "", "/", "front"))
        journal.write(Picked(1.0, 1, 1, "web", "a", "only", why))
        journal.write(Finished(2.0, 1, 1, "web", "a", "answered", 200, 1.0, ok=True, final=True))
        journal.write(Ended(3.0, "lasted"))
    return path


def play(path: Path, script: Script, size: tuple[int, int] = (80, 24)) -> list[str]:
    """Run a script against the screen; answers the lines that are on it at the end."""
    app = ReplayApp(read_journal(path), path)
    lines: list[str] = []

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            screen = app.screen
            assert isinstance(screen, ReplayScreen)
            await script(pilot, screen)
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            lines.extend("".join(segment.text for segment in line).rstrip() for line in strips)

    asyncio.run(go())
    return lines


@pytest.fixture(autouse=True)
def plain_terminal(state: Path) -> None:
    """No settings of the person who runs the tests."""


async def to_the_end(pilot: Pilot[None], screen: ReplayScreen) -> None:
    await pilot.press("G")


def test_at_80x24_the_end_says_what_was_expected_and_what_came(case: Path) -> None:
    lines = play(case, to_the_end)
    assert any(line.startswith("▌ ● expected  ") for line in lines)
    assert any(line.startswith("▌ ✕ got       ") for line in lines)
    assert any("because" in line and "open" in line for line in lines)
    assert any("balancer" in line for line in lines)
    assert "Back" in lines[-1]
    assert "Next" not in lines[-1]


def test_a_step_plays_its_second_and_a_step_back_is_there_at_once(case: Path) -> None:
    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        assert screen.travel.at == 0
        await pilot.press("n")
        assert screen.moving
        screen.go_on(10)
        assert (screen.moving, screen.travel.at) == (False, 1)
        there = screen.stage.shown_at
        await pilot.press("n", "n")
        screen.go_on(10)
        assert screen.travel.at == 3
        await pilot.press("p", "p")
        assert (screen.moving, screen.travel.at) == (False, 1)
        assert screen.stage.shown_at == there

    play(case, script)


def test_going_back_undoes_what_the_stage_had_shown(case: Path) -> None:
    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        await pilot.press("G")
        assert sum(server.picked for server in screen.stage._scene.servers.values()) > 0
        await pilot.press("r")
        assert sum(server.picked for server in screen.stage._scene.servers.values()) == 0

    play(case, script)


def test_space_plays_to_the_end_and_stops_on_the_way(case: Path) -> None:
    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        await pilot.press("space")
        screen.go_on(1.2)
        assert screen.moving
        await pilot.press("space")
        here = screen.travel.now
        screen.go_on(5)
        assert screen.travel.now == here, "it stands"
        await pilot.press("space")
        screen.go_on(100)
        assert screen.travel.over
        assert screen.travel.judged is not None

    play(case, script)


def test_without_motion_each_step_is_there_at_once(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_MOTION", "0")

    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        await pilot.press("n", "n")
        assert (screen.moving, screen.travel.at) == (False, 2)
        assert screen.stage.reduced_motion

    play(case, script)


def test_in_ascii_and_without_colour_everything_is_still_said(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_GLYPHS", "ascii")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = play(case, to_the_end, (120, 34))
    assert all(line.isascii() for line in lines)
    assert any("* expected" in line for line in lines)
    assert any("x got" in line for line in lines)
    assert any("|> " in line for line in lines), "the present line is marked by more than colour"


def test_why_shows_the_numbers_of_the_last_choice(case: Path) -> None:
    lines = play(case, lambda pilot, screen: pilot.press("G", "w"), (120, 40))
    assert any("in flight" in line and "server" in line for line in lines)
    assert any("← picked" in line for line in lines)


def test_any_recorded_run_can_be_travelled_event_by_event(run: Path) -> None:
    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        assert len(screen.travel.lines) == 5
        await pilot.press("n")
        screen.go_on(10)
        assert (screen.travel.now, screen.travel.at) == (1.0, 2)
        await pilot.press("G", "p")
        assert screen.travel.now == 2.0
        assert screen.travel.judged is None

    lines = play(run, script)
    assert any("▶" in line and "r1 ← a: " in line for line in lines)


def test_a_line_that_is_clicked_becomes_the_present(case: Path) -> None:
    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        await pilot.click("#events", offset=(8, 3))
        assert screen.travel.at == 2

    play(case, script, (120, 40))


def test_everybody_is_home_when_a_step_is_over(tmp_path: Path) -> None:
    path, *_ = story("affinity", tmp_path)

    async def script(pilot: Pilot[None], screen: ReplayScreen) -> None:
        for step in range(1, len(screen.travel.lines)):
            await pilot.press("n")
            screen.go_on(10)
            assert screen.travel.at == step
            assert screen.stage._scene.journeys.dots(screen.travel.now) == []

    play(path, script)


def test_why_tells_of_a_request_that_went_nowhere(tmp_path: Path) -> None:
    path, *_ = story("router", tmp_path, ("CaseMatters", "a_rule_that_matches_is_found"))
    lines = play(path, lambda pilot, screen: pilot.press("G", "w"))
    assert any("r1 was answered 404 by the balancer" in line for line in lines)


def test_a_story_of_other_things_than_servers_says_what_they_are(tmp_path: Path) -> None:
    path, *_ = story("retry", tmp_path)
    assert any("Stage · each try has its lane" in line for line in play(path, to_the_end))


STORIES = {
    "health": ("OneTooMany", "it_falls_after_that_many_failures_in_a_row", r"UP +down (\d)/\1 "),
    "affinity": ("FollowsTheDead", "whoever_is_chosen_is_there_and_healthy", r"DOWN[^\n]+\n.*1 failed"),
    "router": ("PathBeforeHost", "the_most_specific_rule_wins", r"t\d +UP +1 "),
    "ejection": ("NoLimit", "never_are_too_many_out", r"(?s)EJECT.+EJECT"),
    "retry": ("OneTooMany", "all_tries_are_not_exceeded", r"try \d UP +1 .\n.* 1 in flight +.\n"),
    "drain": ("CancelForgetsRequests", "open_requests_are_waited_for", r"DRAINED[^\n]+\n.* 1 in flight"),
    "slow_start": ("LastSecond", "it_grows_by_degrees", r"new .\d+ +UP"),
    "autoscaler": ("HoldsOutside", "it_keeps_within_its_bounds", r"instance \d +UP"),
}
"""Of each family that is no balancer a wrong specimen, a law that it breaks, and what the stage shows of that."""


def story(of: str, folder: Path, wrong: tuple[str, str] | None = None) -> tuple[Path, Counterexample, str]:
    """A story of that family, or of that specimen and law: where it is kept, what it shows, how its end looks."""
    name, law, shown = STORIES[of] if wrong is None else (*wrong, "")
    file = next(one.file for one in specimens(of) if one.name == name)
    report = check(file, of, cls=name, in_process=True, seed=3)
    found = report.law(law).counterexample
    assert found is not None
    return keep_law(report, report.law(law), folder / "story.jsonl"), found, shown


@pytest.mark.parametrize("of", STORIES)
def test_every_familys_story_ends_on_the_stage_above_expected_and_got(of: str, tmp_path: Path) -> None:
    path, found, shown = story(of, tmp_path)
    screen = "\n".join(play(path, to_the_end))
    assert f"● expected  {found.expected}\n" in screen
    assert f"✕ got       {found.got}\n" in screen
    assert re.search(shown, screen), screen


@pytest.mark.parametrize("of", ["health", "affinity", "drain"])
def test_the_same_is_there_in_ascii_and_without_colour(
    of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LBTUTOR_GLYPHS", "ascii")
    monkeypatch.setenv("NO_COLOR", "1")
    path, found, shown = story(of, tmp_path)
    screen = "\n".join(play(path, to_the_end))
    assert screen.isascii()
    assert f"* expected  {found.expected}\n" in screen
    assert re.search(shown, screen), screen


def test_a_long_sentence_is_told_in_full_below_the_stage(tmp_path: Path) -> None:
    path, *_ = story("autoscaler", tmp_path, ("NeverShrinks", "under_a_constant_load_it_settles"))
    assert any(line.endswith(" … 5, 5, 5") for line in play(path, lambda pilot, screen: pilot.press("n")))
