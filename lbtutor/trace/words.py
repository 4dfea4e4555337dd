"""Small words that sentences about a run are made of: durations, lists, counts."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """A duration as a person says it, to two or three digits: "0.4 ms", "412 ms", "1.3 s", "95 s", "12 min"."""
    ms = 1000 * seconds
    if ms < 0.05:
        return "0 ms"
    if ms < 9.95:
        return f"{ms:.1f} ms".replace(".0 ", " ")
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    if seconds < 599.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def number(value: float) -> str:
    """A number without idle digits: 5.0 is "5", and 0.33333 is "0.333"."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def counted(count: int, noun: str) -> str:
    """ "1 probe", "3 probes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def ordinal(count: int) -> str:
    """ "second", "third", "11th"."""
    if count < len(_ORDINALS):
        return _ORDINALS[count]
    if count % 100 in (11, 12, 13):
        return f"{count}th"
    return f"{count}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th') }"


_ORDINALS = ("zeroth", "first", "second", "third", "fourth", "fifth")
