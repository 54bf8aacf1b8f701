"""Kind of plugin to its tests: those of the kind itself are added to those of every kind."""

from __future__ import annotations

from segkit.testing.datasets import DatasetTests
from segkit.testing.every import Every
from segkit.testing.heatmaps import SaliencyTests, TransformTests
from segkit.testing.lost_files import LostFileTests
from segkit.testing.metrics import MetricTests
from segkit.testing.perturbations import PerturbationTests
from segkit.testing.prompters import PrompterTests
from segkit.testing.segmenters import FuserTests, JudgeTests, SegmenterTests, SelectorTests
from segkit.testing.working import Working

TESTS: dict[str, type[Every]] = {
    "dataset": DatasetTests,
    "perturbation": PerturbationTests,
    "saliency": SaliencyTests,
    "transform": TransformTests,
    "prompt": PrompterTests,
    "segmenter": SegmenterTests,
    "judge": JudgeTests,
    "selector": SelectorTests,
    "fuser": FuserTests,
    "metric": MetricTests,
    "writer": LostFileTests,
}
"""Each kind's tests; those of every kind are among them."""


def tests_of(kind: str) -> type[Every]:
    """A kind's tests; for one that has none of its own, those of all steps that make a value."""
    return TESTS.get(kind, Working)
