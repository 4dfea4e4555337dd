"""The family of errors."""

from __future__ import annotations

import pytest

from lbtutor.core.errors import ConfigError, ContractError, EnvironmentFault, JournalError, LbtutorError


@pytest.mark.parametrize("kind", [ConfigError, ContractError, EnvironmentFault, JournalError])
def test_whoever_catches_the_family_catches_each_member(kind: type[LbtutorError]) -> None:
    with pytest.raises(LbtutorError, match="what happened"):
        raise kind("what happened")


def test_a_configuration_error_is_a_value_error_so_that_msgspec_adds_the_place() -> None:
    assert issubclass(ConfigError, ValueError)


def test_a_journal_error_carries_what_could_be_read() -> None:
    assert JournalError("cut").journal is None
    assert JournalError("damaged", "the readable part").journal == "the readable part"
