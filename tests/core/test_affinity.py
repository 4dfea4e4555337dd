"""Affinity: what is written is read again, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.affinity import Affinity, Cookies, StickTable, Sticky, remember
from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, Picked
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    Reject,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds

SIGNED = Sticky(cookie="SERVER_ID", secret="a secret")
READABLE = Sticky(cookie="SERVER_ID", form="readable")
BOTH = pytest.mark.parametrize("sticky", [SIGNED, READABLE], ids=["signed", "readable"])

SECOND = 1_700_000_000.0


def request(header: str | None = None, client: str = "10.0.0.1", method: str = "GET") -> Request:
    return Request(1, 0.0, client, method=method, headers={} if header is None else {"cookie": header})


def cookies(sticky: Sticky = SIGNED, pool: str = "web", names: str = "abc") -> Affinity:
    memory = remember(sticky, pool, Random(1))
    for name in names:
        memory.learn(name)
    return memory


def value_of(set_cookie: str) -> str:
    return set_cookie.partition(";")[0].partition("=")[2]


def given_out(memory: Affinity, backend: str, wall: float = SECOND) -> str:
    """The Cookie header of a client that was sent to `backend` at that time."""
    return memory.keep(request(), backend, wall).partition(";")[0]


# -- cookies


@BOTH
def test_a_cookie_brings_its_client_back(sticky: Sticky) -> None:
    memory = cookies(sticky)
    for backend in "abc":
        shown = request(given_out(memory, backend))
        assert memory.recall(shown, SECOND + 1) == backend
        assert memory.explain(shown, SECOND + 1, backend, "") == f"cookie SERVER_ID names {backend}"


def test_a_readable_cookie_tells_pool_backend_and_the_second_of_its_end() -> None:
    assert cookies(READABLE).keep(request(), "a", SECOND) == (
        "SERVER_ID=web/a.1700001800; Path=/; Max-Age=1800; HttpOnly; SameSite=Lax"
    )


def test_a_signed_cookie_tells_its_end_and_nothing_else() -> None:
    memory = cookies(SIGNED, "shop-web", "")
    memory.learn("backend-one")
    who, until, tag = value_of(memory.keep(request(), "backend-one", SECOND)).split(".")
    assert (len(who), until, len(tag)) == (16, "1700001800", 24)
    assert set(who + tag) <= set("0123456789abcdef")


@BOTH
@pytest.mark.parametrize("name", ["web 1", "a;b", 'a"b', "ü", "a.b", "a.5", "a/b", "a,b=c", "\udc80", "%", ""])
def test_any_name_fits_into_a_cookie(sticky: Sticky, name: str) -> None:
    memory = remember(sticky, "a pool/1", Random(1))
    memory.learn(name)
    written = given_out(memory, name)
    value = written.partition("=")[2]
    assert value.isascii()
    assert value.isprintable()
    assert not set(value) & set(' ",;\\'), "RFC 6265, section 4.1.1"
    assert memory.recall(request(written), SECOND) == name


@BOTH
def test_a_cookie_is_found_among_others(sticky: Sticky) -> None:
    memory = cookies(sticky)
    assert memory.recall(request(f"theme=dark; {given_out(memory, 'b')}; cart=7"), SECOND) == "b"


@BOTH
def test_the_cookie_of_another_pool_is_foreign(sticky: Sticky) -> None:
    here, there = cookies(sticky, "web"), cookies(sticky, "api")
    shown = request(given_out(there, "a"))
    assert there.recall(shown, SECOND) == "a"
    assert here.recall(shown, SECOND) == ""
    assert here.explain(shown, SECOND, "b", "") == "cookie SERVER_ID is not ours: balanced anew"


def test_two_balancers_with_one_secret_read_each_others_cookies() -> None:
    written = given_out(remember(SIGNED, "web", Random(1)), "a")
    other = remember(SIGNED, "web", Random(2))
    other.learn("b")
    assert other.recall(request(written), SECOND) == ""
    assert other.explain(request(written), SECOND, "b", "") == "cookie SERVER_ID names nobody here: balanced anew"
    other.learn("a")
    assert other.recall(request(written), SECOND) == "a"


def test_without_a_secret_the_key_comes_from_the_dice() -> None:
    drawn = Sticky(cookie="SERVER_ID")

    def written(seed: int) -> str:
        return given_out(remember(drawn, "web", Random(seed)), "a")

    assert written(1) == written(1)
    assert written(1) != written(2)


def test_a_signed_cookie_cannot_be_moved_to_another_backend_or_a_later_end() -> None:
    memory = cookies()
    who, until, tag = given_out(memory, "a").partition("=")[2].split(".")
    other, *_ = given_out(memory, "b").partition("=")[2].split(".")
    for forged in (f"{other}.{until}.{tag}", f"{who}.{int(until) + 1}.{tag}", f"{who}.{until}.{tag[::-1]}"):
        assert memory.recall(request(f"SERVER_ID={forged}"), SECOND) == ""
    assert memory.recall(request(f"SERVER_ID={who}.{until}.{tag}"), SECOND) == "a"


def test_anybody_can_write_a_readable_cookie() -> None:
    assert cookies(READABLE).recall(request("SERVER_ID=web/c.99999999999"), SECOND) == "c"


@pytest.mark.parametrize("value", ["web/a", "a.99999999999", "web/a.", "web/a.²", f"web/a.{'9' * 5000}", ".", "/."])
def test_a_readable_cookie_has_one_form(value: str) -> None:
    memory = cookies(READABLE)
    shown = request(f"SERVER_ID={value}")
    assert memory.recall(shown, SECOND) == ""
    assert memory.explain(shown, SECOND, "b", "") == "cookie SERVER_ID is not ours: balanced anew"


@BOTH
def test_who_comes_without_a_cookie_is_given_one(sticky: Sticky) -> None:
    memory = cookies(sticky)
    for bare in (request(), request("theme=dark")):
        assert memory.recall(bare, SECOND) == ""
        assert memory.explain(bare, SECOND, "b", "") == "no cookie SERVER_ID: a new one names b"
        assert memory.keep(bare, "b", SECOND)


@BOTH
def test_what_cannot_be_kept_to_is_said_with_its_reason(sticky: Sticky) -> None:
    memory = cookies(sticky)
    shown = request(given_out(memory, "a"))
    says = memory.explain(shown, SECOND, "b", "is down")
    assert says == "cookie SERVER_ID names a, which is down: balanced anew"
    assert memory.recall(request(memory.keep(shown, "b", SECOND).partition(";")[0]), SECOND) == "b"


def test_a_sliding_cookie_is_renewed_by_every_answer() -> None:
    memory = cookies(READABLE)
    shown = request(given_out(memory, "a", SECOND))
    assert value_of(memory.keep(shown, "a", SECOND + 60)) == "web/a.1700001860"


def test_a_fixed_cookie_is_given_once_and_again_when_it_is_over() -> None:
    memory = cookies(Sticky(cookie="SERVER_ID", form="readable", sliding=False))
    shown = request(given_out(memory, "a", SECOND))
    assert memory.keep(shown, "a", SECOND + 60) == ""
    assert value_of(memory.keep(shown, "b", SECOND + 60)) == "web/b.1700001860"
    assert value_of(memory.keep(shown, "a", SECOND + 1800)) == "web/a.1700003600"


@BOTH
def test_a_connection_is_given_no_cookie(sticky: Sticky) -> None:
    memory = cookies(sticky)
    for method in ("TCP", "UDP"):
        assert memory.keep(request(method=method), "a", SECOND) == ""
        assert memory.explain(request(method=method), SECOND, "a", "") == "a connection brings no cookies"


ttls = st.floats(min_value=0.001, max_value=1e7)
walls = st.floats(min_value=0, max_value=4e9)


@given(st.sampled_from([SIGNED, READABLE]), ttls, walls, st.floats(min_value=0, max_value=2e7), st.booleans())
def test_a_cookie_counts_until_the_second_that_it_says_and_no_longer(
    sticky: Sticky, ttl: float, wall: float, later: float, sliding: bool
) -> None:
    memory = cookies(Sticky(sticky.cookie, False, sticky.form, Seconds(ttl), sliding, sticky.secret))
    set_cookie = memory.keep(request(), "a", wall)
    shown, end = request(set_cookie.partition(";")[0]), ceil(wall + ttl)
    assert f"Max-Age={ceil(ttl)};" in set_cookie
    assert (memory.recall(shown, wall + later) == "a") == (wall + later < end)
    if wall + later >= end:
        assert memory.explain(shown, wall + later, "b", "") == "cookie SERVER_ID is too old: balanced anew"
    assert memory.recall(shown, wall) == "a"


junk = st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))
pieces = st.sampled_from(["SERVER_ID", "=", ";", ".", "web/", "a", "b", "0", "9" * 20, " ", '"', "\x00", "\udcff", "é"])


@given(st.sampled_from([SIGNED, READABLE]), junk | st.lists(pieces, max_size=12).map("".join), walls)
def test_no_cookie_header_whatever_makes_trouble(sticky: Sticky, header: str, wall: float) -> None:
    memory = cookies(sticky)
    for shown in (request(header), request(f"SERVER_ID={header}")):
        had = memory.recall(shown, wall)
        assert had in ("", "a", "b", "c")
        assert memory.explain(shown, wall, "a", "is down")
        assert memory.keep(shown, "a", wall)


@given(st.data())
def test_no_signed_cookie_but_the_very_one_is_believed(data: st.DataObject) -> None:
    memory = cookies()
    true = given_out(memory, "a").partition("=")[2]
    place = data.draw(st.integers(0, len(true) - 1))
    forged = data.draw(
        st.builds(lambda other: true[:place] + other + true[place + 1 :], st.text(max_size=2))
        | st.text("0123456789abcdef.", min_size=30, max_size=60)
    )
    assert memory.recall(request(f"SERVER_ID={forged}"), SECOND) == ("a" if forged.strip() == true else "")


# -- the stick table


def table(most: int = 3, **options: Any) -> StickTable:
    return StickTable(Sticky(source=True, **options), most)


def test_an_address_goes_back_to_where_it_was() -> None:
    memory = table()
    assert memory.explain(request(), 0.0, "a", "") == "10.0.0.1 is new: it stays at a"
    assert memory.keep(request(), "a", 0.0) == ""
    assert memory.recall(request(), 5.0) == "a"
    assert memory.recall(request(client="10.0.0.2"), 5.0) == ""
    assert memory.explain(request(), 5.0, "a", "") == "10.0.0.1 was at a before"
    assert memory.explain(request(), 5.0, "b", "is down") == "10.0.0.1 was at a, which is down: balanced anew"


def test_an_address_that_moved_stays_where_it_is_now() -> None:
    memory = table()
    memory.keep(request(), "a", 0.0)
    memory.keep(request(), "b", 1.0)
    assert memory.recall(request(), 2.0) == "b"


@pytest.mark.parametrize(("sliding", "until"), [(True, 15.0), (False, 10.0)])
def test_an_address_is_remembered_for_its_ttl(sliding: bool, until: float) -> None:
    memory = table(ttl=Seconds(10), sliding=sliding)
    memory.keep(request(), "a", 0.0)
    memory.keep(request(), "a", 5.0)
    assert memory.recall(request(), until - 0.001) == "a"
    assert memory.recall(request(), until) == ""


def test_a_full_table_forgets_whoever_was_longest_away() -> None:
    memory = table(most=2)
    for client in ("x", "y", "x", "z"):
        memory.keep(request(client=client), "a", 0.0)
    assert [memory.recall(request(client=client), 0.0) for client in "xyz"] == ["a", "", "a"]
    assert len(memory) == 2


clients = st.sampled_from("uvwxyz")
visits = st.lists(st.tuples(clients, st.sampled_from("ab"), st.integers(0, 8)), max_size=30)


@given(visits, st.booleans(), st.integers(1, 6))
def test_the_table_is_what_a_list_of_all_visits_says(
    visits: list[tuple[str, str, int]], sliding: bool, most: int
) -> None:
    memory = table(most=most, ttl=Seconds(10), sliding=sliding)
    homes: dict[str, tuple[str, int]] = {}
    now = 0
    for client, backend, wait in visits:
        now += wait
        known = homes.get(client, ("", 0))
        if sliding or known[0] != backend or now >= known[1]:
            homes.pop(client, None)
            homes[client] = (backend, now + 10)
        homes = dict(list(homes.items())[-most:])
        memory.keep(request(client=client), backend, now)
        for one in "uvwxyz":
            assert memory.recall(request(client=one), now) == (
                homes[one][0] if one in homes and now < homes[one][1] else ""
            )


# -- the wishes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "give either `cookie"),
        ({"cookie": "S", "source": True}, "give either `cookie"),
        ({"cookie": "SERVER ID"}, "`cookie` is a name of letters"),
        ({"cookie": "a=b"}, "`cookie` is a name of letters"),
        ({"cookie": "S", "ttl": Seconds(0)}, "`ttl` must be longer than 0"),
        ({"cookie": "S", "ttl": Seconds("inf")}, "`ttl` must be longer than 0"),
        ({"cookie": "S", "form": "readable", "secret": "x"}, "only a signed cookie"),
        ({"source": True, "secret": "x"}, "only a signed cookie"),
    ],
)
def test_wishes_that_cannot_be_are_refused(words: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Sticky(**words)


def test_the_memory_is_of_the_kind_asked_for() -> None:
    assert isinstance(remember(SIGNED, "web", Random(1)), Cookies)
    assert isinstance(remember(Sticky(source=True), "web", Random(1)), StickTable)


# -- in the balancer


class Browser:
    """One client that keeps the balancer's cookie, and everything that the balancer told."""

    def __init__(
        self, sticky: Sticky = READABLE, names: str = "abc", mine: Algorithm | None = None, **options: Any
    ) -> None:
        backends = tuple(options.pop("backends", map(BackendConfig, names)))
        pool = PoolConfig("web", backends=backends, sticky=sticky, **options)
        replaced = {} if mine is None else {"web": mine}
        self.events: list[Event] = []
        self.balancer = Balancer(
            [pool], [Route("web")], rng=Random(1), report=self.events.append, algorithms=replaced, epoch=SECOND
        )
        self.jar = ""
        self.requests = 0

    def ask(self, at: float = 0.0, client: str = "10.0.0.1") -> Forward:
        self.requests += 1
        headers = {"cookie": self.jar} if self.jar else {}
        decision = self.balancer.arrive(Request(self.requests, at, client, headers=headers))
        assert isinstance(decision, Forward)
        return decision

    def get(self, at: float = 0.0, client: str = "10.0.0.1") -> str:
        """One whole request: who answered it. The cookie is kept."""
        forward = self.ask(at, client)
        self.balancer.finish(forward.request, Outcome.answered(200), at)
        self.jar = forward.set_cookie.partition(";")[0] or self.jar
        return forward.backend.name

    @property
    def picked(self) -> Picked:
        return [event for event in self.events if isinstance(event, Picked)][-1]


