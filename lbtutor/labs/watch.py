"""`FileWatch`: notices that files were written, replaced or removed, by looking now and then.

Looking costs one `stat` a file, works on every system and every file system, and sees a rename over the file as well as
a write into it. A change counts when two looks in a row found the same: a file that is still being written is not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lbtutor.live.doors import Stamp, stamp_of


class FileWatch:
    """Compares what is there with what was there."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._known: dict[Path, Stamp] = {path: stamp_of(path) for path in paths}
        self._last = self._known

    def __repr__(self) -> str:
        return f"<FileWatch {', '.join(map(str, self._known))}>"

    def look(self) -> dict[Path, Stamp]:
        """What is there now."""
        return {path: stamp_of(path) for path in self._known}

    def changed(self) -> bool:
        """Something is different, and no longer changing; said once."""
        last, self._last = self._last, self.look()
        if self._last == self._known or self._last != last:
            return False
        self._known = self._last
        return True

    def follow(self, paths: Iterable[Path], read: dict[Path, Stamp]) -> None:
        """These are the files from here on; `read` is what was there before they were read: no change is lost."""
        self._known = {path: read[path] if path in read else stamp_of(path) for path in paths}
        self._last = self._known
