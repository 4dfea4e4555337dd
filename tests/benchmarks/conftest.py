"""Servers to measure, a crowd, and what a request costs them.

The measure is CPU time of the whole process, divided by the requests that it answered: wall-clock figures of two shared
cores would say more about the neighbours. Candidates take turns, round after round, and what is told is the median of
the ratios within a round, so that a slow minute is slow for everybody.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

CONNECTIONS = 64

_NGINX = """
worker_processes 1; daemon off; master_process off; pid {folder}/{port}.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
    upstream web {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port}{tls};
        {what}
    }}
}}
"""

_OTHER_PATHS = """
local number = 0
request = function()
    number = (number + 1) % 1000
    return wrk.format("GET", wrk.path .. "/" .. number)
end
"""

_THINKING = """
math.randomseed(1)
delay = function() return math.random(0, 20) end
"""


ANSWER = 'location / { default_type text/plain; return 200 "hello\\n"; }'


class Crowd(NamedTuple):
    """What a crowd found: answers, and the latencies that half and 99 of a hundred stayed below, in seconds."""

    answers: int
    p99: float
    p50: float


class Candidate(NamedTuple):
    """A process that serves on a port."""

    process: int
    port: int


class Bench:
    """Starts processes, stops them all at the end, and measures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"<Bench in {self.folder}>"

    def close(self) -> None:
        self._stack.close()

    def start(self, *command: str, port: int) -> Candidate:
        """A process that serves on `port`, from the moment when it takes connections."""
        errors = self._stack.enter_context((self.folder / f"{port}.err").open("wb+"))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        self._stack.callback(_stop, process)
        while not _serves(port):
            if process.poll() is not None:
                errors.seek(0)
                raise AssertionError(f"{command[0]} ended at once: {errors.read().decode(errors='replace')}")
        return Candidate(process.pid, port)

    def python(self, script: str, *arguments: object, port: int, python: str = sys.executable) -> Candidate:
        """A Python program that serves on `port`, which is its first argument."""
        return self.start(python, "-c", script, str(port), *map(str, arguments), port=port)

    def nginx(self, what: str = ANSWER, *, origin: int = 1, tls: str = "") -> Candidate:
        """NGINX with one worker and these locations."""
        port = self.free_port()
        config = self.folder / f"nginx-{port}.conf"
        config.write_text(_NGINX.format(folder=self.folder, port=port, origin=origin, what=what, tls=tls))
        return self.start("nginx", "-c", str(config), port=port)

    def crowd(
        self,
        candidate: Candidate,
        *,
        seconds: int = 2,
        path: str = "/",
        headers: Sequence[str] = (),
        scheme: str = "http",
        connections: int = CONNECTIONS,
        varied: bool = False,
        thinking: bool = False,
    ) -> Crowd:
        """Let `wrk` ask as fast as it can on open connections, for one path or, `varied`, for a thousand below it.

        When `thinking`, each waits between an answer and its next request. `headers` are lines to send along.
        """
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        if varied or thinking:
            script = self.folder / "crowd.lua"
            script.write_text(varied * _OTHER_PATHS + thinking * _THINKING)
            command += ["-s", str(script)]
        for field in headers:
            command += ["-H", field]
        url = f"{scheme}://127.0.0.1:{candidate.port}{path}"
        said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
        answers = re.search(r"(\d+) requests in", said)
        assert answers is not None, said
        assert "Non-2xx" not in said, said
        return Crowd(int(answers[1]), _latency("99%", said), _latency("50%", said))

    def cost(
        self,
        candidate: Candidate,
        *,
        seconds: int = 2,
        path: str = "/",
        headers: Sequence[str] = (),
        scheme: str = "http",
        varied: bool = False,
    ) -> float:
        """Microseconds of CPU a request."""
        before = self.cpu_seconds(candidate)
        found = self.crowd(candidate, seconds=seconds, path=path, headers=headers, scheme=scheme, varied=varied)
        return (self.cpu_seconds(candidate) - before) / found.answers * 1e6

    @staticmethod
    def free_port() -> int:
        """A port that nobody listens on."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            return int(listening.getsockname()[1])

    @staticmethod
    def resident_bytes(candidate: Candidate) -> int:
        """The memory that the process holds."""
        return int(Path(f"/proc/{candidate.process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @staticmethod
    def cpu_seconds(candidate: Candidate) -> float:
        """What the process and its children have used so far, user and system."""
        ticks = 0
        for process in _family(candidate.process):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def table(figures: Mapping[str, list[float]], unit: str, against: str) -> None:
        """Print medians, and the medians of the ratios within a round."""
        width = max(map(len, figures))
        print()
        for name, own in figures.items():
            ratios = [mine / theirs for mine, theirs in zip(own, figures[against], strict=True)]
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{name:<{width}}  {median(own):9.2f} {unit}  {median(ratios):6.2f} x {against}  {spread}")

    @staticmethod
    def in_turns(measures: Mapping[str, Callable[[], float]], *, rounds: int = 5) -> dict[str, list[float]]:
        """Every measure once a round, in turns; the figures of each. A first round is thrown away."""
        figures: dict[str, list[float]] = {name: [] for name in measures}
        for number in range(rounds + 1):
            for name, measure in measures.items():
                figure = measure()
                if number:
                    figures[name].append(figure)
        return figures


def _family(process: int) -> Iterator[int]:
    yield process
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield from _family(int(child))


def _latency(quantile: str, said: str) -> float:
    """One line of what `wrk` tells of latencies, in seconds."""
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", said)
    assert found is not None, said
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[found[2]]


def _serves(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Needs `wrk` for the crowd and `nginx` as the backend, on Linux, whose /proc tells CPU times."""
    if not (shutil.which("wrk") and shutil.which("nginx") and Path("/proc/self/stat").exists()):
        pytest.skip("needs wrk, nginx and /proc")
    made = Bench(tmp_path)
    yield made
    made.close()
