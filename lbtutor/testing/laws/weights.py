"""Weighted round robin.

What is fixed are counts: so many for each weight, over a round, and how far a server may be from its share on the way.
The order inside a round is free, and so is the phase: NGINX's current weights, deadlines (EDF, as in Envoy and
Traefik), and interleaved rounds (LVS) give different sequences, all of them right. Measured distance from the share,
greatest minus smallest: current weights up to 1.9, deadlines up to 4.3 with eight servers, one server after the other
6 to 11 for weights up to 12.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.laws.universal import must_have_answered
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.worlds.balancer import NAMES, Choice


def _pool(weights: Sequence[float], *ops: Op, **setting: float) -> Program:
    return Program({"servers": [[name, w] for name, w in zip(NAMES[0], weights, strict=False)], **setting}, ops)


def _one_round(draw: Draw) -> Program:
    weights = [draw.one((1, 2, 3, 5, 8, 10)) for _ in range(draw.one((2, 3, 1, 4, 6)))]
    grown = {"grown": draw.one((0.1, 0.7))} if draw.chance(0.3) else {}
    return _pool(weights, ("crowd", sum(weights) * draw.one((1, 3))), **grown)


@law(
    "weighted_round_robin",
    source=_one_round,
    meets=("weights that differ", "weights in parts"),
    hint="Add up what each server got. Where do turns get lost: in rounding, at the end of a round, or by chance?",
)
def a_round_gives_each_its_weight(run: Run[Choice]) -> None:
    """Of as many requests as all weights add up to, each server gets as many as its weight, and so on in each round.

    With weights in parts, as in a slow start, rounding may move one.
    """
    must_have_answered(run)
    in_parts = "grown" in run.program.setting
    for crowd in run.answered("crowd"):
        run.meet("weights that differ", int(len(set(crowd.members.values())) > 1))
        run.meet("weights in parts", int(in_parts))
        due = _due(crowd)
        if any(count != int(count) for count in due.values()):
            continue  # no whole round, as in a part of a program
        off = [name for name in due if abs(_got(crowd, name) - due[name]) > (1 if in_parts else 0.01)]
        if off:
            raise Broken(crowd, _told(due), _told({name: _got(crowd, name) for name in due}), _weights(crowd))


def _hard_to_spread() -> Iterator[Program]:
    for weights in ((10, 10), (3, 2, 1), (8, 9, 9), (12, 12, 1), (20, 20), (7, 7, 7, 7), (5, 3)):
        yield _pool(weights, ("crowd", sum(weights)))


@law(
    "weighted_round_robin",
    claims={"spread": ("smooth", "fair")},
    cases=_hard_to_spread,
    hint="Write the first ten answers in a row. How long does a server wait although others have had turn upon turn?",
)
def turns_are_spread(run: Run[Choice]) -> None:
    """No server gets many turns in a row while others of equal weight wait: at all times each is near its share."""
    must_have_answered(run)
    for crowd in run.answered("crowd"):
        bound = 3 if run.claims["spread"] == "smooth" else len(crowd.eligible) + 1
        _near_its_share(crowd, bound)


def _with_nothing() -> Iterator[Program]:
    yield _pool((2, 0, 1), ("crowd", 6))
    yield _pool((2, 1, 1), ("crowd", 4), ("weigh", 0, 0), ("crowd", 6))
    yield _pool((1, 0), ("crowd", 3), ("weigh", 1, 3), ("crowd", 20))


@law(
    "weighted_round_robin",
    cases=_with_nothing,
    hint="Follow a server of weight 0 through your code: can it come out? And what if its weight grows later?",
)
def weight_zero_gets_nothing(run: Run[Choice]) -> None:
    """A server of weight 0 gets no request, and gets its share once its weight is more.

    Or such a weight is refused, where that is claimed.
    """
    if run.claims["zero"] == "reject" and isinstance(run.fault, Raised) and run.fault.kind == "ValueError":
        return
    must_have_answered(run)
    for crowd in run.answered("crowd"):
        for name, weight in crowd.members.items():
            if not weight and name in crowd.answer:
                raise Broken(crowd, f"no request for {name}", f"{_got(crowd, name)} for {name}", _weights(crowd))
        if len(crowd.answer) >= 20:
            _gets_its_share(crowd)


LEAVING: tuple[tuple[Op, Op], ...] = ((("health", 0, False), ("health", 0, True)), (("remove", 0), ("readd", 0)))


def _away() -> Iterator[Program]:
    """Weights are near each other: what is left over from before a change weighs little then, and may stay."""
    for weights in ((1, 1), (1, 1, 1), (2, 2, 2), (3, 2, 2), (2, 2, 1, 1)):
        for away, back in LEAVING:
            yield _pool(weights, ("crowd", 20), away, ("crowd", 60), back, ("crowd", 30))


@law(
    "weighted_round_robin",
    cases=_away,
    needs=("health or remove",),
    hint="What does a server remember while it is away? Is that a debt of the others when it returns?",
)
def nobody_catches_up(run: Run[Choice]) -> None:
    """A server that was away is given its share from its return on, and not what it missed."""
    must_have_answered(run)
    for crowd in run.answered("crowd"):
        _near_its_share(crowd, len(crowd.eligible) + 4)


def _reweighed() -> Iterator[Program]:
    for weights, weight in (((1, 1), 9), ((3, 1), 1), ((1, 1, 1), 6), ((4, 1, 1), 1)):
        yield _pool(weights, ("crowd", 10), ("weigh", 0, weight), ("crowd", 60))


@law(
    "weighted_round_robin",
    cases=_reweighed,
    needs=("weigh",),
    meets=("a weight had changed",),
    hint="Where is the old weight still written down: in a table, in a sum, in a schedule?",
)
def a_new_weight_counts_at_once(run: Run[Choice]) -> None:
    """When a server gets another weight, its share is that of the new weight from then on."""
    must_have_answered(run)
    weighed = {server[0]: server[1] for server in run.program.setting["servers"]}
    for crowd in run.answered("crowd"):
        run.meet("a weight had changed", int(crowd.members != weighed))
        _gets_its_share(crowd)


def _gets_its_share(crowd: Choice) -> None:
    due = _due(crowd)
    for name in due:
        if abs(_got(crowd, name) - due[name]) > len(due) + 4:
            raise Broken(crowd, f"about {due[name]:.0f} for {name}", f"{_got(crowd, name)}", _weights(crowd))


def _near_its_share(crowd: Choice, bound: float) -> None:
    """No server, in no window, may be farther from its share than that."""
    for name in crowd.eligible:
        share = _due(crowd)[name] / len(crowd.answer)
        ahead = [0.0, *accumulate((answer == name) - share for answer in crowd.answer)]
        if max(ahead) - min(ahead) > bound:
            raise Broken(crowd, *_window(crowd, name, share, ahead))


def _window(crowd: Choice, name: str, share: float, ahead: list[float]) -> tuple[str, str, str]:
    """The window in which that server is farthest from its share."""
    first, last = sorted((ahead.index(min(ahead)), ahead.index(max(ahead))))
    got = sum(answer == name for answer in crowd.answer[first:last])
    expected = f"about {share * (last - first):.0f} of requests {first + 1} to {last} for {name}"
    return expected, str(got), _weights(crowd)


def _due(crowd: Choice) -> dict[str, float]:
    total = sum(crowd.members[name] for name in crowd.eligible)
    return {name: len(crowd.answer) * crowd.members[name] / total for name in crowd.eligible}


def _got(crowd: Choice, name: str) -> int:
    return Counter(crowd.answer)[name]


def _told(counts: dict[str, float] | dict[str, int]) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in counts.items())


def _weights(crowd: Choice) -> str:
    return f"the weights are {', '.join(f'{name} {crowd.members[name]:g}' for name in crowd.members)}"
