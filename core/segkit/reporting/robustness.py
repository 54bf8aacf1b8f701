"""What the section on robustness shows: curves over damage, the chain, and example pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.errors import BadImageError
from segkit.reporting.charts import Curve, Scale, curve, scale_of
from segkit.reporting.folder import Borne, Estimate, Folder, Robustness, finite
from segkit.reporting.pictures import panels, small

WIDTH, HEIGHT = 300, 120
"""A chart's size in units of its view box."""

WHISKER = 100
"""Length of an interval's scale, likewise."""

MOST = 10
"""Up to how many times its limit a stage's way is drawn."""

TILE = 150
"""Pixels across an example picture."""

STAGES = (
    ("heatmap", "heatmap_drift", "the heatmap has drifted"),
    ("prompt", "prompt_moved_share", "the prompts have moved"),
    ("mask", "mask_lost", "the mask has lost"),
)
"""Stage, what is noted of it, and what that means, in the order in which values flow."""


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
class Tile:
    """A picture in the page."""

    title: str
    data: str
    """JPEG as base64."""
    width: int
    height: int


def section(folder: Folder) -> dict[str, Any] | None:
    """What the template draws; None if the folder has no robustness.json."""
    found = folder.robustness
    if found is None:
        return None
    areas = scale_of([c.area for c in found.curves], WHISKER)
    rows = [
        (one, [None if areas is None or v is None else areas(v) for v in _ends(one.area)])
        for one in _worst_first(found)
    ]
    recipes = {one.recipe: place for place, one in enumerate(found.recipes)}
    return {
        "found": found,
        "rows": rows,
        "recipes": list(recipes),
        "charts": list(_figure_charts(found, list(recipes))),
        "chains": [(recipe, _chain_charts(found, recipe)) for recipe in recipes],
        "stages": STAGES,
        "example": next((p.image for p in found.pictures), ""),
        "examples": _examples(folder.directory, found),
    }


def _ends(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return finite(estimate.low), finite(estimate.mean), finite(estimate.high)


def _worst_first(found: Robustness) -> list[Borne]:
    """Recipe by recipe, the most harmful damage first."""
    order = [one.recipe for one in found.recipes]
    sign = 1 if found.higher_is_better else -1

    def place(one: Borne) -> tuple[int, float]:
        area = finite(one.area.mean)
        where = order.index(one.recipe) if one.recipe in order else len(order)
        return where, math.inf if area is None else sign * area

    return sorted(found.curves, key=place)


def _names(found: Robustness) -> list[str]:
    """The perturbations in the order in which they were asked for."""
    return list(dict.fromkeys([*(p.name for p in found.perturbations), *_of_curves(found)]))


def _of_curves(found: Robustness) -> Iterator[str]:
    yield from (c.perturbation for c in found.curves)


def _figure_charts(found: Robustness, recipes: Sequence[str]) -> Iterator[Chart]:
    """The figure under each kind of damage, a curve a recipe, all on one scale."""
    vertical = scale_of([p.figure for c in found.curves for p in c.points], HEIGHT)
    if vertical is None:
        return
    for name in _names(found):
        drawn = [
            _drawn(recipe, [(p.level, p.figure) for p in one.points], found.levels, vertical)
            for recipe in recipes
            for one in found.curves
            if (one.recipe, one.perturbation) == (recipe, name)
        ]
        if drawn:
            yield Chart(name, drawn, _ticks(found.levels), vertical.low, vertical.high)


def _chain_charts(found: Robustness, recipe: str) -> list[Chart]:
    """How far each stage is from level 0, in units of its limit, under each kind of damage."""
    ways: dict[str, list[tuple[str, list[tuple[int, Estimate]]]]] = {}
    for name in _names(found):
        for one in found.curves:
            if (one.recipe, one.perturbation) == (recipe, name):
                ways[name] = [(stage, _way(one, stage, key, found)) for stage, key, _ in STAGES]
    means = [finite(e.mean) for way in ways.values() for _, points in way for _, e in points]
    top = math.ceil(min(MOST, max((m for m in means if m is not None), default=0)))
    vertical = Scale(0, max(top, 2), HEIGHT)
    limit = HEIGHT - vertical(1)
    charts = []
    for name, way in ways.items():
        drawn = [_drawn(stage, points, found.levels, vertical) for stage, points in way]
        charts.append(Chart(name, drawn, _ticks(found.levels), 0, vertical.high, limit))
    return charts


def _way(one: Borne, stage: str, key: str, found: Robustness) -> list[tuple[int, Estimate]]:
    """A stage's way over its limit at each level; empty where nothing was noted."""
    limit = found.limits.get(stage, 0)
    points = [
        (point.level, finite(getattr(point, key) and getattr(point, key).mean))
        for point in one.points
    ]
    return [(k, Estimate(mean=v / limit)) for k, v in points if v is not None and limit > 0]


def _drawn(
    name: str, points: Sequence[tuple[int, Estimate]], levels: int, vertical: Scale
) -> Curve:
    return curve(name, [(float(k), e) for k, e in points], Scale(0, levels, WIDTH), vertical)


def _ticks(levels: int) -> list[tuple[float, str]]:
    """Every level, or as many as have room."""
    step = math.ceil((levels + 1) / 12)
    across = Scale(0, levels, WIDTH)
    return [(across(k), str(k)) for k in range(0, levels + 1, step)]


def _examples(directory: Path, found: Robustness) -> list[tuple[str, list[tuple[int, list[Tile]]]]]:
    """For each kind of damage the example at each level, none first: what was seen and answered."""
    files: dict[tuple[str | None, int], str] = {
        (p.perturbation, p.level): p.file for p in found.pictures
    }
    made: dict[str, list[Tile]] = {}

    def tiles(file: str) -> list[Tile]:
        if file not in made:
            made[file] = _tiles(directory / file)
        return made[file]

    drawn = {(c.recipe, c.perturbation) for c in found.curves}
    shown = next((p.recipe for p in found.pictures), "")
    rows = []
    for name in (n for n in _names(found) if (shown, n) in drawn):
        levels = [(None, 0), *((name, level) for level in range(1, found.levels + 1))]
        row = [(level, tiles(files[key, level])) for key, level in levels if (key, level) in files]
        if len(row) > 1:
            rows.append((name, row))
    return rows


def _tiles(file: Path) -> list[Tile]:
    """The panels that show the heat over the image, if there is one, and the mask."""
    try:
        there = panels(file, TILE)
    except BadImageError:
        return []
    wanted = [(t, p) for t, p in there if t.startswith(("overlay", "mask"))] or there[:1]
    return [Tile(title, *small(picture, TILE)) for title, picture in wanted]


def settings(options: Mapping[str, Any]) -> str:
    """A perturbation's options in a row: `step 5`."""
    found = []
    for name, value in options.items():
        text = f"{value:g}" if isinstance(value, (int, float)) else str(value)
        found.append(f"{name.replace('_', '-')} {text}")
    return ", ".join(found)