KINDS_OF_STICKY = pytest.mark.parametrize(
    "sticky", [SIGNED, READABLE, Sticky(source=True)], ids=["signed", "readable", "source"]
)


@KINDS_OF_STICKY
def test_a_client_stays_with_its_backend_and_the_record_says_why(sticky: Sticky) -> None:
    browser = Browser(sticky)
    assert [browser.get(at) for at in (0.0, 1.0, 2.0, 3.0)] == ["a"] * 4
    picks = [event for event in browser.events if isinstance(event, Picked)]
    assert [pick.because for pick in picks] == ["algorithm", "sticky", "sticky", "sticky"]
    known = "10.0.0.1 was at a before" if sticky.source else "cookie SERVER_ID names a"
    new = "10.0.0.1 is new: it stays at a" if sticky.source else "no cookie SERVER_ID: a new one names a"
    assert [pick.affinity for pick in picks] == [new, known, known, known]
    assert [candidate.number for candidate in picks[1].why.candidates] == [None] * 3, "nobody was compared"


def test_the_forward_names_the_cookie_that_the_backend_must_not_see() -> None:
    forward = Browser().ask()
    assert forward.own_cookie == "SERVER_ID"
    assert forward.set_cookie == "SERVER_ID=web/a.1700001800; Path=/; Max-Age=1800; HttpOnly; SameSite=Lax"
    table = Browser(Sticky(source=True)).ask()
    assert (table.set_cookie, table.own_cookie) == ("", "")


