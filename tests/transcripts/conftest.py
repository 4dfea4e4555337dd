"""`pytest tests/transcripts --rewrite-transcripts` writes what happens now into the golden files.

Read the difference before you commit it: a transcript is right because somebody understood it.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-transcripts", action="store_true", help="write the golden transcripts anew instead of comparing"
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written; never, unless this folder was named on the command line."""
    return bool(request.config.getoption("--rewrite-transcripts", default=False))
