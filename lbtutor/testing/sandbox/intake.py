"""How a file becomes a `Submission`: bytes in memory, read once, with nothing left that points at a path.

What somebody hands in may be a link to the solution, a device that never ends, an archive that unpacks to a terabyte or
names `../../.profile`. So a file is opened without following links and must be an ordinary one; an archive is never
unpacked: its members are read in memory, under caps, and their names are only names. What cannot be taken is
`NotGradable`, with the reason.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from lbtutor.testing.sandbox.faults import NotGradable

LARGEST = 2**20
"""The longest file that is read, in bytes."""
ARCHIVE = 16 * 2**20
"""The longest archive, and the most that its members may unpack to together, in bytes."""
MEMBERS = 1000
"""The most members of an archive."""
CLASS = 16
"""So many times as much may be in the archive of a whole class, which a platform made and not a learner."""
Member = tuple[str, "bytes | NotGradable | None"]
"""A file in an archive: what it holds, why that is not taken, or None for what nobody asked for."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, ValueError)


class Submission:
    """One learner's file: its `name` (never a path), its bytes, and where it came from in words."""

    def __init__(self, name: str, data: bytes, origin: str = "") -> None:
        self.name = name
        self.data = data
        self.origin = origin or name

    def __repr__(self) -> str:
        return f"<Submission {self.origin} {len(self.data)} bytes>"

    @cached_property
    def sha256(self) -> str:
        """The digest of the bytes, to note identical files."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def lines(self) -> list[str]:
        """The text by lines, as well as it can be read."""
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def line(self, number: int) -> str:
        """The text of one line, counted from 1; empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def submission(name: str, source: str | bytes) -> Submission:
    """A submission from text that is already here, such as what an editor holds."""
    return Submission(name, source.encode() if isinstance(source, str) else source)


def read_submission(path: str | os.PathLike[str]) -> Submission:
    """The file at that path: an ordinary one, no link, at most 1 MiB. Raises `NotGradable`."""
    return Submission(Path(path).name, _read_file(path, LARGEST), os.fspath(path))


def read_archive(
    path: str | os.PathLike[str], wanted: frozenset[str] | None = None, others: list[str] | None = None
) -> list[Submission]:
    """The `.py` members of a zip or tar file, or those whose last part is in `wanted`; nothing touches the disk.

    An archive in the archive is read like a folder, one in that is not. Raises `NotGradable` for an archive with a
    member that is a link or a device, that names a place outside, that is there twice, or for one that is larger than
    the caps, packed or unpacked. The names of other files are added to `others`.
    """
    return archived(_read_file(path, ARCHIVE), wanted, others)


def archived(data: bytes, wanted: frozenset[str] | None = None, others: list[str] | None = None) -> list[Submission]:
    """The same for an archive that is in memory."""
    return _distinct(list(_submissions(data, wanted, [ARCHIVE], "", [] if others is None else others)))


def _submissions(
    data: bytes, wanted: frozenset[str] | None, budget: list[int], within: str, others: list[str]
) -> Iterator[Submission]:
    for name, text in _members(data, budget, _asked(wanted, nested=not within), MEMBERS):
        if isinstance(text, NotGradable):
            raise text
        if text is None:
            others.append(PurePosixPath(name).name)
        elif is_archive(name):
            yield from _submissions(text, wanted, budget, f"{within}{name}/", others)
        else:
            yield Submission(PurePosixPath(name).name, text, within + name)


def read_class(path: str | os.PathLike[str], wanted: frozenset[str]) -> list[Member]:
    """Each file in the archive of a class: its whole name, and its bytes where it is wanted, or is an archive.

    A member that is too large is told as such, so that one learner's bomb is not everybody's. Raises `NotGradable` for
    an archive that no platform would make.
    """
    data = _read_file(path, CLASS * ARCHIVE)
    return list(_members(data, [CLASS * ARCHIVE], _asked(wanted, nested=True), CLASS * MEMBERS))


def is_archive(name: str) -> bool:
    """By its name."""
    return name.lower().endswith(ARCHIVES)


def _asked(wanted: frozenset[str] | None, *, nested: bool) -> Callable[[PurePosixPath], bool]:
    def is_asked(path: PurePosixPath) -> bool:
        if nested and is_archive(path.name) and not path.name.startswith("."):
            return "__MACOSX" not in path.parts
        return path.suffix == ".py" if wanted is None else path.name in wanted

    return is_asked


