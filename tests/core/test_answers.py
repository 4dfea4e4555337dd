"""The balancer's own answers: fixed responses, and redirects that go where they should."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.answers import Redirect, Respond, without_port
from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Request


def location(to: str, path: str = "/a/b?c=d&e", host: str = "a.com:8080") -> str:
    answer = Redirect(to).answer(Request(1, 0.0, host=host, path=path))
    assert answer is not None
    return dict(answer.headers)["Location"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("https://b.org/new", "https://b.org/new"),
        ("https://{host}{path}{query}", "https://a.com/a/b?c=d&e"),
        ("https://www.{host}/old{path}", "https://www.a.com/old/a/b"),
        ("http://[::1]:8080{path}", "http://[::1]:8080/a/b"),
        ("https://b.org{query}", "https://b.org?c=d&e"),
        ("/moved{path}", "/moved/a/b"),
    ],
)
def test_the_location_is_filled_in(to: str, expected: str) -> None:
    assert location(to) == expected
    assert Redirect(to).answer(Request(1, 0.0, host="a.com", path="/")) is not None


def test_what_the_request_does_not_have_is_left_out() -> None:
    assert location("https://{host}{path}{query}", path="/") == "https://a.com/"
    assert location("https://b.org{path}", path="*") == "https://b.org/"


def test_a_redirect_to_the_same_host_needs_a_host() -> None:
    assert Redirect("https://{host}{path}").answer(Request(1, 0.0, host="")) is None
    assert Redirect("https://b.org{path}").answer(Request(1, 0.0, host="")) is not None


@pytest.mark.parametrize(
    "to",
    [
        "", "b.org/new", "//b.org/", "/\\b.org", "ftp://b.org/", "javascript:alert(1)", "https://", "https:///x",
        "https://{path}", "{path}", "/{path}", "https://b.org/\r\nSet-Cookie: a=b", "https://b.org/a b", "https://b.org/é",
        "https://b.org/{user}", "https://b.org/{", "https://b.org{path", "https://a@b.org/", "https://b.org/\x00",
    ],
)  # fmt: skip
def test_a_target_that_could_lead_astray_is_refused(to: str) -> None:
    with pytest.raises(ConfigError, match="redirect: `to` is"):
        Redirect(to)


anything = st.text(st.characters(max_codepoint=0xFF), max_size=30)


@given(st.sampled_from(["https://b.org{path}{query}", "https://b.org/x{path}", "/x{path}{query}"]), anything)
def test_no_path_ends_the_line_or_changes_the_host(to: str, path: str) -> None:
    found = location(to, path=path)
    assert re.fullmatch("[!-~]+", found)
    assert found.startswith(to.partition("{")[0])
    assert urlsplit(found.replace("[", "%5B").replace("]", "%5D")).netloc in ("b.org", "")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": 199}, "200 to 599"),
        ({"status": 600}, "200 to 599"),
        ({"status": 204, "body": "x"}, "has no body"),
        ({"status": 304, "body": "x"}, "has no body"),
    ],
)
def test_a_response_that_cannot_be_sent_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Respond(**wrong)


def test_a_response_without_a_body_has_no_type_for_it() -> None:
    answer = Respond(204).answer(Request(7, 0.0))
    assert (answer.request, answer.status, answer.headers, answer.body) == (7, 204, (), "")


@pytest.mark.parametrize(
    ("host", "name"), [("a.com", "a.com"), ("a.com:80", "a.com"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")]
)
def test_a_host_without_its_port(host: str, name: str) -> None:
    assert without_port(host) == name
