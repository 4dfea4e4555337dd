"""The challenge by keys: choose a design, edit it, run it, watch its day, read the verdicts, and the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, TextArea

from lbtutor.core import ConfigError
from lbtutor.course.challenge.design import HIDDEN, Design, find_design
from lbtutor.course.challenge.own import own_folder
from lbtutor.course.challenge.record import ChallengeRecord
from lbtutor.course.challenge.unfold import Day, play_day
from lbtutor.course.progress import Progress
from lbtutor.tui.challenge import ChallengeApp
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.challenge import DesignsScreen
from lbtutor.tui.screens.challenge_audit import AuditScreen
from lbtutor.tui.screens.challenge_day import DayScreen
from lbtutor.tui.screens.challenge_edit import EditScreen, line_of
from lbtutor.tui.screens.challenge_keys import AUDIT, DAY, DESIGNS, EDITOR, VERDICTS
from lbtutor.tui.screens.challenge_verdicts import VerdictScreen
from lbtutor.tui.screens.help import HelpScreen
from lbtutor.tui.screens.small import SmallScreen

pytestmark = pytest.mark.slow

Keys = Pilot[None]
Script = Callable[[Keys, ChallengeApp], Awaitable[None]]
Open = Callable[..., None]
Until = Callable[[Keys, Callable[[], object]], Awaitable[None]]


def text_of(app: ChallengeApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in strips)


_DAYS: list[tuple[Design, int, Day]] = []


@pytest.fixture(autouse=True)
def played_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that was played to its end is not played again for the next test."""

    def play(design: Design, seed: int, progress: Callable[[float], None]) -> Day:
        known = next((day for one, number, day in _DAYS if (one, number) == (design, seed)), None)
        if known is None:
            known = play_day(design, seed, progress)
            _DAYS.append((design, seed, known))
        return known

    monkeypatch.setattr("lbtutor.tui.screens.challenge_job.play_day", play)


