"""What the shipped weights reach on photographs: python -m segkit_training.measure_photos.

Three parts, each with a bootstrap 95 % interval over its objects or photographs. `coco`: the
objects of a COCO folder that cover 2 % of their photograph or more, asked by their most interior
point, by their tight box and by their mask averaged over 9 × 12 places; and how far the expected
IoU is from the true one, over all candidates of the points. `alone`: what a pipeline draws without
user input, against all objects of the photograph together. `persons`: the photographs of a COCO
folder that show one person and nothing else that is annotated, asked for a person: whether the
heatmap's brightest pixel lies on the person, and the mask's IoU.

DIR holds `coco_measure`, `oxford-iiit-pet`, `ecssd` and `VOCdevkit/VOC2012`. With `--development`,
the fifths of `coco_cc` and `coco_cc2` that are set aside, and VOC's train split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segkit import Catalog, Image, Pipeline, Prompt, Prompts
from segkit_training.measure import box, interior, mean, overlap
from segkit_training.photos import Photo, coco_photos

SHARE = 0.02
"""Objects that cover less of their photograph are left out."""

Masks = list[tuple[NDArray[np.bool_], str]]
"""Masks of objects and their classes."""


def objects(photo: Photo) -> Masks:
    """Those that are large enough."""
    ids = np.asarray(photo.ids)
    masks = [(ids == number, kind) for number, kind in enumerate(photo.classes, 1)]
    return [(mask, kind) for mask, kind in masks if mask.mean() >= SHARE]


def coarse(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits (H, W) of the mask averaged over 9 × 12 places, cut as the prompter `mask` does."""
    small = Pillow.fromarray(mask.astype(np.float32)).resize((12, 9), Pillow.Resampling.BOX)
    heat = np.asarray(small.resize(mask.shape[::-1], Pillow.Resampling.BILINEAR))
    return np.where(heat >= 0.35 * heat.max(), 8, -8).astype(np.float32)


def of_objects(segmenter: Any, photos: list[Photo]) -> dict[str, list[float]]:
    """IoU by point, box and mask, and distance of the expected IoU, of all objects."""
    found: dict[str, list[float]] = {"point": [], "box": [], "mask": [], "quality": []}
    for photo in photos:
        masks = [mask for mask, _ in objects(photo)]
        if not masks:
            continue
        image = Image(np.array(photo.pixels), "photo")
        void = np.zeros(image.size, bool)
        encoding = segmenter.encode(image)
        asked = {
            "point": [Prompt(points=[interior(mask)]) for mask in masks],
            "box": [Prompt(box=box(mask)) for mask in masks],
            "mask": [Prompt(mask=coarse(mask)) for mask in masks],
        }
        for how, prompts in asked.items():
            answers = segmenter(image=image, prompts=Prompts(tuple(prompts)), encoding=encoding)
            for number, mask in enumerate(masks):
                mine = answers.take(np.flatnonzero(answers.prompt == number))
                ious = [overlap(m, mask, void) for m in mine.masks]
                found[how].append(ious[int(mine.scores.argmax())])
                if how == "point":
                    away = np.abs(np.array(ious) - mine.scores)
                    found["quality"].append(float(away.mean()))
    return found


def of_pipeline(pipeline: Pipeline, images: Iterator[tuple[Image, Any]]) -> list[float]:
    """IoU of what is drawn with all that is an object in the truth, void left out."""
    found = []
    for image, truth in images:
        drawn, ids = pipeline(image).labels, truth.labels.ids
        mask = np.zeros(image.size, bool) if drawn is None else drawn.ids > 0
        found.append(overlap(mask, (ids > 0) & (ids < 255), ids == 255))
    return found


def of_persons(pipeline: Pipeline, photos: list[Photo]) -> tuple[list[float], list[float]]:
    """Whether the brightest pixel lies on the one person of each photograph, and the IoU."""
    pointed, ious = [], []
    for photo in photos:
        masks = objects(photo)
        if photo.complete or [kind for _, kind in masks] != ["person"] or len(photo.classes) != 1:
            continue
        ((mask, _),) = masks
        result = pipeline(Image(np.array(photo.pixels), "photo"))
        pointed.append(float(mask.ravel()[result.heatmaps[0].values.argmax()]))
        drawn = None if result.labels is None else result.labels.ids > 0
        ious.append(overlap(np.zeros_like(mask) if drawn is None else drawn, mask, mask & ~mask))
    return pointed, ious


def sets(data: Path, development: bool) -> dict[str, Any]:
    """Data sets with truth, opened."""
    catalog = Catalog(third_party=False)
    split = "train" if development else "val"
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "voc": ("voc", {"root": data / "VOCdevkit/VOC2012", "split": split})
    }
    if not development:
        ecssd = data / "ecssd"
        asked["ecssd"] = ("folder", {"images": ecssd / "images", "masks": ecssd / "masks"})
        asked["pets"] = ("pets", {"root": data / "oxford-iiit-pet", "positions": "odd"})
    found = {}
    for label, (name, options) in asked.items():
        step: Any = catalog.load("dataset", name)
        found[label] = step(**options)
        found[label].open("cpu")
    return found


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--development", is_flag=True, help="On development data.")
@click.option("--part", multiple=True, type=click.Choice(["coco", "alone", "persons"]))
@click.option("--saliency", help="Of alone and persons; left out: the default recipe.")
@click.option("--prompt", default=None, help="Of alone and persons; left out: the default.")
@click.option("--model", default="nano", show_default=True, help="--sam.model")
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True))
@click.option("--count", type=int, help="Photographs of each set, at most.")
def main(
    data: Path,
    development: bool,
    part: tuple[str, ...],
    saliency: str | None,
    prompt: str | None,
    model: str,
    checkpoint: Path | None,
    count: int | None,
) -> None:
    """Print a line for each part and data set."""
    folders = ["coco_cc", "coco_cc2"] if development else ["coco_measure"]
    split = True if development else None
    photos = [p for f in folders for p in coco_photos(data / f, split, limit=None)][:count]
    parts = part or ("coco", "alone", "persons")
    own = {"sam.model": model, **({"sam.checkpoint": checkpoint} if checkpoint else {})}
    if "coco" in parts:
        step: Any = Catalog(third_party=False).load("segmenter", "sam")
        segmenter = step(model=model, checkpoint=checkpoint)
        segmenter.open("cpu")
        found = of_objects(segmenter, photos)
        shown = "   ".join(f"{how} {mean(values)}" for how, values in found.items())
        click.echo(f"{'coco':7} {len(found['box']):4} objects   {shown}")
    if "alone" in parts:
        for label, dataset in sets(data, development).items():
            images = (dataset[i] for i in range(min(len(dataset), count or len(dataset))))
            with Pipeline(saliency=saliency, prompt=prompt, options=own) as pipeline:
                ious = of_pipeline(pipeline, images)
            click.echo(f"{label:7} {len(ious):4} photos    alone {mean(ious)}")
    if "persons" in parts:
        own[f"{saliency or 'gradcam'}.target"] = "person"
        with Pipeline(saliency=saliency, prompt=prompt, options=own) as pipeline:
            pointed, ious = of_persons(pipeline, photos)
        shown = f"brightest pixel on it {mean(pointed)}   IoU {mean(ious)}"
        click.echo(f"{'persons':7} {len(ious):4} photos    {shown}")


if __name__ == "__main__":
    main()
