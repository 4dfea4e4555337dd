"""Every row of the catalogue of faults and cheats: none passes, none does damage, each is told as what it is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import lbtutor
from lbtutor.testing.sandbox import (
    BackendView,
    Confined,
    Fault,
    InProcess,
    Limits,
    RequestView,
    Room,
    confinement,
    submission,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(confinement().lacks(("landlock", "seccomp"))),
    reason="this machine cannot close all doors",
)

WRONG = """
class Balancer:
    def pick(self, request, backends):
        answer = attack(request, backends)
        return backends[0] if answer is None else answer
def attack(request, backends): pass
"""
RIGHT = """
class Balancer:
    turn = -1
    def pick(self, request, backends):
        self.turn += 1
        return backends[self.turn % len(backends)]
"""
PATIENT = Limits(load=10, call=10, suite=30)
HASTY = Limits(load=0.25, call=0.25, suite=0.35)


class Row(NamedTuple):
    says: str
    ends: str
    text: str


def _rows() -> list[Row]:
    text = Path(__file__).with_name("catalogue.txt").read_text()
    parts = re.split(r"^= (.+) \| (\w+)\n", text, flags=re.MULTILINE)[1:]
    return [Row(*parts[i : i + 3]) for i in range(0, len(parts), 3)]


class Scene(NamedTuple):
    """What an attack could reach for: a home with a file in it, a report, a listener; open to every user."""

    home: Path
    report: Path
    listener: socket.socket

    def filled(self, text: str) -> str:
        names = {
            "HOME": self.home,
            "REPORT": self.report,
            "PORT": self.listener.getsockname()[1],
            "GRADER": os.getpid(),
            "LBTUTOR": Path(lbtutor.__file__).parent.parent,
            "CLAUSES": "for x in y " * 70_000,
        }
        return re.sub(r"\{([A-Z]+)\}", lambda match: str(names[match[1]]), text)

    def damage(self) -> list[str]:
        thesis = self.home / "thesis.txt"
        found = []
        if not thesis.exists() or thesis.read_text() != "years of work" or stat.S_IMODE(thesis.stat().st_mode) != 0o666:
            found.append("the home")
        if sorted(path.name for path in self.home.iterdir()) != ["thesis.txt"]:
            found.append("more files at home")
        if self.report.exists():
            found.append("a forged report")
        try:
            self.listener.accept()[0].close()
            found.append("a connection")
        except BlockingIOError:
            pass
        return found


@pytest.fixture
def scene() -> Iterator[Scene]:
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users, which would hide a hole
    place.chmod(0o777)
    home = place / "home"
    home.mkdir()
    home.chmod(0o777)
    (home / "thesis.txt").write_text("years of work")
    (home / "thesis.txt").chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Scene(home, place / "report.json", listener)
    shutil.rmtree(place)


def _judge(room: Room) -> str:
    """A law in small: twelve picks among three go round, in two examples."""
    expected = list("abc") * 4
    backends = tuple(BackendView(uid, name) for uid, name in enumerate("abc"))
    for _ in range(2):
        handle = room.make("Balancer")
        if [room.pick(handle, RequestView(at=float(at)), backends) for at in range(12)] != expected:
            return "wrong"
        room.fresh()
    return "passed"


def _ending(text: str, limits: Limits) -> tuple[str, Fault | None]:
    try:
        with Confined(submission("balancer.py", text), limits=limits) as room:
            return _judge(room), None
    except Fault as fault:
        return type(fault).__name__, fault


def _relatives() -> set[int]:
    """This process's children, whatever made them, and everybody who has no user."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                status = Path("/proc", entry, "status").read_text()
            except OSError:
                continue
            if f"\nPPid:\t{os.getpid()}\n" in status:
                found.add(int(entry))
    return found


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row.says)
def test_a_row_of_the_catalogue_fails_as_what_it_is_and_does_no_damage(row: Row, scene: Scene) -> None:
    before = _relatives()
    ending, fault = _ending(WRONG + scene.filled(row.text), HASTY if row.ends == "TooSlow" else PATIENT)
    assert (ending, scene.damage(), _relatives() - before) == (row.ends, [], set()), fault
    assert fault is None or str(fault).isprintable()


@pytest.mark.parametrize("room", [Confined, InProcess])
def test_a_right_solution_passes_the_same_judge(room: type[Confined] | type[InProcess]) -> None:
    with room(submission("balancer.py", RIGHT)) as opened:
        assert _judge(opened) == "passed"


def test_the_scene_notices_each_kind_of_damage(scene: Scene) -> None:
    assert scene.damage() == []
    scene.report.write_text("{}")
    (scene.home / "thesis.txt").unlink()
    (scene.home / "more").touch()
    with socket.create_connection(scene.listener.getsockname()):
        assert scene.damage() == ["the home", "more files at home", "a forged report", "a connection"]


def test_nothing_of_the_graders_environment_is_there_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_SECRET", "the seed is 4711")
    text = "import os, sys\ndef attack(*_): raise ValueError(f'{dict(os.environ)} {sys.argv} {sys.orig_argv}')\n"
    ending, fault = _ending(WRONG + text, PATIENT)
    assert ending == "Raised"
    assert "LANG" in str(fault)
    assert "4711" not in str(fault)
    assert str(Path.home()) not in str(fault) or str(Path.home()) in sys.executable
