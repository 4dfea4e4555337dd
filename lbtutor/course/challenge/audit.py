"""The audit: a hunt through the numbers of the chapter's solution, each contradiction a question that a run answers.

`lessons/challenge/audit.toml` holds the questions. Beside what a question of a lesson has (`lbtutor.course.questions`),
each tells what the chapter says, and which days settle it:

    [fifty]
    title   = "Fifty instances"
    chapter = "It counts 50 instances of 10 000 requests a second each."
    ask     = "…"

    [[fifty.runs]]
    says   = "its fifty instances behind balancers that have enough room"
    design = "passing"                       # a shipped design, and what is different in it
    change = { "pool.users.instances" = 10 } # `*` stands for every key of a table
    remove = ["pool.*.scale"]
    shows  = [{ measure = "served", between = [48, 50], says = "{} % of the peak's requests were served" }]

What a run shows is measured on its tape when the learner has answered; `between` is what the question's text relies
on, and a test holds it to that. So no number in the audit is older than the model.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct

from lbtutor.core import ConfigError, ContractError
from lbtutor.course.challenge.day import LASTS, PEAK_HOURS
from lbtutor.course.challenge.design import Design, design_names
from lbtutor.course.challenge.unfold import Day, added_up, thousands
from lbtutor.course.lesson import Choice, Feedback, Question
from lbtutor.course.manuscript import read_text
from lbtutor.course.progress import Progress
from lbtutor.course.questions import QuestionSpec, complaints_on, read_misconceptions
from lbtutor.labs.library import library_folder
from lbtutor.labs.reading import place, read_table, read_toml, suggest

RECORDED_AS = "challenge-audit"
"""The name under which answers are kept in a learner's progress, where lessons have theirs."""


class Show(Struct, frozen=True, forbid_unknown_fields=True):
    """One number of a run: what is measured, of which service or requirement, in which seconds, and what it should be.

    `says` has a `{}` for the number.
    """

    measure: str
    says: str
    between: tuple[float, float]
    fleet: str | None = None
    requirement: str = ""
    during: tuple[int, int] = PEAK_HOURS


class RunSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One day: a shipped design with some keys changed and others removed, and what it shows."""

    says: str
    design: str
    shows: tuple[Show, ...]
    change: dict[str, Any] = {}
    remove: tuple[str, ...] = ()


class _ItemSpec(QuestionSpec, frozen=True, forbid_unknown_fields=True, kw_only=True):
    title: str
    chapter: str
    runs: tuple[RunSpec, ...]


class Item(Struct, frozen=True):
    """One contradiction: what the chapter says, the question, and the days that settle it."""

    title: str
    chapter: str
    question: Question
    runs: tuple[RunSpec, ...]


class Shown(NamedTuple):
    """One number as measured, in its sentence; `holds` says whether it is what the question relies on."""

    says: str
    value: float
    holds: bool


def load_audit() -> tuple[Item, ...]:
    """The questions in the order of the hunt; raises `ConfigError` with all that is wrong in the file."""
    folder = library_folder("lessons")
    misconceptions = read_misconceptions(folder / "misconceptions.toml")
    text, source = read_text(folder / "challenge" / "audit.toml")
    specs = read_toml(text, source, dict[str, _ItemSpec])
    complaints = [
        f"{place(text, source, (name,))}: {complaint}"
        for name, spec in specs.items()
        for complaint in (*complaints_on(spec, misconceptions), *_complaints(spec))
    ]
    if complaints:
        raise ConfigError("\n".join(complaints))
    return tuple(Item(spec.title, spec.chapter, spec.question(name), spec.runs) for name, spec in specs.items())


def _complaints(spec: _ItemSpec) -> Iterator[str]:
    if not spec.runs:
        yield "it needs `runs`: what settles it"
    for run in spec.runs:
        if run.design not in design_names():
            yield f"there is no design `{run.design}`; {suggest(run.design, design_names())}"
        for show in run.shows:
            if show.measure not in MEASURES:
                yield f"there is no measure `{show.measure}`; {suggest(show.measure, MEASURES)}"


# the days


def design_of(run: RunSpec) -> Design:
    """The design of a run; raises `ConfigError` when what it changes makes it none."""
    table = tomllib.loads(design_names()[run.design].read_text(encoding="utf-8"))
    for path in run.remove:
        for holder, key in _meant(table, path.split(".")):
            holder.pop(key, None)
    for path, value in run.change.items():
        for holder, key in _meant(table, path.split(".")):
            holder[key] = copy.deepcopy(value)
    return read_table(table, Design, text="", source=f"audit.toml ({run.design})")


def _meant(table: dict[str, Any], path: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every key that the path means, with the table that holds it."""
    here, *below = path
    for key in list(table) if here == "*" else [here]:
        if below:
            yield from _meant(table.setdefault(key, {}), below)
        else:
            yield table, key


