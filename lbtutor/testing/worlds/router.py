"""From a request to a target: the family of routers.

A router is built with rules `(host | None, prefix, headers | None, target)` and asked `match(host, path, headers)`.
Hosts are exact or `*.name`; prefixes match whole segments; of headers, all that a rule names must be there.

Left out, since implementations may differ: doubled slashes, percent-encoding, hosts with a final dot, and whether
`*.a.com` takes `c.b.a.com` (both are right).

    operation            what happens
    ask host path {…}    a request with that host (perhaps in capitals, with a port), path (perhaps with a query) and
                         headers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lbtutor.testing.adapt import Fit, fit
from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room

SHAPE = "match(host, path, headers) -> target"

METHODS = ("match", "route", "resolve", "find", "lookup", "select", "pick", "dispatch")

Rule = tuple[str | None, str, Mapping[str, str] | None, str]

HOSTS = ("a.com", "b.a.com", "c.b.a.com", "xa.com")
PATTERNS = (None, "a.com", "b.a.com", "*.a.com", "*.b.a.com", "A.com", "xa.com")
PATHS = ("/", "/x", "/x/", "/xy", "/x/y", "/x/y/x", "/xy/x", "/y", "/X")
PREFIXES = ("/", "/x", "/x/", "/xy", "/x/y", "/y")
HEADERS = ("X-A", "X-B")
VALUES = ("1", "2")
"""Rules and requests are drawn from the same few words; with more, 99 of 100 requests would match nothing."""


class Asked(Moment):
    """A request, in plain words (`host` in small letters without its port, `path` without query), and the `rules`."""

    host: str = ""
    path: str = ""
    headers: Mapping[str, str] | None = None
    rules: tuple[Rule, ...] = ()

    def matching(self, deep: bool) -> list[Rule]:
        """The rules that match; with `deep`, `*.a.com` takes `c.b.a.com` as well."""
        return [rule for rule in self.rules if matches(rule, self.host, self.path, self.headers or {}, deep=deep)]

    def is_left_to_its_host(self) -> bool:
        """Does nothing match among the rules of the best host? Then whoever looks no further finds nothing."""
        return any(not self._of_the_best_host(deep=deep) for deep in (True, False))

    def _of_the_best_host(self, deep: bool) -> list[Rule]:
        known = [rule for rule in self.rules if matches((rule[0], "/", None, ""), self.host, "/", {}, deep=deep)]
        top = max((rank((rule[0], "/", None, "")) for rule in known), default=None)
        return [rule for rule in self.matching(deep) if rank((rule[0], "/", None, "")) == top]

    def best(self, deep: bool) -> set[str]:
        """The targets of the rules that win; more than one where a tie may fall anyhow."""
        found = self.matching(deep)
        top = max((rank(rule) for rule in found), default=None)
        ties = [rule for rule in found if rank(rule) == top]
        first = ties[:1] if len({(rule[1], len(rule[2] or {})) for rule in ties}) == 1 else ties
        return {rule[3] for rule in first}


def matches(rule: Rule, host: str, path: str, headers: Mapping[str, str], *, deep: bool) -> bool:
    """Does it match a request in plain words?"""
    pattern, prefix, wanted, _ = rule
    lower = {name.lower(): value for name, value in headers.items()}
    return (
        (pattern is None or _host_matches(pattern.lower(), host, deep=deep))
        and _segments(path)[: len(_segments(prefix))] == _segments(prefix)
        and all(lower.get(name.lower()) == value for name, value in (wanted or {}).items())
    )


def _host_matches(pattern: str, host: str, *, deep: bool) -> bool:
    if not pattern.startswith("*."):
        return host == pattern
    return host.endswith(pattern[1:]) and (deep or "." not in host.removesuffix(pattern[1:]))


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def rank(rule: Rule) -> tuple[int, int, int, bool]:
    """How specific a rule is: an exact host, then a longer wildcard, then more segments, then headers or none."""
    host = rule[0]
    kind = 0 if host is None else 1 if host.startswith("*.") else 2
    return kind, len(host or "") if kind == 1 else 0, len(_segments(rule[1])), bool(rule[2])


def recognise(cls: Class) -> str | None:
    """By its one method, which takes two or three values, and a constructor that takes rules."""
    method = _method(cls)
    return SHAPE if method is not None and cls.constructor else None


def _method(cls: Class) -> str | None:
    return next((name for name in METHODS if name in cls.methods), None)


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    count = draw.one((3, 2, 4, 6, 1, 0), (4, 4, 3, 2, 1, 0.2))
    rules: list[list[Any]] = []
    for number in range(count):
        rules.append(_rule(draw, f"t{number}"))
        if number and draw.chance(0.5):  # rules that differ in one thing alone, so that this must decide
            other, part = draw.one(rules[:-1]), draw.one((2, 0, 1), (2, 2, 1))
            rules[-1][:3] = [rules[-1][k] if k == part else other[k] for k in range(3)]
    return Program({"rules": rules}, tuple(_ask(draw) for _ in range(draw.one((8, 16, 24)))))


def rivals(draw: Draw) -> Program:
    """Rules that all match one request, each a little looser than the request in its own way, in any order."""
    host, path = draw.one(HOSTS), draw.one(PATHS)
    headers = {name: draw.one(VALUES) for name in HEADERS}
    hosts = [pattern for pattern in PATTERNS if matches((pattern, "/", None, ""), host, "/", {}, deep=False)]
    prefixes = [prefix for prefix in PREFIXES if matches((None, prefix, None, ""), host, path, {}, deep=False)]
    named = (None, {"X-A": headers["X-A"]}, headers)
    count = draw.one((2, 3, 5))
    rules = [[draw.one(hosts), draw.one(prefixes), draw.one(named), f"t{number}"] for number in range(count)]
    return Program({"rules": rules}, (("ask", host, path, headers),))


def _rule(draw: Draw, target: str) -> list[Any]:
    headers = {name: draw.one(VALUES) for name in HEADERS if draw.chance(0.5)} if draw.chance(0.5) else None
    return [draw.one(PATTERNS, (4, 3, 2, 3, 3, 1, 1)), draw.one(PREFIXES), headers, target]


def _ask(draw: Draw) -> Op:
    host, path = draw.one(HOSTS), draw.one(PATHS)
    host = draw.one((host, host.upper(), f"{host}:8080"), (5, 1, 1))
    path = draw.one((path, f"{path}?q=/xy", f"{path}#x"), (6, 1, 0.5))
    headers = {draw.one((name, name.lower())): draw.one(VALUES) for name in HEADERS if draw.chance(0.5)}
    return ("ask", host, path, headers)


def simpler(program: Program) -> Iterator[Program]:
    """Fewer rules, rules that ask for less, plainer requests."""
    rules, ops = program.setting["rules"], program.ops
    for k in range(len(rules)):
        yield Program({"rules": rules[:k] + rules[k + 1 :]}, ops)
    for k, (host, prefix, headers, target) in enumerate(rules):
        for plainer in _plainer_rule(host, prefix, headers):
            yield Program({"rules": [*rules[:k], [*plainer, target], *rules[k + 1 :]]}, ops)
    for number, op in enumerate(ops):
        for plainer_op in _plainer_ask(*op[1:]):
            yield Program(program.setting, (*ops[:number], plainer_op, *ops[number + 1 :]))


def _plainer_rule(host: str | None, prefix: str, headers: dict[str, str] | None) -> Iterator[list[Any]]:
    if headers:
        yield [host, prefix, None]
        for name in headers if len(headers) > 1 else ():
            yield [host, prefix, {name: headers[name]}]
    if host is not None:
        yield [None, prefix, headers]
    if prefix != "/":
        yield [host, "/", headers]


def _plainer_ask(host: str, path: str, headers: dict[str, str]) -> Iterator[Op]:
    plain_host, plain_path = plain(host, path)
    if headers:
        yield ("ask", host, path, {})
        for name in headers if len(headers) > 1 else ():
            yield ("ask", host, path, {name: headers[name]})
    for instead in (plain_host, "a.com"):
        if host != instead and host != "a.com":
            yield ("ask", instead, path, headers)
    for instead in (plain_path, "/"):
        if path != instead and path != "/":
            yield ("ask", host, instead, headers)


def plain(host: str, path: str) -> tuple[str, str]:
    """Host and path in plain words."""
    return host.partition(":")[0].lower(), path.partition("?")[0].partition("#")[0]


def picture(setting: Mapping[str, Any], _moments: list[Moment], _upto: int) -> list[str]:
    if not setting["rules"]:
        return ["rules: none"]
    return ["rules:", *(f"    {says(tuple(rule))} -> {rule[3]}" for rule in setting["rules"])]


def says(rule: Rule) -> str:
    """A rule's conditions, in a few words."""
    host, prefix, headers, _ = rule
    wanted = "".join(f", {name}: {value}" for name, value in (headers or {}).items())
    return f"{host or 'any host'} {prefix}{wanted}"


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """The rules, and the router that has them."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Asked] = []
        self._room = room
        self._rules = tuple((host, prefix, headers, name) for host, prefix, headers, name in setting["rules"])
        self._match = _ask_by(target)
        self._handle = room.make(target.cls.name, list(self._rules))

    def do(self, op: int, what: Op) -> None:
        _, host, path, headers = what
        with_headers = "".join(f", {name}: {value}" for name, value in headers.items())
        wish = f"a request for {host}{path}{with_headers}"
        moment = Asked(op, "ask", wish, SILENT, True, *plain(host, path), headers, self._rules)  # noqa: FBT003
        self.moments.append(moment)
        method, values = self._match
        answer = self._room.call(self._handle, method, *values({"host": host, "path": path, "headers": headers}))
        moment.answer = answer


def _ask_by(target: Target) -> tuple[str, Fit]:
    ours = ("host", "path", "headers")
    found = fit(target.cls, target.adapter.match, ours)
    if found is not None:
        return found
    method = _method(target.cls)
    assert method is not None, "recognised"
    return method, lambda values: tuple(values[name] for name in ours)
