"""The clients' side of cookies; rules and numbers are those of RFC 6265, section 5."""

from __future__ import annotations

from datetime import UTC, date, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.cookies import Cookie, Jars, days_since_1970, default_path, path_matches, read_set_cookie

NEVER = inf


@pytest.mark.parametrize(
    ("field", "cookie"),
    [
        ("a=1", Cookie("a", "1")),
        (" a = 1 ; Path = /x ; Secure", Cookie("a", "1", "/x", NEVER, True)),
        ("a=", Cookie("a", "")),
        ("a=b=c", Cookie("a", "b=c")),
        ("a=1; Max-Age=60", Cookie("a", "1", until=160)),
        ("a=1; max-age=60; HttpOnly; SameSite=Lax", Cookie("a", "1", until=160)),
        ("a=1; Max-Age=0", Cookie("a", "1", until=-inf)),
        ("a=1; Max-Age=-5", Cookie("a", "1", until=-inf)),
        ("a=1; Max-Age=soon", Cookie("a", "1")),
        ("a=1; Path=x", Cookie("a", "1")),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Cookie("a", "1", until=-1000)),
        ("a=1; Expires=Thu, 01-Jan-1970 00:20:00 GMT", Cookie("a", "1", until=200)),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", Cookie("a", "1", until=160)),
        ("a=1; Expires=whenever", Cookie("a", "1")),
        ("a=1; Expires=Thu, 01 Foo 1970 00:00:00 GMT", Cookie("a", "1")),
        ("a", None),
        ("=1", None),
        ("", None),
    ],
)
def test_a_set_cookie_field_is_read_as_browsers_do(field: str, cookie: Cookie | None) -> None:
    assert read_set_cookie(field, "/", now=100, epoch=1000) == cookie


@given(st.dates(min_value=date(1970, 1, 1)), st.integers(0, 86_399))
def test_a_date_is_the_one_of_the_calendar(day: date, second: int) -> None:
    assert days_since_1970(day.year, day.month, day.day) == (day - date(1970, 1, 1)).days
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + second
    text = datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    cookie = read_set_cookie(f"a=1; Expires={text}", "/", now=0)
    assert cookie is not None
    assert cookie.until == moment


@given(st.text())
def test_no_text_makes_a_client_stumble(field: str) -> None:
    jars = Jars()
    jars.take(0, "", "/", field, 0.0)
    jars.show(0, "", "/", 1.0)


@pytest.mark.parametrize(
    ("path", "default"), [("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("/a/b?c=/d/e", "/a")]
)
def test_a_cookie_without_a_path_is_for_the_folder_of_its_request(path: str, default: str) -> None:
    assert default_path(path) == default


@pytest.mark.parametrize(
    ("path", "of_cookie", "matches"),
    [
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b", "/a/", True),
        ("/a?b", "/a", True),
        ("/ab", "/a", False),
        ("/", "/a", False),
        ("/a", "/a/", False),
        ("/a?b", "/a/", False),
    ],
)
def test_a_cookie_goes_with_whole_segments(path: str, of_cookie: str, matches: bool) -> None:
    assert path_matches(path, of_cookie) == matches


def test_a_client_shows_what_it_was_given_and_no_other_client_does() -> None:
    jars = Jars()
    assert not jars
    jars.take(1, "shop", "/", "a=1", 0.0)
    assert jars
    assert jars.show(1, "shop", "/", 1.0) == "a=1"
    assert jars.show(2, "shop", "/", 1.0) == ""


def test_a_cookie_goes_to_no_other_host() -> None:
    jars = Jars()
    jars.take(1, "shop.example", "/", "a=1; Domain=example", 0.0)
    assert jars.show(1, "blog.example", "/", 1.0) == ""


def test_a_cookie_is_shown_until_its_time_is_over() -> None:
    jars = Jars()
    jars.take(1, "", "/", "a=1; Max-Age=10", 5.0)
    assert jars.show(1, "", "/", 14.9) == "a=1"
    assert jars.show(1, "", "/", 15.0) == ""


def test_a_new_value_replaces_the_old_one_and_max_age_0_forgets_it() -> None:
    jars = Jars()
    jars.take(1, "", "/", "a=1", 0.0)
    jars.take(1, "", "/", "a=2", 0.0)
    assert jars.show(1, "", "/", 1.0) == "a=2"
    jars.take(1, "", "/", "a=; Max-Age=0", 2.0)
    assert jars.show(1, "", "/", 2.0) == ""


def test_a_secure_cookie_is_shown_on_secure_connections_only() -> None:
    jars = Jars()
    jars.take(1, "", "/", "a=1; Secure", 0.0)
    assert jars.show(1, "", "/", 1.0) == ""
    assert jars.show(1, "", "/", 1.0, secure=True) == "a=1"


def test_longer_paths_come_first_and_then_the_older_cookie() -> None:
    jars = Jars()
    for field in ("a=1; Path=/", "b=2; Path=/", "c=3; Path=/x"):
        jars.take(1, "", "/x/y", field, 0.0)
    assert jars.show(1, "", "/x/y", 1.0) == "c=3; a=1; b=2"
