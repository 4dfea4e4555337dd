"""The ways of counting open requests that are right."""

from __future__ import annotations

from lbtutor.testing.worlds.ledgers import Ledgers


def test_while_servers_stay_there_is_one_count() -> None:
    ledgers = Ledgers()
    ledgers.started("a", 0)
    ledgers.started("b", 1)
    ledgers.ended("a", 0)
    assert ledgers.read([("a", 0), ("b", 1)]) == ({"a": 0, "b": 1},)


def test_one_that_returned_has_its_old_requests_or_none() -> None:
    ledgers = Ledgers()
    ledgers.started("a", 0)
    ledgers.left("a")
    assert ledgers.read([("a", 1)]) == ({"a": 0}, {"a": 1})


def test_the_end_of_an_old_request_may_be_taken_for_a_new_ones_but_never_below_zero() -> None:
    ledgers = Ledgers()
    ledgers.started("a", 0)
    ledgers.started("a", 0)
    ledgers.left("a")
    ledgers.started("a", 1)
    ledgers.ended("a", 0)
    ledgers.ended("a", 0)
    assert ledgers.read([("a", 1)]) == ({"a": 1}, {"a": 0})


def test_to_add_one_that_is_there_may_start_it_from_zero() -> None:
    ledgers = Ledgers()
    ledgers.started("a", 0)
    ledgers.added_again("a")
    assert ledgers.read([("a", 0)]) == ({"a": 1}, {"a": 0})
