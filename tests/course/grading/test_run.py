"""A class: nobody hostile passes, nobody's result hangs on who else is there, and what is done is kept."""

from __future__ import annotations

import os
import re
import resource
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import lbtutor
from lbtutor.core.errors import EnvironmentFault
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading import canary
from lbtutor.course.grading.handed import handed_in
from lbtutor.course.grading.record import Record, Records, Terms, is_faulty
from lbtutor.course.grading.run import Graded, Same, grade

ClassOf = Callable[[Mapping[str, "str | bytes"]], Path]

HEAD = "class LeastConnections:\n    def pick(self, request, backends):\n"
RIGHT = HEAD + "        return min(backends, key=lambda b: b.in_flight)\n"
OTHER = HEAD + "        return sorted(backends, key=lambda b: (b.in_flight + 1) / b.weight)[0]\n"
WRONG = HEAD + "        return max(backends, key=lambda b: b.in_flight)\n"
HOSTILE = HEAD + (
    "        answer = attack(request, backends)\n"
    "        return backends[0] if answer is None else answer\n"
    "def attack(request, backends): pass\n"
)
HONEST = {"ann": RIGHT, "bob": WRONG, "zoe": OTHER}


ROWS = (1, 3, 9, 14, 15, 19, 21, 22, 25, 27, 28, 29, 31, 32, 33, 35, 36, 38, 39, 40, 43, 49, 60, 62, 68)
"""One of each kind of attack; all of them, one by one, are in the sandbox's own tests."""


def attacks(places: Mapping[str, object]) -> dict[str, str]:
    """The first row of the catalogue with each of these numbers, on top of a wrong solution."""
    text = (Path(__file__).parents[2] / "testing/sandbox/catalogue.txt").read_text()
    filled = re.sub(r"\{([A-Z]+)\}", lambda match: str(places[match[1]]), text.replace("Balancer", "LeastConnections"))
    found = re.findall(r"^= (\d+) .*\n((?:(?!= ).*\n)*)", filled, flags=re.MULTILINE)
    return {f"row {number}": HOSTILE + body for number, body in reversed(found) if int(number) in ROWS}


def outcome(record: Record) -> bytes:
    """All of a record but when it was made and how long that took."""
    marks = tuple(replace(mark, seconds=0.0) for mark in record.marks)
    return msgspec.json.encode(replace(record, started="", marks=marks))


def nobody(share: float) -> None:
    pass


@pytest.fixture
def graded(tmp_path: Path, least: Exercise, terms: Terms) -> Callable[..., Graded]:
    """Grade a folder, with the records beside it."""

    def run(folder: Path, tell: Callable[[float], None] = nobody, *, resume: bool = False) -> Graded:
        return grade(handed_in([folder], [least]), [least], terms, Records(tmp_path / "records"), tell, resume=resume)

    return run


@pytest.mark.slow
def test_nobody_hostile_passes_and_nobody_else_notices(
    tmp_path: Path, class_of: ClassOf, graded: Callable[..., Graded]
) -> None:
    folder = class_of(HONEST)
    alone = {record.learner: outcome(record) for record in graded(folder).records}

    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    report = tmp_path / "report.json"
    root = Path(lbtutor.__file__).parent.parent
    places = {
        "HOME": home,
        "REPORT": report,
        "PORT": 9,
        "GRADER": os.getpid(),
        "LBTUTOR": root,
        "CLAUSES": "for x in y " * 70_000,
    }
    hostile = attacks(places)
    class_of(hostile)
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr("../ann/least_connections.py", RIGHT)
    (folder / "link").mkdir()
    (folder / "link" / "least_connections.py").symlink_to(folder / "ann" / "least_connections.py")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "least_connections.py")

    together = graded(folder)
    assert len(together.records) == len(HONEST) + len(ROWS) + 3 == 31
    assert not is_faulty(together.records)
    assert {record.learner for record in together.records if record.marks[0].verdict == "pass"} == {"ann", "zoe"}
    assert {record.learner: outcome(record) for record in together.records if record.learner in HONEST} == alone
    assert (home / "thesis.txt").read_text() == "years of work"
    assert not report.exists()
    assert (folder / "ann" / "least_connections.py").read_text() == RIGHT


@pytest.mark.slow
def test_a_canary_that_passes_makes_everybody_a_grader_error(
    class_of: ClassOf, graded: Callable[..., Graded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "_WRONG", canary._RIGHT)  # as if everything passed
    found = graded(class_of(HONEST))
    marks = [record.marks[0] for record in found.records]
    assert [(mark.verdict, mark.score) for mark in marks] == [("grader_error", 0)] * 3
    assert "a wrong file for 'the canary' passed" in marks[0].cause


@pytest.mark.slow
def test_what_is_on_record_for_the_same_file_is_not_run_again(
    class_of: ClassOf, graded: Callable[..., Graded], tmp_path: Path
) -> None:
    folder = class_of(HONEST)
    first = graded(folder)
    (folder / "bob" / "least_connections.py").write_text(OTHER)
    again = graded(folder, resume=True)
    assert (first.reused, again.reused) == (0, 2)
    assert [record.marks[0].verdict for record in again.records] == ["pass", "pass", "pass"]
    assert again.records[0].marks == first.records[0].marks
    assert again.same == (Same("least", again.records[1].marks[0].submission_sha256, ("bob", "zoe")),)


@pytest.mark.slow
def test_an_interruption_keeps_the_records_that_are_done(
    class_of: ClassOf, graded: Callable[..., Graded], tmp_path: Path
) -> None:
    folder = class_of({f"learner{number}": RIGHT + f"# {number}\n" for number in range(4)})

    def interrupt(share: float) -> None:
        if list((tmp_path / "records").glob("learner*.json")):
            raise KeyboardInterrupt

    found = graded(folder, interrupt)
    kept = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "records").iterdir())
    assert found.interrupted
    assert kept == [record.learner for record in found.records]
    assert 0 < len(kept) < 4


def test_a_record_that_does_not_fit_on_the_disk_is_not_there_at_all(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.keep(Record("ann", "", "now", ()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        for learner in ("ann", "bob"):
            with pytest.raises(EnvironmentFault, match="cannot be written"):
                records.keep(Record(learner, "x" * 1000, "later", ()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [records.path("ann")]
    assert msgspec.json.decode(records.path("ann").read_bytes(), type=Record).started == "now"


def test_a_record_keeps_the_marks_of_other_runs(tmp_path: Path, terms: Terms, least: Exercise) -> None:
    from lbtutor.course.grading.record import unmarked

    records = Records(tmp_path)
    for name in ("one", "two", "one"):
        mark = unmarked(replace(least, id=name), "missing", "", terms)
        records.keep(Record("ann", "", "now", (mark,)))
    assert set(records.known("ann")) == {"one", "two"}
    assert not Records(tmp_path).known("bob")


def test_records_are_closed_to_others(tmp_path: Path) -> None:
    records = Records(tmp_path / "deep" / "records")
    records.open()
    records.keep(Record("../../eve", "", "now", ()))
    (path,) = records.folder.iterdir()
    assert records.folder.stat().st_mode & 0o077 == 0
    assert path.stat().st_mode & 0o077 == 0
    assert path.name.startswith("-eve-")
