"""The feed: nothing is lost without being told, and the writer never waits."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.events import Drained, Event, Missed
from lbtutor.trace.feed import Feed


def event(number: int) -> Drained:
    return Drained(float(number), "web", str(number))


def numbers(events: list[Event]) -> list[int]:
    return [int(one.backend) for one in events if isinstance(one, Drained)]


@given(
    st.integers(min_value=1, max_value=8),
    st.integers(min_value=1, max_value=8),
    st.lists(st.tuples(st.booleans(), st.integers(min_value=0, max_value=12)), max_size=20),
)
def test_everything_written_is_read_in_order_or_counted_as_missed(
    size: int, pages: int, turns: list[tuple[bool, int]]
) -> None:
    feed, written, read = Feed(size, pages), 0, list[Event]()
    for writes, count in turns:
        if writes:
            for _ in range(count):
                feed.write(event(written))
                written += 1
        else:
            read += feed.drain(count)
    read += feed.drain()
    expected = 0
    for one in read:
        if isinstance(one, Missed):
            assert one.count > 0
            expected += one.count
        else:
            assert numbers([one]) == [expected]
            expected += 1
    assert expected == written


def test_a_gap_is_told_where_it_is_at_the_time_of_what_follows() -> None:
    feed = Feed(2)
    feed.write(event(0))
    assert feed.drain() == [event(0)]
    for number in range(1, 6):
        feed.write(event(number))
    assert feed.drain() == [Missed(4.0, 3), event(4), event(5)]
    assert feed.drain() == []


def test_a_feed_that_is_full_loses_its_oldest_page() -> None:
    feed = Feed(8, pages=2)
    for number in range(9):
        feed.write(event(number))
    assert feed.drain() == [Missed(4.0, 4), *map(event, range(4, 9))]


def test_a_page_is_read_while_it_is_written() -> None:
    feed = Feed(8, pages=2)
    for number in range(30):
        feed.write(event(number))
        assert feed.drain() == [event(number)]


def test_a_reader_may_take_a_part() -> None:
    feed = Feed()
    for number in range(5):
        feed.write(event(number))
    assert numbers(feed.drain(most=2)) == [0, 1]
    assert numbers(feed.drain(most=0)) == []
    assert numbers(feed.drain()) == [2, 3, 4]


@pytest.mark.parametrize("pages", [4, 64])
def test_it_holds_across_threads(pages: int) -> None:
    feed, total, read = Feed(64, pages), 20_000, list[Event]()

    def write() -> None:
        for number in range(total):
            feed.write(event(number))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        read += feed.drain()
    writer.join()
    read += feed.drain()
    assert numbers(read) == sorted(numbers(read))
    assert len(numbers(read)) + sum(one.count for one in read if isinstance(one, Missed)) == total


def test_its_repr_tells_its_state_in_a_line() -> None:
    feed = Feed(2)
    for number in range(3):
        feed.write(event(number))
    assert repr(feed) == "<Feed 2 of 2 waiting, 3 written>"
