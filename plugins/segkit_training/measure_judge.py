"""What the judge of masks reaches: python -m segkit_training.measure_judge --data DIR --cache DIR.

On ECSSD, VOC's val split, pets at odd positions and shapes of seed 30011: how all candidates and
the best-judged of each photograph are judged, what is drawn by it, by the default recipe, by the
segmenter's score and by the truth, and the mean IoU of the photographs that are judged best. On
VOC the truth is all objects together. Then masks that the judge never learned from, each kind by
itself: GrabCut, heatmaps cut at a level, masks of the truth spoiled bit by bit, ViT-B with random
weights; pictures that show no object; and its cost. Intervals are bootstrapped over photographs.

DIR holds `ecssd`, `VOCdevkit/VOC2012`, `oxford-iiit-pet`, `coco_measure` and `cifar10_test.npz`.
The masks are collected once for each `nano`. With `--development`, VOC's train split alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from segkit import Image, Masks, Pipeline
from segkit_plugins.judge.learned import Learned
from segkit_plugins.judge.learned.forest import Forest
from segkit_plugins.shared.weights import bundled, load_safetensors
from segkit_training.candidates import VIT_B, Source, View, cache_of, example, gathered, views_of
from segkit_training.judging import (
    DOUBTFUL,
    FIGURES,
    GOOD,
    Judged,
    Verdict,
    area_under_curve,
    best_half,
    interval,
)

MEASURED = (
    Source("ecssd"),
    Source("voc-val"),
    Source("pets-odd"),
    Source("shapes-30011", most=100),
)
DEVELOPMENT = (Source("voc-train"),)
EMPTY = (Source("textures-measure", most=40), Source("coco_measure", bare=True))
RANDOM = Source(VIT_B, most=10)
UNSEEN = ("grabcut", "threshold", "jitter", "vit_b")
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def shown(values: tuple[float, float, float]) -> str:
    """A figure and its interval."""
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def of_set(views: Sequence[Judged], forest: Forest, union: bool) -> None:
    """Print the figures of one set."""
    verdicts, default = [], []
    for view in views:
        some = view.strategies
        if view.view.nothing or not len(some):
            continue
        verdicts.append(view.verdict(forest, some, union=union))
        drawn = (view.view.union if union else view.view.best)[view.maker == "default"]
        default.append(float(drawn[0]) if len(drawn) else 0.0)
    for name, figure in FIGURES.items():
        click.echo(f"  {name:45} {shown(interval(figure, verdicts))}")
    chosen = np.array([v.iou[v.chosen] for v in verdicts])
    truth = np.array([v.iou.max() for v in verdicts])
    drawn = np.array(default)
    click.echo(f"  {'default recipe, IoU':45} {shown(of_mean(drawn))}")
    click.echo(f"  {'best-judged less default, paired':45} {shown(of_mean(chosen - drawn))}")
    way = (chosen - drawn).mean() / max((truth - drawn).mean(), 1e-9)
    click.echo(f"  {'share of the way to the best by truth':45} {way:.3f}")
    by_score = [Verdict(v.score, v.iou, v.score, v.known, False) for v in verdicts]
    by_truth = [Verdict(v.iou, v.iou, v.score, v.known, False) for v in verdicts]
    for label, some_verdicts in (("judged", verdicts), ("score", by_score), ("truth", by_truth)):
        line = "  ".join(f"{100 * s:.0f} % {best_half(some_verdicts, s):.3f}" for s in SHARES)
        click.echo(f"  {f'best by {label}, IoU of':22} {line}")
    top = [int(v.score.argmax()) for v in verdicts]
    right = np.array([v.iou[i] > GOOD for v, i in zip(verdicts, top, strict=True)])
    told = np.array([v.score[i] for v, i in zip(verdicts, top, strict=True)])
    click.echo(f"  {'AUC of the score for its own choice':45} {area_under_curve(told, right):.3f}")


def of_mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and bootstrap 95 % interval."""
    draws = np.random.default_rng(0).choice(values, (1000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def ranked(verdicts: Sequence[Verdict]) -> float:
    """Rank correlation of all masks' quality with their IoU."""
    from scipy.stats import spearmanr

    quality = np.concatenate([v.quality for v in verdicts])
    iou = np.concatenate([v.iou for v in verdicts])
    return float(spearmanr(quality, iou).statistic) if iou.std() > 0 else float("nan")


def of_unseen(views: Sequence[Judged], forest: Forest) -> None:
    """Print how masks of kinds are judged that nothing was learned from, each kind by itself."""
    for kind in UNSEEN:
        some = [(view, np.flatnonzero(view.maker == kind)) for view in views]
        verdicts = [view.verdict(forest, own) for view, own in some if len(own)]
        if not verdicts:
            continue
        quality = np.concatenate([v.quality for v in verdicts])
        iou = np.concatenate([v.iou for v in verdicts])
        click.echo(
            f"  {kind:10} {len(quality):4} masks of {len(verdicts)} photographs   rank correlation "
            f"{shown(interval(ranked, verdicts))}   error {np.abs(quality - iou).mean():.3f}   "
            f"IoU {iou.mean():.3f}   judged under {DOUBTFUL}: {(quality < DOUBTFUL).mean():.3f}"
        )


def of_nothing(views: Sequence[Judged], forest: Forest, label: str) -> None:
    """Print how often pictures without an object are doubted."""
    told = [view.verdict(forest, view.strategies).quality for view in views]
    best = np.array([quality.max() for quality in told if len(quality)])
    every = np.concatenate(told)
    click.echo(
        f"  {label:17} {len(best):4} pictures   best-judged under {DOUBTFUL}: "
        f"{(best < DOUBTFUL).mean():.3f}   of all {len(every)} masks: "
        f"{(every < DOUBTFUL).mean():.3f}   mean of the best {best.mean():.3f}"
    )


def of_cost(data: Path, weights: Path | None) -> None:
    """Print milliseconds of processor time, one thread, with the embedding at hand."""
    judge = Learned(weights=weights)
    judge.open("cpu")
    photograph = example(View("voc-val", 0), data)
    assert photograph is not None
    image = Image(photograph.pixels, "photo")
    with Pipeline(prompt=["box", "topk", "center"], select="none", fuser="none") as pipeline:
        several = pipeline(image).masks
    assert several is not None
    judge(image=image, masks=several)
    for count in (1, 8, 32, 128):
        masks: Masks = several.take(np.arange(count) % len(several))
        start, times = time.process_time(), 5
        for _ in range(times):
            judge(image=image, masks=masks)
        spent = 1000 * (time.process_time() - start) / times
        click.echo(f"  {count:4} masks {spent:7.1f} ms, {spent / count:5.2f} a mask")


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Left out: bundled.")
@click.option("--development", is_flag=True, help="On development data.")
@click.option("--collected", is_flag=True, help="What is collected by now, and nothing more.")
@click.option("--processes", default=1, show_default=True, help="That collect.")
def main(
    data: Path,
    cache: Path,
    weights: Path | None,
    development: bool,
    collected: bool,
    processes: int,
) -> None:
    """Collect what is missing and print the figures."""
    torch.set_num_threads(1)
    folder, path = cache_of(cache), weights or bundled("judge")
    forest = Forest.of(load_safetensors(path), path)

    def judged(source: Source) -> list[Judged]:
        views = views_of(source, data)
        if source.bare:
            views = [view for view in views if view.part]
        if collected:
            views = [view for view in views if view.file(folder).is_file()]
        found = gathered(views, data, folder, processes, measuring=True)
        return [Judged(view) for view in found if len(view.masks)]

    photographs: list[Judged] = []
    for source in DEVELOPMENT if development else MEASURED:
        views = judged(source)
        click.echo(f"{source.name}, {len(views)} photographs")
        of_set(views, forest, source.name.startswith("voc"))
        if not source.name.startswith("shapes"):
            photographs += views
    if not development:
        photographs += judged(RANDOM)
    click.echo("masks of kinds that it never saw")
    of_unseen(photographs, forest)
    if not development:
        click.echo("pictures of nothing")
        for source in EMPTY:
            of_nothing(judged(source), forest, source.name)
    click.echo("processor time of one judgement")
    of_cost(data, weights)


if __name__ == "__main__":
    main()