def _members(data: bytes, budget: list[int], is_asked: Callable[[PurePosixPath], bool], most: int) -> Iterator[Member]:
    """Name and bytes of the members that are asked for."""
    try:
        yield from (_zipped if zipfile.is_zipfile(io.BytesIO(data)) else _tarred)(data, budget, is_asked, most)
    except _UNREADABLE as error:
        raise NotGradable(f"the archive cannot be read: {error}") from error


def _read_file(path: str | os.PathLike[str], most: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        link = os.path.islink(path)
        raise NotGradable("it is a symbolic link" if link else error.strerror or "cannot be opened") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotGradable("it is not an ordinary file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(most + 1) if status.st_size <= most else None
    finally:
        os.close(fd)
    if data is None or len(data) > most:
        raise NotGradable(f"it is larger than {most // 2**20} MiB")
    return data


def _zipped(data: bytes, budget: list[int], is_asked: Callable[[PurePosixPath], bool], most: int) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        _countable(len(members), most)
        for member in members:
            mode = member.external_attr >> 16
            ordinary = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
            name = _zip_name(member)
            wanted = _is_wanted(name, ordinary, is_asked)
            if not wanted or member.is_dir():
                yield from [] if member.is_dir() else [(name, None)]
            elif member.flag_bits & 1:
                yield name, NotGradable(f"{ascii(name)[:80]} in the archive is encrypted")
            else:
                with archive.open(member) as file:
                    yield name, _unpacked(file, budget, name)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name as it was meant: some programs write UTF-8 and do not say so, and then it is read as code page 437; some
    write backslashes."""
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            return member.filename.encode("cp437").decode().replace("\\", "/")
    return member.filename.replace("\\", "/")


def _tarred(data: bytes, budget: list[int], is_asked: Callable[[PurePosixPath], bool], most: int) -> Iterator[Member]:
    with tarfile.open(fileobj=io.BytesIO(_gunzipped(data))) as archive:
        for count, member in enumerate(archive):
            _countable(count, most)
            ordinary = member.isreg() or member.isdir()
            wanted = _is_wanted(member.name, ordinary, is_asked)
            if not wanted or member.isdir():
                yield from [] if member.isdir() else [(member.name, None)]
            else:
                file = archive.extractfile(member)
                assert file is not None  # it is an ordinary file
                yield member.name, _unpacked(file, budget, member.name)


def _gunzipped(data: bytes) -> bytes:
    """The plain tar file: `tarfile` itself would skip through a bomb of any size in search of its next member."""
    if data[:2] != b"\x1f\x8b":
        return data
    unzip = zlib.decompressobj(31)
    text = unzip.decompress(data, ARCHIVE + 1)
    if len(text) > ARCHIVE or unzip.unconsumed_tail:
        raise NotGradable(f"the archive unpacks to more than {ARCHIVE // 2**20} MiB")
    return text


def _countable(count: int, most: int) -> None:
    if count > most:
        raise NotGradable(f"the archive has more than {most} members")


def _is_wanted(name: str, ordinary: bool, is_asked: Callable[[PurePosixPath], bool]) -> bool:
    """Is it to be read? Raises `NotGradable` when the archive is not to be trusted at all."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not ordinary:
        raise NotGradable(f"the archive has a link or a device in it: {ascii(name)[:80]}")
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
        raise NotGradable(f"the archive names a place outside of it: {ascii(name)[:80]}")
    return is_asked(path)


def _unpacked(file: object, budget: list[int], name: str) -> bytes | NotGradable:
    """What a member holds, within what is left of the budget for all of them."""
    most = min(ARCHIVE if is_archive(name) else LARGEST, budget[0])
    data: bytes = file.read(most + 1)  # type: ignore[attr-defined]
    if len(data) > most:
        return NotGradable("a member of the archive is larger than 1 MiB, or all of them are too large together")
    budget[0] -= len(data)
    return data


def _distinct(members: list[Submission]) -> list[Submission]:
    seen: set[str] = set()
    for member in members:
        place = sys.intern(member.origin.casefold())
        if place in seen:
            raise NotGradable(f"the archive holds {ascii(member.origin)[:80]} twice")
        seen.add(place)
    return members
