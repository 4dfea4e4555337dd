from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lbtutor.core import Event
from lbtutor.core.events import (
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    FaultKind,
    HealthChanged,
    Joined,
    OriginChanged,
    Probed,
    ProbeSent,
    Readmitted,
)
from lbtutor.tui.glyphs import SETS, UNICODE
from lbtutor.tui.widgets.stage.faces import Faces, Line, counter_of, names_of, state_of, truth_of
from lbtutor.tui.widgets.stage.layout import Layout, arrange
from lbtutor.tui.widgets.stage.scene import Scene

UP = Joined(0.0, "web", "srv-1", 1, "up")
FAILS = [Probed(1.0 + n, "web", "srv-1", False, "connection refused", n, 3, "down") for n in (1, 2)]
DOWN = HealthChanged(5.0, "web", "srv-1", "up", "down", "3 probes in a row failed")
EJECTED = Ejected(3.5, "web", "srv-1", 33.5, "5 attempts in a row failed")
PASSED = Probed(6.0, "web", "srv-1", True, "200", 1, 2, "up")
CRASHED = OriginChanged(7.0, "web", "srv-1", "crash", 0, "hand")

Told = Callable[..., list[Event]]


def after(*events: Event, clients: Sequence[str] = ()) -> Scene:
    scene = Scene(clients=clients)
    scene.still = True
    scene.take(sorted(events, key=lambda event: event.at))
    scene.advance(100.0)
    return scene


def text(line: Line) -> str:
    return "".join(piece.text for piece in line)


def panel(scene: Scene, width: int, height: int, *, bar_top: int = 8) -> list[str]:
    """What is written at the first server on a stage of that size."""
    layout = laid_out(scene, width, height)
    faces = Faces(layout, UNICODE)
    return [text(line) for line in faces.server(layout.servers[0], scene, key="1", selected=False, bar_top=bar_top)]


def laid_out(scene: Scene, width: int, height: int) -> Layout:
    longest = max(map(len, names_of(scene, UNICODE).values()))
    return arrange(width, height, list(scene.servers), list(scene.clients), longest)


@pytest.mark.parametrize(
    ("events", "glyph", "word", "counter"),
    [
        ([], "●", "UP", ""),
        (FAILS, "◐", "UP", "down 2/3"),
        ([*FAILS, DOWN], "✕", "DOWN", ""),
        ([*FAILS, DOWN, PASSED], "✕", "DOWN", "up 1/2"),
        ([EJECTED], "▲", "EJECT", ""),
        ([*FAILS, EJECTED], "▲", "EJECT", "down 2/3"),
        ([EJECTED, DOWN], "✕", "DOWN", ""),
        ([EJECTED, Draining(4.0, "web", "srv-1", 0)], "◌", "DRAIN", ""),
        ([EJECTED, Readmitted(31.0, "web", "srv-1")], "●", "UP", ""),
        ([Draining(1.0, "web", "srv-1", 0)], "◌", "DRAIN", ""),
        ([Draining(1.0, "web", "srv-1", 1), Drained(2.0, "web", "srv-1")], "◌", "DRAINED", ""),
        ([Draining(1.0, "web", "srv-1", 0), Drained(1.0, "web", "srv-1"), Enabled(2.0, "web", "srv-1")], "●", "UP", ""),
        ([Disabled(1.0, "web", "srv-1")], "▣", "MAINT", ""),
        ([*FAILS, Disabled(9.0, "web", "srv-1")], "▣", "MAINT", ""),
    ],
)
def test_a_state_is_a_glyph_a_word_and_a_counter(events: list[Event], glyph: str, word: str, counter: str) -> None:
    server = after(UP, *events).servers["web/srv-1"]
    assert state_of(server, UNICODE)[:2] == (glyph, word)
    assert counter_of(server) == counter


def test_a_server_that_was_never_probed_says_so() -> None:
    server = after(Joined(0.0, "web", "srv-1", 1, "unchecked")).servers["web/srv-1"]
    assert state_of(server, UNICODE)[:2] == ("◇", "UNCHECKED")


@pytest.mark.parametrize("glyphs", SETS.values(), ids=SETS)
def test_states_and_marks_differ_in_shape_in_every_set(glyphs: object) -> None:
    states = [
        getattr(glyphs, name) for name in ("up", "failing", "down", "draining", "ejected", "unchecked", "maintenance")
    ]
    marks = [getattr(glyphs, name) for name in ("request", "reply", "failed", "probe", "probe_passed", "probe_failed")]
    assert len(set(states)) == len(states)
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize(
    ("kind", "amount", "says"),
    [
        ("crash", 0, "crashed"),
        ("hang", 0, "hangs"),
        ("refuse", 0, "refuses"),
        ("slow", 4, "4× slower"),
        ("error", 0.5, "errs 50%"),
    ],
)
def test_the_truth_about_a_machine_is_told_in_words(kind: FaultKind, amount: float, says: str) -> None:
    assert truth_of(OriginChanged(1.0, "web", "a", kind, amount, "hand"), UNICODE) == says


