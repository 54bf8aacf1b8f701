"""Photos of several objects as data sets: python -m segkit_training.several --data DIR -o OUT.

OUT/voc-train and OUT/voc-val get VOC's photos with two boxes or more, with instances made of the
class maps and `boxes.json`: a pixel of a class is its object's whose box holds it; in boxes of two
objects of the class, or in none, it is void. OUT/coco-dev gets the photos of `coco_cc` and
`coco_cc2` that are set aside, OUT/coco-measure those of `coco_measure`, each only where all classes
are annotated. Photos are links to DIR. Then `segkit sweep` measures recipes on them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, read_mask, write_png
from segkit_training.photos import set_aside


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
def main(data: Path, output: Path) -> None:
    """Make the four folders."""
    for split in ("train", "val"):
        count = voc(data / "VOCdevkit" / "VOC2012", split, output / f"voc-{split}")
        click.echo(f"voc-{split}: {count} photos")
    development = [data / "coco_cc", data / "coco_cc2"]
    for name, folders, wanted in (
        ("coco-dev", development, set_aside),
        ("coco-measure", [data / "coco_measure"], lambda file_name: True),
    ):
        click.echo(f"{name}: {coco(folders, wanted, output / name)} photos")


def voc(root: Path, split: str, output: Path) -> int:
    """VOC's layout with the photos of a split that have two boxes or more; how many there are."""
    boxes = json.loads((root / "boxes.json").read_text(encoding="utf-8"))
    names = (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
    several = [name for name in names if len(boxes[name]) > 1]
    for name in several:
        ids = read_mask(root / "SegmentationClass" / f"{name}.png")
        path = output / "SegmentationObject" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, instances_of(ids, boxes[name]).astype(np.uint8))
        for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
            link(root / folder / f"{name}{suffix}", output / folder)
    listed = output / "ImageSets" / "Segmentation" / f"{split}.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{name}\n" for name in several))
    return len(several)


def instances_of(ids: NDArray[np.integer], boxes: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """(H, W): objects 1 … n of a class map (H, W) and of boxes [x1, y1, x2, y2, class]."""
    instances = np.full(ids.shape, VOID, np.int32)
    instances[ids == BACKGROUND] = BACKGROUND
    held = np.zeros(ids.shape, np.int32)
    for number, (x0, y0, x1, y1, class_id) in enumerate(boxes, 1):
        box = np.zeros(ids.shape, bool)
        box[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
        box &= ids == class_id
        held += box
        instances[box] = number
    instances[held > 1] = VOID
    return instances


def coco(folders: Sequence[Path], wanted: Callable[[str], bool], output: Path) -> int:
    """COCO's layout with the wanted photos that have all classes; how many there are."""
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    for folder in folders:
        part = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
        content["categories"] = part["categories"]
        numbers = {}
        for photo in part["images"]:
            if photo.get("annotated", "all") == "all" and wanted(photo["file_name"]):
                numbers[photo["id"]] = len(content["images"]) + 1
                content["images"].append({**photo, "id": numbers[photo["id"]]})
                link(folder / "images" / photo["file_name"], output / "images")
        for annotation in part["annotations"]:
            if annotation["image_id"] in numbers:
                own = {"id": len(content["annotations"]) + 1}
                own["image_id"] = numbers[annotation["image_id"]]
                content["annotations"].append({**annotation, **own})
    output.mkdir(parents=True, exist_ok=True)
    (output / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return len(content["images"])


def link(file: Path, folder: Path) -> None:
    """A link in the folder to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    if not path.exists():
        path.symlink_to(file.resolve())


if __name__ == "__main__":
    main()
