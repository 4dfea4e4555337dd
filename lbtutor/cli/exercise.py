"""`lbtutor exercise`: a workspace of the learner's own files, judged at once or at every save."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lbtutor.cli.document import say_json
from lbtutor.cli.exits import Exit
from lbtutor.cli.lab import Shell
from lbtutor.cli.lab import run as run_lab
from lbtutor.cli.progress import progressing
from lbtutor.cli.screens import Screens, is_terminal
from lbtutor.cli.text import note, say
from lbtutor.core.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from lbtutor.course.exercises.judging import Judgement
    from lbtutor.course.exercises.manifest import Exercise
    from lbtutor.course.exercises.record import ExerciseRecord
    from lbtutor.course.exercises.workspace import Workspace

exercise = typer.Typer(
    name="exercise",
    help="Write a part of a load balancer yourself, and see what it does to every law that holds for it.",
    rich_markup_mode=None,
)

_ROOMY = 105
"""Columns of a terminal in which kind and level of an exercise stand beside its title."""

_GLYPHS = {"passed": "✓", "failed": "✕", "begun": "●", "new": "·"}

_LABS = {
    "router": "routing",
    "round_robin": "round-robin",
    "least_connections": "least-connections",
    "health": "error-share",
    "ejection": "passive-ejection",
    "affinity": "sticky-cookie",
    "retry": "retry-budget",
    "drain": "drain",
    "slow_start": "slow-start",
}
"""Which lab shows the part of a balancer that a learner's class cannot be put in the place of."""

Which = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Its id, number or file; without it, the one you worked on last."),
]
Seed = Annotated[int | None, typer.Option(help="Look at the same examples as the run that printed this seed.")]

_START = """\
Exercises: you write a part of a load balancer, and every law that holds for it is tried on what you wrote.

  lbtutor exercise list        what there is, and what you have passed
  lbtutor exercise start       the next one: a file of your own, with one gap
  lbtutor exercise open        all of this on one screen, with what broke a law on the stage
  lbtutor exercise watch       check it whenever you save it
  lbtutor exercise check       check it once
  lbtutor exercise run         yours at work: it runs the real balancer
  lbtutor exercise hint        the next of three hints; the first is a question
  lbtutor exercise solution    one that passes, once yours did"""


@exercise.callback(invoke_without_command=True)
def begin(context: typer.Context) -> None:
    """Exercises; without a command, how to start."""
    if context.invoked_subcommand is None:
        say(_START)


@exercise.command(name="list")
def list_(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """All exercises in their order, how far you are, and which is next."""
    if json:
        say_json(_documents())
        return
    for line in listed() or ["(none yet)"]:
        say(line)


@exercise.command()
def start(
    which: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Its id, number or file; without it, the next.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in", metavar="FOLDER", help="Your workspace (default: where it was last, or else ./lbtutor-exercises)."
        ),
    ] = None,
) -> None:
    """Put an exercise's file into your workspace; one that is there already stays as it is."""
    from lbtutor.course.exercises.manifest import exercises
    from lbtutor.course.exercises.workspace import find

    record = _record()
    chosen = find(which, exercises()) if which else record.next_of(exercises())
    if chosen is None:
        say("You have passed all exercises. `lbtutor exercise start ID` opens one of them again.")
        return
    workspace = _workspace(record, folder)
    is_new = workspace.start(chosen)
    record.record_start(chosen, workspace.folder, _now())
    _tell_notices(record)
    _introduce(chosen, workspace, record, is_new=is_new)


