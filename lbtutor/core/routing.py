"""Routes: who answers a request.

A route names conditions, all of which must hold, and one target: a `pool`, a `split` between pools, a fixed response
(`respond`) or a `redirect`. With no route that matches, the answer is 404.

**Precedence**, written once and obeyed always. Of the routes that match, the first of these that tells two apart says
who wins:

1. an exact host before a wildcard host, and that before no host;
2. an exact server name (`sni`) before a wildcard, and that before none;
3. an exact path before a prefix;
4. the longer path before the shorter;
5. more conditions (method, listener, headers, cookies) before fewer;
6. the earlier in the file.

**Paths** match by whole segments: `/api/users` takes `/api/users` and `/api/users/7` but not `/api/usersx`. (NGINX and
Traefik match plain prefixes, ALB's `/api/users/*` misses `/api/users` itself; the segment rule is Envoy's
`path_separated_prefix`.) `prefix = "plain"` shows what goes wrong without it: then `/api/users` takes `/api/usersx` as
well. With `exact = true` the path takes itself alone. As soon as one route asks for a path, a request whose path can be
read in two ways is answered 400 and reaches nobody: see `lbtutor.core.paths`.

**Splits** keep each client in its group, in every process and after a restart: who it is (`split_key`, in the forms of
`lbtutor.core.keys`) is hashed with each pool's name, and the highest weighted score wins, as in `Rendezvous`. So each
pool gets its share of the clients, and a weight that changes moves only clients to or from its own pool. The same
client is in the same group of every split with the same pools and weights. A route that leads to one pool is a split
of one, so that a `Shift` from `blue` to 90 blue and 10 green moves a tenth of the clients, and nobody twice.

**Doors** for connections and sessions may name their pool themselves. That is one more route, of the lowest precedence
that a route of that door can have: see `with_doors`. A connection has a listener, the method `TCP` and perhaps a server
name, but no host, path or fields: what asks for these is for requests alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from math import inf
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from lbtutor.core.algorithms.consistent import weighted_score
from lbtutor.core.answers import Redirect, Respond, without_port
from lbtutor.core.errors import ConfigError, hint
from lbtutor.core.keys import cookie, read_key
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Answer, Request
from lbtutor.core.paths import compared, decode, doubt


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that match every given condition go to the one target.

    `host` is exact or `*.name`, in any case, with or without a final dot; `header` and `cookie` are names (those of
    headers in any case) and the exact values wanted; `sni` is the server name that a TLS client asks for, in the forms
    of `host`; `split` is pools and their weights. By its `name` the operator can shift a route to other pools.
    """

    pool: str = ""
    path: str = "/"
    host: str = ""
    method: str = ""
    listener: str = field(default="", name="listen")
    exact: bool = False
    header: Mapping[str, str] = field(default_factory=dict)
    cookie: Mapping[str, str] = field(default_factory=dict)
    split: Mapping[str, float] | None = None
    split_key: str = "address"
    respond: Respond | None = None
    redirect: Redirect | None = None
    sni: str = ""
    name: str = ""
    prefix: Literal["segments", "plain"] = "segments"

    def __post_init__(self) -> None:
        given = [name for name in ("pool", "split", "respond", "redirect") if getattr(self, name) not in (None, "")]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ConfigError(f"a route has exactly one target (pool, split, respond, redirect), not {found}")
        complaint = (
            _wrong_path(self.path)
            or _wrong_name("host", self.host)
            or _wrong_name("sni", self.sni)
            or _wrong_split(self.split)
            or ("`exact` and a `prefix` contradict one another" if self.exact and self.prefix == "plain" else None)
        )
        if complaint is not None:
            raise ConfigError(f"route to {self.target}: {complaint}")
        read_key(self.split_key)

    @property
    def target(self) -> str:
        """Where it leads, for a message to its author."""
        if self.pool:
            return repr(self.pool)
        return "a split" if self.split is not None else "a fixed response" if self.respond else "a redirect"

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that it may lead to."""
        return (self.pool,) if self.pool else tuple(self.split or ())

    @property
    def weights(self) -> dict[str, float]:
        """The pools that it may lead to and how much of its requests each gets, 100 for an only one."""
        return {self.pool: 100} if self.pool else dict(self.split or {})

    def shifted(self, to: Mapping[str, float]) -> Route:
        """The same route to other pools. Raises `ConfigError` for weights that cannot be."""
        only = next(iter(to)) if len(to) == 1 and all(to.values()) else ""
        return replace(self, pool=only, split=None if only else dict(to), respond=None, redirect=None)

    @property
    def says(self) -> str:
        """Its conditions, in a few words."""
        words = [f"{self.host}{self.path}"]
        words += [f"server name {self.sni}"] if self.sni else []
        words += ["exactly"] if self.exact else ["as a plain prefix"] if self.prefix == "plain" else []
        words += [f"method {self.method}"] if self.method else []
        words += [f"at {self.listener}"] if self.listener else []
        words += [f"header {name}: {value}" for name, value in self.header.items()]
        words += [f"cookie {name}={value}" for name, value in self.cookie.items()]
        return ", ".join(words)


_WINS_BY = ("the more exact host", "the more exact server name", "an exact path", "the longer path", "more conditions")
"""What tells two routes apart, in the order of `Rule.rank`; after these, the place in the file."""


class Rule:
    """A route, ready to be compared with requests. `pool` is where it leads, or empty when that depends."""

    __slots__ = (
        "_beginning",
        "_cookies",
        "_headers",
        "_host",
        "_says",
        "_sni",
        "_split",
        "_stem",
        "pool",
        "rank",
        "route",
    )

    def __init__(self, route: Route) -> None:
        self.route = route
        self.pool = route.pool
        self._host = _plain(route.host)
        self._sni = _plain(route.sni)
        self._stem, self._beginning = _path_wanted(route)
        self._headers = tuple((name.lower(), value) for name, value in route.header.items())
        self._cookies = tuple(route.cookie.items())
        self._split = None if route.split is None else Split(route.split, route.split_key)
        self._says = {pool: _says(route, self._split, pool) for pool in route.pools}
        self.rank = (
            _looseness(route.host),
            _looseness(route.sni),
            not route.exact,
            -len(self._stem),
            -bool(route.method) - bool(route.listener) - len(self._headers) - len(self._cookies),
        )

    def __repr__(self) -> str:
        return f"<Rule {self.route.says} for {self.route.target}>"

    @property
    def asks_for_path(self) -> bool:
        """Whether some paths do not match it."""
        return bool(self._stem)

    @property
    def asks_for_host(self) -> bool:
        """Whether some hosts do not match it."""
        return bool(self._host)

    def fits(self, request: Request, host: str, path: str) -> bool:
        """Does it match, seeing that `host` is in lower case without port, and `path` decoded without query?"""
        route = self.route
        return (
            (not route.listener or route.listener == request.listener)
            and (not route.method or route.method == request.method)
            and (not self._stem or path == self._stem or (self._beginning != "" and path.startswith(self._beginning)))
            and (not self._host or _name_matches(self._host, host))
            and (not self._sni or _name_matches(self._sni, _plain(request.sni)))
            and (not self._headers or all(request.headers.get(name) == value for name, value in self._headers))
            and (not self._cookies or all(cookie(request, name) == value for name, value in self._cookies))
        )

    def pool_for(self, request: Request) -> str:
        """The pool that this request goes to; empty when the balancer itself answers."""
        return self.pool if self._split is None else self._split.pool_for(request)

    def answer(self, request: Request) -> Answer | None:
        """The balancer's own answer; None when a redirect needs a host and the request names none."""
        own = self.route.respond or self.route.redirect
        return None if own is None else own.answer(request)

    def says(self, pool: str) -> str:
        """Its conditions, and how many of its split's weights are `pool`'s."""
        return self._says[pool]


