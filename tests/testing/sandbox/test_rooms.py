"""What a room answers, the same on both sides of a wall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import Any

import pytest

from lbtutor.testing.sandbox import (
    FILE,
    BackendView,
    Changed,
    Confined,
    Fault,
    FinishedView,
    InProcess,
    NotGradable,
    NotOffered,
    Raised,
    RequestView,
    Rng,
    Room,
    WrongType,
    submission,
)

LEARNER = """\
import dataclasses
import functools
from collections import deque
from operator import attrgetter
from random import Random

def traced(function):
    @functools.wraps(function)
    def inner(*args): return function(*args)
    return inner

class Name(str): pass
class Whole(int): pass

class Least:
    def __init__(self, rng: Random | None = None, k=2, *, slow=False, **rest):
        self.rng = rng
        self.seen = []
        self.told = []

    def pick(self, request, backends):
        self.seen.append((request, backends))
        return min(backends, key=attrgetter("in_flight"))

    def observe(self, event):
        self.told.append((event.at, event.backend, event.took, event.outcome, event.status, event.ok, event.attempt))

    def chance(self): return self.rng.random()
    def last_told(self): return self.told[-1]
    def echo(self, value): return value
    def kinds(self, *values): return [type(value).__name__ for value in values]
    def looked_at(self):
        request, backends = self.seen[-1]
        b = backends[-1]
        return (request.at, request.client, request.key, request.attempt, request.method, request.host, request.path,
                request.headers.get("x"), b.name, b.weight, b.in_flight, b.latency, b.latency_at, b.since)
    def same_tuple(self): return self.seen[-1][1] is self.seen[-2][1]
    def same_objects(self): return [a is b for a, b in zip(self.seen[-1][1], self.seen[-2][1])]
    def odd(self, which):
        return {"nan": float("nan"), "inf": float("-inf"), "set": {1}, "dict": {}, "object": self, "long": "x" * 1001,
                "huge": 2**63, "bytes": b"x", "half": "\\ud800", "row": [1] * 65, "deep": [[[[[1]]]]],
                "inside": ("a", {1}), "name": Name("b"), "bool": Whole(1)}[which]
    @traced
    def fails(self, n):
        return 1 / n
    @staticmethod
    def plain(a, b=1): return a
    @classmethod
    def named(cls, a): return a
    _hidden = lambda self: 1

class Cautious(Least):
    def echo(self, other): return super().echo(other)

@dataclasses.dataclass
class Health:
    rise: int
    fall: int = 3
    def on_probe(self, ok): return "up" if ok else "down"

class First:
    def pick(self, request, backends): return self.answer(request, backends)

class Stranger(First):
    def answer(self, request, backends): return "b"
class Keeper(First):
    first = None
    def answer(self, request, backends):
        self.first = self.first or backends[0]
        return self.first
class Writer(First):
    def answer(self, request, backends):
        setattr(backends[0], request.path, 1)
        return backends[0]
class Header(First):
    def answer(self, request, backends):
        request.headers["x"] = "y"

