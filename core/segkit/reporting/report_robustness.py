"""The report's section on robustness: curves over damage, the chain, and example pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.comparing.damage_curves import SHOWN_BY
from segkit.comparing.records import Estimate
from segkit.comparing.robustness_records import DamageCurve, Robustness, most_harmful_first
from segkit.errors import BadImageError
from segkit.reporting.charts import WHISKER, Curve, Scale, curve, scale_of, whisker
from segkit.reporting.pictures import panels, small
from segkit.reporting.report_folder import Folder

WIDTH, HEIGHT = 300, 120
"""A chart's size in units of its view box."""

MOST = 10
"""Up to how many times its limit a stage's way is drawn."""

TILE = 150
"""Pixels across an example picture."""


@dataclass(frozen=True)
class Chart:
    """Some curves over the levels of one kind of damage."""

    title: str
    curves: list[Curve]
    ticks: list[tuple[float, str]]
    """Places and numbers of the levels."""
    low: float
    high: float
    limit: float | None = None
    """Height of the line that none should cross; None: there is none."""

    @property
    def words(self) -> str:
        """The chart in a sentence."""
        drawn = [c for c in self.curves if c.points]
        return "; ".join(f"{c.rest} {', '.join(p[2] for p in c.points)}" for c in drawn)


@dataclass(frozen=True)
class ExampleTile:
    """A picture in the page, in the table of examples."""

    title: str
    data: str
    """JPEG as base64."""
    width: int
    height: int


def robustness_section(folder: Folder) -> dict[str, Any] | None:
    """What the template draws; None if the folder has no robustness.json."""
    robustness = folder.robustness
    if robustness is None:
        return None
    areas = scale_of([curve.area for curve in robustness.curves], WHISKER)
    recipes = [recipe.recipe for recipe in robustness.recipes]
    charts, chains = robustness_charts(robustness)
    return {
        "robustness": robustness,
        "rows": [(c, whisker(c.area, areas)) for c in _recipe_by_recipe(robustness, recipes)],
        "recipes": recipes,
        "charts": charts,
        "chains": chains,
        "stages": list(SHOWN_BY),
        "example": next((picture.image for picture in robustness.pictures), ""),
        "examples": _examples(folder.directory, robustness),
    }


def _recipe_by_recipe(robustness: Robustness, recipes: Sequence[str]) -> list[DamageCurve]:
    """Curves, recipe by recipe, the most harmful damage first."""
    by_harm = most_harmful_first(robustness.curves, robustness.higher_is_better)
    return sorted(
        by_harm, key=lambda c: recipes.index(c.recipe) if c.recipe in recipes else len(recipes)
    )


def _kinds(robustness: Robustness) -> list[str]:
    """The kinds of damage in the order in which they were asked for."""
    asked = [kind.name for kind in robustness.perturbations]
    return list(dict.fromkeys([*asked, *(c.perturbation for c in robustness.curves)]))


def _curves(robustness: Robustness, recipe: str, kind: str) -> list[DamageCurve]:
    wanted = (recipe, kind)
    return [c for c in robustness.curves if (c.recipe, c.perturbation) == wanted]


# ---- charts -----------------------------------------------------------------------------------


def robustness_charts(
    robustness: Robustness,
) -> tuple[list[Chart], list[tuple[str, list[Chart]]]]:
    """The figure under each kind of damage, and for each recipe how far its stages have moved."""
    recipes = [recipe.recipe for recipe in robustness.recipes]
    chains = [(recipe, _chain_charts(robustness, recipe)) for recipe in recipes]
    return _figure_charts(robustness, recipes), chains


