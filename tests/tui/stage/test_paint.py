from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lbtutor.core import Event
from lbtutor.core.events import Joined, OriginChanged
from lbtutor.core.messages import Add, BackendConfig, Drain, Remove
from lbtutor.core.workload import Act, Fault
from lbtutor.tui.glyphs import ASCII, SETS, UNICODE, Glyphs
from lbtutor.tui.widgets.stage.faces import names_of
from lbtutor.tui.widgets.stage.layout import arrange
from lbtutor.tui.widgets.stage.paint import Picture
from lbtutor.tui.widgets.stage.scene import Scene
from lbtutor.tui.widgets.stage.signs import Signs

Told = Callable[..., list[Event]]
FRAME = 1 / 30


def picture_of(scene: Scene, width: int, height: int, glyphs: Glyphs = UNICODE) -> Picture:
    longest = max((len(name) for name in names_of(scene, glyphs).values()), default=0)
    return Picture(arrange(width, height, list(scene.servers), list(scene.clients), longest), glyphs)


def frames(events: list[Event], start: float, end: float) -> Iterator[Scene]:
    """The scene at each frame, from one time to another."""
    scene = Scene()
    scene.take(events)
    scene.advance(start)
    while start < end:
        yield scene
        start += FRAME
        scene.advance(start)


def at(events: list[Event], now: float, *, still: bool = False) -> Scene:
    scene = Scene()
    scene.still = still
    scene.take(events)
    scene.advance(now)
    return scene


@pytest.fixture(scope="module")
def eventful(run: Told) -> list[Event]:
    """Six servers: one crashes and heals, one is slow, one drains, one leaves, one joins; 40 clients."""
    acts = (
        Act(1.0, Fault("crash", "web", "srv-2")),
        Act(1.5, Fault("slow", "web", "srv-4", 4)),
        Act(2.0, Drain("web", "srv-5")),
        Act(3.0, Remove("web", "srv-6")),
        Act(3.5, Add("web", BackendConfig("srv-7", weight=2))),
        Act(6.0, Fault("heal", "web", "srv-2")),
    )
    return run(servers=6, rate=40, clients=40, acts=acts)


# any size, any moment


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(0, 220),
    height=st.integers(0, 70),
    now=st.floats(0, 12),
    glyphs=st.sampled_from(list(SETS.values())),
    still=st.booleans(),
)
def test_every_row_has_exactly_the_width(
    width: int, height: int, now: float, glyphs: Glyphs, still: bool, eventful: list[Event]
) -> None:
    scene = at(eventful, now, still=still)
    picture = picture_of(scene, width, height, glyphs)
    picture.paint(scene, selected="web/srv-3")
    assert [cell_len(row) for row in picture.text()] == [width] * height
    assert ["".join(text for text, _ in picture.runs(row)) for row in range(height)] == picture.text()


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(44, 220),
    height=st.integers(6, 70),
    now=st.floats(0, 12),
    glyphs=st.sampled_from(list(SETS.values())),
    still=st.booleans(),
)
def test_no_text_is_written_over_another(
    width: int, height: int, now: float, glyphs: Glyphs, still: bool, eventful: list[Event]
) -> None:
    scene = at(eventful, now, still=still)
    layout = picture_of(scene, width, height, glyphs).layout
    signs = Signs(layout, glyphs)
    taken: set[tuple[int, int]] = set()
    for sign in (*signs.scenery(), *signs.now(scene, "web/srv-1", next_hint=True)):
        cells = {(sign.row, column) for column in range(sign.left, sign.left + sign.width)}
        assert not cells & taken
        assert all(0 <= row < height and 0 <= column < width for row, column in cells)
        assert sum(len(piece.text) for piece in sign.line) <= sign.width or sign.row == layout.legend
        taken |= cells


@settings(max_examples=40, deadline=None)
@given(width=st.integers(30, 130), height=st.integers(4, 40), start=st.floats(0.5, 9), still=st.booleans())
def test_spans_cover_all_that_changed_and_no_row_has_two(
    width: int, height: int, start: float, still: bool, eventful: list[Event]
) -> None:
    scene = Scene()
    scene.still = still
    scene.take(eventful)
    scene.advance(start)
    picture = picture_of(scene, width, height)
    picture.paint(scene)
    seen = [picture.runs(row) for row in range(height)]
    copy = [list(row) for row in picture.text()]
    for frame in range(1, 20):
        scene.advance(start + frame * FRAME)
        spans = picture.paint(scene)
        assert len({span.row for span in spans}) == len(spans)
        text = picture.text()
        for row, left, right in spans:
            assert 0 <= left < right <= width
            assert picture.runs(row) != seen[row]
            copy[row][left:right] = text[row][left:right]
        assert ["".join(row) for row in copy] == text
        untouched = set(range(height)) - {span.row for span in spans}
        assert all(picture.runs(row) == seen[row] for row in untouched)
        seen = [picture.runs(row) for row in range(height)]


