"""Tiny models and data sets for bundled plugins that need files, made for the conformance tests.

Each function makes what a plugin needs in an empty folder and returns its options.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from segkit import Catalog, palette, write_png
from segkit.plugins.trainable import trained_bytes
from segkit.running.recipe import make_step
from segkit.testing import PICTURES, made_up

sys.path.append(str(Path(__file__).parents[1] / "plugins"))  # tiny_sams and others

NAMES = {0: "cat", 1: "dog", 2: "elk"}


def hf_sam(folder):
    import tiny_sams

    return {"model": str(tiny_sams.save("sam", folder)), "precision": "float32"}


def sam3(folder):
    import tiny_sams

    tiny_sams.sam3_with_texts(folder)
    return {"model": str(folder), "confidence": 0.1}


def dpt(folder):
    import tiny_hub

    tiny_hub.save(tiny_hub.segformer, folder, list(NAMES.values()))
    return {"model": str(folder)}


def detr(folder):
    import tiny_hub

    tiny_hub.save(tiny_hub.yolos, folder)
    return {"model": str(folder), "confidence": 0.01}


def grounding_dino(folder):
    import tiny_hub

    tiny_hub.save(tiny_hub.grounding_dino, folder)
    return {"model": str(folder), "confidence": 0.01}


def yolo(folder):
    import onnx_graphs

    rng = np.random.default_rng(1)
    meta = {"names": NAMES, "task": "detect"}
    path = folder / "random.onnx"
    onnx_graphs.looking(path, "ultralytics", 3, (64, 64), rng, meta)
    return {"weights": path}


def trained(name, **options):
    """Makes random weights for a segmenter that has to be trained first."""

    def make(folder):
        import torch

        torch.manual_seed(1)
        made = options | ({"model": clip(folder)} if "clip" in name else {})
        step = make_step(Catalog(third_party=False), "segmenter", name, made)
        network = step.network(2 if step.clicks else 1 + len(NAMES))
        path = folder / "random.safetensors"
        tensors = network.state_dict()
        path.write_bytes(trained_bytes(step, tensors, tuple(NAMES.values()), 32))
        return {"weights": path}

    return make


def clip(folder):
    import tiny_clips

    tiny_clips.vision(folder)
    return str(folder)


def vit(folder):
    """A tiny vision transformer of timm's with random weights."""
    import timm
    import torch

    torch.manual_seed(1)
    network = timm.create_model("test_vit", num_classes=3)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    torch.save(network.state_dict(), folder / "vit.pth")
    return {"model": "timm:test_vit", "checkpoint": folder / "vit.pth"}


def references(folder):
    """A tiny DINO and a photo with its mask of each of two classes."""
    import tiny_hub

    tiny_hub.save(tiny_hub.dinov2, folder / "dino")
    values = made_up("ordinary")
    for i, name in ((1, "cat"), (2, "dog")):
        write_png(folder / "shown" / name / "1.png", values["image"].pixels)
        mask = (values["labels"].ids == i).astype(np.uint8)
        write_png(folder / "shown" / name / "1.mask.png", mask)
    return {"model": str(folder / "dino"), "examples": folder / "shown"}


def clip_with_texts(folder):
    import tiny_clips

    tiny_clips.with_texts(folder)
    return {"model": str(folder)}


def boxes(folder):
    found = {name: [[0, 0, 0, 0, "cat", 0.9]] for name in PICTURES}
    (folder / "boxes.json").write_text(json.dumps(found))
    return {"file": folder / "boxes.json"}


def class_maps(folder):
    for name in PICTURES:
        np.save(folder / f"{name}.npy", made_up(name)["labels"].ids)
    return {"folder": folder}


def photos(folder, masks, suffix=".png", names=("cat_2", "dog_1")):
    """Two photos, and their masks if a folder for them is named."""
    for name, picture in zip(names, ("ordinary", "taller"), strict=True):
        values = made_up(picture)
        write_png(folder / "photos" / f"{name}{suffix}", values["image"].pixels)
        if masks:
            ids = values["labels"].ids.astype(np.uint8)
            write_png(folder / masks / f"{name}.png", ids, palette())
    return folder / "photos"


