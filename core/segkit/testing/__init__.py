"""Tests for plugins: subclass `Conformance`, name the plugin, and run pytest.

    from segkit.testing import Conformance


    class TestCorners(Conformance):
        plugin = "corners"
        options = [{}, {"share": 0.5}]

Some dozens of tests, chosen by the plugin's kind, ask whether it keeps its contract. Needs pytest
and hypothesis: `pip install 'segkit[testing]'`. Importing this module costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit.testing.conformance import Conformance as Conformance
    from segkit.testing.values import PICTURES as PICTURES
    from segkit.testing.values import values as made_up

__all__ = ["PICTURES", "Conformance", "made_up"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'segkit.testing' has no attribute '{name}'")
    try:
        import pytest  # noqa: F401
    except ModuleNotFoundError:
        from segkit.errors import MissingExtraError

        raise MissingExtraError("segkit.testing", "pytest", "testing") from None
    from segkit.testing.conformance import Conformance
    from segkit.testing.values import PICTURES, values

    found = {"Conformance": Conformance, "PICTURES": PICTURES, "made_up": values}
    return found[name]
