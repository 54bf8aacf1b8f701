"""Kind of plugin to its tests."""

from __future__ import annotations

from segkit.hookspecs import REGISTRATION
from segkit.testing.every import Every
from segkit.testing.heatmaps import SaliencyTests, TransformTests
from segkit.testing.prompters import PrompterTests

TESTS: dict[str, type[Every]] = dict.fromkeys(REGISTRATION, Every) | {
    "saliency": SaliencyTests,
    "transform": TransformTests,
    "prompt": PrompterTests,
}
"""Each kind's tests; those of every kind are among them."""
