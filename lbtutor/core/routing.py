"""Routes: which pool answers a request.

Precedence, written once and obeyed always: among the routes that match, the one with an exact host wins over a wildcard
host, and that over no host; then the longer path wins; then the earlier in the file. A path matches by whole segments:
`/api/users` takes `/api/users` and `/api/users/7` but not `/api/usersx`. (NGINX and Traefik match plain prefixes, ALB's
`/api/users/*` misses `/api/users` itself; the segment rule is Envoy's `path_separated_prefix`.)

A route that names a listener serves that listener alone. With no route that matches, the answer is 404.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Request


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that match every given condition go to `pool`."""

    pool: str
    path: str = "/"
    host: str = ""
    method: str = ""
    listener: str = ""

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ConfigError(f"route to {self.pool!r}: `path` must start with a slash, not {self.path!r}")
        if "*" in self.host.removeprefix("*.") or self.host == "*.":
            raise ConfigError(f"route to {self.pool!r}: `host` is exact or starts with `*.`, not {self.host!r}")


class Router:
    """Finds the route of a request; routes are held in order of precedence, so that the first match is the answer."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=_precedence)
        first = self._routes[0] if self._routes else None
        self._catch_all = first if first is not None and first == Route(first.pool) else None

    def __repr__(self) -> str:
        return f"<Router {self._routes}>"

    def match(self, request: Request) -> Route | None:
        """The route with the highest precedence, or None."""
        if self._catch_all is not None:
            return self._catch_all
        host = _without_port(request.host).lower()
        path = request.path.partition("?")[0]
        for route in self._routes:
            if (
                (not route.listener or route.listener == request.listener)
                and (not route.method or route.method == request.method)
                and _path_matches(route.path, path)
                and (not route.host or _host_matches(route.host.lower(), host))
            ):
                return route
        return None


def _precedence(route: Route) -> tuple[int, int]:
    host_rank = 2 if not route.host else 1 if route.host.startswith("*.") else 0
    return host_rank, -len(route.path.rstrip("/"))


def _without_port(host: str) -> str:
    """`a.com:80` is `a.com`, and `[::1]:80` is `[::1]`."""
    name, colon, port = host.rpartition(":")
    return name if colon and not port.endswith("]") else host


def _path_matches(prefix: str, path: str) -> bool:
    stem = prefix.rstrip("/")
    return not stem or path == stem or path.startswith(stem + "/")


def _host_matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