@pytest.fixture
def open_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Run a script against the challenge in a terminal of that size."""

    async def give_way(min_sleep: float = 0.0, max_sleep: float = 0.0) -> None:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)

    monkeypatch.setattr("textual.app.wait_for_idle", give_way)

    def open_(script: Script, size: tuple[int, int] = (80, 24)) -> None:
        async def go() -> None:
            app = ChallengeApp()
            async with app.run_test(size=size) as pilot:
                await script(pilot, app)

        asyncio.run(go())

    return open_


async def to_day(pilot: Keys, app: ChallengeApp, until: Until) -> DayScreen:
    """The day of the selected design, played and stopped at its beginning."""
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, DayScreen) and app.screen.day is not None)
    screen = app.screen
    assert isinstance(screen, DayScreen)
    screen.go_to(0)
    return screen


async def to_own(pilot: Keys, app: ChallengeApp, until: Until) -> None:
    """Select the learner's own design, which stands above the chapter's."""
    designs = app.screen
    assert isinstance(designs, DesignsScreen)
    await until(pilot, lambda: designs.selected is not None and designs.selected.name == "chapter")
    await pilot.press("k")
    await until(pilot, lambda: designs.selected is not None and designs.selected.own)


# the designs


def test_the_chapters_design_is_selected_and_the_one_that_passes_is_not_there(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = app.screen
        assert isinstance(screen, DesignsScreen)
        await until(pilot, lambda: screen.selected is not None)
        assert screen.entries[0].name == "chapter"
        assert len(screen.entries) == 7
        assert HIDDEN not in [entry.name for entry in screen.entries]
        await until(pilot, lambda: "balancers  3 of 333 000 a second" in text_of(app))
        await pilot.press("j")
        await until(pilot, lambda: "Exactly the instances that the peak takes" in text_of(app))

    open_it(script)


def test_once_it_is_open_the_one_that_passes_is_there(open_it: Open, state: Path) -> None:
    from datetime import UTC, datetime

    ChallengeRecord().record_reveal(datetime.now(UTC))

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        assert isinstance(app.screen, DesignsScreen)
        assert HIDDEN in [entry.name for entry in app.screen.entries]

    open_it(script)


def test_a_design_of_ones_own_that_is_wrong_is_listed_and_says_where(open_it: Open, until: Until) -> None:
    own_folder().mkdir(parents=True)
    (own_folder() / "mine.toml").write_text('title = "Mine"\n[balancer]\ncount = 3\n', encoding="utf-8")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await to_own(pilot, app, until)
        await until(
            pilot, lambda: "mine.toml:2: balancer: there is no such" in " ".join(text_of(app).replace("│", " ").split())
        )
        await pilot.press("enter")
        await until(pilot, lambda: any("not a design yet" in note.message for note in app._notifications))
        assert isinstance(app.screen, DesignsScreen)

    open_it(script)


# the editor


def test_editing_a_shipped_design_makes_a_copy_and_leaves_the_shipped_one(open_it: Open, until: Until) -> None:
    shipped = find_design("chapter")
    before = shipped.read_text(encoding="utf-8")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        await pilot.press("x")
        await until(pilot, lambda: (own_folder() / "my-chapter.toml").read_text(encoding="utf-8") == f"x{before}")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DesignsScreen))
        assert isinstance(app.screen, DesignsScreen)
        assert app.screen.selected is not None
        assert app.screen.selected.name == "my-chapter"
        assert app.screen.selected.design is None

    open_it(script)
    assert shipped.read_text(encoding="utf-8") == before


def test_an_error_names_line_key_and_step_and_f3_goes_there(open_it: Open, until: Until) -> None:
    text = find_design("chapter").read_text(encoding="utf-8").replace("count = 3", "count = 0")
    line = text.splitlines().index("count = 0") + 1
    own_folder().mkdir(parents=True)
    (own_folder() / "mine.toml").write_text(text, encoding="utf-8")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await to_own(pilot, app, until)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditScreen))
        screen = app.screen
        assert isinstance(screen, EditScreen)
        await until(pilot, lambda: bool(screen.error))
        assert "`count` is between 1 and 100, not 0" in screen.error
        assert "step 1: architecture" in screen.error
        found = line_of(screen.error)
        assert found is not None
        await pilot.press("f3")
        assert screen.query_one(TextArea).cursor_location[0] == found - 1
        assert abs(found - line) <= 2, "the table, or the key in it"
        await pilot.press("f2")
        assert app.screen is screen, "what is no design has no day"

    open_it(script)


def test_what_was_typed_last_is_saved_however_one_leaves(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        await pilot.press("y")
        app.exit()

    open_it(script)
    assert (own_folder() / "my-chapter.toml").read_text(encoding="utf-8").startswith("ytitle")


def test_from_the_editor_to_the_day_and_back(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditScreen))
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, DayScreen) and app.screen.day is not None)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, EditScreen))

    open_it(script)
    assert not ChallengeRecord().passed, "the chapter's solution does not pass, in whosever name"


def test_a_design_of_ones_own_that_passes_is_recorded(open_it: Open, until: Until) -> None:
    own_folder().mkdir(parents=True)
    (own_folder() / "mine.toml").write_text(find_design(HIDDEN).read_text(encoding="utf-8"), encoding="utf-8")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await to_own(pilot, app, until)
        screen = await to_day(pilot, app, until)
        await pilot.press("G")
        assert screen.cue.head == "The day is over"
        assert screen.cue.tone == "right"

    open_it(script)
    assert [one.design for one in ChallengeRecord().passed] == ["mine"]


# the day


def test_the_day_unfolds_by_itself_stands_still_and_goes_on(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        await pilot.press("space")
        await until(pilot, lambda: screen.second > 0)
        await pilot.press("space")
        stood = screen.second
        assert not screen.moving
        await pilot.press("plus")
        assert screen.second == stood
        await pilot.press("r")
        assert screen.second < stood + 1
        assert screen.moving

    open_it(script)


def test_step_by_step_one_goes_to_what_happens_next_and_back(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        assert screen.day is not None
        seconds = sorted({one.second for one in screen.day.happenings})
        await pilot.press("full_stop", "full_stop", "full_stop")
        assert screen.second == seconds[2]
        await until(pilot, lambda: "1:30 ▲ no longer true: 99.99 % available" in text_of(app))
        await pilot.press("comma")
        assert screen.second == seconds[1]
        await pilot.press("G")
        assert screen.over
        await until(pilot, lambda: "7 of 10 requirements failed" in text_of(app))

    open_it(script)


def test_time_goes_slower_for_half_a_minute_after_something_broke(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        speeds = []
        for second in (59, 60, 150, 151):
            screen.go_to(second)
            speeds.append(screen.speed)
        assert speeds == [60, 10, 60, 60]
        await pilot.press("minus")
        assert screen.speed == 30

    open_it(script)


def test_the_day_stands_while_something_else_is_in_view(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        await pilot.press("space")
        assert screen.moving
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await until(pilot, lambda: not screen.moving)
        await pilot.press("escape")
        await until(pilot, lambda: screen.moving)
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: isinstance(app.screen, SmallScreen) and not screen.moving)

    open_it(script)


def test_keys_are_answered_while_the_day_is_played_and_it_can_be_given_up(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, DayScreen))
        screen = app.screen
        assert isinstance(screen, DayScreen)
        await until(pilot, lambda: 0 < screen._job.share < 1)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, DesignsScreen))
        await until(pilot, lambda: screen._playing is not None and screen._playing.done())
        assert screen.day is None

    open_it(script)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_all_that_matters_is_on_the_screen(open_it: Open, until: Until, size: tuple[int, int]) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        screen.go_to(1900)
        await until(pilot, lambda: "balancers ✕●● 2 of 3 up" in text_of(app))
        shown = text_of(app)
        for word in ("offered", "served", "turned away", "failed", "users", "products", "orders", "payments", "31:40"):
            assert word in shown
        assert "30:01" in shown or "30:01 ▲" in shown

    open_it(script, size)


def test_on_the_lowest_terminal_the_table_and_the_keys_are_there(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        screen.go_to(1900)
        await until(pilot, lambda: "2 of 3 up" in text_of(app))
        await until(pilot, lambda: "Go on" in text_of(app).splitlines()[-1])
        assert "requirements broken" in text_of(app)

    open_it(script, (60, 16))


# the verdicts


def test_from_a_verdict_one_goes_to_the_second_in_which_it_broke(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))
        await until(
            pilot, lambda: "✕ failed  handles 1 000 000 requests a second   first broken at 8:01" in text_of(app)
        )
        assert "flow model" in text_of(app)
        await pilot.press("j", "enter")
        assert isinstance(app.screen, VerdictScreen), "routing held: there is no second to go to"
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.day is not None
        assert screen.second == screen.day.requirements[3].first_broken_at

    open_it(script)


def test_five_days_are_judged_while_the_verdicts_can_be_read(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await to_day(pilot, app, until)
        await pilot.press("v", "s")
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))
        screen = app.screen
        assert isinstance(screen, VerdictScreen)
        await pilot.press("j")
        assert screen.query_one(OptionList).highlighted == 1
        await until(pilot, lambda: "being played" in text_of(app))
        await pilot.press("q")
        await until(pilot, lambda: screen._playing is not None and screen._playing.done())

    open_it(script)


# the audit


def test_nothing_is_played_before_there_is_a_prediction(open_it: Open, until: Until) -> None:
    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AuditScreen))
        screen = app.screen
        assert isinstance(screen, AuditScreen)
        assert screen.cue.head == "Predict"
        await pilot.press("w")
        assert not isinstance(app.screen, DayScreen)
        assert screen.days == []
        await pilot.press("b")
        assert screen.cue.head == "Noted"
        await until(pilot, lambda: screen.cue.head == "Right")
        await until(pilot, lambda: "48.8 % of the peak's requests were served" in text_of(app))
        await pilot.press("a")
        assert screen.hunt.answered(screen.item) == screen.item.question.choice("b"), "a prediction stands"
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, DayScreen))

    open_it(script)


def test_the_audit_opens_at_the_first_question_that_is_left(open_it: Open, until: Until) -> None:
    from datetime import UTC, datetime

    from lbtutor.course.challenge.audit import RECORDED_AS, load_audit

    question = load_audit()[0].question
    Progress.load().record_answer(RECORDED_AS, question, question.right, datetime.now(UTC))

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AuditScreen))
        screen = app.screen
        assert isinstance(screen, AuditScreen)
        assert screen.index == 1
        await pilot.press("p")
        await until(pilot, lambda: screen.index == 0 and screen.cue.head == "Right")

    open_it(script)


# terminals and people


def test_ascii_and_nothing_else_where_that_is_all_there_is(
    open_it: Open, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LBTUTOR_GLYPHS", "ascii")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        assert text_of(app).isascii()
        screen = await to_day(pilot, app, until)
        screen.go_to(1900)
        await until(pilot, lambda: "balancers x** 2 of 3 up" in text_of(app))
        assert text_of(app).isascii()
        await pilot.press("v")
        await until(pilot, lambda: "x failed " in text_of(app))
        assert text_of(app).isascii()

    open_it(script)


def test_who_asks_for_less_motion_gets_one_picture_a_second(
    open_it: Open, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LBTUTOR_MOTION", "0")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        await pilot.press("space")
        await until(pilot, lambda: screen._rate == 1)
        screen.go_to(61)
        assert screen.speed == 60, "it does not dwell"

    open_it(script)


def test_no_color_leaves_only_greys(open_it: Open, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Keys, app: ChallengeApp) -> None:
        screen = await to_day(pilot, app, until)
        screen.go_to(1900)
        await until(pilot, lambda: "2 of 3 up" in text_of(app))
        colours = {
            part.triplet
            for line in app.screen._compositor.render_strips()
            for segment in line
            if segment.style is not None
            for part in (segment.style.color, segment.style.bgcolor)
            if part is not None and part.triplet is not None
        }
        assert colours
        assert all(max(colour) - min(colour) <= 2 for colour in colours)

    open_it(script)


# the tables of keys


@pytest.mark.parametrize(
    ("table", "screen"),
    [
        (DESIGNS, DesignsScreen),
        (EDITOR, EditScreen),
        (DAY, DayScreen),
        (VERDICTS, VerdictScreen),
        (AUDIT, AuditScreen),
    ],
)
def test_every_key_does_something_and_none_is_bound_twice(table: object, screen: type) -> None:
    keys = [key for binding in bindings(table) for key in binding.key.split(",")]  # type: ignore[arg-type]
    assert len(keys) == len(set(keys))
    for row in rows(table):  # type: ignore[arg-type]
        assert hasattr(screen, f"action_{row.action.partition('(')[0]}")
    assert not set(keys) & {"ctrl+c", "ctrl+w", "ctrl+t", "ctrl+n", "ctrl+p", "ctrl+q", "f5", "f10", "f11"}


def test_lines_are_found_in_both_kinds_of_errors() -> None:
    assert line_of("mine.toml:12: pool.users: there is no such key") == 12
    assert line_of("mine.toml: not valid TOML: Illegal character (at line 10, column 12)") == 10
    assert line_of("mine.toml: missing key `route`") is None


def test_an_editor_for_a_file_that_is_gone_is_refused(state: Path) -> None:
    from lbtutor.course.challenge.own import OwnFile
    from lbtutor.tui.glyphs import UNICODE

    with pytest.raises(ConfigError, match="cannot be read"):
        EditScreen(OwnFile(own_folder() / "gone.toml", known=""), UNICODE)
