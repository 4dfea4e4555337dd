from __future__ import annotations

import pytest

from lbtutor.core.cookies import read_set_cookie
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import SessionLost, SessionStarted
from lbtutor.core.sessions import SESSION_COOKIE, Memory, Names, Visit, check_store, session_cookie, told_of


def test_a_visitor_without_a_session_gets_one_and_is_known_from_then_on() -> None:
    memory = Memory()
    assert memory.visit("", "s1") == Visit("s1", 1)
    assert memory.visit("s1", "s2") == Visit("s1", 2)
    assert memory.visit("", "s3") == Visit("s3", 1)
    assert memory.visit("s1", "s4") == Visit("s1", 3)


def test_a_session_that_is_not_known_is_lost_and_its_name_is_not_taken() -> None:
    memory = Memory()
    assert memory.visit("made-up", "s1") == Visit("s1", 1, lost="made-up")
    assert memory.visit("made-up", "s2") == Visit("s2", 1, lost="made-up")


def test_what_is_forgotten_is_lost() -> None:
    memory = Memory()
    memory.visit("", "s1")
    memory.forget()
    assert memory.visit("s1", "s2") == Visit("s2", 1, lost="s1")


def test_names_are_the_machines_own_and_the_same_in_each_run() -> None:
    first, again, other = Names(1, "web", "a"), Names(1, "web", "a"), Names(1, "web", "b")
    names = [first.next() for _ in range(100)]
    assert names == [again.next() for _ in range(100)]
    assert set(names).isdisjoint(other.next() for _ in range(100))
    assert all(len(name) == 8 and int(name, 16) >= 0 for name in names)


def test_the_cookie_is_one_that_a_client_understands() -> None:
    cookie = read_set_cookie(session_cookie("5e55104f"), "/deep/path", now=0)
    assert cookie is not None
    assert (cookie.name, cookie.value, cookie.path) == (SESSION_COOKIE, "5e55104f", "/")


def test_only_what_is_new_is_told() -> None:
    assert list(told_of(Visit("s1", 2), 1.0, "web", "a", "c")) == []
    assert list(told_of(Visit("s1", 1), 1.0, "web", "a", "c")) == [SessionStarted(1.0, "web", "a", "s1", "c")]
    assert list(told_of(Visit("s1", 1, "s0"), 1.0, "web", "a", "c")) == [
        SessionLost(1.0, "web", "a", "s0", "c"),
        SessionStarted(1.0, "web", "a", "s1", "c"),
    ]


@pytest.mark.parametrize("where", ["", "memory", "sqlite", "redis://127.0.0.1:6379/0"])
def test_these_are_stores(where: str) -> None:
    check_store(where)


@pytest.mark.parametrize("where", ["disk", "redis", "Memory", "http://127.0.0.1"])
def test_and_nothing_else_is(where: str) -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        check_store(where)
