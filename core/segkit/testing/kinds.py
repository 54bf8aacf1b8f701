"""Kind of plugin to its tests."""

from __future__ import annotations

from segkit.hookspecs import REGISTRATION
from segkit.testing.every import Every

TESTS: dict[str, type[Every]] = dict.fromkeys(REGISTRATION, Every)
"""Each kind's tests; those of every kind are among them."""
