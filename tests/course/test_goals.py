"""Goals as data: which table is which kind."""

from __future__ import annotations

import pytest

from lbtutor.core import ConfigError
from lbtutor.course.goals import (
    CONDITIONS,
    Condition,
    Decided,
    FailedOver,
    HealthyAgain,
    InFlight,
    PickedOften,
    Struck,
    condition_type,
)
from lbtutor.course.watches import Stage, watch


def test_a_goal_names_exactly_one_kind() -> None:
    assert condition_type({"picked", "times"}) is PickedOften
    with pytest.raises(ConfigError, match=r"exactly one of fault, failed_over.*, not none of them"):
        condition_type({"backend"})
    with pytest.raises(ConfigError, match="not failed_over and picked"):
        condition_type({"picked", "failed_over"})


def test_a_condition_names_the_backends_that_must_exist() -> None:
    assert list(PickedOften("web/a").backends()) == ["web/a"]
    assert list(Decided(7).backends()) == []
    assert list(Decided(7, to="web/b").backends()) == ["web/b"]


@pytest.mark.parametrize(
    "condition",
    [
        Struck("any", "web/a"),
        FailedOver("web/a"),
        HealthyAgain("web/a"),
        PickedOften("web/a"),
        Decided(1),
        InFlight("web/a", 1),
    ],
)
def test_every_kind_of_goal_can_be_watched(condition: Condition) -> None:
    assert type(condition) in CONDITIONS.values()
    assert not watch(condition, Stage()).done
    assert watch(condition, Stage()).detail
