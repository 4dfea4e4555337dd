"""Keys: what is hashed, and what counts where it is missing."""

from __future__ import annotations

from random import Random

import pytest

from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.keys import read_key
from lbtutor.core.messages import BackendConfig, Forward, Outcome, Request
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route

CLIENT = "192.168.1.100"


def key_of(form: str, path: str = "/", **headers: str) -> str:
    read = read_key(form)
    assert read is not None
    return read(Request(id=1, at=0.0, client=CLIENT, path=path, headers=headers))


def test_of_an_address_there_is_nothing_to_find() -> None:
    assert read_key("address") is None


@pytest.mark.parametrize("form", ["header:User", "header:user", "header:USER"])
def test_a_header_is_found_in_any_case(form: str) -> None:
    assert key_of(form, user="u1") == "u1"


@pytest.mark.parametrize(
    ("cookies", "key"),
    [
        ("cart=7", "7"),
        ("a=1; cart=7; b=2", "7"),
        ("a=1;cart=7", "7"),
        ("cart=7=8", "7=8"),
        ("cart=7; cart=8", "7"),
        ("cart=; cart=8", "8"),
        ("xcart=1; cartx=2; Cart=3", CLIENT),
        ("cart", CLIENT),
        ("cart=", CLIENT),
        ("", CLIENT),
    ],
)
def test_a_cookie_is_found_among_the_others_or_the_address_counts(cookies: str, key: str) -> None:
    assert key_of("cookie:cart", cookie=cookies) == key


def test_without_the_header_or_the_cookie_the_address_counts() -> None:
    assert [key_of("header:user"), key_of("header:user", user=""), key_of("cookie:cart")] == [CLIENT] * 3


def test_a_path_counts_without_its_query() -> None:
    assert [key_of("path", "/a/b?c=d"), key_of("path", "/a/b")] == ["/a/b", "/a/b"]


@pytest.mark.parametrize("form", ["", "adress", "header", "header:", "header:a b", "cookie:a=b", "query:x", "Path"])
def test_another_form_is_refused_with_those_that_there_are(form: str) -> None:
    with pytest.raises(ConfigError, match='a key is "address", "path", "header:NAME" or "cookie:NAME", not'):
        PoolConfig("web", key=form)


class Listener:
    """Notes the key of each request, and picks the first."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        self.keys.append(request.key)
        return backends[0]


def keys_seen(form: str) -> list[str]:
    """The keys of a request that is refused once and tried again, and of one without a cookie."""
    algorithm = Listener()
    config = PoolConfig("web", backends=(BackendConfig("a"), BackendConfig("b")), retry=Retry(2), key=form)
    balancer = Balancer([config], [Route("web")], rng=Random(1), algorithms={"web": algorithm})
    forward = balancer.arrive(Request(1, 0.0, CLIENT, CLIENT, headers={"cookie": "cart=7"}))
    assert isinstance(forward, Forward)
    balancer.finish(1, Outcome.failed("refused"), 0.1)
    balancer.arrive(Request(2, 0.2, CLIENT, CLIENT))
    return algorithm.keys


def test_the_balancer_finds_the_key_for_its_algorithm_and_keeps_it_for_a_retry() -> None:
    assert keys_seen("cookie:cart") == ["7", "7", CLIENT]


def test_by_address_the_request_comes_as_the_shell_made_it() -> None:
    assert keys_seen("address") == [CLIENT] * 3


def test_clients_with_the_same_cookie_go_to_the_same_backend_from_wherever_they_call() -> None:
    names = tuple(BackendConfig(name) for name in "abcde")
    balancer = Balancer([PoolConfig("web", "rendezvous", names, key="cookie:cart")], [Route("web")], rng=Random(1))
    picked = set()
    for number in range(50):
        decision = balancer.arrive(Request(number, 0.0, f"10.0.0.{number}", headers={"cookie": "cart=7"}))
        assert isinstance(decision, Forward)
        picked.add(decision.backend.name)
    assert len(picked) == 1