def test_painting_the_same_moment_again_changes_nothing(eventful: list[Event]) -> None:
    scene = at(eventful, 5.0)
    picture = picture_of(scene, 80, 24)
    picture.paint(scene)
    assert picture.paint(scene) == []


def test_the_ascii_set_gives_ascii_and_nothing_else(eventful: list[Event]) -> None:
    for still in (False, True):
        for now in (0.0, 2.5, 5.0, 8.0):
            scene = at(eventful, now, still=still)
            for width in (50, 80, 140):
                picture = picture_of(scene, width, 30, ASCII)
                picture.paint(scene, selected="web/srv-1")
                assert "".join(picture.text()).isascii()


# what is to be seen


def test_a_dot_walks_along_its_lane_one_way_and_is_wiped_behind(journey: Told) -> None:
    events: list[Event] = [Joined(0.0, "web", "a", 1, "up"), *journey(1, at=2.0, took=0.0)]
    columns = []
    picture: Picture | None = None
    for scene in frames(events, 2.25, 4.5):
        picture = picture or picture_of(scene, 80, 9)
        picture.paint(scene)
        lane = picture.layout.servers[0].out
        row = picture.text()[lane.row][lane.left : lane.left + lane.width]
        assert row.count("●") <= 1
        assert "●" in row or row == "╌" * (lane.width - 1) + "▸"
        columns.append(row.find("●"))
    walked = [column for column in columns if column >= 0]
    assert walked == sorted(walked)
    assert len(set(walked)) >= 8
    assert columns[-1] == -1


def test_a_machine_that_crashed_is_marked_before_the_balancer_knows(journey: Told) -> None:
    scene = Scene()
    scene.take([Joined(0.0, "web", "a", 1, "up"), OriginChanged(5.0, "web", "a", "crash", 0, "hand")])
    scene.advance(4.9)
    picture = picture_of(scene, 80, 12)
    picture.paint(scene)
    scene.advance(5.0)
    picture.paint(scene)
    assert scene.shown < 5.0
    assert any("machine: crashed" in row for row in picture.text())
    assert any("● a     UP" in row for row in picture.text())


def test_the_marker_moves_with_the_turn_and_can_be_hidden(eventful: list[Event]) -> None:
    scene = at(eventful, 5.0)
    picture = picture_of(scene, 80, 24)
    picture.paint(scene)
    due = scene.next_in("web")
    row = next(post.out.row for post in picture.layout.servers if post.label == due)
    assert [number for number, text in enumerate(picture.text()) if "next▶" in text] == [row]
    picture.paint(scene, next_hint=False)
    assert not any("next" in text for text in picture.text())


def test_the_selected_server_stands_out_and_nobody_else(eventful: list[Event]) -> None:
    scene = at(eventful, 5.0)
    picture = picture_of(scene, 80, 24)
    picture.paint(scene, selected="web/srv-3")
    marked = [text for row in range(24) for text, style in picture.runs(row) if style == "selected"]
    assert marked == ["srv-3"]


def test_with_nothing_moving_no_dot_is_on_the_lanes(eventful: list[Event]) -> None:
    scene = at(eventful, 5.0, still=True)
    picture = picture_of(scene, 80, 24)
    picture.paint(scene)
    lanes = [picture.text()[post.out.row][post.out.left :][: post.out.width] for post in picture.layout.servers]
    assert all(lane.startswith("→ ") for lane in lanes)


def test_blanks_join_their_neighbours_and_save_a_style(eventful: list[Event]) -> None:
    scene = at(eventful, 5.0)
    picture = picture_of(scene, 80, 24)
    picture.paint(scene)
    assert all(text.strip() for row in range(24) for text, _ in picture.runs(row)[1:])


@pytest.mark.parametrize(("height", "times"), [(6, 0), (8, 1), (12, 1), (13, 1), (14, 1), (24, 1)])
def test_the_box_says_what_it_is_where_no_marker_needs_the_row(height: int, times: int, eventful: list[Event]) -> None:
    picture = picture_of(at(eventful, 1.5), 80, height)
    assert sum("balancer" in row for row in picture.text()) == times


def test_the_picture_has_the_legend_of_what_moves(eventful: list[Event]) -> None:
    legend = picture_of(at(eventful, 5.0), 80, 24).text()[-1]
    assert legend.split("  ")[0].strip() == "● request"
    assert all(word in legend for word in ("request", "reply", "failed", "probe", "passed"))
