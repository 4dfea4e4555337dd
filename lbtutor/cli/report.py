"""What a run showed, as a person reads it: event by event, and in sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lbtutor.cli.text import is_ascii_only, say

if TYPE_CHECKING:
    from lbtutor.core import Event

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?"}

_REQUESTS = ("total", "ok", "failed", "rejected", "retried")
_LATENCIES = ("mean", "p50", "p90", "p99", "max")


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
    counts = ", ".join(f"{requests[kind]} {kind}" for kind in _REQUESTS[1:])
    say(f"  requests  {requests['total']}: {counts}")
    if latency["p50"] is not None:
        percentiles = (f"{name} {1000 * latency[name]:.1f} ms" for name in _LATENCIES)
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


def print_series(document: dict[str, Any]) -> None:
    """The document of `lab run --seeds N --json` as text: a line for each seed, and what they say together."""
    runs, seeds = document["runs"], document["seeds"]
    say(f"{document['scenario']}   on sim, {_of(len(runs), len(seeds))} from {seeds[0]} on")
    say()
    header = ["seed", *(f"{kind}" for kind in _REQUESTS), *_LATENCIES, ""]
    rows = [_seed_row(run) for run in runs]
    numbers = [_numbers(run) for run in runs]
    for name, fold in (("mean", fmean), ("least", min), ("most", max)) if len(runs) > 1 else ():
        columns = [[number for number in column if number is not None] for column in zip(*numbers, strict=True)]
        rows.append([name, *_row([fold(column) if column else None for column in columns]), ""])
    _print_table([header, *rows])
    if document["expect"]:
        say()
    for judged in document["expect"]:
        say(f"  {_MARKS[judged['verdict']]} {judged['verdict']:<7}  {judged['says']}: {_who(judged['seeds'])}")
    say()
    say(f"  {_MARKS[document['verdict']]} {document['verdict']}")


def print_comparison(document: dict[str, Any]) -> None:
    """The document of `lab compare --json` as text: where the two part, and their numbers side by side."""
    one, other = document["runs"]
    names = [one["algorithm"], other["algorithm"]]
    say(f"{document['scenario']}   on sim, seed {document['seed']}: {' and '.join(names)}")
    say()
    differs = document["differs"]
    if differs is None:
        say("  they never differ: each request went to the same backend")
    else:
        tried = f", try {differs.attempt}" if differs.attempt > 1 else ""
        say(f"  they first differ on request {differs.request}{tried}, at {differs.at:.3f} s")
        width = max(map(len, names))
        for choice in differs.choices:
            say(f"    {choice.algorithm:<{width}}  {choice.backend}: {choice.because}")
    say()
    counts = [[kind, *(f"{run['requests'][kind]}" for run in document["runs"])] for kind in _REQUESTS]
    times = [[name, *(_milliseconds(run["latency"][name]) for run in document["runs"])] for name in _LATENCIES]
    labels = dict.fromkeys((*one["backends"], *other["backends"]))
    shares = [[label, *(_share(run["backends"].get(label)) for run in document["runs"])] for label in labels]
    _print_table([["", *names], *counts, *times, *shares])


def _of(count: int, wanted: int) -> str:
    return f"{wanted} seeds" if count == wanted else f"interrupted: {count} of {wanted} seeds"


def _seed_row(run: dict[str, Any]) -> list[str]:
    return [f"{run['seed']}", *_row(_numbers(run)), _MARKS[run["verdict"]]]


def _numbers(run: dict[str, Any]) -> list[float | None]:
    return [*(run["requests"][kind] for kind in _REQUESTS), *(run["latency"][name] for name in _LATENCIES)]


def _row(numbers: Sequence[float | None]) -> list[str]:
    counts, times = numbers[: len(_REQUESTS)], numbers[len(_REQUESTS) :]
    return [*(f"{count:.0f}" for count in counts if count is not None), *map(_milliseconds, times)]


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"


def _share(counts: dict[str, Any] | None) -> str:
    return "-" if counts is None else f"{counts['share']:.1%}"


def _who(seeds: dict[str, list[int]]) -> str:
    """ "5 passed", or "3 passed, 2 failed (seeds 4, 7)": those that passed need no names."""
    named = {kind: f" (seed {', '.join(map(str, who))})" for kind, who in seeds.items() if kind != "passed"}
    return ", ".join(f"{len(who)} {kind}{named.get(kind, '')}" for kind, who in seeds.items())


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    """The first column to the left, the others to the right."""
    rows = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, *cells in rows:
        line = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))
        say(f"  {name:<{first}}  {line}".rstrip())
