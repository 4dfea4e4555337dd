"""Closing the doors of a worker: limits, files, system calls, user. Linux through ctypes, the rest as far as it goes.

Called in the worker's own process before any learner code is there; nothing here can be undone by the process itself.

| door | closed by | where |
|---|---|---|
| memory, processor time, size of files, processes, open files | `setrlimit` | everywhere (macOS has no memory limit) |
| files and TCP; signals and sockets of others (ABI 6) | Landlock, `man 7 landlock` | Linux 5.13 and later |
| sockets, processes, signals, writing and renaming files | a seccomp filter | Linux on x86_64 and aarch64 |
| other processes and files of the same user | a user id that nobody has | when started as root |

All of it takes about a millisecond and no rights. The filter lists what is refused and not what is allowed: the
interpreter's own needs change with each version of it, and what is on the list is what harms.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from itertools import pairwise

LINUX = sys.platform == "linux"
MACHINE = os.uname().machine

NOBODYS = 0x70000000
"""User ids from here on belong to nobody: one for each process id, so that no two workers share one."""

_SET_PARENT_DEATH, _GET_DUMPABLE, _SET_DUMPABLE, _SET_SECCOMP, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 3, 4, 22, 36, 38
_KILL = 9

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL_FILE_RIGHTS = 0xFFFF  # ABI 5 and later
_TCP, _SCOPED = 0b11, 0b11
_NOT_STANDARD = ("site-packages", "dist-packages", "test", "idlelib", "turtledemo")

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # name: its number on x86_64, on aarch64
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "connect": (42, 203), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "process_madvise": (440, 440), "perf_event_open": (298, 241), "bpf": (321, 280),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_setup": (206, 0), "memfd_create": (319, 279), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "creat": (85, None), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, None),
    "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33),
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "chroot": (161, 51), "pivot_root": (155, 41), "unshare": (272, 97), "setns": (308, 268),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "personality": (135, 92),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setpgid": (109, 154),
    "setsid": (112, 157), "setpriority": (141, 140), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
    "prctl": (157, 167), "prlimit64": (302, 261), "setrlimit": (160, 164), "seccomp": (317, 277),
}  # fmt: skip
_UNKNOWN_HERE: dict[str, tuple[int | None, int | None]] = {"clone3": (435, 435), "openat2": (437, 437)}
"""Answered as by a kernel that does not have them: callers then try the older call, which is looked at."""
_OPEN: dict[str, tuple[tuple[int | None, int | None], int]] = {"open": ((2, None), 1), "openat": ((257, 56), 2)}
"""Refused when they open for writing; with the place of the flags among the arguments."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_LOAD, _JUMP_EQUAL, _JUMP_FROM, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000
_Step = tuple[int, int, int, int]
_ALLOWED: _Step = (_RETURN, 0, 0, _ALLOW)

_libc = ctypes.CDLL(None, use_errno=True)
if LINUX:
    _libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    _libc.syscall.restype = ctypes.c_long


def dumpable(on: bool | None = None) -> bool:
    """May others of the same user look into this process's memory? With `on` it is set first; True where unknown."""
    if not LINUX:
        return True
    if on is not None:
        _libc.prctl(_SET_DUMPABLE, int(on), 0, 0, 0)
    return bool(_libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0) == 1)


def adopt_orphans() -> None:
    """What descendants leave behind becomes this process's child."""
    if LINUX:
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """The end of the parent ends this process too."""
    if LINUX:
        _libc.prctl(_SET_PARENT_DEATH, _KILL, 0, 0, 0)


def limit(memory_bytes: int) -> bool:
    """No core files and, where the system can, no more memory than that; False where it cannot."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (ValueError, OSError):  # macOS
        return False
    return True


def limit_further(cpu: int, file_bytes: int, files: int) -> None:
    """Seconds of processor time (a signal, and a second later the end), size of files, open files; no new process."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def leave_root() -> str:
    """Become a user that nobody is; what came of it in words ("same" where there was nothing to leave)."""
    if os.geteuid() != 0:
        return "same"
    for uid in (NOBODYS + os.getpid(), 61_000 + os.getpid() % 4_000, 65_534):  # a container may map only the low ones
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)  # type: ignore[attr-defined,unused-ignore]
            os.setresuid(uid, uid, uid)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            continue
        return f"uid {uid}"
    return "root"


