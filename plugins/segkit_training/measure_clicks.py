"""Whether clicks are followed: python -m segkit_training.measure_clicks --weights FILE.

On generated scenes each visible object is clicked once. Printed are the share of clicks whose
answer overlaps the object under the click most (its IoU is the highest among all objects of the
picture, and not 0), and the mean IoU with that object, each with a 95 % interval, bootstrapped over
pictures. FILE is what `segkit train point-clip` wrote; `--segmenter sam` measures `nano` alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from segkit import Catalog, Image, Prompt, Prompts, SegkitError, Truth
from segkit_training.measure import interior, overlap

LEAST = 100 / 256**2
"""Objects that show a smaller share of the picture are left out, as `measure` does."""


class Answer(NamedTuple):
    """How one click was answered."""

    own: bool
    iou: float


def clicked(
    segmenter: Any, image: Image, truth: Truth, where: str, rng: np.random.Generator
) -> list[Answer]:
    """An answer for each visible object; clicks are 'random' on it, or 'interior'."""
    ids = np.asarray(truth.instances)
    masks = [ids == i for i in np.unique(ids) if 0 < i < 255]
    seen = [i for i, mask in enumerate(masks) if mask.mean() >= LEAST]
    if not seen:
        return []
    places = [interior(masks[i]) if where == "interior" else _random(masks[i], rng) for i in seen]
    prompts = Prompts(tuple(Prompt(points=[place]) for place in places))
    answers = segmenter(image=image, prompts=prompts, encoding=segmenter.encode(image))
    void = truth.labels.ids == 255
    answered = []
    for place, own in enumerate(seen):
        mine = np.flatnonzero(answers.prompt == place)
        best = answers.masks[mine[answers.scores[mine].argmax()]]
        ious = [overlap(best, mask, void) for mask in masks]
        answered.append(Answer(ious[own] > 0 and int(np.argmax(ious)) == own, ious[own]))
    return answered


def _random(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """Column and row of a pixel, each as likely."""
    rows, columns = np.nonzero(mask)
    at = rng.integers(len(rows))
    return int(columns[at]), int(rows[at])


def mean(pictures: list[list[float]]) -> str:
    """Mean of all clicks, with a 95 % interval: whole pictures are drawn."""
    sums = np.array([sum(values) for values in pictures])
    counts = np.array([len(values) for values in pictures])
    drawn = np.random.default_rng(0).integers(0, len(counts), (1000, len(counts)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return f"{sums.sum() / counts.sum():.3f} [{low:.3f}, {high:.3f}]"


@click.command(help=__doc__)
@click.option("--segmenter", default="point-clip", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Its trained file.")
@click.option("--count", default=300, show_default=True, help="Pictures.")
@click.option("--seed", default=20011, show_default=True, help="Training saw those below 10000.")
@click.option("--size", default=64, show_default=True, help="Side of the pictures in pixels.")
@click.option("--backgrounds", type=click.Path(path_type=Path), help=".npz or folder of pictures.")
@click.option(
    "--clicks",
    type=click.Choice(["random", "interior"]),
    default="random",
    show_default=True,
    help="On any pixel of the object, or on the one farthest from its border.",
)
def main(
    segmenter: str,
    weights: Path | None,
    count: int,
    seed: int,
    size: int,
    backgrounds: Path | None,
    clicks: str,
) -> None:
    """Print one line."""
    catalog = Catalog(third_party=False)
    try:
        data_set: Any = catalog.load("dataset", "scenes")
        pictures = data_set(count=count, seed=seed, size=size, backgrounds=backgrounds)
        pictures.open("cpu")
        step: Any = catalog.load("segmenter", segmenter)
        if not hasattr(step, "encode"):
            raise click.UsageError(
                f"--segmenter {segmenter} has no encode(image), and clicks are asked by that; use "
                "point-clip, sam or hf-sam"
            )
        asked = step(**({"weights": weights} if weights else {}))
        asked.open("cpu")
    except (SegkitError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    answers = []
    for index in range(count):
        rng = np.random.default_rng([seed, index, 1])  # not the stream that drew the picture
        image, truth = pictures[index]
        if of_image := clicked(asked, image, truth, clicks, rng):
            answers.append(of_image)
    own = mean([[float(a.own) for a in of] for of in answers])
    iou = mean([[a.iou for a in of] for of in answers])
    click.echo(f"{sum(map(len, answers))} {clicks} clicks   own object {own}   iou {iou}")


if __name__ == "__main__":
    main()
