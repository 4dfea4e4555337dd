"""Paths as routes see them, and those that mean different things to different readers.

A route is found by a path, and the backend reads the path again. Where the two readings differ, one can ask for
`/public/..%2Fadmin`, be let in by the route of `/public` and be served `/admin`. So a path is compared as a backend
sees it, percent-decoded once (`/%61pi` is `/api`: RFC 3986, section 6.2.2.2), and a path about which decent backends
differ is nobody's: `doubt` says what is wrong with it.

| in the path | who reads it otherwise |
|---|---|
| a `.` or `..` segment, also with a `;parameter` | whoever removes dot segments (RFC 3986, section 5.2.4), Tomcat |
| two slashes | whoever merges them (NGINX) |
| a backslash, plain or encoded | whoever takes it for a slash (IIS, browsers) |
| an encoded slash or dot | whoever decodes before, or after, dot segments are removed |
| an encoded control byte | whoever ends a text at a zero byte, or a line at a line feed |
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

_DOUBTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an encoded slash", re.compile("%2f", re.IGNORECASE)),
    ("an encoded dot", re.compile("%2e", re.IGNORECASE)),
)

_DOUBTS_WHEN_DECODED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a backslash", re.compile(r"\\")),
    ("two slashes", re.compile("//")),
    ("a dot segment", re.compile(r"/\.{1,2}(?:[/;]|$)")),
    ("an encoded control byte", re.compile(r"[\x00-\x1f\x7f]")),
)


@lru_cache(maxsize=1024)  # requests repeat their paths
def compared(path: str) -> str | None:
    """`path` as routes see it: without its query, and decoded; None when it is ambiguous."""
    path = path.partition("?")[0]
    if _plain(path):
        return path
    return decode(path) if doubt(path) is None else None


def _plain(path: str) -> bool:
    """Whether it is at once clear that `path` reads the same for everybody; most are so."""
    return not ("%" in path or "//" in path or "/." in path or "\\" in path)


def doubt(path: str) -> str | None:
    """What makes `path` (without its query) ambiguous, in words; None when it is not."""
    decoded = decode(path)
    for says, pattern in _DOUBTS:
        if pattern.search(path):
            return says
    return next((says for says, pattern in _DOUBTS_WHEN_DECODED if pattern.search(decoded)), None)


def decode(path: str) -> str:
    """`path` percent-decoded once, each byte as one character, as the live shell hands paths over."""
    return unquote(path, "latin-1")
