"""Intake: everybody is found, nothing is followed or unpacked, and what is refused is said."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.handed import Handed, called_otherwise, handed_in

FILE = "least_connections.py"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def of(path: Path, least: Exercise) -> list[Handed]:
    return handed_in([path], [least])


def texts(everybody: list[Handed]) -> dict[str, bytes]:
    return {one.learner: one.files[FILE].data for one in everybody if FILE in one.files}


def test_a_folder_with_a_file_that_is_asked_for_is_one_learners(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / FILE).write_bytes(b"a = 1")
    (tmp_path / "ann" / "notes.txt").write_bytes(b"ignored")
    (one,) = of(tmp_path / "ann", least)
    assert (one.learner, list(one.files)) == ("ann", [FILE])


def test_a_class_is_folders_and_archives_in_the_order_of_their_names(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "cleo" / "week1").mkdir(parents=True)
    (tmp_path / "cleo" / "week1" / FILE).write_bytes(b"c")
    zipped(tmp_path / "ann.zip", {f"handed/in/{FILE}": b"a", "other.py": b""})
    with tarfile.open(tmp_path / "bob.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(FILE)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"b"))
    (tmp_path / "dora").mkdir()
    (tmp_path / "grades.csv").touch()
    everybody = of(tmp_path, least)
    assert [one.learner for one in everybody] == ["ann", "bob", "cleo", "dora"]
    assert texts(everybody) == {"ann": b"a", "bob": b"b", "cleo": b"c"}


@pytest.mark.parametrize("name", [f"../{FILE}", f"/tmp/{FILE}", f"C:\\{FILE}"])
def test_an_archive_that_names_a_place_outside_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path, least: Exercise
) -> None:
    path = zipped(tmp_path / "eve.zip", {name: b"out", FILE: b"in"})
    (one,) = of(path, least)
    assert not one.files
    assert "outside" in one.refusal
    assert os.listdir(tmp_path) == ["eve.zip"]


def test_an_archive_with_a_link_is_refused(tmp_path: Path, least: Exercise) -> None:
    with tarfile.open(tmp_path / "eve.tar", "w") as archive:
        link = tarfile.TarInfo(FILE)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (one,) = of(tmp_path / "eve.tar", least)
    assert "a link or a device" in one.refusal


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, least: Exercise) -> None:
    path = zipped(tmp_path / "eve.zip", {FILE: bytes(1 << 24)})
    (one,) = of(path, least)
    assert "larger than 1 MiB" in one.refusal


def test_what_is_no_archive_inside_is_refused(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "eve.zip").write_bytes(b"PK\x03\x04 not really")
    (one,) = of(tmp_path / "eve.zip", least)
    assert "cannot be read" in one.refusal


def test_links_and_pipes_are_refused_by_name_and_never_opened(tmp_path: Path, least: Exercise) -> None:
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
    (tmp_path / "ann" / FILE).symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "bob" / FILE)
    (tmp_path / "cleo").symlink_to("/etc")
    os.mkfifo(tmp_path / "dora")
    os.mkfifo(tmp_path / "eve.zip")
    refused = {one.learner: one.refusal or one.refused[FILE] for one in of(tmp_path, least)}
    assert refused == {
        "ann": "it is a symbolic link",
        "bob": "it is not an ordinary file",
        "cleo": "it is a symbolic link",
        "dora": "it is neither a folder nor an archive (.zip, .tar, .tar.gz, .tgz)",
        "eve": "it is not an ordinary file",
    }


def test_a_file_that_is_there_twice_could_be_either_and_is_neither(tmp_path: Path, least: Exercise) -> None:
    (one,) = of(zipped(tmp_path / "ann.zip", {f"old/{FILE}": b"1", f"new/{FILE}": b"2"}), least)
    assert (dict(one.files), one.refused) == ({}, {FILE: f"{FILE} was handed in more than once"})


def test_a_folder_too_full_to_look_through_is_refused(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "ann").mkdir()
    for number in range(1001):
        (tmp_path / "ann" / f"{number}.txt").touch()
    (one,) = of(tmp_path, least)
    assert "more than 1000" in one.refusal


def test_two_learners_of_one_name_are_not_mixed_up(tmp_path: Path, least: Exercise) -> None:
    for group in "ab":
        (tmp_path / group / "ann").mkdir(parents=True)
        (tmp_path / group / "ann" / FILE).touch()
    with pytest.raises(ConfigError, match="both called 'ann'"):
        handed_in([tmp_path / "a", tmp_path / "b"], [least])


def test_nothing_to_grade_is_said(tmp_path: Path, least: Exercise) -> None:
    with pytest.raises(ConfigError, match="holds nothing to grade: no least_connections"):
        of(tmp_path, least)
    with pytest.raises(ConfigError, match="is not there"):
        of(tmp_path / "nowhere", least)


def test_a_name_that_no_terminal_should_see_is_made_visible(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "\x1b[2Jeve").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    assert [one.learner for one in of(tmp_path, least)] == ["\\x1b[2Jeve", "\\udcff"]


def archive(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as inner:
        for name, text in members.items():
            inner.writestr(name, text)
    return data.getvalue()


def test_the_archive_of_a_class_is_a_class(tmp_path: Path, least: Exercise) -> None:
    moodle = {
        f"Müller Änne_1_assignsubmission_file_/{FILE}": b"1",
        "Smith John_2_assignsubmission_file_/hand-in.zip": archive({f"mine/{FILE}": b"2"}),
        "Smith John_3_assignsubmission_file_/Least-Connections (1).py": b"3",
        "Doe Jo_4_assignsubmission_file_/sorry.txt": b"4",
        "names.csv": b"5",
    }
    everybody = of(zipped(tmp_path / "class.zip", moodle), least)
    assert [one.learner for one in everybody] == ["Doe Jo_4", "Müller Änne_1", "Smith John_2", "Smith John_3"]
    assert texts(everybody) == {"Müller Änne_1": b"1", "Smith John_2": b"2"}
    assert everybody[3].others == ["Least-Connections (1).py"]


def test_a_zip_of_zips_is_a_class_and_one_learners_bomb_is_nobody_elses(tmp_path: Path, least: Exercise) -> None:
    members = {
        "class/ann.zip": archive({FILE: b"a"}),
        "class/bob.zip": archive({FILE: bytes(1 << 24)}),
        "class/cleo.zip": archive({f"../{FILE}": b"c"}),
        "class/dora.zip": archive({f"{number}.zip": archive({FILE: bytes(1 << 20)}) for number in range(40)}),
        "class/eve.zip": b"PK",
        "__MACOSX/class/._ann.zip": b"mac",
    }
    everybody = of(zipped(tmp_path / "all.zip", members), least)
    assert [one.learner for one in everybody] == ["ann", "bob", "cleo", "dora", "eve"]
    assert texts(everybody) == {"ann": b"a"}
    assert [bool(one.refusal) for one in everybody] == [False, True, True, True, True]


def test_folders_in_a_learners_archive_are_no_class(tmp_path: Path, least: Exercise) -> None:
    (one,) = of(zipped(tmp_path / "ann.zip", {f"week1/{FILE}": b"1", "week2/notes.py": b"", "week3/x.py": b""}), least)
    assert (one.learner, texts([one])) == ("ann", {"ann": b"1"})


def test_three_with_the_same_file_in_one_archive_are_a_class(tmp_path: Path, least: Exercise) -> None:
    everybody = of(zipped(tmp_path / "all.zip", {f"{name}/{FILE}": name.encode() for name in ("a", "b", "c")}), least)
    assert texts(everybody) == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_name_in_an_old_archive_is_read_as_it_was_meant(tmp_path: Path, least: Exercise) -> None:
    meant = f"Müller_1_assignsubmission_file_/{FILE}"
    path = zipped(tmp_path / "mac.zip", {meant: b"", f"Zoe_2_assignsubmission_file_/{FILE}": b""})
    path.write_bytes(path.read_bytes().replace(b"\x00\x08", b"\x00\x00"))  # nobody says that this is UTF-8
    assert [one.learner for one in of(path, least)] == ["Müller_1", "Zoe_2"]


def test_an_archive_in_a_learners_folder_is_looked_into(tmp_path: Path, least: Exercise) -> None:
    (tmp_path / "class" / "ann").mkdir(parents=True)
    zipped(tmp_path / "class" / "ann" / "final.zip", {f"src/{FILE}": b"a"})
    assert texts(of(tmp_path / "class", least)) == {"ann": b"a"}


def test_a_name_is_one_line_and_the_same_however_it_is_composed(tmp_path: Path, least: Exercise) -> None:
    for name in ("eve\nann  9 of 9 points", "Mu\u0308ller"):
        (tmp_path / name).mkdir()
    assert [one.learner for one in of(tmp_path, least)] == ["Müller", "eve\\nann  9 of 9 points"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Least-Connections (1).py", True),
        ("leastConnections_final_v2.py", True),
        ("Copy of least connections.py", False),
        ("round_robin.py", False),
    ],
)
def test_a_file_by_another_name_is_seen(name: str, meant: bool) -> None:
    assert called_otherwise(FILE, ["notes.txt", name]) == (name if meant else "")
