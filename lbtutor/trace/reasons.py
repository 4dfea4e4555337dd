"""Reasons: the record of a decision, as the clause that ends a sentence.

`Why` holds a number for every candidate and says which end wins and who wins a tie; here that becomes "2 in flight,
fewer than a's 5 and c's 8". What a rule's numbers are called is a table; a rule that is not in it, such as that of a
learner's own `compare`, is told with its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from lbtutor.core.algorithms.ewma import UNMEASURED
from lbtutor.core.events import Candidate, Picked, Why
from lbtutor.trace.words import duration, listed, number, ordinal

_MOST_NAMED = 3
"""More others than this are counted instead of named."""

_TURNS = "turns to wait"

_WHOLE_REASONS = ("hash of ", "slot ", "drew place ")
"""Rules that begin so say everything themselves: their numbers only mark the one who holds the place."""


def _expected(seconds: float) -> str:
    return duration(seconds) if seconds < UNMEASURED else "unknown time"


class _Phrase(Struct, frozen=True):
    """How one rule's numbers are told: the winner's own, against worse ones, against equal ones."""

    own: str
    beats: str
    equals: str
    show: Callable[[float], str] = number


_PHRASES = {
    "in flight": _Phrase("{} in flight", "fewer than", "as few as"),
    "in flight per weight": _Phrase("{} in flight per weight", "fewer than", "as few as"),
    "credit": _Phrase("credit {}", "more than", "as much as"),
    "expected seconds": _Phrase("an answer expected in {}", "sooner than", "as soon as", _expected),
    "degrees to walk": _Phrase("{} degrees on", "nearer than", "as near as"),
    "score": _Phrase("score {}", "more than", "as much as"),
}

_VERBS = {
    "weight 0": ("has", "have"),
    "tried already": ("was", "were"),
    "backup": ("stands by as", "stand by as"),
}

_TIES = {
    "the one picked longest ago": "it was picked longest ago",
    "the earlier in configuration order": "it comes earlier in the configuration",
    "the first drawn": "it was drawn first",
}


def reason(event: Picked, algorithm: str = "the algorithm") -> str:
    """Why that backend, for a choice among several."""
    why = event.why
    if why.rule.startswith(_TURNS):
        return _turn(event)
    if why.rule.startswith(_WHOLE_REASONS):
        return why.rule
    own = next((one.number for one in why.candidates if one.backend == event.backend), None)
    if not why.rule or own is None:
        return f"chosen by {algorithm} (it gives no reason)"
    return _comparison(event.backend, own, why)


def only_reason(candidates: Sequence[Candidate]) -> str:
    """Why the only one available was the only one."""
    return f"the only one available{excluded_clause(candidates)}" if len(candidates) > 1 else "the only one there is"


def retry_reason(event: Picked, failure: str | None) -> str:
    """Which try it is, after what, and why that backend; `failure` is how the try before ended ("b refused")."""
    tried = [one.backend for one in event.why.candidates if one.excluded == "tried already"]
    after = failure or (listed(tried) if tried else "")
    text = f"{ordinal(event.attempt)} try, after {after}" if after else f"{ordinal(event.attempt)} try"
    compared = [one for one in event.why.candidates if one.excluded is None]
    if not event.why.rule or len(compared) < 2:
        return text
    return f"{text}: next in turn" if event.why.rule.startswith(_TURNS) else f"{text}: {reason(event)}"


def excluded_clause(candidates: Sequence[Candidate]) -> str:
    """ " (a is down and b is draining)": who was passed over and why; empty when nobody was."""
    excluded = [(one.backend, one.excluded) for one in candidates if one.excluded is not None]
    if not excluded:
        return ""
    if len(excluded) <= _MOST_NAMED:
        return f" ({listed([f'{name} {_verb(because)} {because}' for name, because in excluded])})"
    counts = Counter(because for _, because in excluded)
    return f" ({listed([f'{count} {_verb(because, count)} {because}' for because, count in counts.items()])})"


def _verb(because: str, count: int = 1) -> str:
    return _VERBS.get(because, ("is", "are"))[count != 1]


def _comparison(chosen: str, own: float, why: Why) -> str:
    """What was compared; of a rule like "drew a and c: in flight", what went before is said before."""
    before, _, compared = why.rule.rpartition(": ")
    full = excluded_clause([one for one in why.candidates if one.excluded and one.excluded.startswith("full")])
    text = _numbers_compared(chosen, own, why, _PHRASES.get(compared) or _own_phrase(compared, why.best)) + full
    text += _notes(why.candidates)
    return f"{before}; {text}" if before else text


def _numbers_compared(chosen: str, own: float, why: Why, phrase: _Phrase) -> str:
    text = phrase.own.format(phrase.show(own))
    others = [(one.backend, one.number) for one in why.candidates if one.number is not None and one.backend != chosen]
    better = [(name, their) for name, their in others if (their < own if why.best == "lowest" else their > own)]
    equal = [name for name, their in others if their == own]
    worse = [(name, their) for name, their in others if (name, their) not in better and their != own]
    if better:
        name, their = (min if why.best == "lowest" else max)(better, key=lambda other: other[1])
        return f"{text}, although {name} has {phrase.show(their)}"
    if equal:
        return (
            f"{text}, {phrase.equals} {_names(equal)}; {_TIES.get(why.tie, f'tie: {why.tie}' if why.tie else 'a tie')}"
        )
    return f"{text}, {phrase.beats} {_numbers(worse, phrase.show)}" if worse else text


def _notes(candidates: Sequence[Candidate]) -> str:
    """ " (b is in slow start, 30% of weight 4)": what else is to be said of some."""
    noted = [f"{one.backend} is in {one.note}" for one in candidates if one.note]
    return f" ({listed(noted)})" if 0 < len(noted) <= _MOST_NAMED else ""


def _own_phrase(rule: str, best: str) -> _Phrase:
    """For a rule that the table does not know."""
    rule = rule.replace("{", "{{").replace("}", "}}")
    less, little = ("less than", "as little as") if best == "lowest" else ("more than", "as much as")
    return _Phrase(f"{rule} {{}}", less, little)


def _names(names: Sequence[str]) -> str:
    return listed(names) if len(names) <= _MOST_NAMED else f"{len(names)} others"


def _numbers(others: Sequence[tuple[str, float]], show: Callable[[float], str]) -> str:
    if len(others) > _MOST_NAMED:
        return f"{len(others)} others'"
    return listed([f"{name}'s {show(their)}" for name, their in others])


def _turn(event: Picked) -> str:
    """Whose turn it was before, and what became of those in between."""
    last = event.why.rule.removeprefix(_TURNS).removeprefix(" after ")
    if not last:
        return "the first in turn"
    if last == event.backend:
        return "its turn again"
    between = _between(last, event.backend, event.why.candidates)
    excluded = [(one.backend, one.excluded) for one in between if one.excluded is not None]
    newcomers = [one.backend for one in between if one.excluded is None]
    return "; ".join([f"its turn, after {last}", *_passed_over(excluded), *_waiting(newcomers)])


def _passed_over(excluded: Sequence[tuple[str, str]]) -> Iterator[str]:
    if len(excluded) == 1:
        ((name, because),) = excluded
        yield f"{name} is passed over ({because})"
    elif len(excluded) > _MOST_NAMED:
        yield f"{len(excluded)} are passed over"
    elif excluded:
        yield f"{listed([f'{name} ({because})' for name, because in excluded])} are passed over"


def _waiting(newcomers: Sequence[str]) -> Iterator[str]:
    """Those who came when another was due already."""
    if newcomers:
        yield f"{_names(newcomers)} came in meanwhile and {'waits' if len(newcomers) == 1 else 'wait'}"


def _between(last: str, chosen: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The members after `last` and before `chosen`, going round; none when `last` has left."""
    names = [one.backend for one in candidates]
    if last not in names:
        return ()
    start, end = names.index(last) + 1, names.index(chosen)
    return candidates[start:end] if start <= end else [*candidates[start:], *candidates[:end]]
