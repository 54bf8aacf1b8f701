"""Class ids of exports do not depend on the order of the images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segkit import Image, Labels, Masks
from segkit_plugins.writer.coco import Coco
from segkit_plugins.writer.supervision import Supervision
from segkit_plugins.writer.voc import Voc
from segkit_plugins.writer.yolo import Yolo

FOUND = {"a": ("ox", "cat"), "b": ("Weimaraner",), "c": ("cat", "ant"), "d": ("cat",)}


def exported(writer, directory, order, classes):
    """The run's folder after these images, each with a mask of each of its classes."""
    for name in order:
        masks = np.zeros((len(FOUND[name]), 4, 6), bool)
        for place in range(len(masks)):
            masks[place, :, 2 * place : 2 * place + 2] = True
        n = len(masks)
        ids = np.zeros((4, 6), np.int32)
        known = dict(classes)
        for mask, label in zip(masks, FOUND[name], strict=True):
            new = max(known, default=0) + 1
            i = next((i for i, k in known.items() if k == label), new)
            known[i] = label
            ids[mask] = i
        writer.write(
            directory,
            Image(np.zeros((4, 6, 3), np.uint8), name),
            Masks(masks, np.ones(n, np.float32), np.arange(n), FOUND[name]),
            labels=Labels(ids, known),
            classes=classes,
        )
    writer.finish(directory, [*FOUND])
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "parts" not in path.parts
    }


@pytest.mark.parametrize("classes", [{}, {3: "cat", 7: "dog"}], ids=["no", "known"])
@pytest.mark.parametrize("kind", [Voc, Yolo, Coco, Supervision])
def test_shuffled_images_give_the_same_files(tmp_path, kind, classes):
    orders = ["abcd", "dcba", "bdac"]
    options = {"images": "none"} if "images" in kind.model_fields else {}
    made = [exported(kind(**options), tmp_path / order, order, classes) for order in orders]
    assert made[0] == made[1] == made[2]
    names = json.loads((tmp_path / "abcd" / kind.name / "classes.json").read_text())
    if classes:
        assert names == {"3": "cat", "7": "dog", "8": "Weimaraner", "9": "ant", "10": "ox"}
    else:
        assert list(names.values()) == ["Weimaraner", "ant", "cat", "ox"]


def test_what_is_written_again_is_the_same_when_it_ends_twice(tmp_path):
    once = exported(Voc(images="none"), tmp_path, "abcd", {})
    Voc(images="none").finish(tmp_path, [*FOUND])
    assert exported(Voc(images="none"), tmp_path, "", {}) == once
