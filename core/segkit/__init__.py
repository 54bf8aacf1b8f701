"""segkit: segmentation without user input, from parts that anyone can swap.

All public names; each is imported when it is first used, so that `import segkit` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit.catalog import Catalog as Catalog
    from segkit.deprecations import SegkitDeprecationWarning as SegkitDeprecationWarning
    from segkit.deprecations import SegkitWarning as SegkitWarning
    from segkit.errors import BadImageError as BadImageError
    from segkit.errors import BadValueError as BadValueError
    from segkit.errors import MissingExtraError as MissingExtraError
    from segkit.errors import PlanError as PlanError
    from segkit.errors import PluginError as PluginError
    from segkit.errors import SegkitError as SegkitError
    from segkit.errors import UsageError as UsageError
    from segkit.hookspecs import API_VERSION as API_VERSION
    from segkit.hookspecs import hookimpl as hookimpl
    from segkit.images import find_images as find_images
    from segkit.images import palette as palette
    from segkit.images import read_image as read_image
    from segkit.images import read_mask as read_mask
    from segkit.images import unique_names as unique_names
    from segkit.images import write_png as write_png
    from segkit.leaderboard import Leaderboard as Leaderboard
    from segkit.pipeline import Pipeline as Pipeline
    from segkit.pipeline import Result as Result
    from segkit.pipeline import sweep as sweep
    from segkit.planner import Plan as Plan
    from segkit.planner import plan as plan
    from segkit.recipe import Recipe as Recipe
    from segkit.runner import run as run
    from segkit.stages import Dataset as Dataset
    from segkit.stages import Fuser as Fuser
    from segkit.stages import Metric as Metric
    from segkit.stages import Perturbation as Perturbation
    from segkit.stages import Prompter as Prompter
    from segkit.stages import Saliency as Saliency
    from segkit.stages import Segmenter as Segmenter
    from segkit.stages import Selector as Selector
    from segkit.stages import Step as Step
    from segkit.stages import Transform as Transform
    from segkit.stages import Writer as Writer
    from segkit.trainable import Examples as Examples
    from segkit.trainable import Trainable as Trainable
    from segkit.trainable import TrainedSegmenter as TrainedSegmenter
    from segkit.trainable import squeezed as squeezed
    from segkit.types import BACKGROUND as BACKGROUND
    from segkit.types import VOID as VOID
    from segkit.types import Counts as Counts
    from segkit.types import Heatmap as Heatmap
    from segkit.types import Image as Image
    from segkit.types import Labels as Labels
    from segkit.types import Masks as Masks
    from segkit.types import Prompt as Prompt
    from segkit.types import Prompts as Prompts
    from segkit.types import Scores as Scores
    from segkit.types import Truth as Truth
    from segkit.types import id_of as id_of
    from segkit.weights import Weights as Weights

_HOME = {
    "catalog": ("Catalog",),
    "deprecations": ("SegkitDeprecationWarning", "SegkitWarning"),
    "errors": (
        "BadImageError",
        "BadValueError",
        "MissingExtraError",
        "PlanError",
        "PluginError",
        "SegkitError",
        "UsageError",
    ),
    "hookspecs": ("API_VERSION", "hookimpl"),
    "images": (
        "find_images",
        "palette",
        "read_image",
        "read_mask",
        "unique_names",
        "write_png",
    ),
    "leaderboard": ("Leaderboard",),
    "pipeline": ("Pipeline", "Result", "sweep"),
    "planner": ("Plan", "plan"),
    "recipe": ("Recipe",),
    "runner": ("run",),
    "stages": (
        "Dataset",
        "Fuser",
        "Metric",
        "Perturbation",
        "Prompter",
        "Saliency",
        "Segmenter",
        "Selector",
        "Step",
        "Transform",
        "Writer",
    ),
    "trainable": ("Examples", "Trainable", "TrainedSegmenter", "squeezed"),
    "types": (
        "BACKGROUND",
        "VOID",
        "Counts",
        "Heatmap",
        "Image",
        "Labels",
        "Masks",
        "Prompt",
        "Prompts",
        "Scores",
        "Truth",
        "id_of",
    ),
    "weights": ("Weights",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("segkit")
    if name not in _MODULE_OF:
        # Not `from segkit import`, which asks this function first.
        deprecations = importlib.import_module("segkit.deprecations")
        old = deprecations.REGISTER.get(f"segkit.{name}")
        if old is None:
            raise AttributeError(f"module 'segkit' has no attribute '{name}'")
        deprecations.warn(f"segkit.{name}", stacklevel=2)
        return __getattr__(old.instead.removeprefix("segkit."))
    value = getattr(importlib.import_module(f"segkit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULE_OF]
