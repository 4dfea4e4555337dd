"""Which sentence stands under the stage."""

from __future__ import annotations

from lbtutor.core.events import HealthChanged, Picked, Probed, Why
from lbtutor.tui.screens.captions import Captions
from lbtutor.tui.screens.watched import Line

PICK = Line(Picked(1.0, 1, 1, "web", "a", "only", Why("", "lowest", "", ())), "r1 → a")
DOWN = Line(HealthChanged(1.1, "web", "a", "up", "down", "3 probes in a row failed"), "a is down")
GOOD_PROBE = Line(Probed(1.2, "web", "a", True, "200", 0, 0, "up"), "probe of a passed")
BAD_PROBE = Line(Probed(1.2, "web", "a", False, "refused", 1, 3, "down"), "probe of a failed: 1 of 3")


def test_while_nothing_moves_the_newest_sentence_stands() -> None:
    captions = Captions()
    captions.follow([DOWN, PICK], now=0.0, moving=False)
    assert captions.text == "r1 → a"


def test_while_things_move_only_what_changes_the_pool_is_told() -> None:
    captions = Captions()
    captions.follow([DOWN, PICK, GOOD_PROBE], now=0.0, moving=True)
    assert captions.text == "a is down"


def test_a_probe_is_told_when_it_counts_towards_a_change() -> None:
    captions = Captions()
    captions.follow([BAD_PROBE, GOOD_PROBE], now=0.0, moving=True)
    assert captions.text == "probe of a failed: 1 of 3"


def test_a_sentence_stands_long_enough_to_be_read() -> None:
    captions = Captions()
    captions.follow([BAD_PROBE], now=0.0, moving=True)
    captions.follow([DOWN], now=1.0, moving=True)
    assert captions.text == "probe of a failed: 1 of 3"
    captions.follow([], now=1.5, moving=True)
    assert captions.text == "a is down", "what came meanwhile is told then"


def test_an_answer_to_a_key_stands_longer() -> None:
    captions = Captions()
    captions.say("Speed 2×", now=0.0)
    captions.follow([DOWN], now=3.9, moving=True)
    assert captions.text == "Speed 2×"
    captions.follow([], now=4.0, moving=True)
    assert captions.text == "a is down"


def test_a_single_step_is_not_kept_waiting_by_it() -> None:
    captions = Captions()
    captions.say("Speed 2×", now=0.0)
    captions.hush()
    captions.follow([PICK], now=0.1, moving=False)
    assert captions.text == "r1 → a"


def test_a_sentence_goes_when_it_is_old_news_but_not_while_nothing_moves() -> None:
    captions = Captions()
    captions.follow([DOWN], now=0.0, moving=True)
    captions.follow([], now=7.0, moving=True)
    assert captions.text == "a is down"
    captions.follow([], now=100.0, moving=False)
    assert captions.text == "a is down"
    captions.follow([], now=100.1, moving=True)
    assert captions.text == ""
