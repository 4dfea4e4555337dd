"""The trusted side of the pipe: what it believes, how long it waits, and what it leaves behind."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lbtutor.core.errors import EnvironmentFault
from lbtutor.testing.sandbox import (
    FILE,
    BackendView,
    Confined,
    Ended,
    Fault,
    Limits,
    NotGradable,
    ProtocolBroken,
    Raised,
    RequestView,
    TooMuchMemory,
    TooSlow,
    confinement,
    doors,
    require,
    submission,
)

FORGE = """
import os, stat, sys

def descriptor():
    for fd in range(3, 64):
        try:
            os.write(fd, b"")
            if stat.S_ISFIFO(os.fstat(fd).st_mode): return fd
        except OSError: pass

def number():
    frame = sys._getframe()
    while "number" not in frame.f_locals: frame = frame.f_back
    return frame.f_locals["number"]

def say(body, size=None):
    os.write(descriptor(), (len(body) if size is None else size).to_bytes(4, "big") + body)

def end_after(body, size=None):
    say(body, size)
    os._exit(0)

def truncated_length(): os.write(descriptor(), b"\\x00\\x00"); os._exit(0)
def truncated_body(): end_after(b"[1,2", 40)
def longest_length(): end_after(b"[]", 2**32 - 1)
def bad_utf8(): end_after(b"[\\xff\\xfe]")
def no_json(): end_after(b"hello")
def nested(): end_after(b"[" * 60000)
def no_row(): end_after(b'{"ok": 1}')
def empty_row(): end_after(b"[]")
def earlier_number(): end_after(b'[%d,"ok",1]' % (number() - 1))
def number_as_float(): end_after(b'[%d.0,"ok",1]' % number())
def number_as_text(): end_after(b'["%d","ok",1]' % number())
def two_answers(): say(b'[%d,"ok",1]' % number())
def unknown_kind(): end_after(b'[%d,"passed",1]' % number())
def too_few(): end_after(b'[%d]' % number())
def too_many(): end_after(b'[%d,"ok",1,2]' % number())
def not_a_number(): end_after(b'[%d,"ok",NaN]' % number())
def infinite(): end_after(b'[%d,"ok",1e999]' % number())
def an_object(): end_after(b'[%d,"ok",{"a":1}]' % number())
def huge_number(): end_after(b'[%d,"ok",%s]' % (number(), b"9" * 5000))
def large_number(): end_after(b'[%d,"ok",%s]' % (number(), b"9" * 30))
def long_text(): end_after(b'[%d,"ok","%s"]' % (number(), b"x" * 2000))
def odd_fault(): end_after(b'[%d,"exc",1,2,3]' % number())
def odd_frames(): end_after(b'[%d,"exc","E","text",[["x","y"]]]' % number())
def fine(): return 1
"""
FORGERIES = [line.split("(")[0][4:] for line in FORGE.splitlines() if line.startswith("def ") and "(): " in line][:-1]


def _again(room: Confined, function: str, times: int, *between: Callable[[], None]) -> None:
    for _ in range(times):
        for step in between:
            step()
        room.call(FILE, function)


def _fault(room: Confined, forgery: str) -> str:
    try:
        _again(room, forgery, 2)  # a second answer may only be met at the second question
    except Fault as fault:
        return type(fault).__name__
    return "believed"


def test_a_forged_message_ends_the_worker_and_nothing_else() -> None:
    expected = {forgery: "Ended" if forgery.startswith("truncated") else "ProtocolBroken" for forgery in FORGERIES}
    found = {}
    with Confined(submission("forger.py", FORGE), limits=Limits(deaths=100)) as room:
        for forgery in FORGERIES:
            found[forgery] = _fault(room, forgery)
            room.fresh()
            assert room.call(FILE, "fine") == 1
    assert len(FORGERIES) == 23
    assert found == expected


@pytest.mark.parametrize("index", ["2", "-1", "true", '"a"', "null"])
def test_an_index_of_no_backend_is_not_believed(index: str) -> None:
    text = f"{FORGE}\nclass B:\n    def pick(self, *_): end_after(b'[%d,\"ok\",{index}]' % number())"
    with Confined(submission("a.py", text)) as room:
        handle = room.make("B")
        with pytest.raises(ProtocolBroken, match="an index of no backend"):
            room.pick(handle, RequestView(), (BackendView(1, "a"), BackendView(2, "b")))


def test_no_answer_is_too_slow_and_not_an_exception() -> None:
    with Confined(submission("a.py", "def f():\n    while True: pass"), limits=Limits(call=0.05)) as room:
        with pytest.raises(TooSlow, match=r"^f took longer than 0\.05 s$") as met:
            room.call(FILE, "f")
        assert not isinstance(met.value, Exception)


def test_a_worker_that_is_gone_repeats_its_fault_until_it_is_fresh() -> None:
    with Confined(submission("a.py", "import os\ndef f(): os._exit(3)\ndef g(): return 1")) as room:
        for function in "fgg":
            with pytest.raises(Ended, match="exit code 3"):
                room.call(FILE, function)
        room.fresh()
        assert room.call(FILE, "g") == 1


def test_a_worker_is_replaced_only_so_often() -> None:
    with Confined(submission("a.py", "import os\ndef f(): os._exit(3)"), limits=Limits(deaths=2)) as room:
        for _ in range(2):
            with pytest.raises(Ended):
                room.call(FILE, "f")
            room.fresh()
        with pytest.raises(Ended):
            room.call(FILE, "f")
        with pytest.raises(Ended):
            room.fresh()


def test_a_suite_has_a_limit_of_its_own_and_all_suites_together_another() -> None:
    text = "import time\ndef f(): time.sleep(0.02)"
    with Confined(submission("a.py", text), limits=Limits(suite=0.05, submission=0.15)) as room:
        with pytest.raises(TooSlow, match="one suite"):
            _again(room, "f", 4)
        with pytest.raises(TooSlow, match="all answers together"):
            _again(room, "f", 20, room.begin, room.fresh)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("raise ValueError('no')", Raised),
        ("import os; os._exit(1)", Ended),
        ("x = bytearray(1 << 40)", TooMuchMemory),
        ("x = (", NotGradable),
        ("x = '\0'", NotGradable),
    ],
)
def test_a_file_that_fails_when_it_is_run_says_so_on_entering(text: str, fault: type[Fault]) -> None:
    with pytest.raises(fault), Confined(submission("a.py", text)):
        pass


def test_a_memory_limit_is_named_in_the_fault() -> None:
    with (
        Confined(submission("a.py", "def f(): bytearray(1 << 40)")) as room,
        pytest.raises(TooMuchMemory, match="more than 512 MiB"),
    ):
        room.call(FILE, "f")


def test_the_worker_knows_neither_environment_nor_arguments_of_the_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "seed 7")
    text = "import os, sys\ndef f(): return ' '.join([*sorted(os.environ), *map(os.path.basename, sys.argv)])"
    with Confined(submission("a.py", text)) as room:
        assert room.call(FILE, "f") == "LANG PATH PYTHONHASHSEED worker.py"


def test_the_hash_seed_is_the_rooms_own() -> None:
    def answer(seed: int) -> object:
        with Confined(submission("a.py", "def f(): return hash('a')"), hash_seed=seed) as room:
            return room.call(FILE, "f")

    assert answer(1) == answer(1) != answer(2)


def test_what_is_printed_is_kept_up_to_a_limit_and_forgotten_with_the_worker() -> None:
    text = "import sys\nprint('loading')\ndef f(): print('\\x1b[1mhi', file=sys.stderr)\ndef g(): print('x' * 10**6)"
    with Confined(submission("a.py", text)) as room:
        room.call(FILE, "f")
        assert room.printed() == "loading\n\\x1b[1mhi\n"
        room.call(FILE, "g")
        assert 60_000 < room.printed().count("x") < room.limits.printed_bytes
        room.fresh()
        assert room.printed() == "loading\n"


def test_what_was_printed_outlives_the_worker() -> None:
    with Confined(submission("a.py", "import os\ndef f():\n    print('last words')\n    os._exit(1)")) as room:
        with pytest.raises(Ended):
            room.call(FILE, "f")
        assert room.printed() == "last words\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_the_room_gives_back_the_cores_and_the_memory_it_closed() -> None:
    def before_within_after() -> list[tuple[int, bool]]:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))  # of this thread alone, whatever came before
        doors.dumpable(on=True)
        seen = [(len(os.sched_getaffinity(0)), doors.dumpable())]
        with Confined(submission("a.py", "")), Confined(submission("b.py", ""), hash_seed=1):
            seen.append((len(os.sched_getaffinity(0)), doors.dumpable()))
        return [*seen, (len(os.sched_getaffinity(0)), doors.dumpable())]

    with ThreadPoolExecutor(1) as thread:
        before, within, after = thread.submit(before_within_after).result()
    assert within == (1, False)
    assert before == after


def test_a_question_longer_than_a_megabyte_is_the_askers_mistake() -> None:
    with Confined(submission("a.py", "def f(x): return len(x)")) as room:
        assert room.call(FILE, "f", "x" * 10**6) == 10**6
        with pytest.raises(ValueError, match="longer than 1048576"):
            room.call(FILE, "f", "x" * 2**20)
        assert room.call(FILE, "f", "x") == 1


def test_a_worker_that_does_not_listen_is_too_slow_and_blocks_nobody() -> None:
    text = FORGE + "def deaf():\n    say(b'[%d,\"ok\",1]' % number())\n    while True: pass"
    with Confined(submission("a.py", text), limits=Limits(call=0.05)) as room:
        assert room.call(FILE, "deaf") == 1
        with pytest.raises(TooSlow):
            room.call(FILE, "fine", "x" * 500_000)


def test_no_descriptor_is_left_open() -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before = descriptors()
    with Confined(submission("a.py", "")) as room:
        room.fresh()
    assert descriptors() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends orphans")
def test_a_worker_does_not_outlive_the_process_that_started_it() -> None:
    text = "import os\nzygote = os.getppid()\ndef g(): return zygote\ndef f(): return os.getpid()"
    with Confined(submission("a.py", text)) as room:
        zygote, worker = room.call(FILE, "g"), room.call(FILE, "f")
        assert isinstance(zygote, int)
        assert isinstance(worker, int)
        end = os.pidfd_open(worker)
        os.kill(zygote, signal.SIGKILL)
        assert select.select([end], [], [], 30)[0] == [end]
        os.close(end)
        with pytest.raises(EnvironmentFault, match="has ended"):
            room.call(FILE, "f")


def test_what_is_in_force_is_said_in_one_line() -> None:
    found = confinement()
    assert str(found).startswith("rlimits yes")
    assert f"user {found.user}" in str(found)
    if os.geteuid() == 0:
        assert found.user.startswith("uid ")


def test_a_door_that_cannot_be_closed_is_refused_by_name() -> None:
    require("rlimits")
    with pytest.raises(EnvironmentFault, match="no moat for learner code; in force: rlimits yes"):
        require("rlimits", "moat")
