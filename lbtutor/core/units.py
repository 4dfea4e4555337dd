"""Durations as people write them.

In Python a duration is float seconds; in files it is a string with a unit (`"30s"`, `"250ms"`, `"2m"`). `Seconds` is
the float that knows how to be read from such a string: a bare number in a file is refused, because nobody can tell
whether 30 meant seconds or milliseconds.
"""

from __future__ import annotations

import re

from lbtutor.core.errors import ConfigError

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


class Seconds(float):
    """A duration in seconds."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Seconds:
        """Read `"250ms"`; raises `ConfigError` that says what would be accepted."""
        match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(f'{text!r} is not a duration: write a number and a unit, such as "30s" or "250ms"')
        number, unit = match.groups()
        if unit not in _UNITS:
            raise ConfigError(f"{text!r} has no unit that is known: write one of {', '.join(_UNITS)}")
        return cls(float(number) * _UNITS[unit])

    def __str__(self) -> str:
        return say_duration(self)


def say_duration(seconds: float) -> str:
    """The shortest text that `Seconds.parse` reads back: 0.25 is "250ms", 30.0 is "30s", 1800.0 is "30m"."""
    for unit in ("h", "m", "s", "ms", "us"):
        count = seconds / _UNITS[unit]
        if count >= 1 and (unit in ("s", "ms", "us") or float(count).is_integer()):
            return f"{count:.12g}{unit}"
    return "0s" if seconds == 0 else f"{seconds / 1e-6:.12f}".rstrip("0").rstrip(".") + "us"
