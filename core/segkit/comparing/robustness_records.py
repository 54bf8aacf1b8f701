"""The columns and keys of robustness.json, as models; see `comparing.records`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from segkit.comparing.records import ComparisonModel, Estimate, NumberOrNaN, Skipped
from segkit.comparing.sheets import csv_text
from segkit.kinds import MAIN_FIGURE
from segkit.running.records import Number
from segkit.values.showing import counted

CHAIN = ("heatmap_drift", "prompt_moved", "prompt_moved_share", "mask_lost", "true_iou")
"""What is noted of each damaged image, beside the metrics' counts."""


class Level(ComparisonModel):
    """One recipe under one kind of damage at one level: means over images."""

    level: int
    figure: Estimate = Estimate()
    change: Estimate = Estimate()
    """The figure minus that at level 0, image by image."""
    scores: dict[str, Number] = {}
    """Every metric's figures."""
    heatmap_drift: Estimate | None = None
    """1 − correlation with the heatmap of level 0; None where there is no heatmap."""
    prompt_moved: Estimate | None = None
    """How far points and boxes moved, in pixels; None where there are none."""
    prompt_moved_share: Estimate | None = None
    """The same as a share of the image's diagonal."""
    mask_lost: Estimate | None = None
    """1 − IoU with the foreground of level 0; None where there is none."""
    true_iou: Estimate | None = None
    """IoU of the foreground with the truth, over images that have an object; None without."""


class DamageCurve(ComparisonModel):
    """One recipe under one kind of damage."""

    recipe: str
    perturbation: str
    images: int = 0
    """Those that every recipe has finished at every level; the figures are theirs."""
    points: tuple[Level, ...] = Field(min_length=1)
    """From level 0 up."""
    area: Estimate = Estimate()
    """The mean height of the curve, in the figure's own unit."""
    kept: Estimate = Estimate()
    """The area over the figure at level 0."""
    gives_way: dict[str, int | None] = {}
    """Stage to the first level at which it has given way; None: it has not, or is not there."""
    gives_way_first: str | None = None
    """The stage that gives way first; of two at one level the earlier."""


class DamageKind(ComparisonModel):
    """A perturbation that was asked for."""

    name: str
    damages: str = "image"
    """`image` or `prompts`."""
    options: dict[str, Any] = {}
    summary: str = ""


class RecipeRobustness(ComparisonModel):
    """One recipe, over all kinds of damage that every recipe has."""

    recipe: str
    words: str = ""
    """Its steps in a row."""
    mean_area: NumberOrNaN = math.nan
    mean_kept: NumberOrNaN = math.nan
    reading: str = ""
    """What it means, in a sentence or two."""


class ExamplePicture(ComparisonModel):
    """An example of damage: a file in the folder."""

    image: str
    recipe: str = ""
    file: str
    perturbation: str | None = None
    level: int = 0


class DamageFailure(ComparisonModel):
    """An image that failed; at level 0 as it is, else under this damage."""

    image: str
    recipe: str = ""
    perturbation: str | None = None
    level: int = 0
    error: str | None = None


class Robustness(ComparisonModel):
    """What recipes bear, damage by damage: what robustness.json holds."""

    figure: str = MAIN_FIGURE
    higher_is_better: bool = True
    levels: int = Field(ge=0)
    """The greatest level."""
    images: int = 0
    limits: dict[str, Number] = {}
    """Stage to where it has given way."""
    perturbations: tuple[DamageKind, ...] = ()
    recipes: tuple[RecipeRobustness, ...]
    """The best first."""
    curves: tuple[DamageCurve, ...]
    pictures: tuple[ExamplePicture, ...] = ()
    failed: tuple[DamageFailure, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __repr__(self) -> str:
        readings = [recipe.reading for recipe in self.recipes if recipe.reading]
        return "\n".join([f"Robustness on {counted(self.images, 'image')}", *readings])

    __str__ = __repr__

    @property
    def failed_images(self) -> dict[str, list[str]]:
        """Image to the recipes that failed on it, damaged or not."""
        recipes: dict[str, dict[str, None]] = {}
        for failure in self.failed:
            recipes.setdefault(failure.image, {})[failure.recipe] = None
        return {image: list(names) for image, names in recipes.items()}

    def curves_of(self, recipe: str) -> list[DamageCurve]:
        """A recipe's curves, the most harmful kind of damage first."""
        return most_harmful_first(
            [curve for curve in self.curves if curve.recipe == recipe], self.higher_is_better
        )

    def to_csv(self) -> str:
        """One row for each recipe, kind of damage and level."""
        scores = dict.fromkeys(
            name for curve in self.curves for point in curve.points for name in point.scores
        )
        others = [name for name in scores if name != self.figure]
        names = (self.figure or "figure", "change", *CHAIN)
        heads = [name + end for name in names for end in ("", "_low", "_high")]
        rows: list[Sequence[object]] = []
        for curve in self.curves:
            for point in curve.points:
                cells: list[float | None] = []
                for name in ("figure", "change", *CHAIN):
                    estimate: Estimate = getattr(point, name) or Estimate()
                    cells += [estimate.mean, estimate.low, estimate.high]
                cells += [point.scores.get(name) for name in others]
                rows.append([curve.recipe, curve.perturbation, point.level, curve.images, *cells])
        return csv_text(["recipe", "perturbation", "level", "images", *heads, *others], rows)


def most_harmful_first(curves: Sequence[DamageCurve], higher_is_better: bool) -> list[DamageCurve]:
    """Curves by their area, the worst first; those without one last."""
    sign = 1 if higher_is_better else -1

    def place(curve: DamageCurve) -> float:
        return sign * curve.area.mean if math.isfinite(curve.area.mean) else math.inf

    return sorted(curves, key=place)