def smooth(alpha, sample, *, old=0.0): return alpha * sample + (1 - alpha) * old
"""
A, B, C = BackendView(1, "a"), BackendView(2, "b"), BackendView(3, "c")
NOW = RequestView()


@pytest.fixture(scope="module", params=[Confined, InProcess])
def opened(request: pytest.FixtureRequest) -> Iterator[Room]:
    kind: Any = request.param
    room: AbstractContextManager[Room] = kind(submission("learner_file.py", LEARNER))
    with room as inside:
        yield inside


@pytest.fixture
def room(opened: Room) -> Room:
    opened.begin()
    opened.fresh()
    return opened


def _fault(room: Room, handle: int, method: str, *args: str | int) -> Fault:
    with pytest.raises(Fault) as met:
        room.call(handle, method, *args)
    return met.value


def test_a_description_names_classes_methods_and_parameters(room: Room) -> None:
    found = room.describe()
    least = found.classes["Least"]
    assert list(found.classes) == [
        "Name",
        "Whole",
        "Least",
        "Cautious",
        "Health",
        "First",
        "Stranger",
        "Keeper",
        "Writer",
        "Header",
    ]
    assert [tuple(parameter) for parameter in least.constructor] == [
        ("rng", False, "plain"),
        ("k", False, "plain"),
        ("slow", False, "keyword"),
        ("rest", False, "others"),
    ]
    assert least.line == LEARNER.splitlines().index("class Least:") + 1
    assert [p.name for p in least.methods["pick"].parameters] == ["request", "backends"]
    assert [p.name for p in least.methods["fails"].parameters] == ["n"]
    assert [p.name for p in least.methods["plain"].parameters] == ["a", "b"]
    assert [p.name for p in least.methods["named"].parameters] == ["a"]
    assert [tuple(p) for p in least.methods["kinds"].parameters] == [("values", False, "rest")]
    assert "_hidden" not in least.methods
    assert LEARNER.splitlines()[least.methods["pick"].line - 1].strip().startswith("def pick")
    assert [p.name for p in found.classes["Cautious"].methods["echo"].parameters] == ["other"]
    assert [p.name for p in found.classes["Health"].constructor] == ["rise", "fall"]
    assert [p.required for p in found.classes["Health"].constructor] == [True, False]
    assert list(found.functions) == ["traced", "smooth"]


def test_functions_of_the_file_and_finite_floats_answer(room: Room) -> None:
    assert room.call(FILE, "smooth", 0.25, 8) == 2.0


def test_plain_values_go_in_and_out_as_what_they_are(room: Room) -> None:
    handle = room.make("Least")
    for value in ("n1:80", "", "é", 0, -(2**62), 1.5, True, None, (), ("a", None), (("a", 1), ("b", 2))):
        answer = room.call(handle, "echo", value)
        assert answer == value
        assert type(answer) is type(value)
    assert room.call(handle, "echo", ["a", ["b"]]) == ("a", ("b",))
    assert room.call(handle, "kinds", [("a", 1)], ("a",), {"x": "y"}, Rng(1)) == ("list", "tuple", "dict", "Random")


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("nan", "nan"),
        ("inf", "-inf"),
        ("set", "a set of 1"),
        ("dict", "a dict of 0"),
        ("object", "an object of type Least"),
        ("long", "a text of 1001 characters"),
        ("huge", "a whole number of 64 bits"),
        ("bytes", "an object of type bytes"),
        ("half", "'\\ud800'"),
        ("row", "a list of 65"),
        ("deep", "a list of 1"),
        ("inside", "a set of 1"),
        ("name", "an object of type Name"),
        ("bool", "an object of type Whole"),
    ],
)
def test_other_values_do_not_come_out(room: Room, which: str, found: str) -> None:
    fault = _fault(room, room.make("Least"), "odd", which)
    assert isinstance(fault, WrongType)
    assert str(fault) == f"odd returned {found}"


WORDS = """
import enum

class State(enum.Enum):
    UP = "up"
    DOWN = 2
    WORSE = {1}

class Text(str, enum.Enum):
    OPEN = "open"

class Says:
    def all(self): return [State.UP, State.DOWN, State.WORSE, Text.OPEN, {"b", "a"}, frozenset("x")]
