"""The journal: what is written is read; what is cut is told; what is foreign is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from lbtutor import __version__
from lbtutor.core.algorithms.load import LeastConnections
from lbtutor.core.errors import EnvironmentFault, JournalError
from lbtutor.core.events import Arrived, Drained, Ended, Event, Finished
from lbtutor.core.pool import PoolConfig
from lbtutor.core.units import Seconds
from lbtutor.core.workload import Plan
from lbtutor.trace.journal import Header, Journal, JournalWriter, read_journal

HEADER = Header(scenario="slow", title="Ein Bär — 熊", seed=7, shell="sim", lasts=30.0, pools={"web": "round_robin"})
EVENTS: list[Event] = [
    Arrived(0.25, 1, "127.0.1.1", "GET", "", "/ü", "front"),
    Finished(0.5, 1, 1, "web", "a", "answered 200", 200, 0.25, True, True),
    Drained(1.0, "web", "a"),
]
ENDED = Ended(30.0, "lasted")


def write(path: Path, events: Iterable[Event]) -> Path:
    with JournalWriter(path, HEADER) as journal:
        for event in events:
            journal.write(event)
    return path


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    return write(tmp_path / "run.jsonl", [*EVENTS, ENDED])


def test_what_was_written_is_read(complete: Path) -> None:
    assert read_journal(complete) == Journal(HEADER, [*EVENTS, ENDED], None)
    assert read_journal(str(complete)).complaint is None


def test_every_line_is_one_json_object_and_the_first_says_what_this_is(complete: Path) -> None:
    first, *others = complete.read_text(encoding="utf-8").splitlines()
    assert first.startswith('{"journal":"lbtutor","format":1,"scenario":"slow"')
    assert f'"version":"{__version__}"' in first
    assert [msgspec.json.decode(line)["type"] for line in others] == ["arrived", "finished", "drained", "ended"]


def test_durations_with_a_unit_are_written_as_the_seconds_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", [Ended(Seconds(30), "lasted")])
    assert read_journal(path).events == [ENDED]


def test_a_header_is_made_of_a_plan() -> None:
    pools = (PoolConfig("web", {"name": "maglev", "size": 251}), PoolConfig("api", "ip_hash"), PoolConfig("mine"))
    plan = Plan((), (), pools, title="Three pools", seed=9, lasts=Seconds(12))
    header = Header.of(plan, scenario="three", shell="live", algorithms={"mine": LeastConnections()})
    assert header == Header(
        scenario="three",
        title="Three pools",
        seed=9,
        shell="live",
        lasts=12.0,
        pools={"web": "maglev", "api": "ip_hash", "mine": "LeastConnections"},
    )


def test_without_its_end_a_journal_was_cut_and_says_where(tmp_path: Path) -> None:
    journal = read_journal(write(tmp_path / "run.jsonl", EVENTS))
    assert (journal.events, journal.complaint) == (EVENTS, "cut after 3 events at t=1.000")


def test_a_journal_of_a_header_alone_was_cut_too(tmp_path: Path) -> None:
    assert read_journal(write(tmp_path / "run.jsonl", [])) == Journal(HEADER, [], "cut after its header")


def test_cut_anywhere_after_its_header_a_journal_can_be_read_up_to_there(complete: Path) -> None:
    whole = complete.read_bytes()
    header_length = whole.index(b"\n") + 1
    for length in range(header_length, len(whole) - 1, 3):
        complete.write_bytes(whole[:length])
        journal = read_journal(complete)
        assert journal.events == [*EVENTS, ENDED][: len(journal.events)]
        lines = whole[header_length:length].count(b"\n")
        assert len(journal.events) in (lines, lines + 1), "a whole line counts even without its line end"
        assert journal.complaint is not None
        assert journal.complaint.startswith("cut after ")


def test_the_complaint_names_the_line_that_was_cut(complete: Path) -> None:
    complete.write_bytes(complete.read_bytes()[:-10])
    assert read_journal(complete).complaint == "cut after 3 events at t=1.000, in the middle of line 5"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"type":"arrived"', "Input data was truncated"),
        (b'{"type":"teleported","at":1.0}', "Invalid value 'teleported'"),
        (b'{"type":"drained","at":"soon","pool":"web","backend":"a"}', "Expected `float`, got `str`"),
        (b'{"type":"drained","at":1.0,"pool":"\xff","backend":"a"}', "can't decode byte 0xff"),
        (b"\x00\x00\x00", "malformed"),
        (b"not json", "malformed"),
        (b"x" * 500, "xxxx…'"),
    ],
)
def test_a_damaged_line_is_named_and_what_is_before_it_is_offered(complete: Path, line: bytes, says: str) -> None:
    lines = complete.read_bytes().splitlines(keepends=True)
    complete.write_bytes(b"".join([*lines[:3], line + b"\n", *lines[3:]]))
    with pytest.raises(JournalError, match="line 4, is no event") as caught:
        read_journal(complete)
    assert says in str(caught.value)
    assert "The 2 events before it can be read." in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(complete))
    assert caught.value.journal == Journal(HEADER, EVENTS[:2], "damaged at line 4; cut after 2 events at t=0.500")


def test_blank_lines_are_nobodys_damage(complete: Path) -> None:
    complete.write_bytes(complete.read_bytes().replace(b"\n", b"\r\n\n"))
    assert read_journal(complete).events == [*EVENTS, ENDED]


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"\x1f\x8b\x08\x00compressed", r"'\x1f\x8b\x08\x00compressed'"),
        (b"127.0.0.1 - - [10/Oct/2000] GET /\n", "'127.0.0.1 - - [10/Oct/2000] GET /'"),
        (b'{"type":"arrived","at":0}\n', '\'{"type":"arrived","at":0}\''),
        (b'{"journal":"systemd"}\n', '\'{"journal":"systemd"}\''),
        (b"\xff\xfe{\x00", r"'\xff\xfe{\x00'"),
        (b"[1, 2]\n", "'[1, 2]'"),
        (b"\n", "''"),
        (b'{"journal":"lbtut', '\'{"journal":"lbtut\''),
        (b"y" * 10_000, "'" + "y" * 60 + "…'"),
    ],
)
def test_a_foreign_file_is_refused_with_what_was_expected_and_what_is_there(
    tmp_path: Path, content: bytes, looks_like: str
) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert str(caught.value) == (
        f"{path} is not a journal of lbtutor: its first line should look like "
        f'{{"journal":"lbtutor","format":1,…}}, but is {looks_like}'
    )
    assert caught.value.journal is None


def test_a_newer_format_says_who_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "newer.jsonl"
    path.write_text('{"journal":"lbtutor","format":3,"version":"2.5.0","seed":"no longer a number"}\n')
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert str(caught.value) == (
        f"{path} is a journal of format 3, and lbtutor {__version__} reads formats up to 1; "
        "lbtutor 2.5.0 wrote it and can read it"
    )


def test_a_header_of_our_format_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_text('{"journal":"lbtutor","format":1,"seed":"seven"}\n')
    with pytest.raises(JournalError, match=r"header of this journal is damaged .*\$\.seed"):
        read_journal(path)


def test_a_header_may_hold_what_we_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "more.jsonl"
    path.write_text('{"journal":"lbtutor","format":1,"colour":"blue"}\n{"type":"ended","at":1,"because":"stopped"}\n')
    assert read_journal(path).events == [Ended(1.0, "stopped")]


def test_an_empty_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(JournalError, match="is empty: a journal begins with"):
        read_journal(path)


@pytest.mark.parametrize(("name", "says"), [("missing", "No such file or directory"), (".", "Is a directory")])
def test_what_cannot_be_opened_says_why(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(JournalError, match=f"cannot read the journal .*: {says}"):
        read_journal(tmp_path / name)


def test_a_journal_that_cannot_be_written_is_a_fault_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot write the journal .*: No such file or directory"):
        write(tmp_path / "no" / "such" / "folder.jsonl", EVENTS)


@pytest.mark.parametrize("count", [1, 10_000])
def test_a_full_disk_is_a_fault_of_the_environment(count: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(EnvironmentFault, match="cannot write the journal /dev/full: No space left on device"):
        write(Path("/dev/full"), [ENDED] * count)


def test_a_run_that_fails_leaves_what_it_wrote(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Event]:
        yield EVENTS[0]
        raise KeyboardInterrupt

    path = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted())
    assert read_journal(path).events == EVENTS[:1]


def test_a_closed_journal_takes_nothing_more(complete: Path) -> None:
    journal = JournalWriter(complete, HEADER)
    with pytest.raises(ValueError, match="is not open"):
        journal.write(ENDED)
    assert read_journal(complete).complaint is None, "and the file is only begun anew when it is entered"
