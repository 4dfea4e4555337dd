"""`lbtutor grade`: what others handed in is run again and gets its points."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from shutil import get_terminal_size
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.document import check_keepable, keep_json, keep_text, say_json
from lbtutor.cli.exits import Exit
from lbtutor.cli.progress import progressing
from lbtutor.cli.text import note, say
from lbtutor.core.errors import ConfigError, EnvironmentFault, hint

if TYPE_CHECKING:
    from lbtutor.course.exercises.manifest import Exercise
    from lbtutor.course.grading.record import Mark, Record, Suite
    from lbtutor.course.grading.run import Graded

_MARKS = {"pass": "✓", "fail": "✕", "unknown": "?", "not_gradable": "✕", "missing": "·", "grader_error": "!"}
_WIDEST = 100
_SUMMARY = 44
"""Columns that are left for a learner's points and counts, however long the name."""
_LONGEST = 240
"""So many characters of what a learner's code says are shown; the records have the rest."""
_DEMANDS = ("rlimits", "memory", "landlock", "seccomp", "user", "network")


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    GRADESCOPE = "gradescope"


def grade(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER|ARCHIVE...",
            help="A learner's folder, zip or tar file, or a folder or archive of such, each called as its learner.",
            show_default=False,
        ),
    ],
    exercise: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Grade this exercise (default: all of them). May be repeated."),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="For people, programs, spreadsheets, or Gradescope's results.json.")
    ] = Format.TABLE,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many learners at once (default: one for each core).")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Grade on the cluster of this Dask scheduler.")
    ] = None,
    require: Annotated[
        str, typer.Option(metavar="NAMES", help="Refuse to grade without these, such as landlock,seccomp.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Look at the same examples as another run (default: a new secret one).")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Put the result into this file instead.")] = None,
    records: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where each learner's own record goes (default: our state).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do not run again what is on record for the same file and version.")
    ] = False,
) -> None:
    """Run what learners handed in against all laws, hidden ones too, and give points.

    Their code runs in processes of its own, without files, network or children; what a learner's machine said about it
    does not count. Exit code 0 when everybody was graded, whatever came of it; 4 when grading itself failed for
    somebody; 130 when it was interrupted, with those who were done.
    """
    from lbtutor.course.grading.handed import handed_in
    from lbtutor.course.grading.record import Records, Terms, is_faulty
    from lbtutor.course.grading.run import grade as graded_by
    from lbtutor.course.progress import state_folder

    chosen = _chosen(exercise or [])
    everybody = handed_in(paths, chosen)
    if format_ is Format.GRADESCOPE and len(everybody) != 1:
        raise ConfigError(f"--format gradescope is for one submission, and here are {len(everybody)}")
    check_keepable(out)
    demands = _confined(require, here=dask is None)
    terms = Terms(secrets.randbits(48) if seed is None else seed, require=demands)
    kept = Records(records or state_folder() / "grading")
    with progressing(f"grading {len(everybody)}") as tell:
        graded = graded_by(
            everybody, chosen, terms, kept, tell or _nobody_hears, lanes=jobs, dask=dask, resume=resume
        )  # fmt: skip
    _write(graded, format_, out, is_secret=seed is None)
    known = f"; {graded.reused} mark{'s were' if graded.reused > 1 else ' was'} known before" if graded.reused else ""
    note(f"records: {kept.folder}{known}")
    if graded.interrupted:
        note(f"lbtutor: interrupted; {len(graded.records)} of {len(everybody)} are done, --resume goes on from there")
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.FAULT if is_faulty(graded.records) else Exit.PASSED)


def _chosen(ids: Sequence[str]) -> tuple[Exercise, ...]:
    """Those that are named, in the manifest's order; all without a name."""
    from lbtutor.course.exercises.manifest import exercise, exercises

    named = {exercise(name).id for name in ids}
    return tuple(one for one in exercises() if one.id in named or not named)


def _confined(require: str, *, here: bool) -> tuple[str, ...]:
    """What is demanded, after it was seen to be in force; on a cluster each grader looks for itself."""
    from lbtutor.testing.sandbox import confinement

    demands = tuple(name.strip() for name in require.split(",") if name.strip())
    for name in demands:
        if name not in _DEMANDS:
            raise ConfigError(f"--require: there is no {name!r}; {hint(name, _DEMANDS)}")
    if here:
        found = confinement()
        note(f"confinement: {found}")
        if lacking := found.lacks(demands):
            raise EnvironmentFault(f"this machine has no {', '.join(lacking)} for learner code, so nothing was graded")
    return demands


def _write(graded: Graded, format_: Format, out: Path | None, *, is_secret: bool) -> None:
    from lbtutor.course.grading.formats import document, gradescope, spreadsheet

    if format_ in (Format.TABLE, Format.CSV):
        text = spreadsheet(graded) if format_ is Format.CSV else _text(graded, is_secret=is_secret)
        if out is None:
            say(text.removesuffix("\n").removesuffix("\r"))
        keep_text(out, text)
        return
    if format_ is Format.GRADESCOPE and (trouble := _trouble(graded)):
        note(f"lbtutor: there is no results.json: {trouble}")
        return
    written = gradescope(graded.records[0]) if format_ is Format.GRADESCOPE else document(graded)
    if out is None:
        say_json(written)
    keep_json(out, written)


