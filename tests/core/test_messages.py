"""Outcomes mean what the table in their docstring says."""

from __future__ import annotations

from typing import get_args

import pytest

from lbtutor.core.messages import Outcome, OutcomeKind, Request

TABLE: dict[OutcomeKind, tuple[int, bool]] = {
    "refused": (502, True),
    "unreachable": (504, True),
    "untrusted": (502, True),
    "closed": (502, False),
    "invalid": (502, False),
    "timed_out": (504, False),
    "cut": (502, False),
    "cancelled": (499, False),
}


def test_the_table_has_every_kind() -> None:
    assert {*TABLE, "answered", "served"} == set(get_args(OutcomeKind))


@pytest.mark.parametrize("kind", TABLE)
def test_a_failure_has_the_status_and_the_certainty_of_its_kind(kind: OutcomeKind) -> None:
    outcome = Outcome.failed(kind)
    assert (outcome.status, outcome.definite) == TABLE[kind]
    assert not outcome.ok


def test_each_kind_says_something_of_its_own() -> None:
    said = [Outcome.failed(kind).says for kind in TABLE]
    assert len({*said, Outcome.answered(200).says}) == len(TABLE) + 1


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (404, True), (418, True), (499, True), (500, False), (503, False)]
)
def test_an_answer_is_definite_and_fails_only_when_it_blames_the_server(status: int, ok: bool) -> None:
    outcome = Outcome.answered(status)
    assert (outcome.kind, outcome.status, outcome.ok, outcome.definite) == ("answered", status, ok, True)
    assert outcome.says == f"answered {status}"


def test_what_was_served_ended_well_and_without_a_status() -> None:
    served = Outcome("served", 0)
    assert (served.status, served.ok, served.definite, served.says) == (0, True, True, "ended well")


def test_an_answer_that_broke_off_keeps_the_status_that_the_client_has_seen() -> None:
    assert Outcome.failed("cut", 200) == Outcome("cut", 200)
    assert not Outcome.failed("cut", 200).ok


def test_a_request_is_frozen() -> None:
    request = Request(id=1, at=0.0)
    with pytest.raises(AttributeError):
        request.client = "127.0.0.2"  # type: ignore[misc]
