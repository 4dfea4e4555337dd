"""How to talk to a stranger's class: which of its methods means what, and which of our values it wants.

Most classes need nothing said. A method that takes fewer values than we have gets those whose names it knows
(`finished(self, server)`), or the first ones. What remains is a line of an `Adapter`:

    Adapter(finished="release(name)", counts_in_pick=True)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.testing.sandbox.faults import NotGradable
from lbtutor.testing.sandbox.room import Class, Function

ALIASES: Mapping[str, tuple[str, ...]] = {
    "client": ("client", "client_ip", "client_id", "ip", "key", "source", "src", "addr", "address"),
    "name": (
        "name",
        "server",
        "backend",
        "node",
        "host",
        "upstream",
        "target",
        "server_name",
        "server_id",
        "sid",
        "who",
    ),
    "now": ("now", "at", "time", "t", "timestamp", "ts", "clock", "current_time", "now_s", "when"),
    "latency": ("latency", "took", "elapsed", "duration", "rtt", "response_time", "seconds", "latency_s"),
    "ok": ("ok", "success", "succeeded", "passed", "good"),
    "healthy": ("healthy", "up", "is_healthy", "is_up", "health", "alive", "available"),
    "weight": ("weight", "w"),
}
"""What strangers call the values that we have."""

_CALL = re.compile(r"\s*(\w+)\s*(?:\(([\w\s,]*)\))?\s*")


class Adapter(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose names differ from ours: for each of our questions the method that answers it, and with what.

    Each is `"method(value, …)"` with our words for the values, or just `"method"`; an empty text says that there is no
    such method. `counts_in_pick`: choosing already counts the request, so `started` is not called. `none` names the
    exception that says "nobody is there", where None is not returned.
    """

    pick: str = "pick"
    started: str = "started"
    finished: str = "finished"
    set_healthy: str = "set_healthy"
    add: str = "add"
    remove: str = "remove"
    available: str = "available"
    ejected: str = "ejected"
    arrived: str = "arrived"
    retry: str = "retry"
    wait: str = "wait"
    ended: str = "ended"
    drain: str = "drain"
    cancel: str = "cancel"
    state: str = "state"
    accepts: str = "accepts"
    slow: str = "slow"
    desired: str = "desired"
    on_probe: str = "on_probe"
    route: str = "route"
    match: str = "match"
    counts_in_pick: bool = False
    none: str = "None"


Fit = Callable[[Mapping[str, Any]], tuple[Any, ...]]
"""Takes our values by name, gives those that a method wants, in its order."""


def fit(cls: Class, wish: str, ours: tuple[str, ...]) -> tuple[str, Fit] | None:
    """The method that a wish of an adapter names, and what to hand it; None if the class has no such method.

    Raises `ConfigError` for a wish that cannot be read, `NotGradable` for a method that wants more than we have.
    """
    if not wish:
        return None
    match = _CALL.fullmatch(wish)
    if match is None:
        raise ConfigError(f"adapter: {wish!r} is not of the form `method(value, …)`")
    method, listed = match.groups()
    if method not in cls.methods:
        return None
    names = _listed(listed, ours) if listed is not None else wanted(cls.methods[method], ours)
    return method, lambda values: tuple(values[name] for name in names)


def _listed(listed: str, ours: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in listed.split(",") if name.strip()]
    for name in names:
        if name not in ours:
            raise ConfigError(f"adapter: there is no value {name!r} here; there is {', '.join(ours)}")
    return names


def wanted(function: Function, ours: tuple[str, ...]) -> list[str]:
    """Which of our values a function wants, in its order: by their names if it knows all of these, else the first."""
    plain = [parameter for parameter in function.parameters if parameter.kind == "plain"]
    if any(parameter.kind == "rest" for parameter in function.parameters):
        return list(ours)
    known = [_ours(parameter.name, ours) for parameter in plain]
    if all(known) and len(set(known)) == len(known):
        return [name for name in known if name]
    required = sum(parameter.required for parameter in plain)
    if required > len(ours):
        raise NotGradable(
            f"{function.name} wants {required} values, and there are {len(ours)}: {', '.join(ours)}", function.line
        )
    return list(ours[: max(required, min(len(plain), len(ours)))])


def _ours(name: str, ours: tuple[str, ...]) -> str | None:
    return next((word for word in ours if name.lower() in ALIASES.get(word, (word,))), None)