def landlock_version() -> int:
    """The ABI of this kernel's Landlock, or 0."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))) if LINUX else 0


def close_files(version: int) -> int:
    """From here on this process reads the standard library and nothing else, writes nothing, connects to nothing.

    Site-packages stay closed, where the course's own algorithms are. Answers the version in force, or 0.
    """
    rights = _FILE_RIGHTS.get(version, _ALL_FILE_RIGHTS)
    library = os.path.dirname(os.__file__)
    rules = [(library, _READ_DIR)]
    for name in os.listdir(library):
        path = os.path.join(library, name)
        if name not in _NOT_STANDARD:
            rules.append((path, _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE))
    if not version:
        return 0
    ruleset = _ruleset(version, rights, scoped=False)
    for path, allowed in rules if ruleset >= 0 else ():
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
        rule = struct.pack("<Qi", allowed & rights, fd)
        _libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0))
        os.close(fd)
    return version if _restrict(ruleset) else 0


def neighbours(version: int) -> int:
    """A domain of its own inside the first: no signals to, and no look into, the process that started this one.

    The descriptor of its rules, for `close_neighbours`, or -1. They are made once, and serve every child.
    """
    return _ruleset(version, _EXECUTE, scoped=True) if version else -1


def close_neighbours(ruleset: int) -> None:
    """Enter the domain that `neighbours` made, and close the descriptor."""
    _restrict(ruleset)


def _ruleset(version: int, rights: int, scoped: bool) -> int:
    words = [rights, _TCP if version >= 4 else 0, _SCOPED if scoped and version >= 6 else 0]
    attribute = struct.pack("<3Q", *words)[: 8 if version < 4 else 16 if version < 6 else 24]
    return int(_libc.syscall(_CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint32(0)))


def _restrict(ruleset: int) -> bool:
    if ruleset < 0:
        return False
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done = _libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0
    os.close(ruleset)
    return bool(done)


def filter_of(machine: str) -> bytes:
    """The seccomp program for a machine, as the kernel takes it; empty for a machine whose numbers are not known."""
    if machine not in _ARCHITECTURES:
        return b""
    column, architecture = _ARCHITECTURES[machine]
    program: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_FROM, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]
    ends: dict[int, list[_Step]] = {}
    for errno, calls in ((_EPERM, _REFUSED), (_ENOSYS, _UNKNOWN_HERE)):
        ends |= {numbers[column]: [(_RETURN, 0, 0, _ERRNO | errno)] for numbers in calls.values()}  # type: ignore[misc]
    for numbers, place in _OPEN.values():
        ends[numbers[column]] = [  # type: ignore[index]
            (_LOAD, 0, 0, _ARGUMENTS + 8 * place),
            (_JUMP_ANY_BIT, 0, 1, _WRITING),
            (_RETURN, 0, 0, _ERRNO | _EPERM),
            _ALLOWED,
        ]
    ends.pop(None, None)  # type: ignore[call-overload]
    return b"".join(struct.pack("<HBBI", *step) for step in [*program, *_search(_ranges(ends))])


def _ranges(ends: dict[int, list[_Step]]) -> list[tuple[int, list[_Step]]]:
    """From which number on which steps end the filter: what is not named is allowed."""
    begins = {0: [_ALLOWED]} | {number + 1: [_ALLOWED] for number in ends} | ends
    ordered = [(-1, list[_Step]()), *sorted(begins.items())]
    return [one for before, one in pairwise(ordered) if one[1] != before[1]]


def _search(ranges: list[tuple[int, list[_Step]]]) -> list[_Step]:
    """The steps that find the range of a number by halves: the kernel tries a filter on each of its own calls when it
    is installed, for every worker again, and one comparison after the other is a long way for each."""
    if len(ranges) == 1:
        return ranges[0][1]
    half = len(ranges) // 2
    lower = _search(ranges[:half])
    return [(_JUMP_FROM, len(lower), 0, ranges[half][0]), *lower, *_search(ranges[half:])]


def close_calls(program: bytes) -> bool:
    """From here on the kernel refuses this process what the filter refuses; False where it cannot."""
    if not LINUX or not program:
        return False
    steps = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return bool(_libc.prctl(_SET_SECCOMP, 2, ctypes.addressof(described), 0, 0) == 0)
