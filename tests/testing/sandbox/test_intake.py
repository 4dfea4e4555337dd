"""What is taken in as a submission, and what is turned away with its reason."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from lbtutor.testing.sandbox import (
    FILE,
    Confined,
    NotGradable,
    Raised,
    Submission,
    read_archive,
    read_submission,
    submission,
)
from lbtutor.testing.sandbox.intake import ARCHIVE, LARGEST, MEMBERS


def _zip(path: Path, *members: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def _tar(path: Path, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, pack: str = "w") -> Path:
    with tarfile.open(path, pack) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
        archive.addfile(info, io.BytesIO(data))
    return path


def _refused(reason: str, path: Path) -> None:
    with pytest.raises(NotGradable, match=reason):
        read_archive(path)


def test_a_file_becomes_its_name_and_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "balancer.py"
    path.write_bytes(b"x = 1\r\ny = 2\n")
    file = read_submission(path)
    assert (file.name, file.data, file.line(2), file.line(9)) == ("balancer.py", b"x = 1\r\ny = 2\n", "y = 2", "")
    assert file.sha256 == submission("other.py", "x = 1\r\ny = 2\n").sha256 != submission("o.py", "x").sha256


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text("x = 1")
    (tmp_path / "link.py").symlink_to(tmp_path / "solution.py")
    with pytest.raises(NotGradable, match="symbolic link"):
        read_submission(tmp_path / "link.py")


def test_only_an_ordinary_file_is_read_and_nothing_waits_for_another(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    for place in (tmp_path / "fifo.py", tmp_path, Path("/dev/zero")):
        with pytest.raises(NotGradable, match="not an ordinary file"):
            read_submission(place)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotGradable, match="No such file"):
        read_submission(tmp_path / "none.py")


def test_a_file_of_three_megabytes_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.py"
    path.write_bytes(b"#" * (3 * LARGEST))
    with pytest.raises(NotGradable, match="larger than 1 MiB"):
        read_submission(path)
    path.write_bytes(b"#" * LARGEST)
    assert len(read_submission(path).data) == LARGEST


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfdef f(): return 1",
        b"def f():\r\n    return 1\r\n",
        b"# coding: latin-1\n# \xe9\ndef f(): return 1",
    ],
)
def test_any_encoding_that_python_reads_is_read(data: bytes) -> None:
    with Confined(Submission("a.py", data)) as room:
        assert room.call(FILE, "f") == 1


@pytest.mark.parametrize("data", [b"x = '\xe9'", b"# coding: klingon\n", b"x = 1\0", b"(" * 300, b"x = 'unfinished"])
def test_what_is_no_python_is_not_gradable(data: bytes) -> None:
    with pytest.raises(NotGradable), Confined(Submission("a.py", data)):
        pass


def test_files_beside_a_submission_are_not_imported(tmp_path: Path) -> None:
    for name in ("json", "struct", "sitecustomize", "helper"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "balancer.py").write_text("import json, struct\ndef f(): return json.dumps(1)\ndef g(): import helper")
    with Confined(read_submission(tmp_path / "balancer.py")) as room:
        assert room.call(FILE, "f") == "1"
        with pytest.raises(Raised, match="No module named 'helper'"):
            room.call(FILE, "g")


def test_the_python_files_of_an_archive_are_read_and_nothing_else(tmp_path: Path) -> None:
    members = [("ann/ring.py", b"x = 1"), ("ann/conftest.py", b"x = 2"), ("ann/notes.txt", b"hello"), ("ann/", b"")]
    path = _zip(tmp_path / "a.zip", *members)
    assert [file.origin for file in read_archive(path)] == ["ann/ring.py", "ann/conftest.py"]
    only = read_archive(path, frozenset({"ring.py"}))
    assert [(file.name, file.data) for file in only] == [("ring.py", b"x = 1")]


@pytest.mark.parametrize("pack", ["w", "w:gz"])
def test_a_tar_file_is_read_too(tmp_path: Path, pack: str) -> None:
    path = _tar(tmp_path / "a.tar", "ann/ring.py", b"x = 1", pack=pack)
    assert [(file.name, file.data) for file in read_archive(path)] == [("ring.py", b"x = 1")]


@pytest.mark.parametrize("name", ["../ring.py", "a/../../ring.py", "/etc/ring.py", "C:\\ring.py", "..\\ring.py"])
def test_an_archive_that_names_a_place_outside_is_refused(tmp_path: Path, name: str) -> None:
    _refused("names a place outside", _zip(tmp_path / "a.zip", (name, b"x")))
    _refused("names a place outside", _tar(tmp_path / "a.tar", name, b"x"))


def test_an_archive_with_links_or_devices_is_refused(tmp_path: Path) -> None:
    _refused("link or a device", _zip(tmp_path / "a.zip", ("ring.py", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        _refused("link or a device", _tar(tmp_path / "a.tar", "ring.py", kind=kind))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_holds_a_name_twice_is_refused(tmp_path: Path) -> None:
    _refused("twice", _zip(tmp_path / "a.zip", ("ring.py", b"x"), ("ring.py", b"y")))
    _refused("twice", _zip(tmp_path / "b.zip", ("ring.py", b"x"), ("Ring.py", b"y")))


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    zeros = bytes(LARGEST + 1)
    _refused("larger than 1 MiB", _zip(tmp_path / "a.zip", ("ring.py", zeros)))
    many = [(f"{n}.py", bytes(LARGEST)) for n in range(ARCHIVE // LARGEST + 1)]
    _refused("too large together", _zip(tmp_path / "b.zip", *many))
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(bytes(4 * ARCHIVE), 1))
    _refused("unpacks to more than 16 MiB", tmp_path / "c.tar.gz")
    _refused("more than 1000 members", _zip(tmp_path / "d.zip", *[(f"{n}.txt", b"") for n in range(MEMBERS + 1)]))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04rubbish", b"\x1f\x8bnot gzip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    _refused("cannot be read", tmp_path / "a.zip")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("ring.py", bytes(range(256)) * 40))
    whole = bytearray(path.read_bytes())
    whole[60:80] = bytes(20)
    path.write_bytes(whole)
    _refused("cannot be read", path)