def test_belief_and_truth_stand_side_by_side(journey: Told) -> None:
    lost = [event for n in range(3) for event in journey(n, 1.0, 0.0, backend="srv-1", ok=False)]
    told = panel(after(UP, CRASHED, *FAILS, *lost), 80, 12)
    assert [line.split() for line in told] == [
        ["◐", "srv-1", "UP", "down", "2/3", "3"],
        ["1", "░░░░░░", "0", "in", "flight", "3", "failed"],
        ["machine:", "crashed"],
    ]


@pytest.mark.parametrize("width", [50, 60, 80, 118, 200])
@pytest.mark.parametrize(("rows", "height"), [(1, 4), (2, 8), (3, 15)])
def test_a_broken_machine_shows_at_every_size(width: int, rows: int, height: int, journey: Told) -> None:
    others = [Joined(0.0, "web", f"srv-{n}", 1, "up") for n in range(2, 5)]
    lost = [event for n in range(300) for event in journey(n, 1.0, 0.0, backend="srv-1", ok=False)]
    told = panel(after(UP, *others, CRASHED, *lost), width, height)
    assert len(told) == rows
    assert any("crashed" in line or "!" in line for line in told)


@pytest.mark.parametrize("width", [50, 78, 80, 118, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 9])
def test_numbers_of_four_digits_stay_inside_the_panel(width: int, height: int, journey: Told) -> None:
    many = [event for n in range(1234) for event in journey(n, 1.0, 50 * (n % 3), backend="srv-1", ok=n % 2 > 0)]
    scene = after(UP, *many, *FAILS)
    assert all(len(line) <= laid_out(scene, width, height).panel_width for line in panel(scene, width, height))


def test_columns_stay_where_they_are_when_numbers_grow(journey: Told) -> None:
    few = panel(after(UP, *journey(1, 1.0, 1.0, backend="srv-1")), 80, 9)[0]
    many = [event for n in range(1234) for event in journey(n, 1.0, 1.0, backend="srv-1")]
    lot = panel(after(UP, *FAILS, *many), 80, 9)[0]
    assert len(few) == len(lot)
    assert few.index("UP") == lot.index("UP")


def test_a_server_shows_its_weight_and_with_several_pools_its_pool() -> None:
    heavy, other = Joined(0.0, "web", "srv-1", 3, "up"), Joined(0.0, "api", "b", 1, "up")
    assert names_of(after(heavy), UNICODE) == {"web/srv-1": "srv-1 ×3"}
    assert names_of(after(heavy, other), UNICODE) == {"web/srv-1": "web/srv-1 ×3", "api/b": "api/b"}


def test_the_bar_is_full_at_its_top_and_one_request_is_seen_on_it(journey: Told) -> None:
    def bar(count: int) -> str:
        working = [event for n in range(count) for event in journey(n, 1.0, 999, backend="srv-1")]
        return panel(after(UP, *working), 80, 9)[1].split()[1]

    assert [bar(count) for count in (0, 1, 4, 8)] == ["░░░░░░", "█░░░░░", "███░░░", "██████"]


def test_servers_that_share_a_row_are_summed_up() -> None:
    joined = [Joined(0.0, "web", f"srv-{n}", 1, "up") for n in range(1, 9)]
    scene = after(*joined, HealthChanged(1.0, "web", "srv-8", "up", "down", ""))
    layout = laid_out(scene, 80, 4)
    line = Faces(layout, UNICODE).server(layout.servers[-1], scene, key="", selected=False, bar_top=8)[0]
    assert text(line).split() == ["+5", "more", "●", "4", "✕", "1", "0"]


def test_an_address_that_is_too_long_keeps_its_end() -> None:
    scene = after(UP, clients=["192.168.100.231"])
    layout = laid_out(scene, 80, 12)
    assert [text(line) for line in Faces(layout, UNICODE).client(layout.clients[0], 1, 0)] == ["client 1", "….100.231"]


def test_where_nothing_moves_the_lanes_tell_counts(journey: Told) -> None:
    events = [*journey(1, 1.0, 1.0, backend="srv-1"), *journey(2, 1.0, 1.0, backend="srv-1", ok=False)]
    working = [event for n in (3, 4, 5) for event in journey(n, 1.0, 999, backend="srv-1")]
    scene = after(UP, *events, *working, ProbeSent(2.0, "web", "srv-1"))
    layout = laid_out(scene, 140, 12)
    faces = Faces(layout, UNICODE)
    assert [text(line) for line in faces.server_lanes(layout.servers[0], scene)] == [
        "→ 3 in flight ◆",
        "← 1 answered ✕ 1",
    ]
    assert [text(line) for line in faces.client_lanes(layout.clients[0], scene)] == ["→ 5 sent", "← 1 answered ✕ 1"]


@pytest.mark.parametrize("width", [50, 60, 80, 118])
def test_words_on_a_lane_fit_it_and_losses_are_the_last_to_go(width: int, journey: Told) -> None:
    lost = [event for n in range(120) for event in journey(n, 1.0, 0.0, backend="srv-1", ok=n % 10 > 0)]
    scene = after(UP, *lost)
    layout = laid_out(scene, width, 12)
    faces = Faces(layout, UNICODE)
    for post, lines in (
        (layout.servers[0], faces.server_lanes(layout.servers[0], scene)),
        (layout.clients[0], faces.client_lanes(layout.clients[0], scene)),
    ):
        assert all(len(text(line)) <= post.out.width for line in lines)
        assert "12" in text(lines[1])
