"""segkit: segmentation without user input, from parts that anyone can swap.

All public names; each is imported when it is first used, so that `import segkit` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segkit.kinds import KINDS as _KINDS

if TYPE_CHECKING:
    from segkit.commands import dataset as dataset
    from segkit.commands import describe as describe
    from segkit.commands import diagnose as diagnose
    from segkit.commands import merge as merge
    from segkit.commands import robustness as robustness
    from segkit.commands import step as step
    from segkit.commands import sweep as sweep
    from segkit.commands import train as train
    from segkit.comparing.leaderboard import Leaderboard as Leaderboard
    from segkit.comparing.records import Diagnosis as Diagnosis
    from segkit.comparing.robustness_records import Robustness as Robustness
    from segkit.deprecations import SegkitDeprecationWarning as SegkitDeprecationWarning
    from segkit.deprecations import SegkitWarning as SegkitWarning
    from segkit.errors import BadImageError as BadImageError
    from segkit.errors import BadValueError as BadValueError
    from segkit.errors import MissingExtraError as MissingExtraError
    from segkit.errors import PlanError as PlanError
    from segkit.errors import PluginError as PluginError
    from segkit.errors import SegkitError as SegkitError
    from segkit.errors import UsageError as UsageError
    from segkit.pipeline import Pipeline as Pipeline
    from segkit.plugins.catalog import Catalog as Catalog
    from segkit.plugins.figures import Figure as Figure
    from segkit.plugins.hookspecs import API_VERSION as API_VERSION
    from segkit.plugins.hookspecs import hookimpl as hookimpl
    from segkit.plugins.step import Step as Step
    from segkit.plugins.steps import *  # noqa: F403 - the interface of each kind
    from segkit.plugins.trainable import Examples as Examples
    from segkit.plugins.trainable import Trainable as Trainable
    from segkit.plugins.trainable import TrainedSegmenter as TrainedSegmenter
    from segkit.plugins.trainable import squeezed as squeezed
    from segkit.plugins.weights import Weights as Weights
    from segkit.reporting.describe import Description as Description
    from segkit.result import Result as Result
    from segkit.running.engines.choosing import engine as engine
    from segkit.running.merge import Merged as Merged
    from segkit.running.plan import Plan as Plan
    from segkit.running.plan import plan as plan
    from segkit.running.recipe import Recipe as Recipe
    from segkit.running.session import run as run
    from segkit.training.progress import TrainingResult as TrainingResult
    from segkit.values.bitmaps import MaskStack as MaskStack
    from segkit.values.bitmaps import PackedMasks as PackedMasks
    from segkit.values.classes import BACKGROUND as BACKGROUND
    from segkit.values.classes import VOID as VOID
    from segkit.values.classes import add_class as add_class
    from segkit.values.files import write_file as write_file
    from segkit.values.image_names import unique_names as unique_names
    from segkit.values.images import find_image_files as find_image_files
    from segkit.values.images import find_images as find_images
    from segkit.values.images import palette as palette
    from segkit.values.images import read_image as read_image
    from segkit.values.images import read_mask as read_mask
    from segkit.values.images import write_png as write_png
    from segkit.values.masks import Mask as Mask
    from segkit.values.masks import Masks as Masks
    from segkit.values.types import Counts as Counts
    from segkit.values.types import Heatmap as Heatmap
    from segkit.values.types import Image as Image
    from segkit.values.types import Labels as Labels
    from segkit.values.types import Look as Look
    from segkit.values.types import Prompt as Prompt
    from segkit.values.types import Prompts as Prompts
    from segkit.values.types import Scores as Scores
    from segkit.values.types import Truth as Truth

_HOME = {
    "plugins.catalog": ("Catalog",),
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
    "plugins.figures": ("Figure",),
    "plugins.hookspecs": ("API_VERSION", "hookimpl"),
    "training.progress": ("TrainingResult",),
    "values.bitmaps": ("MaskStack", "PackedMasks"),
    "values.classes": ("BACKGROUND", "VOID", "add_class"),
    "values.files": ("write_file",),
    "values.image_names": ("unique_names",),
    "values.images": (
        "find_image_files",
        "find_images",
        "palette",
        "read_image",
        "read_mask",
        "write_png",
    ),
    "commands": (
        "dataset",
        "describe",
        "diagnose",
        "merge",
        "robustness",
        "step",
        "sweep",
        "train",
    ),
    "comparing.leaderboard": ("Leaderboard",),
    "comparing.records": ("Diagnosis",),
    "comparing.robustness_records": ("Robustness",),
    "pipeline": ("Pipeline",),
    "reporting.describe": ("Description",),
    "result": ("Result",),
    "running.engines.choosing": ("engine",),
    "running.merge": ("Merged",),
    "running.plan": ("Plan", "plan"),
    "running.recipe": ("Recipe",),
    "running.session": ("run",),
    "plugins.step": ("Step",),
    "plugins.steps": tuple(kind.interface for kind in _KINDS.values()),
    "plugins.trainable": ("Examples", "Trainable", "TrainedSegmenter", "squeezed"),
    "values.masks": ("Mask", "Masks"),
    "values.types": (
        "Counts",
        "Heatmap",
        "Image",
        "Labels",
        "Look",
        "Prompt",
        "Prompts",
        "Scores",
        "Truth",
    ),
    "plugins.weights": ("Weights",),
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
