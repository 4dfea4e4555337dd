from __future__ import annotations

import ssl
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.live.hello import MOST_BYTES, Hello, HelloReader, NotHello


def said_by_openssl(name: str | None, *alpn: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What a real client sends first."""
    context = ssl.create_default_context()
    context.maximum_version = version
    if name is None:
        context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@cache
def a_hello() -> bytes:
    return said_by_openssl("a.example", "h2", "http/1.1")


def vector(size_of_length: int, data: bytes) -> bytes:
    return len(data).to_bytes(size_of_length) + data


def records(message: bytes, *sizes: int) -> bytes:
    """The message in records of these sizes, the rest in a last one."""
    pieces = []
    for size in sizes:
        pieces.append(message[:size])
        message = message[size:]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in (*pieces, message) if piece)


def message(*extensions: tuple[int, bytes], after: bytes = b"") -> bytes:
    """A ClientHello made by hand."""
    block = b"".join(kind.to_bytes(2) + vector(2, data) for kind, data in extensions)
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0") + vector(2, block)
    return b"\x01" + vector(3, body + after)


def names(*names: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, vector(2, b"".join(bytes((kind,)) + vector(2, name) for name in names))


def read(data: bytes) -> Hello | NotHello | None:
    return HelloReader().feed(data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_real_client_is_understood(version: ssl.TLSVersion) -> None:
    assert read(said_by_openssl("A.Example", "h2", "http/1.1", version=version)) == Hello(
        "a.example", ("h2", "http/1.1")
    )
    assert read(said_by_openssl(None, version=version)) == Hello("", ())


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_a_hello_in_pieces_is_known_with_its_last_byte_and_kept_as_it_came(step: int) -> None:
    reader, hello = HelloReader(), a_hello()
    answers = [reader.feed(hello[at : at + step]) for at in range(0, len(hello), step)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == Hello("a.example", ("h2", "http/1.1"))
    assert reader.received == hello


@given(st.lists(st.integers(1, 60), max_size=12), st.lists(st.integers(1, 80), max_size=12))
def test_a_hello_in_any_records_and_reads_is_the_same_hello(sizes: list[int], reads: list[int]) -> None:
    data = records(message(names(b"b.example"), (16, vector(2, vector(1, b"h2")))), *sizes) + b"\x17 what follows"
    reader, answer, rest = HelloReader(), None, data
    for size in (*reads, len(data)):
        if answer is None:
            answer = reader.feed(rest[:size])
            rest = rest[size:]
    assert answer == Hello("b.example", ("h2",))
    assert reader.received + rest == data


def test_a_client_of_before_extensions_asks_for_nobody() -> None:
    body = b"\x03\x01" + bytes(32) + vector(1, b"id") + vector(2, b"\0\x2f") + vector(1, b"\0")
    assert read(records(b"\x01" + vector(3, body))) == Hello("", ())


def test_a_name_of_another_kind_is_no_server_name() -> None:
    assert read(records(message(names(b"x", kind=7)))) == Hello("", ())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02",
        b"\x80\x2e\x01\x03\x01",  # a hello of SSL 2
        b"\x16\x03\x01\x00\x00",
        records(b"\x02" + vector(3, bytes(60))),
        records(message(names(b"a"), names(b"a"))),
        records(message(names(b"a", b"b"))),
        records(message(names(b""))),
        records(message(names(b"a\0b"))),
        records(message(names(b"a b"))),
        records(message(names(b"\xc3\xa9"))),
        records(message(names(b"a" * 256))),
        records(message((0, vector(2, b"")))),
        records(message((0, names(b"a")[1] + b"x"))),
        records(message((0, vector(2, b"\0" + b"\0\x09short")))),
        records(message((16, vector(2, b"\x09short")))),
        records(message(names(b"a"), after=b"x")),
        records(b"\x01" + vector(3, bytes(33))),
        records(b"\x01\xff\xff\xff"),
        records(b"\x01" + vector(3, bytes(MOST_BYTES))[:-5], 9000),
    ],
)
def test_anything_else_is_not_a_hello(data: bytes) -> None:
    assert isinstance(read(data), NotHello)


def test_a_hello_that_does_not_end_in_time_is_none() -> None:
    reader = HelloReader()
    endless = records(message((21, bytes(MOST_BYTES))), *[1] * 3000)
    answers = {reader.feed(endless[at : at + 1]) for at in range(MOST_BYTES)}
    assert None in answers
    assert answers - {None} == {NotHello(f"no whole ClientHello within {MOST_BYTES} bytes")}


bent = st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=3))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda data: records(b"\x01" + vector(3, data)))))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert isinstance(read(data), (Hello, NotHello, type(None)))


@given(st.lists(bent, min_size=1, max_size=4))
def test_a_bent_hello_breaks_nothing_however_it_is_cut(bends: list[tuple[int, bytes]]) -> None:
    data = bytearray(a_hello())
    for at, instead in bends:
        data[at : at + len(instead)] = instead
    whole = read(bytes(data))
    reader = HelloReader()
    pieces = [answer for at in range(len(data)) if (answer := reader.feed(bytes(data[at : at + 1]))) is not None]
    assert (pieces[0] if pieces else None) == whole or isinstance(whole, NotHello)
