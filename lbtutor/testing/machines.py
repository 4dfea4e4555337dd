"""A balancer as a state machine of Hypothesis: the form in which such a test reads best.

    TestMine = machine_for(Mine, "least_connections").TestCase

Each rule is something that happens to a balancer, and after each the laws look at what came of all so far. A machine
keeps what it did as a program, so that what it finds is made short, told, kept and watched like everything that `check`
finds: `machine.found()` is then the report of the broken law.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, initialize, multiple, rule

from lbtutor.core.errors import ConfigError
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import Held, opened
from lbtutor.testing.components import World, laws_of
from lbtutor.testing.components import component as component_of
from lbtutor.testing.lawbook import Law
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.report import LawReport
from lbtutor.testing.sandbox import Fault, Submission
from lbtutor.testing.scenes import sentence
from lbtutor.testing.search import PROFILES, Search
from lbtutor.testing.worlds.balancer import NAMES, lacks, servers, world

_SERVERS = st.integers(0, 5)
_CLIENTS = st.integers(0, 30)
_STEPS = 30
_EXAMPLES = 200


class Balancing(RuleBasedStateMachine):
    """Something that chooses servers, and everything that may happen to it. `machine_for` says which."""

    held: ClassVar[Held]
    """The code under test, in its room."""
    closing: ClassVar[ExitStack]
    """What ends that room."""
    broken: ClassVar[tuple[str, Program] | None] = None
    """The law that was broken last, and the program that broke it."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self._laws = _ordinary(self.held)
        self._counts = "start" in lacks(self.held.target)  # who cannot be told of a start counts when it chooses
        self._setting: dict[str, Any] = {}
        self._world: World
        self._ops: list[Op] = []
        self._open: list[int] = []
        self._started = 0

    @initialize(count=st.integers(1, 5))
    def pool(self, count: int) -> None:
        self._setting = {"servers": servers(count), "names": list(NAMES[0]), "seed": 0}
        self.held.room.fresh()
        self._world = world(self.held.room, self.held.target, self._setting)

    @rule(target=requests, client=_CLIENTS)
    def serve(self, client: int) -> int | MultipleResults[int]:
        return self._opened(("serve", client))

    @rule(target=requests, client=_CLIENTS)
    def serve_another(self, client: int) -> int | MultipleResults[int]:
        """The same once more: rules are drawn with even odds, and most of what matters needs several requests open."""
        return self._opened(("serve", client))

    @rule(target=requests, k=_SERVERS)
    def start(self, k: int) -> int | MultipleResults[int]:
        return self._opened(("start", k))

    @rule(client=_CLIENTS)
    def pick(self, client: int) -> None:
        if self._counts:
            self._opened(("pick", client))
        else:
            self._do(("pick", client))

    @rule(request=consumes(requests), ok=st.booleans(), ms=st.sampled_from((10, 1, 100, 1000)))
    def finish(self, request: int, ok: bool, ms: int) -> None:
        at = self._open.index(request)
        self._open.remove(request)
        self._do(("finish", at, ok, ms))

    @rule(k=_SERVERS, up=st.booleans())
    def health(self, k: int, up: bool) -> None:
        self._do(("health", k, up))

    @rule(what=st.sampled_from(("add", "readd", "remove")), k=_SERVERS)
    def change(self, what: str, k: int) -> None:
        self._do((what, 1 if what == "add" else k))

    def teardown(self) -> None:
        for moment in self._world.moments if self._setting else ():
            note(sentence(moment))

    # --- what comes of it

    def _opened(self, op: Op) -> int | MultipleResults[int]:
        """Do what may leave a request open: its number, or nothing."""
        before = len(self._world.moments)
        self._do(op)
        moments = self._world.moments[before:]
        if not moments or (moments[0].asked and moments[0].answer not in moments[0].members):
            return multiple()
        self._started += 1
        self._open.append(self._started)
        return self._started

    def _do(self, op: Op) -> None:
        number = len(self._ops)
        self._ops.append(op)
        run: Run[Any] = Run(Program(self._setting, tuple(self._ops)), self.held.target.claims)
        try:
            self._world.do(number, op)
        except Fault as fault:
            run.fault = fault
        run.moments = list(self._world.moments)
        for law in self._laws:
            self._look(law, run)

    def _look(self, law: Law, run: Run[Any]) -> None:
        try:
            law.judge(run)
        except Broken as broken:
            type(self).broken = (law.name, run.program)
            raise AssertionError(f"{law.says} {broken}") from None

    @classmethod
    def close(cls) -> None:
        """End the room. One in this process needs no end; a confined one gets it at the end of the program at last."""
        cls.closing.close()

    @classmethod
    def found(cls) -> LawReport | None:
        """The law that was broken last, with its story made short by our own reducer; None if none was."""
        if cls.broken is None:
            return None
        name, program = cls.broken
        law = next(law for law in laws_of(cls.held.target.component) if law.name == name)
        found = Search(cls.held.room, cls.held.target, PROFILES["quick"], 0).explain(law, program)
        return LawReport(law.name, law.says, "failed", 1, {}, "", law.hint, found)


def _ordinary(held: Held) -> list[Law]:
    """The laws that look at one run by itself, whoever drew its program."""
    laws = (law for law in laws_of(held.target.component) if law.applies(held.target.claims))
    return [law for law in laws if not (law.cases or law.companions or law.elsewhere or law.statistical)]


def machine_for(
    target: str | Submission | type,
    component: str = "",
    *,
    cls: str = "",
    claims: Mapping[str, Any] | None = None,
    lenient: bool = False,
    adapter: Adapter | None = None,
    confined: bool = False,
) -> type[Balancing]:
    """A state machine for a balancer, held to the laws that look at one run by itself; the values are those of `check`.

    The code runs in this process or, `confined`, in one of its own, which `machine.close()` ends. Its limits are those
    of `check`, so one machine is for one test; the thread that asked is the one to test in. Raises `ConfigError` for
    what is no balancer, and for a class, since only what is in a file can be confined.
    """
    if confined and isinstance(target, type):
        raise ConfigError(
            f'{target.__name__} is in this process already: to confine it, name its file, "FILE.py:Class"'
        )
    room = opened(target, component, cls=cls, claims=claims, lenient=lenient, adapter=adapter, in_process=not confined)
    closing = ExitStack()
    held = closing.enter_context(room)
    atexit.register(closing.close)
    known = component_of(held.target.component)
    if known.family != "balancer":
        closing.close()
        raise ConfigError(f"{known.title} chooses no servers, and has no state machine: use `check`")
    machine: type[Balancing] = type(f"{held.target.cls.name}Machine", (Balancing,), {
        "held": held, "closing": closing, "broken": None,
    })  # fmt: skip
    machine.TestCase.settings = settings(
        deadline=None, max_examples=_EXAMPLES, stateful_step_count=_STEPS, print_blob=False, report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    )  # fmt: skip
    return machine
