"""What a learner has done of the challenge: kept beside their progress, in a file that a person can read.

    {
      "format": 1,
      "passed": [{"at": "2026-01-02T10:00:00.000+00:00", "design": "mine", "seeds": 5}],
      "revealed": "2026-01-02T10:05:00.000+00:00"
    }

The shipped design that passes is kept out of sight until one of the two is there. Nothing stops anybody from playing: a
file that cannot be read or written is left as it is, and `notice` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from lbtutor.course.keeping import alone, replace_whole
from lbtutor.course.progress import state_folder
from lbtutor.course.record import stamp

FORMAT = 1


class Pass(Struct, frozen=True):
    """A design of the learner's own that met every requirement, on so many seeds."""

    at: datetime
    design: str
    seeds: int


class _Record(Struct, frozen=True, omit_defaults=True):
    format: int
    passed: tuple[Pass, ...] = ()
    revealed: datetime | None = None


class ChallengeRecord:
    """One learner's challenge. Each change is saved at once; one that cannot be saved counts until the program ends."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (state_folder() if folder is None else folder) / "challenge.json"
        self.notice = ""
        self._record = self._read()

    def __repr__(self) -> str:
        return f"<ChallengeRecord {self.path} {'open' if self.is_open else 'closed'}>"

    @property
    def passed(self) -> tuple[Pass, ...]:
        """Every pass, oldest first."""
        return self._record.passed

    @property
    def revealed(self) -> datetime | None:
        """When the learner first asked for the answer."""
        return self._record.revealed

    @property
    def is_open(self) -> bool:
        """May the design that passes be shown?"""
        return bool(self.passed or self.revealed)

    def record_pass(self, design: str, seeds: int, now: datetime) -> None:
        """Record that a design of the learner's own met every requirement."""
        done = Pass(_as_kept(now), design, seeds)
        self._change(lambda record: structs.replace(record, passed=(*record.passed, done)))

    def record_reveal(self, now: datetime) -> None:
        """Record that the learner asked for the answer; only the first time counts."""
        if self.revealed is None:
            self._change(lambda record: structs.replace(record, revealed=record.revealed or _as_kept(now)))

    def _change(self, change: Callable[[_Record], _Record]) -> None:
        """Change what the file holds by now, and replace it in one step."""
        self._record = change(self._record)
        if self.notice:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.with_suffix(".lock")):
                kept = change(self._read())
                if not self.notice:
                    replace_whole(self.path, _written(kept))
                    self._record = kept
        except OSError as error:
            self.notice = f"{self.path} cannot be written ({error.strerror}): this will be forgotten"

    def _read(self) -> _Record:
        try:
            record = msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except FileNotFoundError:
            return _Record(FORMAT)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.notice = f"{self.path} cannot be read ({error}): it is left as it is, and nothing is saved"
            return _Record(FORMAT)
        if record.format > FORMAT:
            self.notice = f"{self.path} was written by a newer lbtutor: it is left as it is, and nothing is saved"
        return record


def _as_kept(now: datetime) -> datetime:
    return datetime.fromisoformat(stamp(now))


def _written(record: _Record) -> str:
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"