"""


@pytest.mark.parametrize("kind", [Confined, InProcess])
def test_members_of_enumerations_come_out_as_their_words_and_sets_of_texts_in_order(kind: Any) -> None:
    with kind(submission("words.py", WORDS)) as inside:
        inside.begin()
        inside.fresh()
        answer = inside.call(inside.make("Says"), "all")
    assert answer == ("up", "DOWN", "WORSE", "open", ("a", "b"), ("x",))


def test_chance_is_a_seeded_random_of_its_own(room: Room) -> None:
    first, second, other = (room.make("Least", rng=Rng(seed)) for seed in (7, 7, 8))
    expected = Random(7).random()
    assert room.call(first, "chance") == room.call(second, "chance") == expected != room.call(other, "chance")


def test_a_batch_is_the_calls_in_order(room: Room) -> None:
    handle = room.make("Least")
    assert room.batch(handle, "echo", [(n,) for n in range(450)]) == list(range(450))
    with pytest.raises(WrongType):
        room.batch(handle, "odd", [("long",)])
    with pytest.raises(Raised):
        room.batch(handle, "fails", [(1,), (0,)])


def test_what_is_raised_is_told_with_the_line_in_their_file(room: Room) -> None:
    fault = _fault(room, room.make("Least"), "fails", 0)
    assert isinstance(fault, Raised)
    assert (fault.kind, fault.text, fault.source) == ("ZeroDivisionError", "division by zero", "return 1 / n")
    assert LEARNER.splitlines()[fault.line - 1].strip() == fault.source
    assert [frame.function for frame in fault.frames] == ["inner", "fails"]


def test_a_wrong_call_is_raised_without_a_line(room: Room) -> None:
    fault = _fault(room, room.make("Least"), "fails")
    with pytest.raises(Raised, match="unexpected keyword argument 'size'"):
        room.make("Health", size=3)
    assert isinstance(fault, Raised)
    assert fault.kind == "TypeError"


def test_a_class_that_is_not_there_is_not_gradable_and_the_others_are_named(room: Room) -> None:
    with pytest.raises(NotGradable, match="there is no class Balancer; the classes of the file: Name, Whole, Least"):
        room.make("Balancer")


def test_pick_sees_the_request_and_the_backends_as_they_are_now(room: Room) -> None:
    handle = room.make("Least")
    request = RequestView(2.5, "10.0.0.1", "key", 2, "POST", "h", "/p", {"x": "y"})
    shown = BackendView(2, "b", 1.5, 4, 0.25, 2.0, 1.0)
    assert room.pick(handle, request, (A, shown)) == "a"
    assert room.call(handle, "looked_at") == (
        *(2.5, "10.0.0.1", "key", 2, "POST", "h", "/p", "y"),
        *("b", 1.5, 4, 0.25, 2.0, 1.0),
    )
    assert room.pick(handle, request, (A._replace(in_flight=9), shown)) == "b"


def test_the_tuple_is_the_same_object_while_members_and_weights_are(room: Room) -> None:
    handle = room.make("Least")

    def same(*backends: BackendView) -> object:
        room.pick(handle, NOW, backends)
        return room.call(handle, "same_tuple")

    room.pick(handle, NOW, (A, B))
    assert same(A, B._replace(in_flight=3, latency=0.5)) is True
    assert same(A, B._replace(weight=2)) is False
    assert room.call(handle, "same_objects") == (True, True)
    assert same(A, B._replace(weight=2)) is True
    assert same(A) is False
    assert same(A, B._replace(uid=9)) is False
    assert room.call(handle, "same_objects") == (True,)


def test_after_a_retry_the_full_tuple_is_the_same_object_again(room: Room) -> None:
    handle = room.make("Keeper")
    least = room.make("Least")
    for n in range(12):
        room.pick(least, NOW, (A, B, C))
        room.pick(handle, NOW, (A, C) if n % 2 else (A, B))
        room.pick(least, NOW, (A, B, C))
        assert room.call(least, "same_tuple") is True


def test_many_different_offers_are_each_what_they_say(room: Room) -> None:
    handle = room.make("Least")
    views = [BackendView(uid, f"n{uid}", in_flight=uid) for uid in range(20)]
    for turn in range(3):
        for first in range(19):
            assert room.pick(handle, NOW, (views[first + 1], views[first])) == f"n{first}", turn


def test_a_name_that_left_and_came_back_is_another_object(room: Room) -> None:
    handle = room.make("Keeper")
    assert room.pick(handle, NOW, (A, B)) == "a"
    with pytest.raises(NotOffered, match="pick returned the backend a, which is not one of the backends offered"):
        room.pick(handle, NOW, (A._replace(uid=7), B))


def test_a_name_is_not_a_backend(room: Room) -> None:
    with pytest.raises(NotOffered, match="pick returned 'b'"):
        room.pick(room.make("Stranger"), NOW, (A, B))


@pytest.mark.parametrize("attribute", ["in_flight", "name", "score"])
def test_backends_are_lent_to_be_read(room: Room, attribute: str) -> None:
    with pytest.raises(Changed, match=f"wrote to {attribute} of backend a"):
        room.pick(room.make("Writer"), NOW._replace(path=attribute), (A, B))


def test_headers_cannot_be_written_to(room: Room) -> None:
    with pytest.raises(Raised, match="TypeError"):
        room.pick(room.make("Header"), NOW, (A, B))


def test_many_picks_are_the_picks_in_order(room: Room) -> None:
    handle = room.make("Least")
    requests = [NOW._replace(at=float(at)) for at in range(300)]
    assert room.picks(handle, requests, (A._replace(in_flight=1), B)) == ["b"] * 300
    with pytest.raises(NotOffered):
        room.picks(room.make("Stranger"), requests, (A, B))


def test_an_observer_is_told_and_others_are_left_in_peace(room: Room) -> None:
    handle = room.make("Least")
    room.observe(handle, FinishedView(1.5, "a", 0.25, "timed_out", 504, ok=False, attempt=2))
    room.observe(room.make("Health", 1, 2), FinishedView(1.5, "a", 0.25))
    assert room.call(handle, "last_told") == (1.5, "a", 0.25, "timed_out", 504, False, 2)


def test_fresh_forgets_objects_and_what_the_file_has_gathered(room: Room) -> None:
    handle = room.make("Least")
    room.pick(handle, NOW, (A, B))
    room.fresh()
    assert room.make("Least") == handle
    assert room.pick(handle, NOW, (A, B)) == "a"
    with pytest.raises(Raised, match="IndexError"):
        room.call(handle, "same_tuple")


def test_an_object_can_be_dropped(room: Room) -> None:
    handle = room.make("Least")
    room.drop(handle)
    with pytest.raises(Raised, match="KeyError"):
        room.call(handle, "kinds")


def test_control_c_ends_an_unconfined_check() -> None:
    with (
        InProcess(submission("a.py", "def f(): raise KeyboardInterrupt")) as room,
        pytest.raises(KeyboardInterrupt),
    ):
        room.call(FILE, "f")


def test_an_unconfined_print_does_not_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with InProcess(submission("a.py", "def f(): print('seen')")) as room:
        room.call(FILE, "f")
    assert capsys.readouterr() == ("", "seen\n")


def test_an_unconfined_file_that_is_no_python_is_not_gradable() -> None:
    with pytest.raises(NotGradable, match="line 2"):
        InProcess(submission("a.py", "x = 1\ny = ("))
