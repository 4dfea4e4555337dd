"""The program as a whole: help, version, list, doctor, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import lbtutor as package

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_names_every_command(lbtutor: Program) -> None:
    done = lbtutor("--help")
    assert done.returncode == 0
    assert [word for word in ("lesson", "lab", "list", "proxy", "doctor", "--version") if word not in done.stdout] == []


def test_version_is_the_packages(lbtutor: Program) -> None:
    assert lbtutor("--version").stdout == f"lbtutor {package.__version__}\n"


def test_list_shows_lessons_and_labs(lbtutor: Program) -> None:
    done = lbtutor("list")
    assert done.returncode == 0
    assert [word for word in ("Lessons", "Labs", "Exercises", "round-robin") if word not in done.stdout] == []
    assert "Labs" not in lbtutor("list", "lessons").stdout


def test_doctor_looks_at_everything_and_prints_json(lbtutor: Program) -> None:
    done = lbtutor("doctor", "--json")
    assert done.returncode == 0
    findings = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
    assert findings["sockets on loopback"] == "ok"
    assert findings["client addresses"] == "ok"
    assert findings["progress"] == "ok"
    assert findings["redis-server"] in ("ok", "missing")


def test_a_doctor_with_a_patient_beyond_help_says_so_and_exits_4(lbtutor: Program) -> None:
    done = lbtutor("doctor", env={"LBTUTOR_STATE": "/proc/nowhere"})
    assert done.returncode == 4
    assert "broken   " in done.stdout
    assert "Traceback" not in done.stderr


def test_completion_is_offered(lbtutor: Program) -> None:
    done = lbtutor("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "lbtutor" in done.stdout


def test_help_imports_neither_the_screen_nor_the_sockets() -> None:
    code = (
        "import sys; sys.argv = ['lbtutor', '--help']\n"
        "from lbtutor.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'textual', 'rich', 'httptools', 'uvloop', 'asyncio', 'ssl', 'hypothesis'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
