"""segkit's tests for every saliency plugin, on tiny networks with random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny
from segkit.testing import Conformance


class OnTransformer(Conformance):
    """Not a plugin's tests itself: it gives them a tiny vision transformer."""

    __test__ = False
    kind = "saliency"
    needs = ["timm"]
    huge = (120, 160)

    def prepare(self, options: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        return {**tiny.vit(folder)[1], **options}


class TestRollout(OnTransformer):
    __test__ = True
    plugin = "rollout"
    options = [{}, {"heads": "max"}]


class TestChefer(OnTransformer):
    __test__ = True
    plugin = "chefer"
    options = [{"target": "top:2"}]


class TestDinoAttention(OnTransformer):
    __test__ = True
    plugin = "dino-attention"
    options = [{}, {"head": 1, "mass": 1.0}]


class TestTokenCut(OnTransformer):
    __test__ = True
    plugin = "tokencut"
    options = [{}, {"similarity": 0.5, "weak": 0.01, "connected": False}]


class TestRefineCAM(Conformance):
    plugin = "refinecam"
    kind = "saliency"
    options = [{"model": "shapes", "size": 64, "stages": 2, "method": "layercam"}]
    huge = (120, 160)


class TestGScoreCAM(Conformance):
    plugin = "gscorecam"
    kind = "saliency"
    options = [{"model": "shapes", "size": 32, "channels": 4, "channels_at_once": 3}]
    huge = (120, 160)
