"""The learner's own designs: files in the folder where progress lives, one a design.

A file is replaced whole or not at all. Who edits it in two places at once loses nothing: what somebody else wrote
meanwhile is set aside under another name before it is replaced.
"""

from __future__ import annotations

import os
from pathlib import Path

from lbtutor.core import ConfigError
from lbtutor.course.keeping import replace_whole
from lbtutor.course.progress import state_folder

PREFIX = "my-"
"""What the learner's copy of a shipped design is called before that design's name."""


def own_folder() -> Path:
    """Where they lie; it need not exist."""
    return state_folder() / "designs"


def own_designs() -> dict[str, Path]:
    """Every design of the learner's own, by name."""
    return {path.stem: path for path in sorted(own_folder().glob("*.toml"))}


def own_copy(of: Path) -> Path:
    """The learner's copy of a design: made now, unless there is one. Raises `ConfigError` when it cannot be."""
    path = own_folder() / f"{PREFIX}{of.stem}.toml"
    if not path.exists():
        OwnFile(path, known="").write(of.read_text(encoding="utf-8"))
    return path


class OwnFile:
    """One design being edited. `known` is what the file held when we last looked."""

    def __init__(self, path: Path, known: str | None = None) -> None:
        self.path = path
        self.set_aside: Path | None = None
        """Where the latest text went that somebody else had written."""
        self._known = self.read() if known is None else known

    def read(self) -> str:
        """The text; bytes that are no UTF-8 become marks. Raises `ConfigError` when it cannot be read."""
        try:
            self._known = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from None
        return self._known

    def write(self, text: str) -> None:
        """Put the text in the place of the file's; raises `ConfigError` when that cannot be done."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._keep_theirs()
            replace_whole(self.path, text)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from None
        self._known = text

    def _keep_theirs(self) -> None:
        try:
            theirs = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        if theirs != self._known:
            self.set_aside = _free_name(self.path)
            os.replace(self.path, self.set_aside)


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.other-{number}")).exists():
        number += 1
    return aside
