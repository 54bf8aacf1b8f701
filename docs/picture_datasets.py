"""How data sets are drawn: some images with their truth; where files are needed, a cat in them."""

from __future__ import annotations

import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from picture_parts import CATALOG, Drawn, cat, make, mask_panel, photo_panel

from segkit import (
    Labels,
    Pipeline,
    write_png,
)
from segkit_plugins.shared.pictures import (
    outline,
)
from segkit_plugins.writer.label_studio import LabelStudio
from segkit_plugins.writer.labelme import Labelme


def draw_dataset(name: str) -> Drawn:
    """A few images of it, with their truth."""
    with tempfile.TemporaryDirectory() as folder:
        options = DATASETS.get(name, lambda _: {})(Path(folder))
        dataset = make("dataset", name, **options)
        start = time.process_time()
        found = [dataset[i] for i in range(min(3, len(dataset)))]
        taken = (time.process_time() - start) / len(found)
    panels = []
    for image, truth in found:
        panels.append(photo_panel(image.name, image))
        if truth is not None and len(found) < 3:
            panels.append(mask_panel("truth", image, truth.labels.ids))
        elif truth is not None:
            panels[-1] = mask_panel(image.name, image, truth.labels.ids)
    truth = found[0][1]
    if truth is None:
        return panels, taken, "the first of its images"
    if len(found) == 3:
        return panels, taken, "the first of its images under their truth, a colour for each class"
    return panels, taken, "an image as it gives it, and its truth (void is grey)"


def _folder(folder: Path) -> dict[str, Any]:
    _photo(folder / "images" / "cat.jpg")
    write_png(folder / "masks" / "cat.png", _cat_mask().astype(np.uint8) * 255)
    return {"images": folder / "images", "masks": folder / "masks"}


def _files(folder: Path) -> dict[str, Any]:
    return {"paths": (str(_photo(folder / "cat.jpg")),)}


def _pets(folder: Path) -> dict[str, Any]:
    _photo(folder / "images" / "Tabby_1.jpg")
    trimap = np.where(_cat_mask(), 1, 2).astype(np.uint8)
    trimap[_border(5)] = 3
    write_png(folder / "annotations" / "trimaps" / "Tabby_1.png", trimap)
    return {"root": folder}


def _voc(folder: Path) -> dict[str, Any]:
    _photo(folder / "JPEGImages" / "2007_000001.jpg")
    ids = np.where(_cat_mask(), 8, 0).astype(np.uint8)
    ids[_border(3)] = 255
    write_png(folder / "SegmentationClass" / "2007_000001.png", ids)
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2007_000001\n")
    return {"root": folder, "split": "val"}


def _coco(folder: Path) -> dict[str, Any]:
    _photo(folder / "cat.jpg")
    from pycocotools import mask as coco

    found = coco.encode(np.asfortranarray(_cat_mask().astype(np.uint8)))
    height, width = cat().size
    content = {
        "images": [{"id": 1, "file_name": "cat.jpg", "height": height, "width": width}],
        "categories": [{"id": 17, "name": "cat"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 17,
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": found["counts"].decode()},
            }
        ],
    }
    (folder / "cat.json").write_text(json.dumps(content))
    return {"root": folder, "annotations": folder / "cat.json"}


def _labelme(folder: Path) -> dict[str, Any]:
    Labelme().write(folder, cat(), labels=_cat_labels())
    return {"root": folder / "labelme"}


def _label_studio(folder: Path) -> dict[str, Any]:
    writer = LabelStudio()
    writer.write(folder, cat(), labels=_cat_labels())
    writer.finish(folder, [cat().name])
    made = folder / "label-studio"
    options = {"annotations": made / "tasks.json", "root": made / "images"}
    return {**options, "regions": "predictions"}


def _hf(folder: Path) -> dict[str, Any]:
    import datasets

    _photo(folder / "cat.jpg")
    write_png(folder / "mask.png", _cat_mask().astype(np.uint8))
    made = datasets.Dataset.from_dict(
        {"image": [str(folder / "cat.jpg")], "mask": [str(folder / "mask.png")]}
    )
    for column in ("image", "mask"):
        made = made.cast_column(column, datasets.Image())
    (folder / "cats").mkdir()
    made.to_parquet(folder / "cats/train.parquet")
    return {"path": str(folder / "cats"), "mask": "mask", "class_names": ("cat",)}


def _webdataset(folder: Path) -> dict[str, Any]:
    _photo(folder / "cat.jpg")
    write_png(folder / "cat.mask.png", _cat_mask().astype(np.uint8))
    with tarfile.open(folder / "cats.tar", "w") as tar:
        for name in ("cat.jpg", "cat.mask.png"):
            tar.add(folder / name, name)
    shards = (str(folder / "cats.tar"),)
    return {"shards": shards, "mask": "mask.png", "class_names": ("cat",)}


DATASETS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "coco": _coco,
    "files": _files,
    "folder": _folder,
    "hf": _hf,
    "label-studio": _label_studio,
    "labelme": _labelme,
    "pets": _pets,
    "scenes": lambda _: {"count": 3},
    "shapes": lambda _: {"count": 3},
    "voc": _voc,
    "webdataset": _webdataset,
}
"""Sets that need files: a tree in their own layout, with the cat in it."""


def _photo(path: Path) -> Path:
    import PIL.Image

    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(cat().pixels).save(path, quality=95)
    return path


@cache
def _cat_mask() -> np.ndarray:
    with Pipeline(device="cpu", catalog=CATALOG) as pipeline:
        return pipeline(cat()).labels.ids > 0


def _cat_labels() -> Labels:
    return Labels(_cat_mask().astype(np.int32), {1: "cat"})


def _border(width: int) -> np.ndarray:
    return outline(_cat_mask().astype(np.int32), width)
