"""Fetching weights from where a library keeps them: over https, bounded, checked."""

from __future__ import annotations

from segkit.plugins.weights import cache_folder as cache_folder
from segkit.plugins.weights import fetch as fetch
from segkit.plugins.weights import split_revision as split_revision