class Split:
    """Weights of pools, and who belongs to which."""

    def __init__(self, weights: Mapping[str, float], key: str) -> None:
        self._weights = dict(weights)
        self._key = read_key(key)
        self._begun = [
            (blake2b(f"split {pool}\0".encode("utf-8", "surrogateescape"), digest_size=8), weight, pool)
            for pool, weight in weights.items()
            if weight
        ]

    def __repr__(self) -> str:
        return f"<Split {self._weights}>"

    def pool_for(self, request: Request) -> str:
        """The pool of the group that the request's client is in."""
        key = (request.client if self._key is None else self._key(request)).encode("utf-8", "surrogateescape")
        return max((weighted_score(begun, key, weight), pool) for begun, weight, pool in self._begun)[1]

    def says(self, pool: str) -> str:
        """`green, 10 of 100`."""
        return f"{pool}, {self._weights[pool]:g} of {sum(self._weights.values()):g}"


class Router:
    """Finds the route of a request; rules are held in order of precedence, so that the first match is the answer.

    Raises `ConfigError` when two routes have the same name.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        _check_names(self.routes)
        self._rules = sorted(map(Rule, self.routes), key=lambda rule: rule.rank)
        self._by_path = any(rule.asks_for_path for rule in self._rules)
        self._by_host = any(rule.asks_for_host for rule in self._rules)
        first = self._rules[0] if self._rules else None
        takes_all = first is not None and first.pool and first.route == Route(first.pool, name=first.route.name)
        self.catch_all = first if takes_all else None
        """The rule that takes every request; None where somebody has to look at them."""
        self.has_choice = len(self._rules) > 1 or any(not rule.pool for rule in self._rules)
        """Whether there is anything to tell about where a request goes: more than one route, or a split."""

    def __repr__(self) -> str:
        return f"<Router {self._rules}>"

    def named(self, name: str) -> Route:
        """The route of that name; raises `ConfigError` when there is none, or when it leads to no pool."""
        found = next((route for route in self.routes if name and route.name == name), None)
        if found is None:
            raise ConfigError(f"there is no route named {name!r}; {hint(name, _names(self.routes))}")
        if not found.pools:
            raise ConfigError(f"route {name!r} is {found.target} and leads to no pool")
        return found

    def with_route(self, old: Route, new: Route) -> Router:
        """The router of the same routes, but with `new` in the place of `old`."""
        return Router(new if route is old else route for route in self.routes)

    def match(self, request: Request) -> Rule | None:
        """The rule with the highest precedence; None when none matches, or the path is ambiguous."""
        if self.catch_all is not None:
            return self.catch_all
        return self._first_of(self._rules, request)

    def _first_of(self, rules: Iterable[Rule], request: Request) -> Rule | None:
        """The first that fits; host and path are looked at only if a rule asks for one."""
        path = compared(request.path) if self._by_path else ""
        if path is None:
            return None
        host = _plain(without_port(request.host)) if self._by_host else ""
        for rule in rules:
            if rule.fits(request, host, path):
                return rule
        return None

    def refusal(self, request: Request) -> tuple[int, str]:
        """Why a request has no rule: status and reason."""
        ambiguous = doubt(request.path.partition("?")[0]) if self._by_path else None
        if ambiguous is not None:
            return 400, f"an ambiguous path ({ambiguous}): {request.path}"
        return 404, f"no route for {request.host or request.sni}{request.path}"

    def why(self, request: Request, rule: Rule) -> str:
        """Why it was this rule, and before which other; `rule` is the one that `match` found."""
        second = self._first_of(self._rules[self._rules.index(rule) + 1 :], request)
        return "no other route matches" if second is None else _why_before(rule, second)


def _says(route: Route, split: Split | None, pool: str) -> str:
    return route.says if split is None else f"{route.says} (split: {split.says(pool)})"


@lru_cache(maxsize=1024)
def _why_before(rule: Rule, second: Rule) -> str:
    """What made a rule win over another that matches too."""
    apart = (says for says, mine, other in zip(_WINS_BY, rule.rank, second.rank, strict=True) if mine != other)
    return f"{next(apart, 'earlier in the file')}, before {second.route.says}"


def _path_wanted(route: Route) -> tuple[str, str]:
    """What the path must be, and with what it may begin instead; nothing where any path will do."""
    if route.exact:
        return decode(route.path), ""
    if route.prefix == "plain":
        stem = beginning = decode(route.path)
    else:
        stem = decode(route.path.rstrip("/"))
        beginning = stem + "/"
    return (stem, beginning) if beginning != "/" else ("", "")


def _wrong_path(path: str) -> str | None:
    if not path.startswith("/"):
        return f"`path` must start with a slash, not {path!r}"
    if not path.isascii() or not path.isprintable() or any(byte in path for byte in " ?#"):
        return f"`path` is visible ASCII without ? and #, the rest percent-encoded, not {path!r}"
    ambiguous = doubt(path)
    return None if ambiguous is None else f"`path` is ambiguous ({ambiguous}), so no request matches {path!r}"


def _wrong_name(key: str, name: str) -> str | None:
    if "*" in name.removeprefix("*.") or name == "*.":
        return f"`{key}` is exact or starts with `*.`, not {name!r}"
    return None


def _wrong_split(split: Mapping[str, float] | None) -> str | None:
    if split is None:
        return None
    for pool, weight in split.items():
        if not 0 <= weight < inf:
            return f"`split` gives weights of 0 or more, not {pool} = {weight!r}"
    return None if any(split.values()) else "`split` needs a pool with a weight above 0"


def _plain(name: str) -> str:
    """A name, and the same in another case or with a final dot (NGINX takes that off too)."""
    return name.lower().removesuffix(".")


def _name_matches(pattern: str, name: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _looseness(pattern: str) -> int:
    return 2 if not pattern else 1 if pattern.startswith("*.") else 0


def _names(routes: Iterable[Route]) -> list[str]:
    return [route.name for route in routes if route.name]


def _check_names(routes: Iterable[Route]) -> None:
    seen: set[str] = set()
    for name in _names(routes):
        if name in seen:
            raise ConfigError(f"two routes are named {name!r}")
        seen.add(name)


def with_doors(routes: Iterable[Route], doors: Iterable[ListenerConfig]) -> tuple[Route, ...]:
    """The routes, and one for each door that names its pool: what comes in there and has no better route."""
    return (*routes, *(Route(door.pool, listener=door.name) for door in doors if door.pool))
