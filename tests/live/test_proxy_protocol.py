"""Vectors of the specification (HAProxy, doc/proxy-protocol.txt), and laws for all other bytes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.live.addresses import Address
from lbtutor.live.proxy_protocol import MOST_BYTES, Parsed, ProxyError, header, header_v1, header_v2, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = Address("192.168.0.1", 56324), Address("192.168.0.11", 443)
V6 = Address("2001:db8::1", 1), Address("2001:db8::2", 65535)
LONGEST_V4 = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"
F = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
LONGEST_V6 = b"PROXY TCP6 %b %b 65535 65535\r\n" % (F, F)
LONGEST_UNKNOWN = b"PROXY UNKNOWN %b %b 65535 65535\r\n" % (F, F)


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(block).to_bytes(2) + block


V4_BLOCK = bytes.fromhex("c0a80001 c0a8000b dc04 01bb")
V6_BLOCK = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed + b"\x00\x01\xff\xff"
TLVS = b"\x04\x00\x03pad" + b"\x20\x00\x00"

GOOD = {
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n": V4,
    LONGEST_V4: (Address("255.255.255.255", 65535), Address("255.255.255.255", 65535)),
    LONGEST_V6: (Address(F.decode(), 65535), Address(F.decode(), 65535)),
    b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 1 65535\r\n": V6,
    b"PROXY TCP4 1.2.3.4 0.0.0.0 0 0\r\n": (Address("1.2.3.4", 0), Address("0.0.0.0", 0)),
    b"PROXY UNKNOWN\r\n": (None, None),
    b"PROXY UNKNOWN what ever \x00\xff\r\n": (None, None),
    LONGEST_UNKNOWN: (None, None),
    v2(0x21, 0x11, V4_BLOCK): V4,
    v2(0x21, 0x12, V4_BLOCK): V4,
    v2(0x21, 0x11, V4_BLOCK + TLVS): V4,
    v2(0x21, 0x21, V6_BLOCK): V6,
    v2(0x21, 0x22, V6_BLOCK + TLVS): V6,
    v2(0x20, 0x00, b""): (None, None),
    v2(0x20, 0x11, V4_BLOCK): (None, None),
    v2(0x20, 0xEE, b"what ever"): (None, None),
    v2(0x21, 0x00, b"ignored"): (None, None),
    v2(0x21, 0x31, bytes(216)): (None, None),
    v2(0x21, 0x11, V4_BLOCK + bytes(MOST_BYTES - 16 - 12)): V4,
}

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 \xb2 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
    b"PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY unknown\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n" + b"x" * 107,
    LONGEST_UNKNOWN[:-2] + b"x\r\n",
    v2(0x22, 0x11, V4_BLOCK),
    v2(0x11, 0x11, V4_BLOCK),
    v2(0x31, 0x11, V4_BLOCK),
    v2(0x21, 0x11, V4_BLOCK[:-1]),
    v2(0x21, 0x21, V6_BLOCK[:-1]),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x10, V4_BLOCK),
    v2(0x21, 0x13, V4_BLOCK),
    v2(0x21, 0x41, V6_BLOCK),
    v2(0x21, 0x11, V4_BLOCK + bytes(MOST_BYTES - 16 - 11)),
    SIGNATURE[:-1] + b"X" + b"\x21\x11\x00\x0c" + V4_BLOCK,
]


def outcome(buffer: bytes) -> Parsed | str | None:
    try:
        return parse(buffer)
    except ProxyError:
        return "not the PROXY protocol"


@pytest.mark.parametrize(("text", "ends"), GOOD.items())
def test_a_right_header_is_read_with_its_length_whatever_follows(
    text: bytes, ends: tuple[Address | None, Address | None]
) -> None:
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE):
        assert parse(text + rest) == (len(text), *ends)
        assert parse(bytearray(text + rest)) == (len(text), *ends)


@pytest.mark.parametrize("text", GOOD)
def test_a_header_that_is_not_whole_asks_for_more_at_every_byte(text: bytes) -> None:
    assert {outcome(text[:end]) for end in range(len(text))} == {None}


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_an_error(text: bytes) -> None:
    with pytest.raises(ProxyError):
        parse(text)


def test_the_longest_lines_are_as_long_as_the_specification_says() -> None:
    assert (len(LONGEST_V4), len(LONGEST_V6), len(LONGEST_UNKNOWN)) == (56, 104, 107)


def test_what_is_built_for_the_example_of_the_specification() -> None:
    assert header_v1(*V4) == b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    assert header_v2(*V4) == v2(0x21, 0x11, V4_BLOCK)
    assert header_v2(*V6) == v2(0x21, 0x21, V6_BLOCK)


def test_without_a_client_it_says_so() -> None:
    assert header_v1(None, None) == b"PROXY UNKNOWN\r\n"
    assert header_v2(None, None) == v2(0x20, 0x00, b"")
    assert header_v1(Address("unknown", 0), V4[1]) == b"PROXY UNKNOWN\r\n"


def test_ends_of_different_families_are_told_as_ipv6() -> None:
    mapped = Address(str(ip_address("::ffff:192.168.0.1")), 56324)
    for built in (header_v1(V4[0], V6[1]), header_v2(V4[0], V6[1])):
        assert parse(built) == (len(built), mapped, V6[1])


def test_a_zone_stays_on_this_machine() -> None:
    assert header_v1(Address("fe80::1%lo", 1), V6[1]) == b"PROXY TCP6 fe80::1 2001:db8::2 1 65535\r\n"


ports = st.integers(0, 65535)


def ends(version: int) -> st.SearchStrategy[tuple[Address, Address]]:
    one = st.builds(Address, st.ip_addresses(v=version).map(str), ports)  # type: ignore[arg-type]  # 4 or 6
    return st.tuples(one, one)


@given(st.sampled_from(("v1", "v2")), st.sampled_from((4, 6)).flatmap(ends), st.binary(max_size=40))
def test_what_is_built_is_read_back(version: str, both: tuple[Address, Address], rest: bytes) -> None:
    built = header(version, *both)  # type: ignore[arg-type]  # one of the two
    assert parse(built + rest) == (len(built), *both)
    assert parse(built[:-1]) is None


nearly = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(b"PROXY ".__add__),
    st.binary(max_size=200).map(SIGNATURE.__add__),
    st.tuples(st.sampled_from(list(GOOD)), st.integers(0, 300), st.binary(min_size=1, max_size=3)).map(
        lambda bent: bent[0][: bent[1]] + bent[2] + bent[0][bent[1] + len(bent[2]) :]
    ),
)


@given(nearly)
def test_no_bytes_raise_anything_else_and_a_verdict_once_given_stays(data: bytes) -> None:
    verdicts = [outcome(data[:end]) for end in range(len(data) + 1)]
    given_first = next((verdict for verdict in verdicts if verdict is not None), None)
    assert verdicts == [None] * verdicts.count(None) + [given_first] * (len(verdicts) - verdicts.count(None))
