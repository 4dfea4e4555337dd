from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.tui.widgets.stage.journeys import Road
from lbtutor.tui.widgets.stage.layout import Lane, Layout, Post, arrange

COUNTS = st.integers(0, 40)
WIDTHS = st.integers(44, 220)
HEIGHTS = st.integers(6, 70)


def arranged(width: int, height: int, servers: int, clients: int = 3, longest_name: int = 5) -> Layout:
    labels = [f"web/srv-{number + 1}" for number in range(servers)]
    addresses = [f"127.0.1.{number + 1}" for number in range(clients)]
    return arrange(width, height, labels, addresses, longest_name)


def rows_of(post: Post) -> set[int]:
    return set(range(post.top, post.top + post.rows))


@given(st.integers(0, 220), st.integers(0, 70), COUNTS, COUNTS, st.integers(0, 60))
def test_there_is_an_arrangement_for_every_size(width: int, height: int, servers: int, clients: int, name: int) -> None:
    layout = arranged(width, height, servers, clients, name)
    assert (layout.width, layout.height) == (width, height)


@given(WIDTHS, HEIGHTS, COUNTS, COUNTS, st.integers(0, 60))
def test_columns_follow_one_another_and_fill_the_width(
    width: int, height: int, servers: int, clients: int, name: int
) -> None:
    layout = arranged(width, height, servers, clients, name)
    for post in layout.clients:
        assert 1 + layout.form.clients == post.out.left == post.back.left
        assert post.out.left + post.out.width == layout.box.left
    for post in layout.servers:
        assert post.out.left == layout.box.left + layout.box.width
        assert post.out.left + post.out.width < layout.panel_left
    assert layout.box.left + layout.box.width < layout.panel_left
    assert layout.panel_left + layout.panel_width < width


@given(WIDTHS, HEIGHTS, COUNTS, COUNTS)
def test_nobody_stands_on_anybody_elses_rows(width: int, height: int, servers: int, clients: int) -> None:
    layout = arranged(width, height, servers, clients)
    inside = set(range(layout.box.top, layout.box.top + layout.box.height))
    for posts in (layout.servers, layout.clients):
        taken: set[int] = set()
        for post in posts:
            assert rows_of(post) <= inside - taken
            assert {post.out.row, post.back.row} <= rows_of(post)
            taken |= rows_of(post)
    edges = {layout.box.top - 1, layout.box.top + layout.box.height} if layout.box.lid else set()
    assert inside | edges <= set(range(height))
    assert layout.legend not in inside | edges


@given(WIDTHS, HEIGHTS, COUNTS, COUNTS)
def test_everybody_has_a_place_and_their_roads_a_lane(width: int, height: int, servers: int, clients: int) -> None:
    layout = arranged(width, height, servers, clients)
    assert [name for post in layout.servers for name in post.members] == [f"web/srv-{n + 1}" for n in range(servers)]
    assert [name for post in layout.clients for name in post.members] == [f"127.0.1.{n + 1}" for n in range(clients)]
    for post in layout.servers:
        for label in post.members:
            assert layout.lane(Road("server", label, "out")) is post.out
            assert layout.lane(Road("server", label, "back")) is post.back


@given(WIDTHS, HEIGHTS, st.integers(1, 40))
def test_two_lanes_whenever_there_are_two_rows_a_server(width: int, height: int, servers: int) -> None:
    posts = arranged(width, height, servers, clients=1).servers
    assert all(post.shared is (height // servers < 2) for post in posts)
    assert any(len(post.members) > 1 for post in posts) is (height < servers)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_traveller_stays_on_its_lane_and_walks_one_way(width: int, one: float, two: float, homeward: bool) -> None:
    lane = Lane(0, 10, width, homeward)
    sooner, later = lane.cell(min(one, two)), lane.cell(max(one, two))
    assert {sooner, later} <= set(range(10, 10 + width))
    assert sooner >= later if homeward else sooner <= later
    assert lane.cell(0.0) == (10 + width - 1 if homeward else 10)


@pytest.mark.parametrize(("width", "height"), [(78, 14), (80, 26), (118, 30), (198, 56)])
def test_with_four_servers_every_usual_size_has_box_legend_and_two_lanes(width: int, height: int) -> None:
    layout = arranged(width, height, servers=4)
    assert layout.box.lid
    assert layout.legend == height - 1
    assert not any(post.shared for post in (*layout.servers, *layout.clients))


def test_at_80_columns_the_lanes_keep_at_least_the_length_that_can_be_watched() -> None:
    layout = arranged(78, 18, servers=4)
    assert layout.servers[0].out.width >= 14
    assert layout.clients[0].out.width >= 7


def test_client_lanes_are_half_as_long_as_server_lanes() -> None:
    layout = arranged(158, 30, servers=4)
    assert layout.servers[0].out.width == pytest.approx(2 * layout.clients[0].out.width, abs=2)


def test_clients_that_are_not_listed_take_the_shared_lane() -> None:
    crowded = arranged(80, 10, servers=4, clients=40)
    assert len(crowded.clients[-1].members) > 1
    assert crowded.lane(Road("client", "10.9.9.9", "out")) is crowded.clients[-1].out
    assert arranged(80, 10, servers=4).lane(Road("client", "10.9.9.9", "out")) is None
    assert crowded.lane(Road("server", "web/gone", "out")) is None


def test_a_row_tells_which_server_stands_there() -> None:
    layout = arranged(80, 24, servers=4)
    assert [layout.server_at(post.top) for post in layout.servers] == [f"web/srv-{n}" for n in (1, 2, 3, 4)]
    assert layout.server_at(layout.servers[0].top - 1) is None
