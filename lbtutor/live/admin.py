"""The operator's hand over HTTP: what can be asked and commanded, and what is answered.

    GET    /snapshot                              PUT  /pools/web/backends/a/weight          3
    GET    /ready                                 POST /pools/web/backends/a/drain?within=30s
    GET    /metrics                               POST /routes/shop/shift                    {"green": 100}

The whole list is `ENDPOINTS`, and `GET /` answers it. Every command is one of `lbtutor.core.messages`, carried out by
`LiveRun.act`, which the keys of the screen use too. Whatever goes wrong is an `{"error": …}` that says what would be
right. Nothing here knows of sockets: `lbtutor.live.admin_server` brings the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import Struct

from lbtutor.core.errors import ConfigError, EnvironmentFault, hint
from lbtutor.core.messages import Add, BackendConfig, Command, Disable, Drain, Enable, Remove, SetWeight, Shift
from lbtutor.core.snapshot import BackendSnapshot, PoolSnapshot
from lbtutor.core.units import Seconds
from lbtutor.live.run import LiveRun
from lbtutor.trace.exposition import state_of

T = TypeVar("T")

JSON = "application/json"

_SERVING = ("available", "backup", "full")
"""States of a backend that is in service, whether or not it can take the very next request."""


class Answer(Struct, frozen=True):
    """What the operator gets; `allow` names the methods that would have been right."""

    status: int
    body: bytes
    content_type: str = JSON
    allow: tuple[str, ...] = ()


class Refused(Exception):
    """The wish cannot be carried out: a status, and what to say."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Wish(Struct, frozen=True):
    """One question or command: the names in its path, its query, and its body."""

    names: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T], example: str) -> T:
        """The body as JSON of this kind."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(400, f"the body is not what was expected ({error}); an example: {example}") from error


class Admin:
    """Answers for one run.

    `reload` reads the configuration again and tells what is different; `metrics` answers text and its content type.
    Without them the same questions are answered 501.
    """

    def __init__(
        self,
        run: LiveRun,
        reload: Callable[[], str] | None = None,
        metrics: Callable[[], tuple[bytes, str]] | None = None,
    ) -> None:
        self._run = run
        self._reload = reload
        self._metrics = metrics

    def __repr__(self) -> str:
        return f"<Admin of {self._run!r}>"

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Do what is asked, and say what came of it."""
        parts = urlsplit(target)
        path = tuple(map(unquote, parts.path.strip("/").split("/")))
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        fitting = {endpoint.method: endpoint for endpoint in ENDPOINTS if endpoint.names_in(path) is not None}
        endpoint = fitting.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            return _wrong(method, parts.path, tuple(fitting))
        try:
            return endpoint.do(self, Wish(endpoint.names_in(path) or (), query, body))
        except Refused as refused:
            return error(refused.status, str(refused))
        except ConfigError as impossible:
            return error(422, str(impossible))
        except EnvironmentFault as fault:
            return error(503, str(fault))

    # -- questions ------------------------------------------------------------------------------------------------

    def _list(self, wish: Wish) -> Answer:
        return _json({f"{endpoint.method} {endpoint.path}": endpoint.says for endpoint in ENDPOINTS})

    def _ready(self, wish: Wish) -> Answer:
        run = self._run
        open_anyway = {pool.name for pool in run.plan.pools if pool.all_down == "fail_open"}
        pools = run.snapshot()
        down = [pool.name for pool in pools if pool.name not in open_anyway and not _serves(pool)]
        stopping = run.is_ending or run.ended.is_set()
        ready = not stopping and (not pools or len(down) < len(pools))
        return _json({"ready": ready, "stopping": stopping, "pools_down": down}, 200 if ready else 503)

    def _snapshot(self, wish: Wish) -> Answer:
        run = self._run
        return _json(
            {
                "listening": run.addresses,
                "stopping": run.is_ending,
                "connections": run.connections,
                "pools": [_pool(pool) for pool in run.snapshot()],
            }
        )

    def _scrape(self, wish: Wish) -> Answer:
        if self._metrics is None:
            raise Refused(501, "nothing is counted here")
        return Answer(200, *self._metrics())

    # -- commands -------------------------------------------------------------------------------------------------

    def _read_again(self, wish: Wish) -> Answer:
        if self._reload is None:
            raise Refused(501, "there is no file to read again")
        return _json({"reloaded": self._reload(), "listening": self._run.addresses})

    def _add(self, wish: Wish) -> Answer:
        pool = self._pool(wish.names[0])
        config = wish.read(BackendConfig, '{"name": "c", "address": "127.0.0.1:9003", "weight": 1}')
        if not config.name or "/" in config.name or config.name != config.name.strip():
            raise Refused(422, f"`name` of a backend is a word without a slash, not {config.name!r}")
        if config.address in self._run.addresses.values():
            raise Refused(422, f"{config.address} is an address of this proxy: requests would go round")
        self._run.act(Add(pool.name, config))
        return self._became(pool.name, config.name, status=201)

    def _remove(self, wish: Wish) -> Answer:
        pool, backend = self._member(wish)
        self._run.act(Remove(pool, backend))
        return _json(_pool(self._pool(pool)))

    def _enable(self, wish: Wish) -> Answer:
        return self._act(wish, Enable(*self._member(wish)))

    def _drain(self, wish: Wish) -> Answer:
        within = wish.query.get("within")
        return self._act(wish, Drain(*self._member(wish), None if within is None else Seconds(Seconds.parse(within))))

    def _disable(self, wish: Wish) -> Answer:
        return self._act(wish, Disable(*self._member(wish)))

    def _weigh(self, wish: Wish) -> Answer:
        return self._act(wish, SetWeight(*self._member(wish), wish.read(float, "3")))

    def _shift(self, wish: Wish) -> Answer:
        (name,) = wish.names
        named = [route.name for route in self._run.plan.routes if route.name]
        if name not in named:
            raise Refused(404, f"there is no route named {name!r}; {hint(name, named)}")
        to = wish.read(dict[str, float], '{"blue": 0, "green": 100}')
        self._run.act(Shift(name, to))
        return _json({"route": name, "to": to})

    def _act(self, wish: Wish, command: Command) -> Answer:
        self._run.act(command)
        pool, backend = wish.names
        return self._became(pool, backend)

    # -- what is there --------------------------------------------------------------------------------------------

    def _became(self, pool: str, backend: str, status: int = 200) -> Answer:
        found = (one for one in self._pool(pool).backends if one.name == backend)
        return _json({"pool": pool, "backend": next(map(_backend, found), None)}, status)

    def _pool(self, name: str) -> PoolSnapshot:
        pools = {pool.name: pool for pool in self._run.snapshot()}
        if name not in pools:
            raise Refused(404, f"there is no pool {name!r}; {hint(name, pools)}")
        return pools[name]

    def _member(self, wish: Wish) -> tuple[str, str]:
        pool, backend = wish.names
        names = [one.name for one in self._pool(pool).backends]
        if backend not in names:
            raise Refused(404, f"pool {pool} has no backend {backend!r}; {hint(backend, names)}")
        return pool, backend


