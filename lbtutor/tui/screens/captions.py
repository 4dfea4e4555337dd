"""`Captions`: which sentence stands under the stage.

While the picture stands still it is the newest one, so that single steps can be read. While it moves, twenty sentences
a second would be noise: then only what changes the pool is told, and each stays long enough to be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbtutor.core.events import (
    Disabled,
    Draining,
    Enabled,
    Ended,
    Event,
    HealthChanged,
    Missed,
    OriginChanged,
    Probed,
    Rejected,
)
from lbtutor.tui.screens.watched import Line

_SPOKEN_STAYS = 4.0
_TOLD_STAYS = 1.5
"""Seconds of wall time: what answers a key stays longer than what merely happened."""


class Captions:
    """One sentence at a time; `now` is wall time in seconds."""

    def __init__(self) -> None:
        self.text = ""
        self._until = 0.0

    def say(self, sentence: str, now: float) -> None:
        """Answer the learner, at once."""
        self.text, self._until = sentence, now + _SPOKEN_STAYS

    def clear(self) -> None:
        """Say nothing until something happens."""
        self.text, self._until = "", 0.0

    def hush(self) -> None:
        """The learner asked for the next event: nothing stands in its way."""
        self._until = 0.0

    def follow(self, lines: Sequence[Line], now: float, *, moving: bool) -> None:
        """Take the newest sentence worth telling, unless the present one has not stood long enough."""
        telling = [line for line in lines if _notable(line.event)] if moving else lines
        if telling and now >= self._until:
            self.text = telling[-1].says
            self._until = now + _TOLD_STAYS if moving else 0.0


def _notable(event: Event) -> bool:
    if isinstance(event, Probed):
        return event.count > 0
    return isinstance(event, (HealthChanged, OriginChanged, Draining, Disabled, Enabled, Rejected, Missed, Ended))
