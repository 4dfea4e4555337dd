from __future__ import annotations

import pytest

from lbtutor.live.answers import own_answer
from lbtutor.live.fields import Fields, Refusal
from lbtutor.live.heads import AnswerHead, HeadFields, RequestHead

LAST = b"X-Forwarded-For: 127.0.0.1\r\n\r\n"


def request(
    *fields: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/", version: str = "1.1"
) -> RequestHead:
    return RequestHead(method, target, version, [(b"Host", b"lab"), *fields], keep_alive=True)


def sent(*fields: tuple[bytes, bytes], target: bytes = b"/", method: bytes = b"GET") -> list[bytes]:
    return request(*fields, target=target, method=method).for_backend(LAST).split(b"\r\n")


def test_fields_between_the_ends_pass_as_they_came() -> None:
    assert sent((b"aCCept", b"a, b"), (b"Cookie", b"x=1")) == [
        b"GET / HTTP/1.1",
        b"Host: lab",
        b"aCCept: a, b",
        b"Cookie: x=1",
        b"X-Forwarded-For: 127.0.0.1",
        b"",
        b"",
    ]


@pytest.mark.parametrize("name", [b"Keep-Alive", b"proxy-connection", b"TE", b"UPGRADE"])
def test_hop_by_hop_fields_stop_here_in_a_request(name: bytes) -> None:
    assert not any(name.lower() in line.lower() for line in sent((name, b"x")))


def test_fields_that_connection_names_stop_here_in_whatever_spelling() -> None:
    lines = sent((b"X-Once", b"1"), (b"Connection", b"close, x-oNCE , X-Also"), (b"x-also", b"2"), (b"X-Other", b"3"))
    assert b"X-Other: 3" in lines
    assert not any(line.lower().startswith((b"x-once", b"x-also", b"connection")) for line in lines)


@pytest.mark.parametrize("name", [b"Host", b"Content-Length"])
def test_connection_cannot_remove_what_says_where_a_message_goes_or_ends(name: bytes) -> None:
    lines = sent((b"Content-Length", b"3"), (b"Connection", name), method=b"POST")
    assert b"Host: lab" in lines
    assert b"Content-Length: 3" in lines