@exercise.command()
def check(
    context: typer.Context,
    which: Which = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="Look thirty times as hard.")] = False,
    seed: Seed = None,
    show: Annotated[bool, typer.Option("--show", help="Play how the first law was broken, on the stage.")] = False,
) -> None:
    """Judge your file: what was expected, what came, why, and what to do next.

    It runs in a process of its own with no files, no network and limits on time and memory. Exit codes: 0 passed,
    1 not yet, 3 too little was seen to say, 4 your code cannot be kept apart on this machine, or lbtutor has a fault.
    """
    from lbtutor.cli.judgement import Telling, document, exit_of_outcome
    from lbtutor.course.exercises.checking import unreadable
    from lbtutor.course.exercises.judging import Depth, judge
    from lbtutor.testing.sandbox import NotGradable

    if show and not is_terminal():
        raise ConfigError("--show needs a terminal; the story is told without it")
    record = _record()
    chosen, workspace = _meant(which, record)
    telling = Telling(chosen, None)
    try:
        file = workspace.read(chosen)
    except NotGradable as reason:
        judged = unreadable(chosen, reason)
    else:
        with progressing("checking"):
            telling = Telling(chosen, file)
            told = None if json else telling.finding
            judged = judge(chosen, file, Depth("thorough" if thorough else "quick", seed, told=told))
    was_passed = record.has_passed(chosen)
    record.record_try(chosen, judged.outcome, workspace.folder, _now())
    if json:
        say_json(document(judged, chosen, str(workspace.path(chosen))))
    else:
        telling.end(judged)
        _tell_what_is_next(judged, chosen, record, is_first=not was_passed)
    _tell_notices(record)
    if show:
        _show_story(context.obj, chosen, judged)
    raise typer.Exit(exit_of_outcome(judged))


def _show_story(screens: Screens, chosen: Exercise, judged: Judgement) -> None:
    from lbtutor.course.exercises.story import keep_story

    kept = keep_story(chosen, judged)
    if kept is not None:
        screens.replay(kept)
    else:
        note("There is no story to play: no law was broken in one.")


@exercise.command()
def watch(
    which: Which = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look again and again: for drives that give no notice of saves.")
    ] = False,
    seed: Seed = None,
) -> None:
    """Judge your file whenever you save it, until Ctrl-C.

    All checks of one watch look at the same examples, so a story stays until it is mended. Exit codes: 0 if the last
    verdict was passed, else 130.
    """
    from secrets import randbits

    from lbtutor.cli.watching import Screen
    from lbtutor.course.exercises.judging import Depth, Judgement
    from lbtutor.course.exercises.watching import watch as news_of

    record = _record()
    chosen, workspace = _meant(which, record)
    workspace.begun(chosen)
    screen = Screen(chosen, workspace)
    depth = Depth(seed=randbits(31) if seed is None else seed)
    last: Judgement | None = None
    try:
        for news in news_of(chosen, workspace, depth, poll=poll):
            if isinstance(news, Judgement):
                last = news
                record.record_try(chosen, news.outcome, workspace.folder, _now())
            screen.tell(news, next_of(record) if last is not None and last.outcome == "pass" else "")
            _tell_notices(record)
    except KeyboardInterrupt:
        screen.close()
    raise typer.Exit(Exit.PASSED if last is not None and last.outcome == "pass" else Exit.INTERRUPTED)


@exercise.command(name="open")
def open_(
    context: typer.Context,
    which: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Its id, number or file; without it, all to choose from.")
    ] = None,
) -> None:
    """The exercises on the whole terminal: task, file, verdict, and what broke a law on the stage."""
    if not is_terminal():
        raise ConfigError("this needs a terminal; `lbtutor exercise watch` tells the same as text")
    screens: Screens = context.obj
    raise typer.Exit(screens.exercise(which))


@exercise.command()
def run(
    which: Which = None,
    on: Annotated[Shell, typer.Option(help="live: real sockets on loopback. sim: a virtual clock.")] = Shell.LIVE,
    plain: Annotated[bool, typer.Option("--plain", help="Tell the run, one line an event.")] = False,
) -> None:
    """Let your own class run the real balancer, in the lab of its lesson. Exit codes are those of `lbtutor lab run`."""
    from lbtutor.course.exercises.workspace import shown

    record = _record()
    chosen, workspace = _meant(which, record)
    if not (chosen.lab and chosen.cls):
        raise ConfigError(f"{chosen.id} is no algorithm that a balancer could ask; {_seen_instead(chosen)}")
    own = f"{shown(workspace.begun(chosen))}:{chosen.cls}"
    note(f"lbtutor lab run {chosen.lab} --algorithm {own} --on {on.value}")
    _tell_what_to_see(chosen)
    run_lab(chosen.lab, on=on, algorithm=own, plain=plain)


def _tell_what_to_see(chosen: Exercise) -> None:
    """The lab's story, since numbers without one are only numbers."""
    from lbtutor.cli.judgement import told_width
    from lbtutor.labs.scenario import load_scenario, scenario_names

    story = load_scenario(scenario_names()[chosen.lab]).story
    for line in wrap(" ".join(filter(None, (story, chosen.sees))), told_width()):
        note(line)


