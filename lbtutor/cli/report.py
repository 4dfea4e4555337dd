"""What a run showed, as a person reads it: event by event, and in sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lbtutor.cli.text import is_ascii_only, say

if TYPE_CHECKING:
    from lbtutor.core import Event
    from lbtutor.core.events import Why
    from lbtutor.labs.compare import Choice, Difference

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
    print_table([header, *rows])
    if document["expect"]:
        say()
    for judged in document["expect"]:
        say(f"  {_MARKS[judged['verdict']]} {judged['verdict']:<7}  {judged['says']}: {_who(judged['seeds'])}")
    say()
    say(f"  {_MARKS[document['verdict']]} {document['verdict']}")


def print_comparison(document: dict[str, Any]) -> None:
    """The document of `lab compare --json` as text: where the two part and why, and their numbers side by side."""
    runs = document["runs"]
    names = [run["algorithm"] for run in runs]
    say(f"{document['scenario']}   on sim, seed {document['seed']}: {' and '.join(names)}")
    say()
    if document["differs"] is None:
        say("  they never differ: each request went to the same backend")
    else:
        _print_difference(document["differs"])
    say()
    shown = [_whole] * len(_REQUESTS) + [_milliseconds] * len(_LATENCIES)
    rows = [
        [name, show(one), show(other), _change(one, other)]
        for name, show, one, other in zip((*_REQUESTS, *_LATENCIES), shown, *map(_numbers, runs), strict=True)
    ]
    labels = dict.fromkeys(label for run in runs for label in run["backends"])
    shares = [[label, *_shares([run["backends"].get(label) for run in runs])] for label in labels]
    print_table([["", *names, ""], *rows, *shares])


def _print_difference(differs: Difference) -> None:
    """The first request on which two algorithms part: both reasons in words, and both records side by side."""
    tried = f", try {differs.attempt}" if differs.attempt > 1 else ""
    asked = f" ({differs.asked})" if differs.asked else ""
    say(f"  they first differ on request {differs.request}{asked}{tried}, at {differs.at:.3f} s")
    width = max(len(choice.algorithm) for choice in differs.choices)
    for choice in differs.choices:
        say(f"    {choice.algorithm:<{width}}  {choice.backend}: {choice.because}")
    records = [(choice, choice.why) for choice in differs.choices if choice.why is not None]
    if not records:
        return
    say()
    members = dict.fromkeys(member.backend for _, why in records for member in why.candidates)
    cells = [[member, *(_weighed(member, choice, why) for choice, why in records)] for member in members]
    rules = ["", *(why.rule or "no reason given" for _, why in records)]
    wins = ["wins", *(f"the {why.best}" if why.rule else "" for _, why in records)]
    ties = ["in a tie", *(why.tie for _, why in records)]
    rows = [["", *(choice.algorithm for choice, _ in records)], rules, *cells, wins, ties]
    print_table(row for row in rows if any(row[1:]))


def _weighed(member: str, choice: Choice, why: Why) -> str:
    """The number that was compared, or why there is none; an arrow marks whom it was."""
    found = next((one for one in why.candidates if one.backend == member), None)
    if found is None:
        return "-"
    number = "offered" if found.number is None else f"{found.number:.6g}"
    text = found.excluded or (f"{number} ({found.note})" if found.note else number)
    return f"→ {text}" if choice.backend.rpartition("/")[2] == member else text


def _whole(count: float | None) -> str:
    return f"{count:.0f}"


def _change(one: float | None, other: float | None) -> str:
    """How much more or less the second is than the first; nothing where there is nothing to say."""
    if one is None or other is None or one == other:
        return ""
    return f"{(other - one) / one:+.0%}" if one else "+"


def _shares(counts: Sequence[dict[str, Any] | None]) -> list[str]:
    one, other = (of["share"] if of else 0.0 for of in counts)
    points = 100 * (other - one)
    return [*map(_share, counts), f"{points:+.1f} points" if abs(points) >= 0.05 else ""]


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


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """The first column to the left, the others to the right."""
    rows = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, *cells in rows:
        line = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))
        say(f"  {name:<{first}}  {line}".rstrip())
