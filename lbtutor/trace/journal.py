"""The journal: a trace in a file, as JSON Lines.

The first line is a `Header`: what a replay needs beyond the events. Each further line is one event, and the last one is
`Ended`; a file without it was cut. The file is written from front to back and can be read at any time, so that a run
that was killed still tells its story up to there:

    with JournalWriter(path, header) as journal:
        journal.write(event)

    journal = read_journal(path)
    journal.header, journal.events, journal.complaint       # the complaint says where it was cut, or is None

A file that is no journal, that a newer lbtutor wrote, or that is damaged in the middle raises `JournalError`; with
damage, the error's `journal` holds what could be read before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from lbtutor import __version__
from lbtutor.core.errors import EnvironmentFault, JournalError
from lbtutor.core.events import Ended, Event
from lbtutor.core.workload import Plan

FORMAT = 1
"""The format that this program writes, and the newest that it reads."""

_LONGEST_QUOTE = 60
_BUFFER_BYTES = 1 << 16
_LONGEST_HEADER_BYTES = 1 << 20


class Header(Struct, frozen=True, tag_field="journal", tag="lbtutor"):
    """The first line. `shell` is where it ran (live, sim); `lasts` is in scenario seconds, 0 when unknown.

    `version` is the lbtutor that wrote it; `pools` names the algorithm of each pool, in configuration order. `case` is
    what it takes to play a counterexample again (`lbtutor.testing.cases`), None in the journal of a run.
    """

    format: int = FORMAT
    scenario: str = ""
    title: str = ""
    seed: int = 0
    shell: str = ""
    version: str = __version__
    lasts: float = 0.0
    pools: dict[str, str] = {}
    case: dict[str, Any] | None = None

    @classmethod
    def of(cls, plan: Plan, *, scenario: str, shell: str, algorithms: Mapping[str, object] | None = None) -> Header:
        """The header of a run of `plan`; `algorithms` are those that replace the configured ones."""
        replaced = algorithms or {}
        pools = {pool.name: _algorithm_name(replaced.get(pool.name, pool.algorithm)) for pool in plan.pools}
        return cls(
            scenario=scenario, title=plan.title, seed=plan.seed, shell=shell, lasts=float(plan.lasts), pools=pools
        )


class Journal(Struct, frozen=True):
    """A trace that was read; `complaint` says what is missing at its end, None when it is complete."""

    header: Header
    events: list[Event]
    complaint: str | None = None


class JournalWriter:
    """Writes one journal, from its header on; raises `EnvironmentFault` when the file cannot be written."""

    def __init__(self, path: Path | str, header: Header) -> None:
        self.path = Path(path)
        self._encode = msgspec.json.Encoder(enc_hook=float).encode  # `Seconds` is a float, and written as one
        self._file: BinaryIO | None = None
        self._header = header

    def __repr__(self) -> str:
        return f"<JournalWriter {self.path} {'closed' if self._file is None else 'open'}>"

    def __enter__(self) -> JournalWriter:
        try:
            self._file = open(self.path, "wb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise self._fault(error) from error
        self._put(self._header)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as fault:
            raise self._fault(fault) from fault

    def write(self, event: Event) -> None:
        """Append one event."""
        self._put(event)

    def _put(self, record: Header | Event) -> None:
        if self._file is None:
            raise ValueError(f"the journal {self.path} is not open: write to it inside its `with` block")
        try:
            self._file.write(self._encode(record) + b"\n")
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> EnvironmentFault:
        return EnvironmentFault(f"cannot write the journal {self.path}: {error.strerror or error}")


def read_journal(path: Path | str) -> Journal:
    """Read a journal to its end.

    A journal that was cut is no error: its `complaint` says where. Raises `JournalError` when the file cannot be
    opened, is no journal, has a newer format, or holds a line that is no event.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _read(path, file)
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror or error}") from error


def _read(path: Path, file: BinaryIO) -> Journal:
    header = _read_header(path, file.readline(_LONGEST_HEADER_BYTES))
    decode = msgspec.json.Decoder(Event).decode
    events: list[Event] = []
    for number, line in enumerate(file, start=2):
        try:
            if not line.isspace():
                events.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                return Journal(header, events, f"{_cut(events)}, in the middle of line {number}")
            readable = Journal(header, events, f"damaged at line {number}; {_cut(events)}")
            raise JournalError(
                f"{path}, line {number}, is no event ({error}): {_quote(line)}. "
                f"The {len(events)} events before it can be read.",
                readable,
            ) from error
    return Journal(header, events, None if events and isinstance(events[-1], Ended) else _cut(events))


def _read_header(path: Path, line: bytes) -> Header:
    if not line:
        raise JournalError(f"{path} is empty: a journal begins with a line such as {_EXAMPLE}")
    try:
        mark = msgspec.json.decode(line, type=_Mark)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalError(
            f"{path} is not a journal of lbtutor: its first line should look like {_EXAMPLE}, but is {_quote(line)}"
        ) from error
    if mark.format > FORMAT:
        raise JournalError(
            f"{path} is a journal of format {mark.format}, and lbtutor {__version__} reads formats up to {FORMAT}; "
            f"lbtutor {mark.version} wrote it and can read it"
        )
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError as error:
        raise JournalError(f"{path}: the header of this journal is damaged ({error}): {_quote(line)}") from error


class _Mark(Struct, tag_field="journal", tag="lbtutor"):
    """What can be read of the header of any format."""

    format: int
    version: str = "of a later version"


_EXAMPLE = '{"journal":"lbtutor","format":1,…}'


def _cut(events: list[Event]) -> str:
    if not events:
        return "cut after its header"
    return f"cut after {len(events)} events at t={events[-1].at:.3f}"


def _quote(line: bytes) -> str:
    text = line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    shown = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
    return f"'{shown}'" if len(shown) <= _LONGEST_QUOTE else f"'{shown[:_LONGEST_QUOTE]}…'"


def _algorithm_name(algorithm: object) -> str:
    """A name from a configuration, or the class of an algorithm that was handed in."""
    if isinstance(algorithm, str):
        return algorithm
    return str(algorithm["name"]) if isinstance(algorithm, dict) else type(algorithm).__name__
