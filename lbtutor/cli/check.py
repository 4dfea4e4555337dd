"""`lbtutor check`: hold an algorithm to its laws, and tell each verdict with what it rests on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lbtutor.cli.document import check_keepable, say_json
from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.progress import progressing
from lbtutor.cli.screens import Screens, is_terminal
from lbtutor.cli.text import note, say
from lbtutor.core.errors import ConfigError

if TYPE_CHECKING:
    from lbtutor.testing.adapt import Adapter
    from lbtutor.testing.cases import Case
    from lbtutor.testing.report import Counterexample, LawReport, Report

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?", "not checked": "·"}
_WIDTH = 96
_INDENT = " " * 14


def check(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="FILE.py:Class", help="A file, and the class in it to check.")],
    component: Annotated[
        str, typer.Option("--as", metavar="NAME", help="What it is meant to be (default: what the class is called).")
    ] = "",
    thorough: Annotated[bool, typer.Option("--thorough", help="Look thirty times as hard.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Look at the same examples as the run that printed this seed.")
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="How it uses a freedom, such as strict=false. May be repeated."),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Foreign code: claim no more than every such balancer does.")
    ] = False,
    adapt: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Other names, such as 'finished=release(name)'. May be repeated."),
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run it right here, unprotected: for your own code and a debugger.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    trace: Annotated[
        Path | None, typer.Option(help="Where to keep the first counterexample (default: beside the state of lessons).")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Open the first counterexample on the stage.")] = False,
) -> None:
    """Try a balancing algorithm, a health check, a router or another part against every law that holds for it.

    Without --in-process the code runs in a process of its own with no files, no network and limits on time and memory.
    Exit codes: 0 all laws hold, 1 one does not, 3 too little was seen to say, 2 nothing to check.
    """
    from lbtutor.testing.checking import check as hold
    from lbtutor.testing.sandbox import NotGradable, confinement

    check_keepable(trace)
    if show and not is_terminal():
        raise ConfigError("--show needs a terminal; the story is told without it, and `lbtutor replay` tells it again")
    adapter = _adapter(adapt or [])
    if not json:
        note("in this process, unprotected" if in_process else f"in a process of its own: {confinement()}")
    try:
        with progressing("checking") as tell:
            report = hold(
                target, component, claims=_claims(claim or []), lenient=lenient, adapter=adapter, seed=seed,
                profile="thorough" if thorough else "quick", in_process=in_process,
                told=_nothing if json else _teller(),
                progress=_nothing if tell is None else lambda done, of: tell(done / of),
            )  # fmt: skip
    except NotGradable as reason:
        note(f"lbtutor: {target.partition(':')[0]} cannot be checked: {reason}")
        raise typer.Exit(Exit.FAILED) from None
    kept = _keep(report, trace, adapter)
    if json:
        say_json(document(report, kept))
    else:
        _sum_up(report, target, _as_said(claim or [], adapt or [], lenient=lenient))
        _say_kept(kept, target)
    if show and kept is not None:
        screens: Screens = context.obj
        screens.replay(kept)
    raise typer.Exit(OF_VERDICT[report.verdict])


def _keep(report: Report, trace: Path | None, adapter: Adapter) -> Path | None:
    """Keep the first counterexample. That the usual place cannot be written to is worth a word, and no failure."""
    from lbtutor.core.errors import EnvironmentFault
    from lbtutor.course.found import keep_found

    try:
        return keep_found(report, trace, adapter)
    except EnvironmentFault as fault:
        if trace is not None:
            raise
        note(f"lbtutor: the counterexample is not kept: {fault}")
        return None


def _say_kept(kept: Path | None, target: str) -> None:
    if kept is None:
        return
    name = shlex.quote(str(kept))
    say(f"{_INDENT}watch the story:      lbtutor replay {name}")
    say(f"{_INDENT}play it on new code:  lbtutor replay {name} --submission {target}")
    say(f"{_INDENT}make it a test:       lbtutor replay {name} --as-test")


def document(report: Report, kept: Path | None = None) -> dict[str, Any]:
    """The document of `check --json`; `kept` is where the first counterexample is."""
    from lbtutor.course.found import first_broken

    first = first_broken(report)
    return {
        "target": report.target,
        "as": report.component,
        "shape": report.shape,
        "claims": report.claims,
        "seed": report.seed,
        "verdict": report.verdict,
        "laws": [_law(law, kept if law is first else None) for law in report.laws],
        "seconds": round(report.seconds, 3),
    }


def _law(law: LawReport, kept: Path | None) -> dict[str, Any]:
    found = law.counterexample
    return {
        "name": law.name,
        "says": law.says,
        "verdict": law.verdict,
        "examples": law.examples,
        "situations": law.situations,
        "why": law.why,
        "counterexample": None if found is None else _counterexample(found),
        "trace": None if kept is None else str(kept),
    }


def _counterexample(found: Counterexample) -> dict[str, Any]:
    return {
        "story": list(found.story),
        "expected": found.expected,
        "got": found.got,
        "because": found.because,
        "line": found.line,
        "repeats": found.repeats,
        "setting": found.program.setting,
        "ops": [list(op) for op in found.program.ops],
    }


def _teller() -> Callable[[LawReport], None]:
    def tell(law: LawReport) -> None:
        sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
        _say_law(law)

    return tell


def _say_law(law: LawReport) -> None:
    lines = wrap(law.says, _WIDTH - len(_INDENT))
    say(f"{_MARKS[law.verdict]} {law.verdict:<11} {lines[0]}")
    for line in [*lines[1:], *_evidence(law)]:
        say(f"{_INDENT}{line}")
    if law.counterexample is not None:
        say()
        for line in told(law.counterexample, law.hint):
            say(f"    {line}")
        say()


def _evidence(law: LawReport) -> list[str]:
    if law.verdict == "not checked":
        return [law.why]
    met = ", ".join(f"{name} {times} times" for name, times in law.situations.items())
    parts = (f"{law.examples} example{'s' * (law.examples != 1)}", met, law.why)
    return wrap("; ".join(part for part in parts if part), _WIDTH - len(_INDENT))


def told(found: Counterexample | Case, hint: str) -> list[str]:
    """The story of a counterexample: what was expected, what came, what happened, and where to look."""
    lines = [f"expected  {found.expected}", f"got       {found.got}"]
    if found.because:
        lines.append(f"because   {found.because}")
    lines += ["", *found.story]
    if found.repeats:
        lines += ["", f"Not every time: {found.repeats}. There is chance in the code that is not its `rng`."]
    if hint:
        lines += ["", *wrap(hint, _WIDTH)]
    return lines


def _as_said(claims: list[str], adapt: list[str], *, lenient: bool) -> str:
    """The options that a second run needs to be held to the same."""
    said = [*["--lenient"] * lenient, *(f"--claim {shlex.quote(one)}" for one in claims)]
    return "".join(f" {option}" for option in (*said, *(f"--adapt {shlex.quote(one)}" for one in adapt)))


def _sum_up(report: Report, target: str, options: str) -> None:
    counts = {verdict: sum(law.verdict == verdict for law in report.laws) for verdict in _MARKS}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    for law in report.laws:
        if law.verdict == "not checked":
            _say_law(law)
    say()
    say(f"{_MARKS[report.verdict]} {report.verdict}   {report.target} as {report.component}: {listed}")
    say(f"{_INDENT}its shape: {report.shape}; {report.seconds:.1f} s")
    if report.claims:
        say(f"{_INDENT}held to: {', '.join(f'{name} = {value}' for name, value in report.claims.items())}")
    if report.verdict != "passed":
        again = f"lbtutor check {target} --as {report.component}{options} --seed {report.seed}"
        say(f"{_INDENT}the same examples again: {again}")


def _claims(said: list[str]) -> dict[str, Any]:
    return {name: _value(value) for name, value in _pairs(said, "--claim", "strict=false").items()}


def _value(text: str) -> str | float | bool | None:
    """true, false, none and numbers are what they say; anything else is text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _adapter(said: list[str]) -> Adapter:
    from lbtutor.core.errors import hint
    from lbtutor.testing.adapt import Adapter

    pairs: dict[str, Any] = dict(_pairs(said, "--adapt", "finished=release(name)"))
    for name in pairs:
        if name not in Adapter.__struct_fields__:
            raise ConfigError(f"--adapt: there is no {name!r} to adapt; {hint(name, Adapter.__struct_fields__)}")
    if "counts_in_pick" in pairs:
        pairs["counts_in_pick"] = _value(pairs["counts_in_pick"]) is True
    return Adapter(**pairs)


def _pairs(said: list[str], option: str, example: str) -> dict[str, str]:
    for text in said:
        if "=" not in text:
            raise ConfigError(f"{option} takes a name, =, and a value, such as {example}; not {text!r}")
    return {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in said)}


def _nothing(*_: object) -> None:
    """Nobody listens."""
