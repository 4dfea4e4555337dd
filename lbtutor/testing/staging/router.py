"""The stories of routers: each target is a server, and each request goes where the code under test sends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lbtutor.core.events import Candidate, Event
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import ENDS, SILENCE, WELL, arrived, broke, chosen, ended, joined, nobody
from lbtutor.testing.worlds.router import Asked

LEGEND = "each target is a server"


def events(program: Program, moments: Sequence[Asked], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    targets = [target for *_, target in program.setting["rules"]]
    yield from joined(targets)
    for number, moment in enumerate(moments, 1):
        _, host, path, _ = program.ops[moment.op]
        yield arrived(number * beat, number, host=host, path=path)
        yield from _sent(moment, number, targets, number * beat, beat)


def _sent(asked: Asked, request: int, targets: Sequence[str], at: float, beat: float) -> Iterator[Event]:
    answer: Any = asked.answer
    candidates = _candidates(asked)
    if answer is SILENT:
        yield from broke(at, request, SILENCE, candidates)
    elif answer is None:
        yield from nobody(at, request, "no rule was found for it", candidates, status=404)
    elif answer not in targets:
        yield from broke(at, request, f"no rule has the target {answer}", candidates)
    else:
        yield chosen(at, request, answer, candidates)
        yield ended(at + ENDS * beat, request, answer, WELL)


def _candidates(asked: Asked) -> list[Candidate]:
    """Each rule's target, and whether its rule matches at all."""
    matching = asked.matching(deep=True)
    return [Candidate(rule[3], None, None if rule in matching else "its rule does not match") for rule in asked.rules]