def _seen_instead(chosen: Exercise) -> str:
    """Where that part of a balancer can be seen at work."""
    lab = _LABS.get(chosen.component)
    check = f"`lbtutor exercise check {chosen.id}` plays it"
    return check if lab is None else f"{check}, and `lbtutor lab run {lab}` shows that part of ours at work"


@exercise.command()
def hint(
    which: Which = None,
    every: Annotated[bool, typer.Option("--all", help="All of them at once.")] = False,
) -> None:
    """The next hint. There are three: a question, where to look, and the idea."""
    from lbtutor.cli.judgement import told_width

    record = _record()
    chosen, _ = _meant(which, record)
    seen, count = record.hints(chosen), len(chosen.hints)
    upto = count if every else min(seen + 1, count)
    record.record_hint(chosen, upto, _now())
    for number in range(1 if every else upto, upto + 1):
        for line in wrap(f"Hint {number} of {count}: {chosen.hints[number - 1]}", told_width(), subsequent_indent="  "):
            say(line)
    if seen == count:
        force = "" if record.has_passed(chosen) else " --force"
        note(f"There are no more. `lbtutor exercise solution {chosen.id}{force}` shows one that passes.")
    _tell_notices(record)


@exercise.command()
def reset(
    which: Which = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Begin again with the file as it was given. What you wrote is kept beside it, and a pass stays a pass."""
    from lbtutor.course.exercises.workspace import shown

    record = _record()
    chosen, workspace = _meant(which, record)
    path = shown(workspace.path(chosen))
    if not yes and not _agreed(f"Put {path} back to its start? What you wrote is kept beside it. [y/N] "):
        say(f"{path} stays as it is.")
        return
    kept = workspace.reset(chosen)
    record.record_reset(chosen, _now())
    say(f"{path} is as it was given." + (f" What you wrote is in {shown(kept)}." if kept is not None else ""))
    _tell_notices(record)


@exercise.command()
def solution(
    which: Which = None,
    force: Annotated[bool, typer.Option("--force", help="Also before yours has passed; that is recorded.")] = False,
    out: Annotated[Path | None, typer.Option(help="Put it into this new file instead of printing it.")] = None,
) -> None:
    """Show a solution, once yours has passed."""
    from lbtutor.course.exercises.workspace import solution as solved

    record = _record()
    chosen, _ = _meant(which, record)
    if not record.has_passed(chosen):
        if not force:
            raise ConfigError(
                f"a solution is shown once yours has passed. `lbtutor exercise hint {chosen.id}` helps; --force shows "
                "it all the same, and that is recorded"
            )
        record.record_reveal(chosen, _now())
        note("Recorded: you looked at the solution before yours passed.")
    _put(solved(chosen), out)
    _tell_notices(record)


def listed() -> list[str]:
    """The lines of `lbtutor exercise list`; where there is no room for them, without kind and level."""
    rows = _documents()
    widths = {key: max((len(str(row[key])) for row in rows), default=0) for key in ("number", "id", "kind")}
    is_roomy = get_terminal_size().columns >= _ROOMY
    more = [f"{row['kind']:<{widths['kind']}}  level {row['level']}  " if is_roomy else "" for row in rows]
    return [
        f"{'→' if row['next'] else ' '} {row['number']:>{widths['number']}}  "
        f"{_GLYPHS[row['state']]} {row['state']:<6}  {row['id']:<{widths['id']}}  {middle}{row['title']}"
        for row, middle in zip(rows, more, strict=True)
    ]


def next_of(record: ExerciseRecord) -> str:
    """Which is next, and how to begin it; nothing is begun by itself."""
    from lbtutor.course.exercises.manifest import exercises

    after = record.next_of(exercises())
    if after is None:
        return "You have passed all exercises."
    return f"Next: lbtutor exercise start {after.id}   ({after.title})"


def _documents() -> list[dict[str, Any]]:
    from lbtutor.course.exercises.manifest import exercises

    record = _record()
    _tell_notices(record)
    after = record.next_of(exercises())
    return [
        {
            "number": number,
            "id": one.id,
            "title": one.title,
            "asks": one.asks,
            "kind": one.kind,
            "section": one.section,
            "level": one.level,
            "points": one.points,
            "state": record.state(one),
            "next": one is after,
            "hints": record.hints(one),
            "revealed": record.was_revealed(one),
        }
        for number, one in enumerate(exercises(), 1)
    ]


def _meant(which: str | None, record: ExerciseRecord) -> tuple[Exercise, Workspace]:
    """The exercise that is meant, and the workspace. Raises `ConfigError` when none was ever begun."""
    from lbtutor.course.exercises.manifest import exercises
    from lbtutor.course.exercises.workspace import find

    last = next((one.id for one in exercises() if one.id == record.last), None)  # one that is gone is not meant
    name = which or last
    if name is None:
        raise ConfigError("which exercise? `lbtutor exercise start` begins the next, `lbtutor exercise list` shows all")
    return find(name, exercises()), _workspace(record, None)


def _workspace(record: ExerciseRecord, wanted: Path | None) -> Workspace:
    """Where it is wanted, or where it was last if that is still there, or the usual folder here."""
    from lbtutor.course.exercises.workspace import DEFAULT, Workspace

    last = record.folder
    if wanted is None and last is not None and not last.is_dir():
        note(f"Your workspace was in {last}, which is not there any more: ./{DEFAULT} takes its place.")
        last = None
    return Workspace(wanted or last or Path(DEFAULT))


def _introduce(chosen: Exercise, workspace: Workspace, record: ExerciseRecord, *, is_new: bool) -> None:
    from lbtutor.cli.judgement import told_width
    from lbtutor.course.exercises.manifest import exercises
    from lbtutor.course.exercises.workspace import shown

    say(f"{chosen.title}   ({chosen.id}, {chosen.kind}, level {chosen.level})")
    for line in wrap(chosen.asks, told_width()):
        say(line)
    say()
    path = shown(workspace.path(chosen))
    say(f"Your file: {path}" if is_new else f"Your file: {path}   (it was there already, and stays as it is)")
    say("Open it in your editor, and in another terminal: lbtutor exercise watch")
    say("Or now and then: lbtutor exercise check. If you are stuck: lbtutor exercise hint")
    missing = [one.id for one in exercises() if one.id in chosen.needs and not record.has_passed(one)]
    if missing:
        note(f"It builds on {', '.join(missing)}, which you have not passed yet. You may go on all the same.")


def _tell_what_is_next(judged: Judgement, chosen: Exercise, record: ExerciseRecord, *, is_first: bool) -> None:
    if judged.outcome == "pass":
        recorded = "Recorded. " if is_first else ""
        _offer(f"{recorded}A solution to compare with:", f"lbtutor exercise solution {chosen.id}")
        if chosen.lab and chosen.cls:
            _offer("Yours at work, on real sockets:", f"lbtutor exercise run {chosen.id}")
        say(f"           {next_of(record)}")
    elif judged.findings:
        if sum(found.verdict == "failed" for found in judged.findings) > 1 and chosen.kind in ("implement", "fault"):
            say("           Mend the first one told above; the others often have the same cause.")
        if chosen.kind in ("implement", "fault", "law"):
            is_story = any(found.counterexample is not None for found in judged.findings)
            more = " (with --show: the story on the stage)" if is_story else ""
            _offer(f"The same examples again{more}:", f"lbtutor exercise check {chosen.id} --seed {judged.seed}")
        _offer("A hint:", f"lbtutor exercise hint {chosen.id}")


def _offer(what: str, command: str) -> None:
    """A command to copy: behind what it does, or below it where the line would be broken."""
    from lbtutor.cli.judgement import told_width

    line = f"           {what} {command}"
    say(line if len(line) <= told_width() else f"           {what}\n             {command}")


def _put(text: str, out: Path | None) -> None:
    if out is None:
        say(text.rstrip())
        return
    try:
        with open(out, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{out} is there already, and is not overwritten") from None
    except OSError as error:
        raise EnvironmentFault(f"{out} cannot be written: {error.strerror}") from None


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("there is nobody to ask; --yes says that it is meant")
    return input(question).strip().lower() in ("y", "yes")


def _record() -> ExerciseRecord:
    from lbtutor.course.exercises.record import ExerciseRecord
    from lbtutor.course.progress import Progress

    return ExerciseRecord(Progress.load())


def _tell_notices(record: ExerciseRecord) -> None:
    """Each notice once."""
    while record.progress.notices:
        note(f"lbtutor: {record.progress.notices.pop(0)}")


def _now() -> datetime:
    return datetime.now(UTC)