class Endpoint(Struct, frozen=True):
    """What one method means at the paths of one form; `{…}` in it stands for a name."""

    method: str
    path: str
    do: Callable[[Admin, Wish], Answer]
    says: str

    def names_in(self, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """The names that `path` has where this one has braces; None when the path is of another form."""
        form = self.path.strip("/").split("/")
        if len(form) != len(path):
            return None
        pairs = list(zip(form, path, strict=True))
        if any(step != here and not step.startswith("{") for step, here in pairs):
            return None
        return tuple(here for step, here in pairs if step.startswith("{"))


_BACKEND = "/pools/{pool}/backends/{backend}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/", Admin._list, "this list"),
    Endpoint("GET", "/ready", Admin._ready, "200 while requests are taken and some pool can serve them, else 503"),
    Endpoint("GET", "/snapshot", Admin._snapshot, "every pool and backend: state, weight, in flight, latency, health"),
    Endpoint("GET", "/metrics", Admin._scrape, "the same and all counts, in the text format of Prometheus"),
    Endpoint("POST", "/reload", Admin._read_again, "read the file again: all of it takes effect, or nothing changes"),
    Endpoint("POST", "/pools/{pool}/backends", Admin._add, 'a new backend: {"name": "c", "address": "host:port"}'),
    Endpoint("DELETE", _BACKEND, Admin._remove, "take it out; what it has in flight may still end"),
    Endpoint("POST", f"{_BACKEND}/ready", Admin._enable, "end a drain or maintenance"),
    Endpoint(
        "POST", f"{_BACKEND}/drain", Admin._drain, "no new requests; with ?within=30s what is left is cut off then"
    ),
    Endpoint("POST", f"{_BACKEND}/maint", Admin._disable, "maintenance: neither requests nor probes"),
    Endpoint("PUT", f"{_BACKEND}/weight", Admin._weigh, "its share, a number such as 3; 0 offers it to nobody"),
    Endpoint("POST", "/routes/{route}/shift", Admin._shift, 'other weights for a split: {"blue": 0, "green": 100}'),
)
"""Everything that can be asked and commanded."""


def error(status: int, says: str, allow: tuple[str, ...] = ()) -> Answer:
    """What is answered when something is wrong."""
    return Answer(status, _encode({"error": says}), allow=allow)


def _wrong(method: str, path: str, allowed: tuple[str, ...]) -> Answer:
    if allowed:
        return error(405, f"{method} means nothing at {path}; {' and '.join(allowed)} would", allowed)
    return error(404, f"there is nothing at {path}; GET / lists what there is")


def _serves(pool: PoolSnapshot) -> bool:
    return any(state_of(backend) in _SERVING for backend in pool.backends)


def _pool(pool: PoolSnapshot) -> dict[str, Any]:
    return msgspec.structs.asdict(pool) | {"backends": list(map(_backend, pool.backends))}


def _backend(backend: BackendSnapshot) -> dict[str, Any]:
    return {"name": backend.name, "state": state_of(backend)} | msgspec.structs.asdict(backend)


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, _encode(value))


def _encode(value: object) -> bytes:
    """Indented, because people read it."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
