"""Stories: what the specimens of the zoo did, as plain rows."""

from __future__ import annotations

from typing import Any

import pytest

from lbtutor.testing.stories import stories
from lbtutor.testing.zoo import specimens


@pytest.fixture(scope="module")
def told() -> dict[str, list[list[dict[str, object]]]]:
    return {one.specimen.name: [story.rows for story in one.stories] for one in stories("least_connections", 3, 8)}  # type: ignore[misc]


def test_every_specimen_has_its_stories(told: dict[str, list[list[dict[str, object]]]]) -> None:
    assert set(told) == {specimen.name for specimen in specimens("least_connections")}
    assert all(len(rows) == 8 for name, rows in told.items() if name == "Offered")


def test_a_row_says_what_was_so_before_it(told: dict[str, list[list[dict[str, object]]]]) -> None:
    for story in told["Offered"]:
        for row in story:
            assert row["what"] in ("pick", "start", "finish", "up", "down")
            assert set(row["up"]) <= set(row["open"])  # type: ignore[call-overload]
            assert row["what"] != "pick" or row["chosen"] in [*row["up"], None]  # type: ignore[misc]


def test_the_same_seed_tells_the_same_stories() -> None:
    assert stories("round_robin", 5, 3) == stories("round_robin", 5, 3)
    assert stories("round_robin", 5, 3) != stories("round_robin", 6, 3)


def test_a_story_ends_with_a_mark_at_the_row_it_was_cut_at() -> None:
    story = stories("round_robin", 5, 3)[0].stories[0]
    short = story.upto(2)
    assert len(short.rows) == 2
    assert short.told[0].startswith("servers:")
    assert short.told[-1].startswith(" 2")
    assert short.told[-1].endswith("X")


def test_only_who_is_up_goes_down_and_only_who_is_down_comes_up() -> None:
    rows: list[Any] = [row for one in stories("round_robin", 7, 12)[:2] for story in one.stories for row in story.rows]
    changes = [row for row in rows if row["what"] in ("down", "up")]
    assert changes
    assert all((row["server"] in row["up"]) == (row["what"] == "down") for row in changes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_right_balancers_refute_whoever_wants_newcomers_to_be_next(seed: int) -> None:
    right = [one for one in stories("round_robin", seed) if not one.specimen.fault]
    refuted = [one.specimen.name for one in right if not all(newcomers_are_next(story.rows) for story in one.stories)]
    assert "Cursor" in refuted


def newcomers_are_next(story: list[Any]) -> bool:
    """The law that a learner writes first: before anybody has another turn, everybody who is up has had one."""
    last: dict[str, int] = {}
    for number, row in enumerate(story):
        if row["what"] != "pick" or not row["up"]:
            continue
        if row["chosen"] in last:
            between = story[last[row["chosen"]] : number]
            if set(row["up"]) - {other["chosen"] for other in between if other["what"] == "pick"}:
                return False
        last[row["chosen"]] = number
    return True
