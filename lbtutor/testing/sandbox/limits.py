"""How much a learner's code may use: all limits in one place."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of waiting for learner code, and what the kernel lets its process have.

    `start` is for the interpreter (ours, so generous), `load` for running the file, `call` for one answer and `batch`
    for a row of them; `suite` and `submission` add up what was waited. `deaths` is how often its process may have to be
    replaced. The kernel counts `cpu` in seconds of processor time a process.
    """

    start: float = 10.0
    load: float = 2.0
    call: float = 1.0
    batch: float = 5.0
    suite: float = 10.0
    submission: float = 60.0
    deaths: int = 25
    cpu: int = 30
    memory_bytes: int = 512 * MIB
    printed_bytes: int = 64 * 1024
    files: int = 64