def files(folder):
    return {"paths": (str(photos(folder, "masks")),), "masks": folder / "masks"}


def no_masks(folder):
    return {"paths": (str(photos(folder, "")),)}


def hf(folder):
    import datasets

    columns = {"image": sorted(map(str, photos(folder, "masks").iterdir()))}
    columns["mask"] = sorted(map(str, (folder / "masks").iterdir()))
    made = datasets.Dataset.from_dict(columns)
    for column in columns:
        made = made.cast_column(column, datasets.Image())
    (folder / "made").mkdir()
    made.to_parquet(folder / "made/train.parquet")
    return {"path": str(folder / "made"), "mask": "mask"}


def webdataset(folder):
    import tarfile

    where = photos(folder, "masks")
    with tarfile.open(folder / "made.tar", "w") as tar:
        for photo in sorted(where.iterdir()):
            tar.add(photo, photo.name)
            tar.add(folder / "masks" / photo.name, f"{photo.stem}.mask.png")
    return {"shards": (str(folder / "made.tar"),), "mask": "mask.png"}


def folder(folder):
    names = ("cat", "dog")
    return {"images": photos(folder, "masks"), "masks": folder / "masks", "class_names": names}


def coco(folder):
    sizes = {name: made_up(name)["image"].size for name in ("ordinary", "taller")}
    images = [
        {"id": i, "file_name": f"{name}.png", "height": h, "width": w}
        for i, (name, (h, w)) in enumerate(sizes.items())
    ]
    square = [[2, 2, 9, 2, 9, 9, 2, 9]]
    found = {
        "images": images,
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 17, "segmentation": square},
            {"id": 2, "image_id": 1, "category_id": 18, "segmentation": square},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }
    (folder / "found.json").write_text(json.dumps(found))
    return {"root": photos(folder, "", names=tuple(sizes)), "annotations": folder / "found.json"}


def labelme(folder):
    root = photos(folder, "", names=("ordinary", "taller"))
    square = [[2, 2], [9, 2], [9, 9], [2, 9]]
    for name, label in (("ordinary", "cat"), ("taller", "dog")):
        shape = {"label": label, "points": square, "shape_type": "polygon", "group_id": None}
        content = {"shapes": [shape], "imagePath": f"{name}.png", "imageData": None}
        (root / f"{name}.json").write_text(json.dumps(content))
    return {"root": root}


def label_studio(folder):
    tasks = []
    for name, label in (("ordinary", "cat"), ("taller", "dog")):
        height, width = made_up(name)["image"].size
        box = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": [label]}
        size = {"original_width": width, "original_height": height}
        region = {"type": "rectanglelabels", "value": box, **size}
        address = f"/data/upload/1/0123abcd-{name}.png"
        tasks.append({"data": {"image": address}, "annotations": [{"result": [region]}]})
    (folder / "export.json").write_text(json.dumps(tasks))
    root = photos(folder, "", names=("ordinary", "taller"))
    return {"annotations": folder / "export.json", "root": root}


def pets(folder):
    for name in ("Bengal_7", "pug_1"):
        write_png(folder / "images" / f"{name}.png", made_up("ordinary")["image"].pixels)
        trimap = made_up("ordinary")["labels"].ids.astype(np.uint8) + 1
        write_png(folder / "annotations" / "trimaps" / f"{name}.png", trimap)
    return {"root": folder}


def voc(folder):
    root = folder / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    import PIL.Image

    (root / "JPEGImages").mkdir()
    for name in ("2007_1", "2007_2"):
        values = made_up("ordinary")
        PIL.Image.fromarray(values["image"].pixels).save(root / "JPEGImages" / f"{name}.jpg")
        ids = np.where(values["labels"].ids > 0, 7 + values["labels"].ids, 0).astype(np.uint8)
        write_png(root / "SegmentationClass" / f"{name}.png", ids, palette())
    (lists / "val.txt").write_text("2007_1\n2007_2\n")
    return {"root": root}