def shown(day: Day, run: RunSpec) -> list[Shown]:
    """What the run's day shows, number by number."""
    return [_shown(day, show) for show in run.shows]


def _shown(day: Day, show: Show) -> Shown:
    value = MEASURES[show.measure](day, show)
    low, high = show.between
    return Shown(show.says.format(_as_text(value)), value, low <= value <= high)


def _as_text(value: float) -> str:
    if value >= 1000:
        return thousands(value)
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


# what can be measured


def _percent(*names: str) -> Callable[[Day, Show], float]:
    """A measure: these requests as a percentage of those that were offered."""

    def measure(day: Day, show: Show) -> float:
        there = slice(*show.during)
        offered = sum(day.tape.series("offered", show.fleet)[there])
        return 100 * sum(added_up(day.tape, *names, fleet=show.fleet)[there]) / offered

    return measure


def _busy(day: Day, show: Show) -> float:
    loads = day.tape.utilisation(show.fleet or "")[slice(*show.during)]
    return 100 * sum(loads) / len(loads)


def _up(day: Day, show: Show) -> float:
    return day.tape.series("up", show.fleet)[show.during[0]]


def _busiest(day: Day, show: Show) -> float:
    """The most that one instance got in a second, over its service's mean; looked at every ten seconds."""
    seconds = range(show.during[0], show.during[1], 10)
    picked = [[one for one in day.tape.picked_of(show.fleet or "", (at, at + 1)) if one] for at in seconds]
    return max(max(rates) * len(rates) / sum(rates) for rates in picked if rates)


def _lost_at_instances(day: Day, _show: Show) -> float:
    """Requests that failed at dead or late instances, that is, not at a dead balancer."""
    tape = day.tape
    return tape.failed() - sum(sum(tape.at_balancer("failed", number)) for number in range(tape.balancers))


def _balancer_recovery(day: Day, _show: Show) -> float:
    """Seconds from the first request that found a dead balancer to the last."""
    tape = day.tape
    lost = [
        second for number in range(tape.balancers) for second, n in enumerate(tape.at_balancer("failed", number)) if n
    ]
    return max(lost) - min(lost) + 1 if lost else 0.0


def _carts_missed(day: Day, show: Show) -> float:
    return day.tape.total("carts_lost", between=show.during)


def _added(day: Day, show: Show) -> float:
    """Milliseconds that the balancer added, on average in the worst second."""
    pairs = zip(
        day.tape.series("added")[slice(*show.during)], day.tape.series("served")[slice(*show.during)], strict=True
    )
    return max(1000 * added / served for added, served in pairs if served)


def _broke(day: Day, show: Show) -> float:
    """The minute of the day, counted from 1, in which a requirement was first broken; 0 when it held."""
    at = next(one.first_broken_at for one in day.requirements if one.id == show.requirement)
    return 0.0 if at is None else at // 60 + 1


MEASURES: dict[str, Callable[[Day, Show], float]] = {
    "served": _percent("served"),
    "refused": _percent("shed", "shed_by_balancer"),
    "refused_by_balancers": _percent("shed_by_balancer"),
    "busy": _busy,
    "up": _up,
    "busiest": _busiest,
    "lost_at_instances": _lost_at_instances,
    "balancer_recovery": _balancer_recovery,
    "carts_missed": _carts_missed,
    "added": _added,
    "broke": _broke,
}
"""Every measure by its name. Shares are percentages; `during` are seconds of the day, from 0 to `LASTS`."""

WHOLE_HOUR = (0, LASTS)


# the learner


class Hunt:
    """The audit as one learner goes through it. A prediction stands once it is made; it is recorded at once."""

    def __init__(self, items: tuple[Item, ...], progress: Progress) -> None:
        self.items = items
        self.progress = progress

    def answered(self, item: Item) -> Choice | None:
        """What the learner predicted, if they did."""
        return self.progress.answered(RECORDED_AS, item.question)

    @property
    def left(self) -> list[Item]:
        """What has not been answered yet."""
        return [item for item in self.items if self.answered(item) is None]

    def answer(self, item: Item, key: str) -> Feedback:
        """Record the prediction; raises `ContractError` for a letter that is not offered."""
        choice = item.question.choice(key)
        if choice is None:
            raise ContractError(f"question {item.question.id} offers no choice {key!r}")
        self.progress.record_answer(RECORDED_AS, item.question, choice, datetime.now(UTC))
        return item.question.judge(choice)