def _trouble(graded: Graded) -> str:
    """Why there is no result that could be handed on: better none, and the platform says so, than lost points."""
    marks = [mark for record in graded.records for mark in record.marks]
    faults = [f"grading failed: {mark.cause}" for mark in marks if mark.verdict == "grader_error"]
    return faults[0] if faults else "interrupted" if graded.interrupted else ""


def _text(graded: Graded, *, is_secret: bool) -> str:
    return "\n".join(_table(graded, is_secret=is_secret)) + "\n"


# -- the table ---------------------------------------------------------------------------------------------------------


def _table(graded: Graded, *, is_secret: bool) -> Iterator[str]:
    from rich.cells import cell_len

    width = max((cell_len(record.learner) for record in graded.records), default=0)
    columns = min(get_terminal_size().columns, _WIDEST)
    width = max(min(width, columns - _SUMMARY), 0)
    for record in graded.records:
        counts = [f"{count} {word.replace('_', ' ')}" for word in _MARKS if (count := _count(record, word))]
        points = f"{_points(record.score)} of {_points(record.max_score)} points"
        if cell_len(record.learner) > width:
            yield record.learner
        name = "" if cell_len(record.learner) > width else record.learner
        yield f"{name}{' ' * (width - cell_len(name))}  {points}  {', '.join(counts)}"
        for mark in record.marks:
            if mark.verdict != "missing":
                yield from _mark(mark, columns)
        yield from _missing(record, columns)
        yield ""
    for same in graded.same:
        yield from _wrapped(f"{same.says} for {same.exercise}: {', '.join(same.learners)}", columns, 0)
    if ours := [f"{record.learner} ({mark.exercise})" for record, mark in _ours(graded)]:
        yield from _wrapped(f"! grading itself failed for {', '.join(ours)}; try again with --resume", columns, 0)
    seed = "a secret seed" if is_secret else "the seed that was given"
    yield from _wrapped(
        f"{len(graded.records)} graded with hidden laws and {seed}; what each law found is in the records", columns, 0
    )


def _count(record: Record, verdict: str) -> int:
    return sum(mark.verdict == verdict for mark in record.marks)


def _ours(graded: Graded) -> Iterator[tuple[Record, Mark]]:
    yield from ((record, mark) for record in graded.records for mark in record.marks if mark.verdict == "grader_error")


def _points(points: float) -> str:
    """Two digits after the point; the records have all."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def _mark(mark: Mark, columns: int) -> Iterator[str]:
    score = f"{_points(mark.score)} of {_points(mark.max_score)}"
    points = "no points lost" if mark.verdict == "grader_error" else score
    yield f"  {_MARKS[mark.verdict]} {mark.exercise:<24} {mark.verdict.replace('_', ' '):<13} {points}"
    for text in _said(mark):
        yield from _wrapped(shorten(text, _LONGEST, placeholder=" …"), columns, 6)
    for suite in mark.suites:
        if suite.verdict == "failed":
            yield from _wrapped(_suite(suite), columns, 6)
    if left := sum(suite.verdict == "unknown" for suite in mark.suites):
        yield from _wrapped(f"? {left} more could not be judged", columns, 6)


def _said(mark: Mark) -> Iterator[str]:
    """Why, once: what was expected and got, or the cause where that is all there is; and what was noted."""
    if mark.verdict in ("fail", "unknown") and mark.got:
        yield f"expected {mark.expected}, got {mark.got}"
    if mark.cause and mark.verdict != "pass" and mark.cause not in {suite.says for suite in mark.suites}:
        yield mark.cause
    yield from mark.remarks


def _suite(suite: Suite) -> str:
    shaky = suite.failure.repeats if suite.failure is not None else ""
    notes = [f"not repeatable: it fails {shaky}"] * bool(shaky) + ["a hidden law"] * suite.hidden
    listed = f" ({'; '.join(notes)})" if notes else ""
    return f"✕ {suite.says}{listed}"


def _missing(record: Record, columns: int) -> Iterator[str]:
    """Those that were not handed in: all of them in one line, and what they may be called instead."""
    missing = [mark for mark in record.marks if mark.verdict == "missing"]
    if 0 < len(missing) < len(record.marks):
        yield from _wrapped(f"· missing: {', '.join(mark.exercise for mark in missing)}", columns, 2)
    for mark in missing:
        if "but there is" in mark.cause:
            yield from _wrapped(mark.cause, columns, 6)


def _wrapped(text: str, columns: int, indent: int) -> list[str]:
    """Lines that fit; those after the first stand two further in."""
    return wrap(text, columns, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _nobody_hears(share: float) -> None:
    pass
