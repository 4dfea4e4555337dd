"""What a pool's hashing algorithms hash: the client's address, a header, a cookie, or the path.

`key = "cookie:cart"` sends whoever shows the same cookie to the same backend, from wherever they call. A request
without that header or cookie, or with an empty one, counts by its client's address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Request

Key = Callable[[Request], str]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""The name of a header or a cookie (RFC 9110, section 5.6.2; RFC 6265, section 4.1.1)."""

_NAMED = re.compile(rf"(header|cookie):({_TOKEN})")


def is_token(text: str) -> bool:
    """Can a header or a cookie have this name?"""
    return re.fullmatch(_TOKEN, text) is not None


def read_key(form: str) -> Key | None:
    """How to find a request's key; None for `"address"`, where there is nothing to find.

    The other forms are `"header:NAME"` (in any case), `"cookie:NAME"` (in this case) and `"path"` (without the query).
    Raises `ConfigError` for anything else.
    """
    if form in _UNNAMED:
        return _UNNAMED[form]
    named = _NAMED.fullmatch(form)
    if named is None:
        raise ConfigError(f'a key is "address", "path", "header:NAME" or "cookie:NAME", not {form!r}')
    kind, name = named.groups()
    return _header(name.lower()) if kind == "header" else _cookie(name)


def _path(request: Request) -> str:
    return request.path.partition("?")[0]


_UNNAMED: dict[str, Key | None] = {"address": None, "path": _path}


def _header(name: str) -> Key:
    return lambda request: request.headers.get(name) or request.client


def _cookie(name: str) -> Key:
    return lambda request: cookie(request, name) or request.client


def cookie(request: Request, name: str) -> str:
    """The value of the request's first cookie of that name that has one, or nothing."""
    return read_cookie(request.headers.get("cookie", ""), name)


@lru_cache(maxsize=256)  # a client that stays shows the same field again and again
def read_cookie(field: str, name: str) -> str:
    """The same, in a Cookie field."""
    for pair in field.split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name and value:
            return value
    return ""
