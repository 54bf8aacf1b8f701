"""What `unet`'s options are worth: python -m segkit_training.measure_unet -o DIR --minutes 5.

Each variant is trained on generated shapes for the same minutes from each seed, and measured on
other shapes: the foreground's IoU, with the classes' mean IoU beside it. The seed draws the first
weights, the split and the order, so a variant is compared with the plain network seed by seed;
printed are each seed's difference, their mean and their span, and a difference whose span covers
zero is none. DIR keeps the weights, cards and curves; the same command goes on where it was cut
off, and several of it may train one --variant and one of the --seeds each, side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from segkit import Catalog
from segkit.training.loop import train
from segkit.training.progress import Row, Watcher
from segkit.training.settings import Settings

PLAIN = "plain"
VARIANTS: dict[str, dict[str, bool]] = {
    PLAIN: {},
    "attention": {"attention": True},
    "pyramid": {"pyramid": True},
    "both": {"attention": True, "pyramid": True},
}
"""Options of `unet` by the name of the variant."""

TRAINED_ON, MEASURED_ON = 101, 20021
"""The seeds of the shapes."""


class Lines(Watcher):
    """A line an epoch."""

    def __init__(self, label: str) -> None:
        self._label = label

    def epoch(self, row: Row) -> None:
        """How far it is."""
        click.echo(f"{self._label}: epoch {row['epoch']}, loss {row['train_loss']:.4f}", err=True)


def measured(catalog: Catalog, weights: Path, pictures: Any) -> dict[str, float]:
    """The figures of trained weights on pictures: 'iou' and 'miou'."""
    network: Any = catalog.load("segmenter", "unet")(weights=weights)
    metrics: list[Any] = [catalog.load("metric", name)() for name in ("iou", "miou")]
    counts: list[dict[str, float]] = [{} for _ in metrics]
    network.open("cpu")
    for image, truth in pictures:
        labels = network(image, pictures.classes)
        for metric, total in zip(metrics, counts, strict=True):
            for key, value in metric.count(truth=truth, labels=labels).items():
                total[key] = total.get(key, 0) + value
    network.close()
    return {
        name: value
        for metric, total in zip(metrics, counts, strict=True)
        for name, value in metric.score(total).items()
    }


def row(name: str, figures: list[dict[str, float]], plain: list[dict[str, float]] | None) -> str:
    """A line of the table: figures of each seed, and the difference from the plain network's."""
    ious = np.array([one["iou"] for one in figures])
    miou = np.mean([one["miou"] for one in figures])
    each = " ".join(f"{value:.4f}" for value in ious)
    line = f"{name:10} iou {ious.mean():.4f} ({each})  miou {miou:.4f}"
    if name == PLAIN or plain is None:
        return line
    apart = ious - np.array([one["iou"] for one in plain])
    line += f"  against plain {apart.mean():+.4f} [{apart.min():+.4f}, {apart.max():+.4f}]"
    return line + ("  no difference" if apart.min() <= 0 <= apart.max() else "")


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option("--minutes", type=float, help="Of each training. [no limit]")
@click.option("--epochs", default=1000, show_default=True, help="Most of each training.")
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--variant", multiple=True, type=click.Choice([*VARIANTS]), help="[all of them]")
@click.option("--width", default=16, show_default=True, help="Of the network's first level.")
@click.option("--size", default=64, show_default=True, help="Side of the pictures in pixels.")
@click.option("--count", default=4000, show_default=True, help="Pictures to train on.")
@click.option("--test", default=200, show_default=True, help="Pictures to measure on.")
@click.option("--batch", default=32, show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--train-backgrounds", type=click.Path(path_type=Path), help=".npz or folder.")
@click.option("--backgrounds", type=click.Path(path_type=Path), help="Likewise, to measure on.")
def main(
    output: Path,
    minutes: float | None,
    epochs: int,
    seeds: str,
    variant: tuple[str, ...],
    width: int,
    size: int,
    count: int,
    test: int,
    batch: int,
    precision: str,
    train_backgrounds: Path | None,
    backgrounds: Path | None,
) -> None:
    """Train what is missing, and print a line for each variant."""
    catalog = Catalog(third_party=False)
    shapes: Any = catalog.load("dataset", "shapes")
    known = shapes(count=count, seed=TRAINED_ON, size=size, backgrounds=train_backgrounds)
    new = shapes(count=test, seed=MEASURED_ON, size=size, backgrounds=backgrounds)
    settings = Settings.model_validate(
        {
            "size": size,
            "minutes": minutes,
            "epochs": epochs,
            "patience": epochs,  # the same budget for all
            "batch": batch,
            "rate": 1e-3,
            "loss": "cross-entropy+dice",
            "precision": precision,
        }
    )
    output.mkdir(parents=True, exist_ok=True)
    known.open("cpu")
    new.open("cpu")
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in variant or VARIANTS}
    for seed in [int(text) for text in seeds.split(",")]:
        for name in figures:
            options = VARIANTS[name]
            path = output / f"{name}-{seed}.safetensors"
            if not path.with_suffix(".toml").is_file():  # the recipe is written last
                step: Any = catalog.load("segmenter", "unet")(width=width, **options)
                watch = Lines(path.stem)
                train(step, [known], path, settings, seed=seed, resume=True, watch=watch)
            figures[name].append(measured(catalog, path, new))
    for name, each in figures.items():
        click.echo(row(name, each, figures.get(PLAIN)))


if __name__ == "__main__":
    main()
