"""`lbtutor proxy` as a process of its own, with a configuration that the test writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.storms.crowd import eventually
from tests.storms.origins import Origin

_DOOR = 'title = "A storm"\n\n[[listen]]\nname = "front"\nat = "127.0.0.1:0"\n'

_POOL = """
[pool.web]
algorithm = "{algorithm}"
retry = {{ attempts = 2, on = ["connect", "close"] }}
{health}
"""

_HEALTH = 'health = { path = "/health", interval = "200ms", timeout = "150ms", rise = 1, fall = 2 }'


_BACKEND = """
[[pool.web.backends]]
name = "{origin.name}"
address = "{origin.address}"
weight = {weight}
"""


def config(
    origins: Sequence[Origin],
    *,
    door: str = "",
    algorithm: str = "least_connections",
    health: str = _HEALTH,
    weights: Sequence[int] = (),
) -> str:
    """A file with one door, to which lines may be added, and one pool of these origins."""
    members = (
        _BACKEND.format(origin=origin, weight=weights[index] if weights else 1) for index, origin in enumerate(origins)
    )
    route = '\n[[route]]\npath = "/"\npool = "web"\n'
    return "".join([_DOOR, door, route, _POOL.format(algorithm=algorithm, health=health), *members])


class Running:
    """A proxy that serves; whatever happened, it is gone at the end of the `with`."""

    def __init__(self, folder: Path, text: str, *arguments: str) -> None:
        self.file = folder / "proxy.toml"
        self.file.write_text(text, encoding="utf-8")
        self.errors = folder / "stderr.txt"
        with self.errors.open("wb") as errors:
            command = [sys.executable, "-m", "lbtutor", "proxy", str(self.file), "--no-watch", *arguments]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8")
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.said
        self.told = json.loads(line)

    def __repr__(self) -> str:
        return f"<Running {self.process.pid}>"

    @property
    def address(self) -> str:
        return str(self.told["listening"]["front"])

    @property
    def said(self) -> str:
        """All that it said on stderr."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    async def reload(self, text: str) -> None:
        """Write the file anew and have it read."""
        before = self.said.count("reloaded")
        self.file.write_text(text, encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)
        await eventually(lambda: self.said.count("reloaded") > before, "the file is read again")
        assert "not reloaded" not in self.said, self.said

    def stop(self) -> None:
        """Let it drain; it must have found no bug in itself."""
        assert self.process.poll() is None, f"it died: {self.said}"
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.said
        assert "a bug in lbtutor" not in self.said, self.said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
