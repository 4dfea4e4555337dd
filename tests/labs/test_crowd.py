"""A crowd of jobs, whoever does them."""

from __future__ import annotations

import os

import pytest

from lbtutor.labs.crowd import Tell, at_once


def whereabouts(job: int, tell: Tell) -> tuple[int, int]:
    tell(0.5)
    return job, os.getpid()


def refuse(job: int, tell: Tell) -> None:
    raise ValueError(f"not {job}")


def test_a_single_job_is_done_here_and_needs_no_process() -> None:
    shares: list[float] = []
    assert at_once(whereabouts, [7], shares.append) == [(7, os.getpid())]
    assert shares == [0.5, 1.0]


def test_no_jobs_are_no_work() -> None:
    assert at_once(whereabouts, []) == []


def test_an_interrupted_job_has_no_answer() -> None:
    def interrupt(share: float) -> None:
        if share < 1:
            raise KeyboardInterrupt

    assert at_once(whereabouts, [7], interrupt) == [None]


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="not 7"):
        at_once(refuse, [7])
