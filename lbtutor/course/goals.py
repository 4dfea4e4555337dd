"""Goals: conditions that an author writes as data.

    { fault = "crash", backend = "web/srv-2" }     this befell the machine and lasts ("any": whatever it is)
    { failed_over = "web/srv-2", requests = 8 }    believed down, then so many requests answered elsewhere, none failed
    { healthy_again = "web/srv-2" }                believed up after it was down, and picked again
    { picked = "web/srv-2", times = 3 }            got so many requests
    { decided = 7 }                                the seventh request has its backend; with `to`, this backend
    { in_flight = "web/srv-3", reaches = 5 }       so many requests were under way there at once

The key that comes first names the kind. `lbtutor.course.watches` says for each kind when it is reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

from msgspec import Struct

from lbtutor.core import ConfigError
from lbtutor.core.events import FaultKind


class _Condition(Struct, frozen=True, forbid_unknown_fields=True):
    def backends(self) -> Iterator[str]:
        """The backends it names, as pool/name."""
        for key in ("backend", "failed_over", "healthy_again", "picked", "to", "in_flight"):
            if label := getattr(self, key, None):
                yield label


class Struck(_Condition, frozen=True, forbid_unknown_fields=True):
    """Something befell the machine behind a backend, and lasts."""

    fault: FaultKind | Literal["any"]
    backend: str


class FailedOver(_Condition, frozen=True, forbid_unknown_fields=True):
    """The backend is believed down, and so many requests sent since then were answered, none failed."""

    failed_over: str
    requests: int = 8


class HealthyAgain(_Condition, frozen=True, forbid_unknown_fields=True):
    """The backend was down, is believed up, and was picked since."""

    healthy_again: str


class PickedOften(_Condition, frozen=True, forbid_unknown_fields=True):
    """The backend was picked so many times."""

    picked: str
    times: int = 1


class Decided(_Condition, frozen=True, forbid_unknown_fields=True):
    """So many requests have their backend; with `to`, the last of them went there."""

    decided: int
    to: str | None = None


class InFlight(_Condition, frozen=True, forbid_unknown_fields=True):
    """So many requests were under way at one backend at once."""

    in_flight: str
    reaches: int


Condition = Struck | FailedOver | HealthyAgain | PickedOften | Decided | InFlight

CONDITIONS: dict[str, type[Condition]] = {
    "fault": Struck,
    "failed_over": FailedOver,
    "healthy_again": HealthyAgain,
    "picked": PickedOften,
    "decided": Decided,
    "in_flight": InFlight,
}
"""The key that names a kind of goal, and the struct that lists its keys."""


def condition_type(keys: Collection[str]) -> type[Condition]:
    """Which kind of condition a table with these keys is; raises `ConfigError` when none or several are named."""
    named = [key for key in CONDITIONS if key in keys]
    if len(named) != 1:
        found = " and ".join(named) or "none of them"
        raise ConfigError(f"a goal names exactly one of {', '.join(CONDITIONS)}, not {found}")
    return CONDITIONS[named[0]]
