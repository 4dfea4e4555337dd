"""The search: programs are drawn and played, every law looks at every run, and what breaks one is made short.

Each ordinary program is played once and shown to all laws that want ordinary ones; laws with programs of their own
come after these. A law that is broken is reported at once, with its story, and not tried again.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from math import inf
from typing import Any

from msgspec import Struct

from lbtutor.testing.components import Family, Target, asked_of, family
from lbtutor.testing.components import component as component_of
from lbtutor.testing.draw import Dice
from lbtutor.testing.lawbook import Law
from lbtutor.testing.program import Broken, Program, Run
from lbtutor.testing.recording import Recorder
from lbtutor.testing.reduce import reduce
from lbtutor.testing.report import Counterexample, LawReport
from lbtutor.testing.sandbox.faults import Fault, Raised, TooSlow
from lbtutor.testing.sandbox.room import Room


class Profile(Struct, frozen=True):
    """How hard to look: how many ordinary programs, how many of its own a law has that wants such, and for how many
    seconds at most. Code that is right but slow gets as many examples as that allows, `ENOUGH` at least. What breaks a
    law is made short with `shorten`; for who wants the verdict alone, that is most of the work.
    """

    name: str
    programs: int
    own: int
    seconds: float
    statistical: int = 1
    shorten: bool = True


PROFILES = {
    "brief": Profile("brief", programs=40, own=10, seconds=30),
    "quick": Profile("quick", programs=100, own=30, seconds=6),
    "grade": Profile("grade", programs=300, own=80, seconds=30),
    "thorough": Profile("thorough", programs=3000, own=600, seconds=300, statistical=3),
}

ENOUGH = 3
"""Examples of each kind that are played however long they take."""

FEW = 24
"""So many answers of a crowd are told one by one."""
LONG = 40
"""A story of more moments is told from its beginning and its end."""

Elsewhere = Callable[[], AbstractContextManager[Room]]
"""Opens a second room with the same file, in a process whose `hash()` differs."""


def nobody(*_: object) -> None:
    """Listens to what is told, and does nothing about it."""


class Search:
    """One check under way: the rooms, what is tried, and what was found so far."""

    def __init__(
        self,
        room: Room,
        target: Target,
        profile: Profile,
        seed: int,
        elsewhere: Elsewhere | None = None,
        told: Callable[[LawReport], None] = nobody,
        progress: Callable[[int, int], None] = nobody,
    ) -> None:
        self._room = room
        self._target = target
        self._family: Family = family(component_of(target.component).family)
        self._profile = profile
        self._seed = seed
        self._elsewhere = elsewhere
        self._told = told
        self._progress = progress
        self._tallies: dict[str, Tally] = {}
        self._until = inf
        self._hung = False

    def reports(self) -> tuple[LawReport, ...]:
        """Try every law; the reports in the laws' own order."""
        laws = asked_of(self._target)
        applying = [law for law in laws if law.applies(self._target.claims) and not self._lacking(law)]
        self._tallies = {law.name: Tally(law) for law in applying}
        ordinary = [law for law in applying if law.source is None and law.cases is None]
        self._until = time.monotonic() + self._profile.seconds
        self._try_together(ordinary)
        for law in applying:
            if law not in ordinary and not self._hung:
                self._try_alone(law)
        return tuple(self._report(law) for law in laws)

    def _lacking(self, law: Law) -> list[str]:
        """What the law is about and the code under test cannot be told of."""
        return [kinds for kinds in law.needs if self._lacks().issuperset(kinds.split(" or "))]

    def _lacks(self) -> frozenset[str]:
        lacks: Callable[[Target], frozenset[str]] | None = getattr(self._family, "lacks", None)
        return lacks(self._target) if lacks is not None else frozenset()

    def _can_meet(self, law: Law, situation: str) -> bool:
        """Has the code under test a method for anything that leads there?"""
        ways = law.only_by.get(situation, ())
        return not ways or not self._lacks().issuperset(ways)

    # --- trying

    def _try_together(self, laws: list[Law]) -> None:
        standing = list(laws)
        dice = Dice(self._seed)
        for number in range(self._profile.programs):
            self._progress(number, self._profile.programs)
            program = self._family.grammar(dice, self._target.component)
            run = self._play(program)
            standing = [law for law in standing if not self._judge(law, program, run)]
            if not standing or self._is_over(number + 1):
                break
        for law in standing:
            self._told(self._report(law))

    def _try_alone(self, law: Law) -> None:
        for number, program in enumerate(self._programs(law), 1):
            if self._judge(law, program, self._play(program)):
                return
            if self._is_over(number) and law.cases is None:
                break
        self._told(self._report(law))

    def _is_over(self, played: int) -> bool:
        """Is the time up, and was enough seen? Code that hung once is not waited for again."""
        return self._hung or (played >= ENOUGH and time.monotonic() > self._until)

    def _programs(self, law: Law) -> Iterator[Program]:
        if law.cases is not None:
            yield from law.cases()
        if law.source is not None:
            dice = Dice(self._seed ^ zlib.crc32(law.name.encode()))
            usual = self._profile.statistical if law.statistical else self._profile.own
            for _ in range(usual if law.times is None else min(law.times, self._profile.programs)):
                yield law.source(dice)

    def _judge(self, law: Law, program: Program, run: Run[Any]) -> bool:
        """Is the law broken? Then its counterexample is on record."""
        self._hung = self._hung or isinstance(run.fault, TooSlow)
        tally = self._tallies[law.name]
        broken = self._broken(law, program, run)
        tally.examples += 1
        tally.situations += run.situations
        run.situations = Counter()
        if broken is None or (law.statistical and not self._comes_again(law, program)):
            return False
        hangs = isinstance(run.fault, TooSlow)
        tally.found = self._told_of(law, run, broken, None) if hangs else self._explain(law, program, broken)
        self._told(self._report(law))
        return True

    def _comes_again(self, law: Law, program: Program) -> bool:
        """A statistical law must be broken with another seed too before anybody is accused."""
        again = Program({**program.setting, "seed": program.setting.get("seed", 0) + 1}, program.ops)
        return self._broken(law, again, self._play(again)) is not None

    # --- playing

    def _play(self, program: Program, room: Room | None = None) -> Run[Any]:
        room = room or self._room
        run: Run[Any] = Run(program, self._target.claims)
        moments: list[Any] = []
        try:
            room.fresh()
            world = self._family.world(room, self._target, program.setting)
            moments = world.moments
            if isinstance(room, Recorder):
                room.moments = moments
            for number, op in enumerate(program.ops):
                world.do(number, op)
        except Fault as fault:
            run.fault = fault
        run.moments = moments
        return run

    def _broken(self, law: Law, program: Program, run: Run[Any]) -> Broken | None:
        others = [self._play(other) for other in law.companions(program)] if law.companions else []
        if law.elsewhere:
            if self._elsewhere is None:
                return None
            with self._elsewhere() as room:
                others.append(self._play(program, room))
        run.others = tuple(others)
        try:
            law.judge(run)
        except Broken as broken:
            return broken
        return None

    def _breaks(self, law: Law, program: Program) -> tuple[Run[Any], Broken] | None:
        run = self._play(program)
        broken = self._broken(law, program, run)
        return None if broken is None else (run, broken)

    # --- telling

    def _explain(self, law: Law, program: Program, first: Broken) -> Counterexample:
        def breaks_at(candidate: Program) -> int | None:
            trials = [self._breaks(law, candidate) for _ in range(3 if self._is_shaky(law, program) else 1)]
            broken = [trial[1] for trial in trials if trial is not None]
            return _op_of(broken[0], candidate) if len(broken) == len(trials) else None

        short = program
        if self._profile.shorten and not law.statistical:
            short = reduce(program, _op_of(first, program), breaks_at, self._family.simpler)
        found = self._watched(law, short)
        return found if found is not None else self._told_of(law, self._play(program), first, None)

    def explain(self, law: Law, program: Program) -> Counterexample | None:
        """The shortest story found of how that program breaks the law; None if it does not."""
        self._tallies.setdefault(law.name, Tally(law))
        found = self._breaks(law, program)
        return None if found is None else self._explain(law, program, found[1])

    def again(self, law: Law, program: Program, times: int = 1) -> Counterexample | None:
        """Does that program break the law here? Played up to so many times, for code with chance of its own."""
        self._tallies.setdefault(law.name, Tally(law))
        for _ in range(times):
            found = self._watched(law, program)
            if found is not None and (not law.statistical or self._comes_again(law, program)):
                return found
        return None

    def _watched(self, law: Law, program: Program) -> Counterexample | None:
        """Play it once more and write down what is asked."""
        recorder = Recorder(self._room, self._target.component if self._is_part else "balancer")
        run = self._play(program, recorder)
        broken = self._broken(law, program, run)
        return None if broken is None else self._told_of(law, run, broken, recorder)

    @property
    def _is_part(self) -> bool:
        """Is it a part of a balancer, and no balancer itself?"""
        return component_of(self._target.component).family != "balancer"

    def _told_of(self, law: Law, run: Run[Any], broken: Broken, recorder: Recorder | None) -> Counterexample:
        line = run.fault.line if isinstance(run.fault, Raised) else 0
        upto = run.moments.index(broken.moment) if broken.moment in run.moments else len(run.moments) - 1
        calls = () if recorder is None or recorder.too_long or law.companions or law.elsewhere else recorder.calls
        return Counterexample(
            run.program, _op_of(broken, run.program), tuple(self._story(run, broken)),
            broken.expected, broken.got, broken.because, line, self._repeats(law, run.program),
            tuple(run.moments[: upto + 1]), tuple(calls), str(run.fault or ""),
        )  # fmt: skip

    def _is_shaky(self, law: Law, program: Program) -> bool:
        """Does the same program not always break it? Then there is chance of its own in the code."""
        tally = self._tallies[law.name]
        if tally.shaky is None:
            tally.shaky = any(self._breaks(law, program) is None for _ in range(3))
        return tally.shaky

    def _repeats(self, law: Law, program: Program) -> str:
        if not self._tallies[law.name].shaky:
            return ""
        times = sum(self._breaks(law, program) is not None for _ in range(20))
        return f"{times} of 20"

    def _story(self, run: Run[Any], broken: Broken) -> Iterator[str]:
        upto = run.moments.index(broken.moment) if broken.moment in run.moments else len(run.moments) - 1
        yield from self._family.picture(run.program.setting, run.moments, upto)
        for number, moment in enumerate(run.moments[: upto + 1], 1):
            if LONG - FEW < number <= upto + 1 - FEW and upto >= LONG:
                if number == LONG - FEW + 1:
                    yield f" …  and {upto + 1 - LONG} more like these"
                continue
            answer = f" -> {_brief(moment.answer)}" if moment.asked else ""
            mark = "   X" if moment is broken.moment else ""
            yield f"{number:2}  {moment.says}{answer}{mark}"

    def _report(self, law: Law) -> LawReport:
        tally = self._tallies.get(law.name)
        if tally is None:
            lacking = self._lacking(law)
            why = f"it has no method for this: {', '.join(lacking)}" if lacking else _unclaimed(law)
            return LawReport(law.name, law.says, "not checked", 0, {}, why)
        situations = dict(tally.situations)
        if tally.found is not None:
            return LawReport(law.name, law.says, "failed", tally.examples, situations, "", law.hint, tally.found)
        if law.elsewhere and self._elsewhere is None:
            return LawReport(law.name, law.says, "not checked", 0, {}, "it takes a second process")
        demanded = [situation for situation in law.meets if self._can_meet(law, situation)]
        missing = [situation for situation in demanded if not tally.situations[situation]]
        if missing or not tally.examples or self._hung:
            why = f"it never came to this: {', '.join(missing)}" if missing else "no program was played"
            why = "the code hung, and was asked no more" if self._hung else why
            return LawReport(law.name, law.says, "unknown", tally.examples, situations, why)
        return LawReport(law.name, law.says, "passed", tally.examples, situations)


class Tally:
    """What is known of one law so far."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.examples = 0
        self.situations: Counter[str] = Counter()
        self.found: Counterexample | None = None
        self.shaky: bool | None = None


def _brief(answer: Any) -> str:
    """An answer as a story tells it: of many at once, who got how many."""
    if not isinstance(answer, tuple):
        return str(answer)
    if len(answer) <= FEW:
        return " ".join(map(str, answer))
    return ", ".join(f"{times} {name}" for name, times in sorted(Counter(map(str, answer)).items()))


def _op_of(broken: Broken, program: Program) -> int:
    return broken.moment.op if broken.moment is not None else len(program.ops) - 1


def _unclaimed(law: Law) -> str:
    claims: Mapping[str, Any] = law.claims
    listed = ", ".join(f"{name} = {_options(value)}" for name, value in claims.items())
    return f"it is not claimed ({listed})"


def _options(value: object) -> str:
    return " or ".join(map(str, value if isinstance(value, tuple) else (value,)))