@KINDS_OF_STICKY
def test_what_stickiness_says_is_told_to_whoever_wants_the_pick_without_its_record(sticky: Sticky) -> None:
    whole, bare = Browser(sticky), Browser(sticky)
    bare.balancer.report_to(bare.events.append, frozenset({Picked}))
    for at in (0.0, 1.0, 2.0):
        assert whole.get(at) == bare.get(at)
    told = [event for event in bare.events if isinstance(event, Picked)]
    assert [pick.affinity for pick in told] == [pick.affinity for pick in whole.events if isinstance(pick, Picked)]
    assert all(pick.affinity and not pick.why.candidates for pick in told)


@KINDS_OF_STICKY
def test_a_client_that_stays_takes_nobodys_turn(sticky: Sticky) -> None:
    asked: list[int] = []

    class Turns:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            asked.append(request.id)
            return backends[len(asked) % len(backends)]

    browser = Browser(sticky, mine=Turns())
    for at in range(5):
        browser.get(float(at))
    assert asked == [1]


@KINDS_OF_STICKY
@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (Drain("web", "a"), "is draining"),
        (Disable("web", "a"), "is in maintenance"),
        (SetWeight("web", "a", 0), "has weight 0"),
        (Remove("web", "a"), "is gone"),
    ],
)
def test_a_client_of_one_that_gets_nothing_is_balanced_anew_and_stays_there(
    sticky: Sticky, gone: Any, says: str
) -> None:
    browser = Browser(sticky)
    assert browser.get() == "a"
    browser.balancer.command(gone, 1.0)
    assert browser.get(1.0) == "b"
    assert browser.picked.because == "algorithm"
    assert browser.picked.affinity.endswith(f"a, which {says}: balanced anew")
    if not isinstance(gone, Remove):
        browser.balancer.command(Enable("web", "a"), 2.0)
    assert [browser.get(at) for at in (2.0, 3.0)] == ["b", "b"]


