"""`lbtutor`: the commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from lbtutor import __version__
from lbtutor.cli.author import author
from lbtutor.cli.challenge import challenge
from lbtutor.cli.check import check
from lbtutor.cli.doctor import doctor
from lbtutor.cli.exercise import exercise
from lbtutor.cli.exits import Exit, exit_of
from lbtutor.cli.grade import grade
from lbtutor.cli.lab import lab
from lbtutor.cli.lesson import lesson, resume
from lbtutor.cli.listing import list_
from lbtutor.cli.proxy import proxy
from lbtutor.cli.replay import replay
from lbtutor.cli.screens import Screens
from lbtutor.cli.text import note, say
from lbtutor.core.errors import LbtutorError

app = typer.Typer(
    name="lbtutor",
    help="Learn load balancing on a real load balancer, in a terminal. Without a command: go on where you were.",
    epilog="Exit codes: 0 passed, 1 failed, 2 usage, 3 unknown, 4 environment or tool fault, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="list")(list_)
app.command()(lesson)
app.add_typer(lab, name="lab")
app.add_typer(challenge, name="challenge")
app.add_typer(exercise, name="exercise")
app.add_typer(author, name="author")
app.command()(check)
app.command()(grade)
app.command()(replay)
app.command()(proxy)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"lbtutor {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Learn load balancing on a real load balancer, in a terminal. Without a command, go on where you were."""
    if context.invoked_subcommand is None:
        resume(context)


def main(screens: Screens) -> None:
    """Run the command line; `screens` open the TUI.

    Every error that we can explain is one message and an exit code, never a traceback.
    """
    try:
        code = app(standalone_mode=False, obj=screens)
    except LbtutorError as error:
        note(f"lbtutor: {error}")
        code = exit_of(error)
    except typer.Exit as ended:
        code = ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        note("lbtutor: interrupted")
        code = Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.PASSED
    except Exception as error:  # noqa: BLE001  sorted into click's own and our bugs
        code = _explain(error)
    sys.exit(int(code or 0))


def _explain(error: Exception) -> int:
    """Print click's own usage errors as it would; anything else is a bug of ours, to be seen whole and reported."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
        return int(getattr(error, "exit_code", Exit.USAGE))
    traceback.print_exception(error)
    note(f"lbtutor: this is a bug in lbtutor {__version__}, not in what you did. The lines above say where.")
    return Exit.FAULT
