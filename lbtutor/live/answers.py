"""Answers of the balancer's own: whole messages, made here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from lbtutor.live.fields import BODILESS


@lru_cache(maxsize=256)
def own_answer(status: int, says: str, *, close: bool, bodiless: bool = False) -> bytes:
    """A whole answer of the balancer's own, with a line of text for the person who reads it."""
    fields = (("Content-Type", "text/plain; charset=utf-8"),)
    return whole_answer(status, fields, f"{status} {_phrase(status)}: {says}\n", close=close, bodiless=bodiless)


def whole_answer(
    status: int, fields: Iterable[tuple[str, str]], body: str, *, close: bool, bodiless: bool = False
) -> bytes:
    """A whole answer with these fields and those that frame it; `bodiless` for HEAD, where only the body is left out.

    Where the status alone says that there is no body, no length is given either (RFC 9110, section 8.6).
    """
    content = body.encode("utf-8", "replace")
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in fields)]
    lines += [] if status in BODILESS else [f"Content-Length: {len(content)}"]
    head = "\r\n".join([*lines, f"Connection: {'close' if close else 'keep-alive'}", "", ""]).encode()
    return head if bodiless or status in BODILESS else head + content


def named(answer: bytes, request: bytes) -> bytes:
    """The same answer with the name of the request that it is for, by which one finds that in a log."""
    return answer.replace(b"\r\n", b"\r\nX-Request-Id: %b\r\n" % request, 1)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
