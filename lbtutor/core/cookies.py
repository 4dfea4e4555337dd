"""Cookies on the clients' side: what the clients of a lab remember, and what they show.

A browser in small (RFC 6265, section 5), for a crowd: each client keeps one jar for each host that it talks to, so no
cookie ever goes to another host than the one that gave it, whatever its `Domain` says. `Path` and `Secure` are obeyed.
A cookie ends with its `Max-Age`, else with its `Expires`, else never, since a lab's clients do not close their windows.
Time is the scenario's: in a run that is paused no cookie goes stale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf

from msgspec import Struct

_DATE = re.compile(r"\w+, (\d\d?)[ -](\w{3})[ -](\d{4}) (\d\d):(\d\d):(\d\d) GMT")
"""The one form of a date that servers may send (RFC 9110, section 5.6.7), or its older sister with dashes."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Cookie(Struct, frozen=True):
    """One cookie as a client keeps it; `until` is scenario time."""

    name: str
    value: str
    path: str = "/"
    until: float = inf
    secure: bool = False

    def fits(self, path: str, *, secure: bool) -> bool:
        """Is it for a request of that path, on a connection that is `secure` or not?"""
        return (secure or not self.secure) and path_matches(path, self.path)


def read_set_cookie(field: str, path: str, now: float, epoch: float = 0.0) -> Cookie | None:
    """Read a Set-Cookie field of the answer to a request for `path`; None when it names no cookie.

    `epoch` is the wall time (unix seconds) of scenario time 0, by which an `Expires` is understood.
    """
    pair, *attributes = field.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    if not equals or not name:
        return None
    said = dict(_attribute(text) for text in attributes)
    place = said.get("path", "")
    return Cookie(
        name, value, place if place.startswith("/") else default_path(path), _until(said, now, epoch), "secure" in said
    )


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def _until(said: Mapping[str, str], now: float, epoch: float) -> float:
    """When it ends: `Max-Age` counts before `Expires`, and what cannot be read does not count."""
    max_age = said.get("max-age", "")
    if max_age.removeprefix("-").isdecimal():
        return now + int(max_age) if int(max_age) > 0 else -inf
    expires = _unix_time(said.get("expires", ""))
    return inf if expires is None else expires - epoch


def _unix_time(date: str) -> float | None:
    found = _DATE.fullmatch(date)
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
    month = _MONTHS.index(found[2]) + 1
    return ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60.0 + second


def days_since_1970(year: int, month: int, day: int) -> int:
    """Days from 1 January 1970 to that date (Howard Hinnant, "chrono-compatible low-level date algorithms")."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def default_path(path: str) -> str:
    """The path of a cookie that names none: the request's, up to its last slash (RFC 6265, section 5.1.4)."""
    return path.partition("?")[0].rpartition("/")[0] or "/"


def path_matches(path: str, of_cookie: str) -> bool:
    """Does a cookie for `of_cookie` go with a request for `path`? By whole segments (RFC 6265, section 5.1.4)."""
    bare = path.partition("?")[0]
    return bare == of_cookie or bare.startswith(of_cookie if of_cookie.endswith("/") else of_cookie + "/")


class Jars:
    """The jars of a crowd: one for each client and host. True when anybody holds a cookie."""

    def __init__(self, epoch: float = 0.0) -> None:
        self._epoch = epoch
        self._jars: dict[tuple[int, str], dict[tuple[str, str], Cookie]] = {}

    def __repr__(self) -> str:
        return f"<Jars {len(self._jars)}>"

    def __bool__(self) -> bool:
        return bool(self._jars)

    def take(self, client: int, host: str, path: str, field: str, now: float) -> None:
        """A Set-Cookie field came with the answer to a request for `path`: keep the cookie, or forget the old one."""
        cookie = read_set_cookie(field, path, now, self._epoch)
        if cookie is None:
            return
        jar = self._jars.setdefault((client, host), {})
        if cookie.until > now:
            jar[cookie.name, cookie.path] = cookie
        else:
            jar.pop((cookie.name, cookie.path), None)

    def show(self, client: int, host: str, path: str, now: float, *, secure: bool = False) -> str:
        """The Cookie field for a request, longer paths first; empty when there is nothing to show."""
        jar = self._jars.get((client, host))
        if not jar:
            return ""
        for key in [key for key, cookie in jar.items() if cookie.until <= now]:
            del jar[key]
        fitting = [cookie for cookie in jar.values() if cookie.fits(path, secure=secure)]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)
