from __future__ import annotations

import ssl
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.live.addresses import Address
from lbtutor.live.hello import MOST_BYTES
from lbtutor.live.preamble import Preamble, Unwelcome
from lbtutor.live.proxy_protocol import header_v1, header_v2

CLIENT, DOOR = Address("203.0.113.7", 4711), Address("192.0.2.1", 443)
ANNOUNCED = header_v1(CLIENT, DOOR)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


@cache
def hello(name: str | None = "a.example") -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def fed(preamble: Preamble, data: bytes, step: int) -> bytes | None:
    """What is for the backend, of all these bytes; None when the preamble is not over."""
    for at in range(0, len(data), step):
        rest = preamble.feed(data[at : at + step])
        if rest is not None:
            return rest + data[at + step :]
    return None


@given(st.integers(1, 60), st.sampled_from((header_v1, header_v2)))
def test_the_header_is_taken_out_and_the_rest_is_for_the_backend(step: int, header: type) -> None:
    preamble = Preamble(proxy=True, hello=False, strict=False)
    assert fed(preamble, header(CLIENT, DOOR) + REQUEST, step) == REQUEST
    assert (preamble.source, preamble.destination, preamble.server_name) == (CLIENT, DOOR, "")


@given(st.integers(1, 200))
def test_a_hello_is_looked_at_and_passed_on_as_it_came(step: int) -> None:
    preamble = Preamble(proxy=False, hello=True, strict=True)
    assert fed(preamble, hello() + b"more", step) == hello() + b"more"
    assert (preamble.source, preamble.server_name) == (None, "a.example")


@given(st.integers(1, 200))
def test_the_header_stands_ahead_of_the_hello(step: int) -> None:
    preamble = Preamble(proxy=True, hello=True, strict=True)
    assert fed(preamble, header_v2(CLIENT, DOOR) + hello(), step) == hello()
    assert (preamble.source, preamble.server_name) == (CLIENT, "a.example")


def test_a_header_with_nothing_behind_it_ends_the_preamble() -> None:
    assert Preamble(proxy=True, hello=False, strict=False).feed(ANNOUNCED) == b""


@pytest.mark.parametrize("said", [REQUEST, bytes(100), b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_whoever_speaks_no_tls_asks_for_no_server(said: bytes) -> None:
    preamble = Preamble(proxy=False, hello=True, strict=False)
    assert preamble.feed(said) == said
    assert preamble.server_name == ""
    with pytest.raises(Unwelcome):
        Preamble(proxy=False, hello=True, strict=True).feed(said)


def test_a_client_that_names_no_server_is_refused_only_where_that_is_strict() -> None:
    assert Preamble(proxy=False, hello=True, strict=False).feed(hello(None)) == hello(None)
    with pytest.raises(Unwelcome):
        Preamble(proxy=False, hello=True, strict=True).feed(hello(None))


def test_whoever_does_not_say_who_it_is_is_refused() -> None:
    with pytest.raises(Unwelcome):
        Preamble(proxy=True, hello=False, strict=False).feed(REQUEST)


@given(st.binary(max_size=2 * MOST_BYTES), st.booleans(), st.booleans(), st.booleans(), st.integers(1, MOST_BYTES))
def test_any_bytes_are_held_passed_on_or_refused(data: bytes, proxy: bool, hello: bool, strict: bool, cut: int) -> None:
    preamble = Preamble(proxy=proxy, hello=hello, strict=strict)
    try:
        rest = fed(preamble, data, cut)
    except Unwelcome:
        assert proxy or strict
    else:
        assert rest is None or data.endswith(rest)
