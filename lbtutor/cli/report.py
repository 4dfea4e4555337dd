"""What a run showed, as a person reads it: event by event, and in sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lbtutor.cli.text import is_ascii_only, say

if TYPE_CHECKING:
    from lbtutor.core import Event

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?"}


def teller() -> Callable[[Event], None]:
    """Prints each event as one line."""
    from lbtutor.trace.transcript import Transcript

    transcript = Transcript(ascii=is_ascii_only())

    def tell(event: Event) -> None:
        say(transcript.line(event))

    return tell


def print_report(document: dict[str, Any], *, interrupted: bool = False) -> None:
    """The document of `lab run --json` as text; one without expectations has no verdict to print."""
    requests, latency = document["requests"], document["latency"]
    say(
        f"{document['scenario']}   on {document['on']}, seed {document['seed']}{', interrupted' if interrupted else ''}"
    )
    say()
    counts = ", ".join(f"{requests[kind]} {kind}" for kind in ("ok", "failed", "rejected", "retried"))
    say(f"  requests  {requests['total']}: {counts}")
    if latency["p50"] is not None:
        percentiles = (f"{name} {1000 * latency[name]:.1f} ms" for name in ("mean", "p50", "p90", "p99", "max"))
        say(f"  latency   {', '.join(percentiles)}")
    say()
    width = max((len(label) for label in document["backends"]), default=0)
    for label, counts_of in document["backends"].items():
        say(
            f"  {label:<{width}}  {counts_of['share']:6.1%}  "
            f"{counts_of['picked']:>6} picked  {counts_of['ok']:>6} ok  {counts_of['failed']:>5} failed"
        )
    if document.get("expect"):
        say()
    for judged in document.get("expect", ()):
        say(f"  {_MARKS[judged['verdict']]} {judged['verdict']:<7}  {judged['says']}: {judged['measured']}")
    if "verdict" in document:
        say()
        say(f"  {_MARKS[document['verdict']]} {document['verdict']}")