def test_what_the_client_says_about_forwarding_is_kept_apart() -> None:
    head = request((b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-proto", b"https"))
    assert b"1.2.3.4" not in head.for_backend(LAST)
    assert head.hearsay == ((b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-proto", b"https"))


def test_length_and_coding_are_said_anew() -> None:
    assert b"Content-Length: 7" in sent((b"content-length", b"0007 "), method=b"POST")
    assert b"Transfer-Encoding: chunked" in sent((b"transfer-encoding", b" Chunked "), method=b"POST")


def test_an_expectation_is_passed_on_only_with_a_body_to_wait_for() -> None:
    expects = (b"Expect", b"100-Continue")
    assert b"Expect: 100-continue" in sent(expects, (b"Content-Length", b"3"), method=b"POST")
    assert not request(expects).expects
    assert not request(expects, (b"Content-Length", b"0")).expects


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"/a?b=//c", "lab", "/a?b=//c"),
        (b"http://other:81/a/b?c", "other:81", "/a/b?c"),
        (b"HTTP://other", "other", "/"),
        (b"http://other?c", "other", "/?c"),
    ],
)
def test_an_absolute_target_is_taken_apart(target: bytes, host: str, path: str) -> None:
    head = RequestHead(b"GET", target, "1.1", [(b"Host", host.encode())], keep_alive=True)
    assert (head.host, head.path) == (host, path)


@pytest.mark.parametrize(
    ("target", "host", "same"),
    [
        (b"http://LAB/", b"lab", True),
        (b"http://lab:80/", b"lab", True),
        (b"https://lab/", b"lab:443", True),
        (b"http://lab/", b"lab:443", False),
        (b"http://lab:81/", b"lab", False),
        (b"http://other/", b"lab", False),
        (b"http://lab@other/", b"lab", False),
    ],
)
def test_an_absolute_target_and_host_must_mean_the_same(target: bytes, host: bytes, same: bool) -> None:
    def understand() -> RequestHead:
        return RequestHead(b"GET", target, "1.1", [(b"Host", host)], keep_alive=True)

    if same:
        assert understand().path == "/"
    else:
        with pytest.raises(Refusal) as refused:
            understand()
        assert refused.value.status == 400


def test_the_asterisk_is_for_options_alone() -> None:
    assert request(method=b"OPTIONS", target=b"*").path == "*"
    with pytest.raises(Refusal, match="target"):
        request(target=b"*")


@pytest.mark.parametrize(
    ("fields", "target", "version", "status"),
    [
        ([(b"Host", b"twice")], b"/", "1.1", 400),
        ([(b"Content-Length", b"1"), (b"Content-Length", b"1")], b"/", "1.1", 400),
        ([(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")], b"/", "1.1", 400),
        ([(b"Transfer-Encoding", b"chunked")], b"/", "1.0", 400),
        ([(b"Transfer-Encoding", b"gzip, chunked")], b"/", "1.1", 400),
        ([(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], b"/", "1.1", 400),
        ([(b"Expect", b"a miracle")], b"/", "1.1", 417),
        ([], b"/a#b", "1.1", 400),
        ([], b"ftp://lab/", "1.1", 400),
        ([], b"http:///a", "1.1", 400),
        ([], b"lab:80", "1.1", 400),
        ([], b"/", "2.0", 505),
        ([], b"/", "0.9", 505),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(fields: Fields, target: bytes, version: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        request(*fields, target=target, version=version)
    assert refused.value.status == status


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a@b", b"a\xff", b'a"b'])
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    with pytest.raises(Refusal, match="Host"):
        RequestHead(b"GET", b"/", "1.1", [(b"Host", host)], keep_alive=True)


def test_only_http_1_0_may_come_without_host() -> None:
    assert RequestHead(b"GET", b"/", "1.0", [], keep_alive=False).host == ""
    with pytest.raises(Refusal, match="Host"):
        RequestHead(b"GET", b"/", "1.1", [], keep_alive=True)


def test_connect_is_not_spoken() -> None:
    with pytest.raises(Refusal) as refused:
        request(method=b"CONNECT", target=b"lab:443")
    assert refused.value.status == 501


def test_an_answer_loses_what_belongs_to_the_backends_connection() -> None:
    head = AnswerHead(
        200,
        b"OK",
        [(b"Server", b"s"), (b"Keep-Alive", b"timeout=5"), (b"Connection", b"x-debug"), (b"X-Debug", b"1")],
    )
    assert head.for_client(b"\r\n") == b"HTTP/1.1 200 OK\r\nServer: s\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (99, []),
        (200, [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
        (200, [(b"Content-Length", b"1"), (b"Content-Length", b"1")]),
        (200, [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")]),
        (200, [(b"Transfer-Encoding", b"gzip")]),
    ],
)
def test_an_answer_that_could_end_in_two_places_is_refused(status: int, fields: Fields) -> None:
    with pytest.raises(Refusal):
        AnswerHead(status, b"", fields)


def test_an_algorithm_sees_fields_in_lower_case_and_repeated_ones_joined() -> None:
    fields = HeadFields([(b"Cookie", b"a=1 "), (b"COOKIE", b"b=2"), (b"X", b"\xe9")])
    assert dict(fields) == {"cookie": "a=1, b=2", "x": "é"}
    assert len(fields) == 2


def test_our_own_answer_says_why() -> None:
    answer = own_answer(503, "no backend is available", close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Connection: close" in head
    assert b"Content-Length: %d" % len(body) in head
    assert body == b"503 Service Unavailable: no backend is available\n"
    assert own_answer(503, "no backend is available", close=True, bodiless=True) == head + b"\r\n\r\n"
