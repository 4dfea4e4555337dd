from __future__ import annotations

import socket

import pytest

from lbtutor.core import ConfigError
from lbtutor.live.addresses import Address, Trust, cause_of, client_address_mode


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:8080", "::1", 8080), ("web.lan:0", "web.lan", 0)],
)
def test_an_address_is_read_and_said(text: str, host: str, port: int) -> None:
    address = Address.parse(text, "here")
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "8080", "lab", "lab:", ":80", "lab:http", "lab:70000", "lab:-1", "::1:80", "lab:८०"]
)
def test_what_is_no_address_is_refused_by_the_name_of_its_owner(text: str) -> None:
    with pytest.raises(ConfigError, match="backend web/a"):
        Address.parse(text, "backend web/a")


def test_nobody_is_believed_unless_named() -> None:
    assert not Trust((), "here").believes("127.0.0.1")
    trust = Trust(("10.0.0.0/8", "::1"), "here")
    assert trust.believes("10.9.8.7")
    assert trust.believes("::1")
    assert not trust.believes("11.0.0.1")
    assert not trust.believes("unknown")


def test_trust_in_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="listener front: trusted_proxies"):
        Trust(("everybody",), "listener front")


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("1.1.1.1", "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1", "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("1.1.1.1, nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(said: str, client: str) -> None:
    assert Trust(("10.0.0.0/8",), "here").client("10.0.0.1", said) == client


def test_the_mode_says_whether_clients_can_bind_to_addresses_of_their_own() -> None:
    with socket.socket() as client:
        try:
            client.bind(("127.0.1.2", 0))
        except OSError:
            assert client_address_mode() == "header"
        else:
            assert client_address_mode() == "loopback"


def test_causes_are_words() -> None:
    assert cause_of(ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")) == "connection refused"
    assert cause_of(socket.gaierror(-2, "Name or service not known")) == "no such host name"
    assert cause_of(OSError("Multiple exceptions")) == "multiple exceptions"
