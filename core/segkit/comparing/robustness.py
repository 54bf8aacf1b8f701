"""Robustness, what recipes bear: a curve for each recipe and damage, and a verdict in words.

How a curve is made is in `segkit.comparing.damage_curves`, what the file holds in
`segkit.comparing.records`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from segkit.comparing.damage_curves import AGREEMENT, LIMITS, Measured, damage_curve, noted, summed
from segkit.comparing.records import Skipped
from segkit.comparing.robustness_records import (
    DamageCurve,
    DamageFailure,
    DamageKind,
    ExamplePicture,
    RecipeRobustness,
    Robustness,
    most_harmful_first,
)
from segkit.kinds import MAIN_FIGURE
from segkit.plugins.catalog import Catalog
from segkit.plugins.figures import Figure, figure_of
from segkit.plugins.steps import Metric, Perturbation
from segkit.running.plan import Plan
from segkit.running.records import DamageRecord, Lines
from segkit.values.types import Prompts


def make_robustness(
    results: Mapping[str, Lines],
    plans: Mapping[str, Plan],
    perturbations: Sequence[Perturbation],
    levels: int,
    *,
    figure: str | None = None,
    seed: int = 0,
    skipped: Sequence[Mapping[str, str]] = (),
    catalog: Catalog | None = None,
) -> Robustness:
    """Curves of lines of results.jsonl, recipe by recipe.

    They are of `figure`; left out: of iou, or the first figure that there is, or the agreement.

    Of a perturbation only those images count that every recipe which has it finished at every
    level, so that no curve rises because a hard image failed.
    """
    metrics = {name: plan.metrics for name, plan in plans.items()}
    declared = _declared(results, metrics)
    figure = figure or (MAIN_FIGURE if MAIN_FIGURE in declared else next(iter(declared), AGREEMENT))
    lower = figure in declared and declared[figure].lower_is_better
    left_out = [Skipped(**recipe) for recipe in skipped]
    curves = []
    for step in perturbations:
        for name, by_level in _measured(results, step.name, levels).items():
            if _untouched(step, by_level):
                reason = f"none of its prompts has anything that {step.name} moves"
                left_out.append(Skipped(recipe=name, reason=reason))
            else:
                curves.append(damage_curve(name, step.name, metrics[name], figure, by_level, seed))
    words = {name: plan.words for name, plan in plans.items()}
    recipes = _recipes(words, curves, figure, higher_is_better=not lower)
    order = [recipe.recipe for recipe in recipes]
    return Robustness(
        figure=figure,
        higher_is_better=not lower,
        levels=levels,
        images=max((curve.images for curve in curves), default=0),
        limits=LIMITS,
        perturbations=tuple(_described(step, catalog) for step in perturbations),
        recipes=tuple(recipes),
        curves=tuple(sorted(curves, key=lambda curve: order.index(curve.recipe))),
        pictures=tuple(_pictures(results)),
        failed=tuple(_failures(results)),
        skipped=tuple(left_out),
    )


def _declared(
    results: Mapping[str, Lines], metrics: Mapping[str, Sequence[Metric]]
) -> dict[str, Figure]:
    """Each figure that there is, with what the metric that gives it says of it."""
    return {
        figure: figure_of([metric], figure)
        for name, lines in results.items()
        for metric in metrics[name]
        for figure in summed(metric, (line for line in lines.values() if line.ok))
    }


# ---- what was measured ------------------------------------------------------------------------


def _measured(
    results: Mapping[str, Lines], perturbation: str, levels: int
) -> dict[str, list[Measured]]:
    """Recipe to what came of its images at each level from 0, for those that have this damage."""
    damaged = {name: _by_level(lines, perturbation) for name, lines in results.items()}
    damaged = {name: by_level for name, by_level in damaged.items() if by_level}
    images = [
        image
        for image in next(iter(results.values()), {})
        if all(
            image in by_level.get(level, {})
            for by_level in damaged.values()
            for level in range(1, levels + 1)
        )
    ]
    if not images:
        return {}
    return {
        name: [
            {image: results[name][image] for image in images},
            *({i: by_level[level][i] for i in images} for level in range(1, levels + 1)),
        ]
        for name, by_level in damaged.items()
    }


def _by_level(lines: Lines, perturbation: str) -> dict[int, dict[str, DamageRecord]]:
    """Level to what came of the images that were finished at it."""
    by_level: dict[int, dict[str, DamageRecord]] = {}
    for image, line in lines.items():
        for record in line.robustness if line.ok else ():
            if record.perturbation == perturbation and record.error is None:
                by_level.setdefault(record.level, {})[image] = record
    return by_level


def _untouched(step: Perturbation, by_level: Sequence[Measured]) -> bool:
    """Whether damage to prompts finds nothing to damage: of boxes, where there are only points."""
    moved = (noted("prompt_moved", measured) for measured in by_level[1:])
    return type(step).output() is Prompts and not any(any(values) for values in moved)


# ---- recipes ----------------------------------------------------------------------------------


def _recipes(
    words: Mapping[str, str],
    curves: Sequence[DamageCurve],
    figure: str,
    *,
    higher_is_better: bool,
) -> list[RecipeRobustness]:
    """Recipes over all kinds of damage that every recipe has, the best first."""
    times = Counter(curve.perturbation for curve in curves)
    recipes = []
    for name, steps in words.items():
        own = [curve for curve in curves if curve.recipe == name]
        shared = [curve for curve in own if times[curve.perturbation] == len(words)]
        who = name if len(words) > 1 else "The recipe"
        sorted_curves = most_harmful_first(own, higher_is_better)
        recipes.append(
            RecipeRobustness(
                recipe=name,
                words=steps,
                mean_area=_mean(curve.area.mean for curve in shared),
                mean_kept=_mean(curve.kept.mean for curve in shared),
                reading=_reading(who, figure, sorted_curves)
                or f"{name}: there is no {figure} to compare.",
            )
        )

    def place(recipe: RecipeRobustness) -> float:
        area = -recipe.mean_area if higher_is_better else recipe.mean_area
        return area if math.isfinite(area) else math.inf

    return sorted(recipes, key=place)


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _reading(who: str, figure: str, curves: Sequence[DamageCurve]) -> str:
    """What a recipe's curves mean, the most harmful damage first; empty where there is none."""
    curves = [curve for curve in curves if math.isfinite(curve.kept.mean)]
    if not curves:
        return ""
    worst, best = curves[0], curves[-1]
    base = f"{who} has {figure} {worst.points[0].figure.mean:.3f} without damage"
    if worst is best:
        text = f"{base}; under {worst.perturbation} its mean is {worst.area.mean:.3f}."
    else:
        text = (
            f"{base}; {worst.perturbation} harms it most (mean {worst.area.mean:.3f}), "
            f"{best.perturbation} least ({best.area.mean:.3f})."
        )
    first = worst.gives_way_first
    if first is None:
        return f"{text} Under {worst.perturbation} no stage gives way."
    level = worst.gives_way[first]
    too = [stage for stage, k in worst.gives_way.items() if k == level and stage != first]
    more = f", and with it the {' and the '.join(too)}" if too else ""
    return f"{text} Under {worst.perturbation} the {first} gives way first, at level {level}{more}."


