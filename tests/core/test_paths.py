"""Paths that can be read in two ways, and what is said of them. The rule itself is tried in `test_routing`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.paths import compared, decode, doubt


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/a/../b", "a dot segment"),
        ("/a/%2e%2e/b", "an encoded dot"),
        ("/a%2fb", "an encoded slash"),
        ("/a//b", "two slashes"),
        ("/a\\b", "a backslash"),
        ("/a%5Cb", "a backslash"),
        ("/a%0db", "an encoded control byte"),
        ("/a/b", None),
        ("/a%20b", None),
        ("/100%25", None),
        ("/%252e%252e/", None),
        ("/%", None),
        ("*", None),
        ("", None),
    ],
)
def test_the_doubt_is_named(path: str, says: str | None) -> None:
    assert doubt(path) == says


def test_each_byte_becomes_one_character() -> None:
    assert decode("/caf%C3%A9") == "/caf\u00c3\u00a9"
    assert decode("/a+b") == "/a+b"


@given(st.lists(st.sampled_from(["/", "/a", "/.", "..", ";", "%2e", "%5c", "\\", "a", "?"]), max_size=4).map("".join))
def test_a_path_is_compared_without_its_query_and_decoded_unless_there_is_a_doubt(path: str) -> None:
    asked = path.partition("?")[0]
    assert compared(path) == (decode(asked) if doubt(asked) is None else None)
