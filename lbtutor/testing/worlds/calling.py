"""How to ask a stranger's object by our words, whatever its methods and values are called.

A word of ours has a usual method, which an `Adapter` may rename, and a few other names that people give it. What a
method or a constructor takes is told by the names of its parameters if these are known, else by our order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lbtutor.testing.adapt import ALIASES, Fit, fit
from lbtutor.testing.components import Target
from lbtutor.testing.sandbox.faults import NotGradable, Raised
from lbtutor.testing.sandbox.room import Class, Function, Room

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "finished": ("record", "report", "observe", "on_result", "on_response", "result", "record_result", "finish"),
    "failed": ("failure", "record_failure", "on_failure", "fail"),
    "succeeded": ("success", "record_success", "on_success", "succeed"),
    "available": ("healthy", "in_rotation", "available_servers", "get_available", "eligible", "members"),
    "ejected": ("out", "get_ejected", "ejected_servers"),
    "is_ejected": ("is_out",),
    "is_available": ("is_in", "is_healthy", "can_use"),
    "add": ("add_server", "add_host", "add_backend"),
    "remove": ("remove_server", "remove_host", "remove_backend", "discard"),
    "arrived": ("request", "on_request", "record_request", "new_request", "arrive"),
    "retry": ("should_retry", "may_retry", "can_retry", "allows", "allow"),
    "wait": ("backoff", "delay", "back_off", "sleep_time", "wait_time"),
    "started": ("start", "acquire", "begin", "request_started", "on_start"),
    "ended": ("finished", "finish", "release", "end", "done", "request_finished", "on_finish"),
    "drain": ("start_drain", "begin_drain", "start_draining"),
    "cancel": ("cancel_drain", "undrain", "resume", "stop_drain", "enable", "abort"),
    "state": ("status", "get_state", "current_state"),
    "accepts": ("accepting", "can_accept", "is_accepting", "accepts_new"),
    "share": ("factor", "fraction", "ramp", "scale"),
    "slow": ("weight", "effective_weight", "current_weight", "get_weight", "weight_at"),
    "desired": ("desired_replicas", "desire", "decide", "recommend", "scale", "wanted", "replicas", "evaluate"),
}
"""What else a method is called that answers a question of ours."""

VALUES: Mapping[str, tuple[str, ...]] = dict(ALIASES) | {
    "names": ("names", "servers", "backends", "members", "hosts", "nodes", "upstreams", "pool"),
    "fails": (
        "fails", "threshold", "max_fails", "consecutive", "consecutive_errors", "consecutive_failures", "failures",
        "consecutive_5xx", "error_limit", "limit", "n",
    ),
    "eject": (
        "eject", "eject_time", "eject_for", "base_ejection_time", "base", "base_time", "duration", "ejection_time",
        "seconds", "fail_timeout", "eject_seconds",
    ),
    "max_ejected": ("max_ejected", "max_share", "share", "max_ejected_share", "max_fraction", "max_ratio", "ratio"),
    "percent": ("max_ejection_percent", "max_percent", "max_ejected_percent", "percent"),
    "attempts": ("attempts", "max_attempts", "tries", "max_tries"),
    "retries": ("retries", "max_retries"),
    "budget": ("budget", "ratio", "retry_ratio", "budget_ratio", "share", "retry_budget", "percent_can_retry"),
    "base": ("base", "base_delay", "backoff", "initial", "initial_delay", "base_wait"),
    "cap": ("cap", "max_delay", "max_wait", "max_backoff", "maximum", "limit"),
    "method": ("method", "verb", "http_method"),
    "attempt": ("attempt", "attempts", "tries", "n", "i", "attempt_number", "made", "tried"),
    "outcome": ("outcome", "result", "reason", "error", "kind", "what", "how"),
    "status": ("status", "status_code", "code"),
    "sent": ("sent", "was_sent", "bytes_sent"),
    "deadline": ("deadline", "timeout", "drain_timeout", "max_wait", "grace", "grace_period", "within", "seconds"),
    "window": ("window", "slow_start", "duration", "seconds", "slow_start_window", "ramp", "period"),
    "least": ("least", "min_weight_percent", "min_percent", "minimum", "floor", "min_share", "min_factor"),
    "full": ("full", "weight", "full_weight", "base_weight", "configured", "w", "target_weight"),
    "since": ("since", "started", "started_at", "start", "joined", "joined_at", "up_since", "recovered_at", "added_at"),
    "age": ("age", "elapsed", "uptime", "dt", "up_for"),
    "min": ("min", "minimum", "min_replicas", "min_size", "min_instances", "lo", "low", "minimum_replicas", "min_"),
    "max": ("max", "maximum", "max_replicas", "max_size", "max_instances", "hi", "high", "maximum_replicas", "max_"),
    "target": ("target", "target_utilisation", "target_utilization", "goal", "setpoint", "target_util"),
    "tolerance": ("tolerance", "slack", "band", "deadband"),
    "hold": (
        "hold", "window", "stabilisation", "stabilization", "stabilization_window", "stabilisation_window", "cooldown",
        "cool_down", "down_window", "scale_down_window", "scale_down_delay", "down_after",
    ),
    "current": ("current", "replicas", "running", "size", "instances", "current_replicas", "count", "n"),
    "utilisation": ("utilisation", "utilization", "metric", "load", "cpu", "value", "usage", "util", "u", "measured"),
}  # fmt: skip
"""What strangers call the values of these families."""


def method(cls: Class, word: str, wish: str = "") -> str:
    """The name of the method of a class that answers a word of ours; empty if there is none."""
    return next((name for name in (wish, word, *SPELLINGS.get(word, ())) if name and name in cls.methods), "")


class Asked:
    """One object of the class under test, asked by our words.

    `words` says which values there are for each word, in our order, and `given` what its constructor may know, of
    which the first `basic` ones are those that everybody's constructor takes.
    """

    def __init__(
        self, room: Room, target: Target, words: Mapping[str, Sequence[str]], given: Mapping[str, Any], basic: int
    ) -> None:
        self._room = room
        self._lenient = target.claims.get("unknown") == "raise"
        self._methods = {word: _bound(target, word, tuple(values)) for word, values in words.items()}
        named = _constructed(target.cls, tuple(given), basic)
        self.knows = frozenset(named)
        self._handle = room.make(target.cls.name, **{parameter: given[word] for word, parameter in named.items()})

    def can(self, word: str) -> bool:
        """Has it a method for that?"""
        return self._methods.get(word) is not None

    def ask(self, word: str, **values: Any) -> Any:
        """What its method answers; None if it has none. A `Fault` goes through."""
        how = self._methods.get(word)
        return None if how is None else self._room.call(self._handle, how[0], *how[1](values))

    def many(self, word: str, times: int, **values: Any) -> list[Any]:
        """The same question so many times."""
        how = self._methods.get(word)
        return [] if how is None else self._room.batch(self._handle, how[0], [how[1](values)] * times)

    def odd(self, word: str, **values: Any) -> None:
        """Tell what should not happen: whoever says so may raise the usual errors for it."""
        try:
            self.ask(word, **values)
        except Raised as fault:
            if not (self._lenient and fault.kind in ("KeyError", "ValueError", "LookupError", "RuntimeError")):
                raise


def _bound(target: Target, word: str, ours: tuple[str, ...]) -> tuple[str, Fit] | None:
    wish: str = getattr(target.adapter, word, word)
    if "(" in wish:
        return fit(target.cls, wish, ours)
    name = method(target.cls, word, wish)
    if not name or not wish:
        return None
    names = _wanted(target.cls.methods[name], ours)
    return name, lambda values: tuple(values[value] for value in names)


def _wanted(function: Function, ours: tuple[str, ...]) -> list[str]:
    """Which of our values a method wants, in its order: by their names while these are known, else the first."""
    plain = [parameter for parameter in function.parameters if parameter.kind == "plain"]
    if any(parameter.kind == "rest" for parameter in function.parameters):
        return list(ours)
    required = sum(parameter.required for parameter in plain)
    known: list[str] = []
    for parameter in plain:
        word = _ours(parameter.name, ours, known)
        if word is None:
            break
        known.append(word)
    if len(known) >= required:
        return known
    if required > len(ours):
        raise NotGradable(f"{function.name} wants {required} values; there is {', '.join(ours)}", function.line)
    return list(ours[:required])


def _constructed(cls: Class, ours: Sequence[str], basic: int) -> dict[str, str]:
    """Which parameter of a constructor takes which of our values: by its name, or where nobody knows that, by its place
    among the basic ones. What else is optional keeps its default."""
    parameters = [parameter for parameter in cls.constructor if parameter.kind in ("plain", "keyword")]
    named: dict[str, str] = {}
    for parameter in parameters:
        word = _ours(parameter.name, ours, tuple(named))
        if word is not None:
            named[word] = parameter.name
    for word, parameter in zip(ours[:basic], parameters, strict=False):
        if word not in named and parameter.name not in named.values():
            named[word] = parameter.name
    missing = [
        parameter.name for parameter in parameters if parameter.required and parameter.name not in named.values()
    ]
    if missing:
        raise NotGradable(f"what is {', '.join(missing)} of {cls.name}? there is {', '.join(ours)}", cls.line)
    return named


def _ours(name: str, ours: Sequence[str], taken: Sequence[str]) -> str | None:
    """The word of ours that a parameter's name stands for: itself, or one of which it is a spelling."""
    name = name.lower()
    if name in ours and name not in taken:
        return name
    return next((word for word in ours if word not in taken and name in VALUES.get(word, ())), None)
