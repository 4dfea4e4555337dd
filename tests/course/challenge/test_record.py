"""What a learner has done of the challenge."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbtutor.course.challenge.record import ChallengeRecord

NOW = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)


def test_the_answer_is_kept_out_of_sight_at_first(tmp_path: Path) -> None:
    record = ChallengeRecord(tmp_path)
    assert not record.is_open
    assert not list(tmp_path.iterdir()), "to look changes nothing"


def test_who_passed_may_see_it_and_so_may_who_asked(tmp_path: Path) -> None:
    ChallengeRecord(tmp_path / "passed").record_pass("mine", 5, NOW)
    ChallengeRecord(tmp_path / "asked").record_reveal(NOW)
    (passed,) = ChallengeRecord(tmp_path / "passed").passed
    assert (passed.at, passed.design, passed.seeds) == (NOW, "mine", 5)
    assert ChallengeRecord(tmp_path / "passed").is_open
    assert ChallengeRecord(tmp_path / "asked").is_open
    assert ChallengeRecord(tmp_path / "asked").revealed == NOW


def test_only_the_first_time_of_asking_counts(tmp_path: Path) -> None:
    for minutes in (0, 5):
        ChallengeRecord(tmp_path).record_reveal(NOW + timedelta(minutes=minutes))
    assert ChallengeRecord(tmp_path).revealed == NOW


def test_two_terminals_do_not_lose_each_others_passes(tmp_path: Path) -> None:
    one, other = ChallengeRecord(tmp_path), ChallengeRecord(tmp_path)
    one.record_pass("mine", 1, NOW)
    other.record_pass("yours", 5, NOW)
    assert [done.design for done in other.passed] == ["mine", "yours"]
    assert ChallengeRecord(tmp_path).passed == other.passed


def test_the_file_can_be_read_by_a_person(tmp_path: Path) -> None:
    ChallengeRecord(tmp_path).record_pass("mine", 5, NOW)
    text = (tmp_path / "challenge.json").read_text()
    assert json.loads(text) == {
        "format": 1,
        "passed": [{"at": "2026-01-02T10:00:00Z", "design": "mine", "seeds": 5}],
    }
    assert len(text.splitlines()) > 5


@pytest.mark.parametrize("content", ["not JSON", '{"format": 1, "passed": 7}', '{"format": 2}', "\xff"])
def test_a_file_that_is_not_understood_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "challenge.json"
    path.write_text(content, encoding="latin-1")
    record = ChallengeRecord(tmp_path)
    record.record_pass("mine", 5, NOW)
    assert record.is_open, "it counts until the program ends"
    assert str(path) in record.notice
    assert path.read_text(encoding="latin-1") == content


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record = ChallengeRecord(tmp_path / "file")
    record.record_reveal(NOW)
    assert record.is_open
    assert record.notice