def test_one_that_is_full_loses_the_client_too() -> None:
    browser = Browser(backends=[BackendConfig("a", limit=1), BackendConfig("b")])
    assert browser.get() == "a"
    browser.jar, mine = "", browser.jar
    browser.balancer.command(Disable("web", "b"), 0.0)
    browser.ask()
    browser.balancer.command(Enable("web", "b"), 0.0)
    browser.jar = mine
    assert browser.get(1.0) == "b"
    assert browser.picked.affinity == "cookie SERVER_ID names a, which is full, 1 of 1: balanced anew"


@KINDS_OF_STICKY
def test_a_retry_that_goes_elsewhere_takes_the_client_along(sticky: Sticky) -> None:
    browser = Browser(sticky, retry=Retry(attempts=2))
    assert browser.get() == "a"
    forward = browser.ask(1.0)
    assert forward.backend.name == "a"
    again = browser.balancer.finish(forward.request, Outcome.failed("refused"), 1.0)
    assert isinstance(again, Forward)
    assert again.backend.name == "b"
    assert browser.picked.because == "retry"
    assert browser.picked.affinity.endswith("a, which was tried already: balanced anew")
    browser.balancer.finish(again.request, Outcome.answered(200), 1.0)
    browser.jar = again.set_cookie.partition(";")[0] or browser.jar
    assert browser.get(2.0) == "b"


