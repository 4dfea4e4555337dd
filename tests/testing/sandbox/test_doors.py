"""Each door by itself: what it refuses when it is the only one that is closed."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lbtutor.testing.sandbox import doors

LANDLOCK = doors.landlock_version()
linux = pytest.mark.skipif(not doors.LINUX or not doors.filter_of(doors.MACHINE), reason="no system call filter here")
landlocked = pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock")


def _says(script: str) -> str:
    """What a process of its own prints that has `doors`, `os` and `tries`, which answers the error's name or "done"."""
    before = (
        f"import os, sys; sys.path.insert(0, {os.path.dirname(doors.__file__)!r}); import doors\n"
        "def tries(action, *args):\n"
        "    try: action(*args)\n"
        "    except OSError as error: return type(error).__name__\n"
        "    return 'done'\n"
    )
    command = [sys.executable, "-S", "-B", "-c", before + script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@landlocked
def test_landlock_alone_leaves_the_standard_library_to_be_read_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    script = f"""
import json
doors.close_files({LANDLOCK})
print(tries(open, json.__file__), tries(open, {str(tmp_path / "thesis.txt")!r}), tries(os.listdir, "/"),
      tries(open, {str(tmp_path / "new")!r}, "w"), tries(os.unlink, {str(tmp_path / "thesis.txt")!r}))
"""
    assert _says(script) == "done PermissionError PermissionError PermissionError PermissionError"


@landlocked
def test_landlock_alone_keeps_site_packages_closed(tmp_path: Path) -> None:
    script = f"""
library, place = {str(tmp_path)!r}, {str(tmp_path / "site-packages")!r}
os.mkdir(place)
for name in (library + "/os.py", place + "/lbtutor.py"): open(name, "w").close()
os.__file__ = library + "/os.py"
doors.close_files({LANDLOCK})
print(tries(open, library + "/os.py"), tries(open, place + "/lbtutor.py"))
"""
    assert _says(script) == "done PermissionError"


@pytest.mark.skipif(LANDLOCK < 6, reason="signals are scoped from version 6 on")
def test_a_domain_of_its_own_alone_keeps_signals_from_the_parent() -> None:
    script = f"""
doors.close_neighbours(doors.neighbours({LANDLOCK}))
print(tries(os.kill, os.getppid(), 0), tries(os.kill, os.getpid(), 0))
"""
    assert _says(script) == "PermissionError done"


@linux
def test_the_filter_alone_refuses_to_write_to_fork_and_to_signal(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    script = f"""
import socket
print(doors.close_calls(doors.filter_of(doors.MACHINE)))
thesis = {str(tmp_path / "thesis.txt")!r}
print(tries(open, thesis), tries(open, thesis, "a"), tries(os.unlink, thesis), tries(os.chmod, thesis, 0),
      tries(os.utime, thesis), tries(os.fork), tries(os.kill, os.getpid(), 0), tries(socket.socket),
      tries(os.execv, "/bin/true", ["true"]), tries(os.setsid))
"""
    refused = " ".join(["PermissionError"] * 9)
    assert _says(script) == f"True\ndone {refused}"


@linux
def test_the_limits_alone_refuse_processes_large_files_and_many_of_them() -> None:
    script = """
doors.leave_root()
doors.limit_further(30, 1000, 20)
place = os.memfd_create("place")
def many():
    for _ in range(30): os.dup(1)
print(tries(os.fork), os.write(place, bytes(5000)), tries(os.write, place, b"x"), tries(many))
"""
    assert _says(script) == "BlockingIOError 1000 OSError OSError"


@pytest.mark.skipif(not hasattr(os, "getresuid") or os.geteuid() != 0, reason="only root has something to leave")
def test_root_becomes_a_user_that_nobody_is_for_good() -> None:
    script = (
        "print(doors.leave_root() == f'uid {os.getuid()}', set(os.getresuid()) == {os.getuid()}, tries(os.setuid, 0))"
    )
    assert _says(script) == "True True PermissionError"


def test_a_memory_limit_is_kept_where_it_can_be_set() -> None:
    script = """
kept = doors.limit(200 * 2**20)
try: bytearray(2**30)
except MemoryError: print(kept)
else: print(not kept)
"""
    assert _says(script) == "True"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_filter_jumps_only_within_itself_and_ends_in_a_return(machine: str) -> None:
    program = doors.filter_of(machine)
    steps = [program[start : start + 8] for start in range(0, len(program), 8)]
    jumps = [(at, step) for at, step in enumerate(steps) if step[0] & 7 == 5]
    assert all(at + 1 + max(step[2], step[3]) < len(steps) for at, step in jumps)
    assert steps[-1][0] == 6


def _ends(program: bytes, architecture: int, number: int, flags: int = 0) -> int:
    """What a filter answers to a call: the four kinds of steps that there are, done by hand."""
    seen = struct.pack("<IIQ6Q", number, architecture, 0, *[flags] * 6)
    at = value = 0
    while True:
        code, yes, no, k = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                value = struct.unpack_from("<I", seen, k)[0]
            case 0x06:
                return int(k)
            case _:
                at += yes if {0x15: value == k, 0x35: value >= k, 0x45: value & k}[code] else no


@pytest.mark.parametrize(("machine", "column", "architecture"), [("x86_64", 0, 0xC000003E), ("aarch64", 1, 0xC00000B7)])
def test_a_filter_refuses_what_is_listed_and_allows_the_rest(machine: str, column: int, architecture: int) -> None:
    program = doors.filter_of(machine)
    refused = {numbers[column] for numbers in doors._REFUSED.values()}
    unknown = {numbers[column] for numbers in doors._UNKNOWN_HERE.values()}
    opens = {numbers[column] for numbers, _ in doors._OPEN.values()}
    allowed, denied, missing = 0x7FFF0000, 0x00050001, 0x00050026
    for number in range(600):
        expected = denied if number in refused else missing if number in unknown else allowed
        assert _ends(program, architecture, number) == expected, number
        assert _ends(program, architecture, number, os.O_WRONLY) == (denied if number in opens else expected), number
    assert _ends(program, architecture, 0x40000001) == denied
    assert _ends(program, architecture + 1, 0) == 0x80000000


def test_a_machine_with_unknown_numbers_has_no_filter() -> None:
    assert doors.filter_of("riscv64") == b""
    assert not doors.close_calls(b"")
