"""Hypothesis repeats itself here: the same examples at each run, and no clock decides whether a test passes."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