# ---- beside the curves ------------------------------------------------------------------------


def _described(step: Perturbation, catalog: Catalog | None) -> DamageKind:
    entry = catalog.origin(type(step)) if catalog else None
    return DamageKind(
        name=step.name,
        damages="prompts" if type(step).output() is Prompts else "image",
        options=step.model_dump(mode="json", exclude_none=True),
        summary=entry.summary if entry else "",
    )


def _failures(results: Mapping[str, Lines]) -> list[DamageFailure]:
    """What failed: first the images as they are, then the damaged ones."""
    images = [
        DamageFailure(image=image, recipe=name, perturbation=None, level=0, error=line.error)
        for name, lines in results.items()
        for image, line in lines.items()
        if not line.ok
    ]
    damaged = [
        DamageFailure(
            image=image,
            recipe=name,
            perturbation=record.perturbation,
            level=record.level,
            error=record.error,
        )
        for name, lines in results.items()
        for image, line in lines.items()
        for record in line.robustness
        if record.error is not None
    ]
    return images + damaged


def _pictures(results: Mapping[str, Lines]) -> list[ExamplePicture]:
    """The example pictures, each image's undamaged one first."""
    pictures = []
    for name, lines in results.items():
        for image, line in lines.items():
            files: list[tuple[str | None, int, str | None]] = [
                (None, 0, line.picture),
                *((r.perturbation, r.level, r.picture) for r in line.robustness),
            ]
            pictures += [
                ExamplePicture(
                    image=image, recipe=name, file=file, perturbation=perturbation, level=level
                )
                for perturbation, level, file in files
                if file is not None
            ]
    return pictures