def _figure_charts(robustness: Robustness, recipes: Sequence[str]) -> list[Chart]:
    """The figure under each kind of damage, a curve a recipe, all on one scale."""
    levels = robustness.levels
    vertical = scale_of([p.figure for c in robustness.curves for p in c.points], HEIGHT)
    if vertical is None:
        return []
    charts = []
    for kind in _kinds(robustness):
        drawn = [
            _drawn(recipe, [(p.level, p.figure) for p in damage.points], levels, vertical)
            for recipe in recipes
            for damage in _curves(robustness, recipe, kind)
        ]
        if drawn:
            charts.append(Chart(kind, drawn, _ticks(levels), vertical.low, vertical.high))
    return charts


def _chain_charts(robustness: Robustness, recipe: str) -> list[Chart]:
    """How far each stage is from level 0, in units of its limit, under each kind of damage."""
    ways = {
        kind: {stage: _way(damage, stage, robustness.limits) for stage in SHOWN_BY}
        for kind in _kinds(robustness)
        for damage in _curves(robustness, recipe, kind)
    }
    means = [e.mean for way in ways.values() for points in way.values() for _, e in points]
    top = math.ceil(min(MOST, max(means, default=0)))
    vertical = Scale(0, max(top, 2), HEIGHT)
    limit = HEIGHT - vertical(1)
    levels = robustness.levels
    return [
        Chart(
            kind,
            [_drawn(stage, points, levels, vertical) for stage, points in way.items()],
            _ticks(levels),
            0,
            vertical.high,
            limit,
        )
        for kind, way in ways.items()
    ]


def _way(
    damage: DamageCurve, stage: str, limits: Mapping[str, float]
) -> list[tuple[int, Estimate]]:
    """A stage's way over its limit at each level; empty where nothing was noted."""
    limit = limits.get(stage, 0)
    if limit <= 0:
        return []
    estimates = [(point.level, getattr(point, SHOWN_BY[stage])) for point in damage.points]
    return [
        (level, Estimate(mean=estimate.mean / limit))
        for level, estimate in estimates
        if estimate is not None and math.isfinite(estimate.mean)
    ]


def _drawn(
    name: str, points: Sequence[tuple[int, Estimate]], levels: int, vertical: Scale
) -> Curve:
    return curve(name, [(float(k), e) for k, e in points], Scale(0, levels, WIDTH), vertical)


def _ticks(levels: int) -> list[tuple[float, str]]:
    """Every level, or as many as have room."""
    step = math.ceil((levels + 1) / 12)
    across = Scale(0, levels, WIDTH)
    return [(across(k), str(k)) for k in range(0, levels + 1, step)]


# ---- examples ---------------------------------------------------------------------------------


def _examples(
    directory: Path, robustness: Robustness
) -> list[tuple[str, list[tuple[int, list[ExampleTile]]]]]:
    """For each kind of damage the example at each level, none first: what was seen and answered."""
    files = {(p.perturbation, p.level): p.file for p in robustness.pictures}
    tiles = {file: _tiles(directory / file) for file in dict.fromkeys(files.values())}
    recipe = next((picture.recipe for picture in robustness.pictures), "")
    rows = []
    for kind in _kinds(robustness):
        if not _curves(robustness, recipe, kind):
            continue
        places = [(None, 0), *((kind, level) for level in range(1, robustness.levels + 1))]
        row = [(key[1], tiles[files[key]]) for key in places if key in files]
        if len(row) > 1:
            rows.append((kind, row))
    return rows


def _tiles(file: Path) -> list[ExampleTile]:
    """The panels that show the heat over the image, if there is one, and the mask."""
    try:
        cut = panels(file, TILE)
    except BadImageError:
        return []
    wanted = [panel for panel in cut if panel.title.startswith(("overlay", "mask"))] or cut[:1]
    return [ExampleTile(panel.title, *small(panel.picture, TILE)) for panel in wanted]


def settings(options: Mapping[str, Any]) -> str:
    """A perturbation's options in a row: `step 5`."""
    texts = []
    for name, value in options.items():
        text = f"{value:g}" if isinstance(value, (int, float)) else str(value)
        texts.append(f"{name.replace('_', '-')} {text}")
    return ", ".join(texts)
