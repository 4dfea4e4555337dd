"""Question files and the catalogue of misconceptions.

    [request-seven]
    ask  = "Four servers take turns. Which of them gets request 7?"
    then = "Watch the third row of the stage when request 7 comes."
    returns_after = "24h"

    [[request-seven.choices]]
    text    = "srv-3"
    right   = true
    because = "after four requests the turns begin again"

    [[request-seven.choices]]
    text    = "srv-1"
    because = "that would be so with three servers"
    misconception = "M21"

Letters are given in the order of the file. A wrong choice must say why somebody would believe it and what is the case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from lbtutor.core import Seconds
from lbtutor.course.lesson import Choice, Misconception, Question
from lbtutor.course.manuscript import read_text
from lbtutor.labs.reading import place, read_toml, suggest

_LETTERS = "abcdef"


class ChoiceSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One choice as written."""

    text: str
    right: bool = False
    because: str = ""
    misconception: str | None = None


class QuestionSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One question as written; its id is the table's name."""

    ask: str
    then: str
    choices: tuple[ChoiceSpec, ...]
    returns_after: Seconds | None = None

    def question(self, name: str) -> Question:
        """The question with its letters given out."""
        choices = tuple(
            Choice(key, spec.text, spec.right, spec.because, spec.misconception)
            for key, spec in zip(_LETTERS, self.choices, strict=False)
        )
        return Question(name, self.ask, choices, self.then, self.returns_after)


class _MisconceptionSpec(Struct, frozen=True, forbid_unknown_fields=True):
    belief: str
    truth: str


def read_misconceptions(path: Path) -> dict[str, Misconception]:
    """The catalogue by id, empty when there is no such file; raises `ConfigError`."""
    if not path.is_file():
        return {}
    specs = read_toml(*read_text(path), dict[str, _MisconceptionSpec])
    return {name: Misconception(name, spec.belief, spec.truth) for name, spec in specs.items()}


def read_questions(
    text: str, source: str, misconceptions: Mapping[str, Misconception]
) -> tuple[dict[str, Question], list[str]]:
    """The questions of a file by id, and everything wrong with them. Raises `ConfigError` when it cannot be read."""
    specs = read_toml(text, source, dict[str, QuestionSpec])
    questions = {name: spec.question(name) for name, spec in specs.items()}
    complaints = [
        f"{place(text, source, (name,))}: {complaint}"
        for name, spec in specs.items()
        for complaint in complaints_on(spec, misconceptions)
    ]
    return questions, complaints


def complaints_on(spec: QuestionSpec, misconceptions: Mapping[str, Misconception]) -> Iterator[str]:
    """Everything that is wrong with one question, beyond its keys."""
    count, right = len(spec.choices), sum(choice.right for choice in spec.choices)
    if not 2 <= count <= len(_LETTERS):
        yield f"a question has 2 to {len(_LETTERS)} choices, not {count}"
    if right != 1:
        yield f"exactly one choice is `right = true`, not {right}"
    for number, choice in enumerate(spec.choices, 1):
        which = f"choice {number} ({choice.text!r})"
        if not choice.because.strip():
            yield f"{which} needs `because`: what is told to whoever chose it"
        if choice.text in [other.text for other in spec.choices[: number - 1]]:
            yield f"{which} is offered twice"
        if choice.misconception is None:
            continue
        if choice.right:
            yield f"{which} is right, so it cannot show the misconception {choice.misconception}"
        elif choice.misconception not in misconceptions:
            hint = suggest(choice.misconception, misconceptions)
            yield f"{which} names the misconception `{choice.misconception}`, which misconceptions.toml lacks; {hint}"
