"""Which tests of bundled plugins the default run leaves to the marker `matrix`."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """In the default run each plugin is tested with its first set of options, at all edges."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.path.name == "test_conformance.py" and callspec and callspec.params.get("chosen"):
            item.add_marker(pytest.mark.matrix)