def test_a_namesake_that_came_later_takes_over_the_clients() -> None:
    browser = Browser()
    browser.get()
    browser.balancer.command(Remove("web", "a"), 1.0)
    browser.balancer.command(Add("web", BackendConfig("a")), 1.0)
    assert browser.get(2.0) == "a"
    assert browser.picked.because == "sticky"


def test_a_cookie_ends_by_the_clock_of_the_shell_and_not_by_the_age_of_the_process() -> None:
    written = Browser(SIGNED).ask(at=5.0).set_cookie
    later = Browser(SIGNED)
    later.balancer = Balancer(
        [PoolConfig("web", backends=(BackendConfig("b"), BackendConfig("a")), sticky=SIGNED)],
        [Route("web")],
        rng=Random(2),
        report=later.events.append,
        epoch=SECOND + 1000,
    )
    later.jar = written.partition(";")[0]
    assert later.get(at=0.0) == "a", "a restart with the same secret"
    later.jar = written.partition(";")[0]
    assert later.get(at=805.0) == "b"
    assert later.picked.affinity == "cookie SERVER_ID is too old: balanced anew"


def test_with_nobody_there_a_sticky_request_is_rejected_like_any_other() -> None:
    browser = Browser(names="a")
    browser.get()
    browser.balancer.command(Drain("web", "a"), 1.0)
    assert browser.balancer.arrive(Request(9, 1.0, headers={"cookie": browser.jar})) == Reject(
        9, 503, "no backend is available"
    )


def test_when_all_are_down_and_the_pool_fails_open_the_client_stays() -> None:
    browser = Browser(all_down="fail_open", backends=[BackendConfig("a"), BackendConfig("b")])
    assert browser.get() == "a"
    browser.balancer.command(SetWeight("web", "b", 0), 1.0)
    assert browser.get(1.0) == "a"


headers = junk | st.lists(pieces, max_size=12).map("".join)


@given(st.lists(headers, max_size=8))
def test_a_forged_cookie_gets_whom_the_algorithm_says(forged: list[str]) -> None:
    sticky, plain = Browser(SIGNED), Browser(SIGNED)
    for header in forged:
        sticky.jar, plain.jar = f"SERVER_ID={header}", ""
        assert sticky.get() == plain.get()
        assert sticky.picked.because == "algorithm"


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["get", "drain", "enable"])), max_size=25), st.booleans())
def test_whoever_listens_or_not_the_same_is_decided(program: list[tuple[int, str]], source: bool) -> None:
    sticky = Sticky(source=True) if source else SIGNED
    heard, unheard = Browser(sticky), Browser(sticky)
    unheard.balancer.report_to(None)
    for at, (which, what) in enumerate(program):
        for browser in (heard, unheard):
            if what == "drain" and which < 2:
                browser.balancer.command(Drain("web", "abc"[which]), float(at))
            elif what == "enable" and which < 3:
                browser.balancer.command(Enable("web", "abc"[which]), float(at))
        assert heard.get(float(at), f"10.0.0.{which}") == unheard.get(float(at), f"10.0.0.{which}")
        assert heard.jar == unheard.jar
