"""The workers of a Dask scheduler: a real one, on loopback, in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from lbtutor.core import EnvironmentFault
from lbtutor.labs import cluster
from lbtutor.labs.crowd import at_once
from lbtutor.labs.scenario import Scenario, load_scenario
from lbtutor.labs.seeds import run_seeds

pytest.importorskip("distributed", reason="lbtutor[cluster] is not installed")
pytestmark = pytest.mark.slow

WORK = """
def backwards(job, tell):  # the first one is ready last
    return sum(range((5 - job) * 300_000)) and job

def refuse(job, tell):
    raise ValueError(f"not {job}")

def forever(job, tell):
    if job == 0:
        return "done"
    while True:
        tell(0.0)
"""

CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    workers, quiet = int(sys.argv[1]), dict(dashboard_address=None, silence_logs=50)
    with LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", **quiet) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""

LAB = """\
title = "Sometimes somebody waits"
lasts = "20s"
[pool.web]
algorithm = "random"
backends = [{ name = "a", workers = 1, service = { lognormal = { mean = "80ms", cv = 1.2 } } }, { name = "b" }]
[[traffic]]
to = "front"
rate = 14
[[expect]]
p90 = { under = "500ms" }
says = "hardly anybody waits"
"""


@contextmanager
def started(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A cluster of so many workers, which find modules in `folder`: its address, and its process."""
    (folder / "cluster.py").write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, str(folder / "cluster.py"), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip(), process
        process.stdin.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "work_on_cluster.py").write_text(WORK)
    return folder


@pytest.fixture(scope="module")
def work(folder: Path) -> Iterator[ModuleType]:
    """A module that the workers can import, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import work_on_cluster  # type: ignore[import-not-found]

        yield work_on_cluster
        del sys.modules["work_on_cluster"]


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with started(folder, workers=2) as (address, _):
        yield address


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "lab.toml").write_text(LAB)
    return load_scenario(tmp_path / "lab.toml")


def test_seeds_on_a_cluster_give_what_they_give_here_in_the_same_order(address: str, scenario: Scenario) -> None:
    assert run_seeds(scenario, range(3, 9), dask=address) == run_seeds(scenario, range(3, 9))


def test_what_comes_back_is_in_the_order_of_the_jobs_whoever_is_ready_first(address: str, work: ModuleType) -> None:
    shares: list[float] = []
    assert at_once(work.backwards, range(5), shares.append, dask=address) == [0, 1, 2, 3, 4]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_what_work_raises_is_raised_here_and_ends_the_others(address: str, work: ModuleType) -> None:
    with pytest.raises(ValueError, match="not 7"):
        at_once(work.refuse, [7, 7], dask=address)


def test_an_interruption_keeps_what_is_done_and_frees_the_workers(address: str, work: ModuleType) -> None:
    def interrupt(share: float) -> None:
        if 0.25 <= share < 1:  # the first one is ready
            raise KeyboardInterrupt

    assert at_once(work.forever, [0, 1, 1, 1], interrupt, dask=address) == ["done", None, None, None]
    looks = count()

    def lose_patience(share: float) -> None:
        if next(looks) > 100:
            raise KeyboardInterrupt

    again = at_once(work.backwards, range(5), lose_patience, dask=address)
    assert again == [0, 1, 2, 3, 4], "nobody is busy with the crowd before"


def test_a_cluster_that_is_lost_is_a_fault_of_the_environment(
    folder: Path, work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(folder, workers=1) as (address, process):

        def kill(share: float) -> None:
            if process.poll() is None and share >= 0.25:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

        with pytest.raises(EnvironmentFault, match="lost"):
            at_once(work.forever, [0, 1], kill, dask=address)


def test_a_scheduler_without_workers_is_told_from_one_that_is_slow(
    folder: Path, work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    with started(folder, workers=0) as (address, _), pytest.raises(EnvironmentFault, match="no workers"):
        at_once(work.backwards, [1], dask=address)


@pytest.mark.parametrize(
    ("address", "told"),
    [("tcp://127.0.0.1:1", "refused"), ("nonsense", "protocol"), ("http://127.0.0.1:1", "scheme")],
)
def test_where_no_scheduler_answers_one_message_says_so(address: str, told: str, work: ModuleType) -> None:
    with pytest.raises(EnvironmentFault, match=f"no Dask scheduler answers at {address}: .*{told}"):
        at_once(work.backwards, [1], dask=address)


def test_without_the_extra_it_says_what_to_install(work: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=r"lbtutor\[cluster\]"):
        at_once(work.backwards, [1], dask="tcp://127.0.0.1:1")


def test_workers_of_another_version_are_refused(
    address: str, work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "__version__", "0.0.0")
    with pytest.raises(EnvironmentFault, match=r"and this is 0\.0\.0"):
        at_once(work.backwards, [1], dask=address)
