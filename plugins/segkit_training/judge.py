"""Learn to judge masks: python -m segkit_training.judge --data DIR --cache DIR -o FILE.

Candidate masks of many strategies are collected on photographs that taught `nano` no masks (the
fifth of the COCO photographs that is set aside), on pets at even positions, on generated pictures
and on pictures of nothing. That is the costly part: it is done once for each `nano`, a file a view,
and goes on where it was cut off. From plain figures of each mask a forest then learns its IoU with
the object meant.

`--validate` says how photographs are judged by what was learned from others, and VOC's train split
by what was learned from all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from safetensors.numpy import save_file

from segkit import MissingExtraError
from segkit_plugins.judge.learned.forest import Forest
from segkit_training.candidates import Source, cache_of, gathered, views_of
from segkit_training.judging import DOUBTFUL, FIGURES, Judged, Rows, Verdict

SOURCES = (
    Source("coco_cc", crops=2, bare=True),
    Source("coco_cc2", crops=1, bare=True),
    Source("pets-even", crops=1),
    Source("textures", most=40),
    Source("shapes", most=40),
    Source("scenes", most=40),
)
"""What is learned from."""
DEVELOPMENT = Source("voc-train")
"""What settings are chosen on."""

TREES = 80
LEAF = 40
"""Least masks in a leaf; smaller ones are no better, and the file grows."""
FOLDS = 5


def fitted(views: Iterable[Judged], seed: int) -> Forest:
    """A forest that estimates the IoU of the views' masks."""
    try:
        from sklearn.ensemble import ExtraTreesRegressor
    except ModuleNotFoundError:
        missing = MissingExtraError("fitting the judge", "scikit-learn", "test")
        raise SystemExit(str(missing)) from None
    rng = np.random.default_rng(seed)
    rows = Rows.of([view.rows(rng) for view in views])
    forest: Any = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=0.4, random_state=seed
    )
    forest.fit(rows.features, rows.iou, sample_weight=rows.weight)
    return as_arrays([tree.tree_ for tree in forest.estimators_])


def as_arrays(trees: Sequence[Any]) -> Forest:
    """scikit-learn's trees in one row, numbers rounded as they are kept."""
    for tree in trees:
        inner = np.flatnonzero(tree.children_left >= 0)
        if (tree.children_left[inner] != inner + 1).any():
            raise SystemExit("this scikit-learn builds its trees in another order; use 1.9")
    leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    skip = np.concatenate([tree.children_right - np.arange(tree.node_count) for tree in trees])
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    told = np.concatenate([tree.value[:, 0, 0] for tree in trees]).clip(0, 1)
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    return Forest(
        roots.astype(np.int32),
        np.where(leaf, 0, skip).astype(np.int32),
        np.where(leaf, 0, feature).astype(np.int32),
        np.where(leaf, told, threshold).astype(np.float16).astype(np.float32),
    )


def save(forest: Forest, path: Path) -> None:
    """Write it as safetensors, numbers as float16."""
    tensors: dict[str, Any] = {
        "roots": forest.roots,
        "skip": forest.skip.astype(np.int16),
        "feature": forest.feature.astype(np.uint8),
        "number": forest.number.astype(np.float16),
    }
    save_file(tensors, path)


def validated(views: Sequence[Judged], seed: int) -> dict[str, list[Verdict]]:
    """Verdicts on each source's views by forests that learned from other photographs."""
    folds = [int(hashlib.sha1(v.view.photo.encode()).hexdigest(), 16) % FOLDS for v in views]
    verdicts: dict[str, list[Verdict]] = {}
    for fold in range(FOLDS):
        pairs = list(zip(views, folds, strict=True))
        forest = fitted((view for view, own in pairs if own != fold), seed)
        for view, own in pairs:
            if own == fold:
                told = view.verdict(forest, view.strategies)
                verdicts.setdefault(view.view.source, []).append(told)
    return verdicts


def described(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The figures of the views with an object, and how many without one are doubted."""
    there = [v for v in verdicts if not v.nothing and v.known.any()]
    empty = [v for v in verdicts if v.nothing and len(v.quality)]
    figures: dict[str, float] = {"views": len(there)}
    if there:
        found = {name: figure(there) for name, figure in FIGURES.items()}
        figures |= {name: round(value, 3) for name, value in found.items() if value == value}
    if empty:
        doubted = np.mean([v.quality.max() < DOUBTFUL for v in empty])
        figures |= {"of nothing": len(empty), "doubted of these": round(float(doubted), 3)}
    return figures


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--validate", is_flag=True, help="Say how unlearned photographs are judged.")
@click.option("--seed", default=1, show_default=True)
@click.option("--processes", default=1, show_default=True, help="That collect.")
def main(data: Path, cache: Path, output: Path, validate: bool, seed: int, processes: int) -> None:
    """Collect what is missing, fit, and write float16 safetensors."""
    folder = cache_of(cache)
    wanted = [view for source in SOURCES for view in views_of(source, data)]
    views = [Judged(view) for view in gathered(wanted, data, folder, processes)]
    views = [view for view in views if len(view.view.masks)]
    forest = fitted(views, seed)
    save(forest, output)
    click.echo(f"{len(views)} views, {len(forest.roots)} trees, {len(forest.number)} nodes")
    if validate:
        verdicts = validated(views, seed)
        voc = gathered(views_of(DEVELOPMENT, data), data, folder, processes)
        others = map(Judged, voc)
        verdicts["voc-train"] = [o.verdict(forest, o.strategies, union=True) for o in others]
        for source, some in verdicts.items():
            click.echo(f"{source}: {json.dumps(described(some))}")


if __name__ == "__main__":
    main()
