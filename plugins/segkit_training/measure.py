"""What `nano` reaches: python -m segkit_training.measure --data DIR [--count 300].

For each data set and object: the IoU of the candidate that the score picks, asked by the most
interior point of the truth and by its tight box; the share of clicks whose mask overlaps its own
object most; and how far the expected IoU is from the true one. On VOC 2012 each box of
`boxes.json` is the prompt, and the truth is what its class has inside the box. DIR holds
`cifar10_test.npz`, `oxford-iiit-pet`, `ecssd` and `VOCdevkit/VOC2012`; without it, shapes and
scenes on made-up textures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from segkit import Catalog, Image, Masks, Prompt, Prompts, Truth

LEAST = 100
"""Objects with fewer visible pixels are left out."""


def objects(truth: Truth) -> list[NDArray[np.bool_]]:
    """The masks of an image's objects, or of its foreground where objects are not told apart."""
    if truth.instances is None:
        masks = [(truth.labels.ids > 0) & (truth.labels.ids < 255)]
    else:
        ids = truth.instances
        masks = [ids == i for i in np.unique(ids) if 0 < i < 255]
    return [m for m in masks if m.sum() >= LEAST]


def interior(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Column and row of the pixel farthest from the border of the mask."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), mask.shape)
    return int(x), int(y)


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last x and y."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_], void: NDArray[np.bool_]) -> float:
    """IoU without void pixels."""
    union = (one | other) & ~void
    return float((one & other & ~void).sum() / max(union.sum(), 1))


class Figures:
    """What is gathered over a data set."""

    def __init__(self) -> None:
        self.point: list[float] = []
        self.box: list[float] = []
        self.own: list[bool] = []
        self.honesty: list[float] = []

    def add(self, segmenter: Any, image: Image, truth: Truth) -> None:
        """Ask for each object of an image, by point and by box."""
        masks = objects(truth)
        if not masks:
            return
        encoding = segmenter.encode(image)
        clicks = Prompts(tuple(Prompt(points=[interior(m)]) for m in masks))
        boxes = Prompts(tuple(Prompt(box=box(m)) for m in masks))
        void = truth.labels.ids == 255
        answers: Masks = segmenter(image=image, prompts=clicks, encoding=encoding)
        for i, mask in enumerate(masks):
            mine = answers.take(np.flatnonzero(answers.prompt == i))
            true = [overlap(m, mask, void) for m in mine.masks]
            best = int(mine.scores.argmax())
            self.point.append(true[best])
            self.honesty += [abs(a - b) for a, b in zip(true, mine.scores.tolist(), strict=True)]
            common = [(mine.masks[best] & m).sum() for m in masks]
            self.own.append(bool(max(common)) and int(np.argmax(common)) == i)
        answers = segmenter(image=image, prompts=boxes, encoding=encoding)
        for i, mask in enumerate(masks):
            self.box.append(overlap(answers.masks[answers.prompt == i][0], mask, void))

    def __str__(self) -> str:
        return (
            f"{len(self.point):4} objects   point {mean(self.point)}   box {mean(self.box)}   "
            f"own object {np.mean(self.own):.3f}   score error {np.mean(self.honesty):.3f}"
        )


def of_boxes(segmenter: Any, root: Path, count: int) -> list[float]:
    """The IoU of each box of VOC's val photos with what its class has inside the box."""
    voc: Any = Catalog(third_party=False).load("dataset", "voc")
    dataset = voc(root=root, split="val")
    listed = json.loads((root / "boxes.json").read_text(encoding="utf-8"))
    ious = []
    for index, name in list(enumerate(dataset.names))[:count]:
        image, truth = dataset[index]
        encoding = segmenter.encode(image)
        prompts = Prompts(tuple(Prompt(box=b[:4]) for b in listed.get(name, [])))
        answers = segmenter(image=image, prompts=prompts, encoding=encoding)
        ids = truth.labels.ids
        for i, (x0, y0, x1, y1, known) in enumerate(listed.get(name, [])):
            inside = np.zeros(ids.shape, bool)
            inside[y0 : y1 + 1, x0 : x1 + 1] = True
            mask = answers.masks[answers.prompt == i][0]
            ious.append(overlap(mask, inside & (ids == known), ids == 255))
    return ious


def mean(values: list[float]) -> str:
    """Mean with a bootstrap 95 % interval."""
    rng = np.random.default_rng(0)
    draws = rng.choice(values, (1000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True))
@click.option("--count", default=300, show_default=True, help="Pictures of a data set, at most.")
@click.option("--seed", default=20011, show_default=True, help="Of shapes and scenes.")
@click.option("--only", multiple=True, help="These of scenes, shapes, pets, ecssd and voc.")
@click.option("--model", default="nano", show_default=True, help="--sam.model")
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True))
def main(
    data: Path | None,
    count: int,
    seed: int,
    only: tuple[str, ...],
    model: str,
    checkpoint: Path | None,
) -> None:
    """Print a line for each data set."""
    catalog = Catalog(third_party=False)
    backgrounds = data / "cifar10_test.npz" if data else None
    generated = {"count": count, "seed": seed, "backgrounds": backgrounds}
    sets: list[tuple[str, dict[str, Any]]] = [("scenes", generated), ("shapes", generated)]
    if data:
        sets.append(("pets", {"root": data / "oxford-iiit-pet", "positions": "odd"}))
        ecssd = data / "ecssd"
        sets.append(("folder", {"images": ecssd / "images", "masks": ecssd / "masks"}))
    cls: Any = catalog.load("segmenter", "sam")
    segmenter = cls(model=model, checkpoint=checkpoint)
    segmenter.open("cpu")
    for name, options in sets:
        label = "ecssd" if name == "folder" else name
        if only and label not in only:
            continue
        dataset: Any = catalog.load("dataset", name)(**options)
        dataset.open("cpu")
        figures = Figures()
        for index in range(min(count, len(dataset))):
            figures.add(segmenter, *dataset[index])
        click.echo(f"{label:7} {figures}")
    if data and (not only or "voc" in only):
        ious = of_boxes(segmenter, data / "VOCdevkit/VOC2012", count)
        click.echo(f"{'voc':7} {len(ious):4} boxes     {mean(ious)}")


if __name__ == "__main__":
    main()
