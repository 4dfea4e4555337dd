"""A law: what is true of every right implementation, as one function.

The function is given a run and raises `Broken` where it does not hold. Its docstring is the sentence that lessons and
reports print. The decorator says what the function cannot: whose law it is, which claims it presumes, which situations
it must have met before "passed" means anything, and which programs it wants when the ordinary ones are not enough.

    @law("least_connections", meets=("a choice between different counts",))
    def the_least_busy_is_chosen(run):
        '''The choice falls on a server with the fewest requests in flight.'''
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from lbtutor.testing.draw import Draw
from lbtutor.testing.program import Program, Run

Judge = Callable[[Run[Any]], None]
Source = Callable[[Draw], Program]


class Above(Struct, frozen=True):
    """Any number greater than `least`: a claim of more than that."""

    least: float

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and value > self.least

    def __str__(self) -> str:
        return f"more than {self.least:g}"


class Law(Struct, frozen=True):
    """One law, and how it wants to be tried.

    `components` are those it holds for, `claims` what an implementation must claim for it to apply (by name: the value,
    several of them, or `Above` one), `meets` the situations without which nothing was proved. `source` draws its own
    programs instead of the family's ordinary ones; `cases` lists them all, where trying all beats drawing some;
    `companions` are further programs whose runs the judge compares with. `times` bounds how many programs are drawn.
    `statistical` laws are tried with few, large programs, and a failure counts only if it comes again with another
    seed; `elsewhere` asks for the same program in a second process whose `hash()` differs, as the last of `others`.
    `needs` are kinds of operations without which there is nothing to judge: whoever has no method for one, or for
    neither of "one or other", is not checked. `only_by` names, for a situation, the kinds that lead to it: whoever has
    no method for any of them need not meet it. `hint` is where to look, for somebody who broke it.
    """

    name: str
    says: str
    judge: Judge
    components: tuple[str, ...]
    claims: Mapping[str, Any]
    meets: tuple[str, ...]
    hint: str
    source: Source | None
    cases: Callable[[], Iterable[Program]] | None
    companions: Callable[[Program], Iterable[Program]] | None
    times: int | None
    statistical: bool
    elsewhere: bool
    needs: tuple[str, ...] = ()
    only_by: Mapping[str, tuple[str, ...]] = {}

    def applies(self, claims: Mapping[str, Any]) -> bool:
        """Does an implementation that claims so promise this?"""
        return all(claims.get(name) in _wanted(value) for name, value in self.claims.items())


def _wanted(value: object) -> tuple[Any, ...] | Above:
    return value if isinstance(value, tuple | Above) else (value,)


LAWS: dict[str, list[Law]] = {}
"""The laws of each component, in the order in which they are told."""


def law(
    *components: str,
    claims: Mapping[str, Any] | None = None,
    meets: tuple[str, ...] = (),
    hint: str = "",
    source: Source | None = None,
    cases: Callable[[], Iterable[Program]] | None = None,
    companions: Callable[[Program], Iterable[Program]] | None = None,
    times: int | None = None,
    statistical: bool = False,
    elsewhere: bool = False,
    needs: tuple[str, ...] = (),
    only_by: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[Judge], Judge]:
    """Make a function a law of those components; see `Law` for what the rest means."""

    def enter(judge: Judge) -> Judge:
        name: str = getattr(judge, "__name__", "law")
        says = " ".join((judge.__doc__ or "").split("\n\n")[0].split())
        entry = Law(
            name, says, judge, components, claims or {}, meets, hint,
            source, cases, companions, times, statistical, elsewhere, needs, only_by or {},
        )  # fmt: skip
        for component in components:
            LAWS.setdefault(component, []).append(entry)
        return judge

    return enter
