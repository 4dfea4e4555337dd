"""What came of a check: a verdict for each law, with the evidence for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from lbtutor.testing.program import Moment, Program
from lbtutor.testing.recording import Call

Verdict = Literal["passed", "failed", "unknown", "not checked"]
"""`unknown`: nothing was found, but too little was met for that to mean anything. `not checked`: not claimed."""


class Counterexample(Struct, frozen=True):
    """The shortest program found that breaks a law, and how: `story` tells it in sentences, the last is the break.

    `op` is the operation at which it breaks, `line` the line of the file under test that raised (0 if none did).
    `repeats` says how often it broke when it was played again ("20 of 20"). `moments` are those up to the break,
    `calls` what the code was asked (empty where that is too much to read, or not the whole of it), `fault` what went
    wrong in it, if something did.
    """

    program: Program
    op: int
    story: tuple[str, ...]
    expected: str
    got: str
    because: str
    line: int = 0
    repeats: str = ""
    moments: tuple[Moment, ...] = ()
    calls: tuple[Call, ...] = ()
    fault: str = ""

    def __str__(self) -> str:
        because = [f"because   {self.because}"] if self.because else []
        return "\n".join([f"expected  {self.expected}", f"got       {self.got}", *because, "", *self.story])


class LawReport(Struct, frozen=True):
    """One law: its name, the sentence it says, the verdict, and what that rests on.

    `examples` is how many programs were played, `situations` how often each interesting situation came up in them.
    `why` says what an `unknown` lacked, or which claim a law that was not checked needs.
    """

    name: str
    says: str
    verdict: Verdict
    examples: int
    situations: dict[str, int]
    why: str = ""
    hint: str = ""
    counterexample: Counterexample | None = None


class Report(Struct, frozen=True):
    """A whole check. `claims` are those it was held to, `room` says where the code ran."""

    target: str
    component: str
    shape: str
    claims: dict[str, Any]
    seed: int
    laws: tuple[LawReport, ...]
    seconds: float
    room: str = ""

    def raise_for_failure(self) -> None:
        """Raise an `AssertionError` that tells the story of the first law that is broken, and names the others; also
        if too little was seen to say."""
        if self.verdict != "passed":
            raise AssertionError("\n".join(self._told()))

    def _told(self) -> Iterator[str]:
        broken = [law for law in self.laws if law.verdict == "failed"]
        for law in broken[:1]:
            yield from (f"{self.target} as {self.component}: {law.says}", "", str(law.counterexample))
            yield from ("", law.hint) if law.hint else ()
        if len(broken) > 1:
            yield f"\nalso broken: {', '.join(law.name for law in broken[1:])}"
        for law in self.laws if not broken else ():
            if law.verdict == "unknown":
                yield f"{self.target} as {self.component}: too little was seen to judge: {law.says} ({law.why})"
        yield f"\nthe same examples again: seed={self.seed}"

    @property
    def verdict(self) -> Verdict:
        """Failed if any law is broken; unknown if one could not be judged; passed only if all were, and hold."""
        verdicts = {law.verdict for law in self.laws}
        if "failed" in verdicts:
            return "failed"
        return "passed" if "passed" in verdicts and "unknown" not in verdicts else "unknown"

    def law(self, name: str) -> LawReport:
        """The report on one law. Raises `KeyError` for a name that is none."""
        for report in self.laws:
            if report.name == name:
                return report
        raise KeyError(name)
