"""`Reviews`: questions from earlier days, asked before the lesson goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lbtutor.course.lesson import Feedback
from lbtutor.course.progress import Progress
from lbtutor.course.review import Returning, answer
from lbtutor.tui.screens import cue


class Reviews:
    """A row of questions: answer the first, or leave it for another day; then the next."""

    def __init__(self, progress: Progress, returning: Sequence[Returning]) -> None:
        self._progress = progress
        self._waiting = list(returning)
        self._feedback: Feedback | None = None

    @property
    def current(self) -> Returning | None:
        """The question that is before the learner, answered or not; None when there is none."""
        return self._waiting[0] if self._waiting else None

    @property
    def cue(self) -> cue.Cue | None:
        """What the cue bar says about it."""
        return None if self.current is None else cue.review(self.current.question, self.current.title, self._feedback)

    @property
    def open(self) -> bool:
        """Whether a letter would answer it."""
        return self.current is not None and self._feedback is None

    def answer(self, key: str) -> bool:
        """Record the choice with that letter; False when there is none."""
        if self.current is None or self.current.question.choice(key) is None:
            return False
        self._feedback = answer(self._progress, self.current, key, datetime.now(UTC))
        return True

    def go_on(self) -> None:
        """To the next question; one that was not answered stays due."""
        self._waiting[:1] = []
        self._feedback = None
