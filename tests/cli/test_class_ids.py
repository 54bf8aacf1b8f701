"""Class ids of exports, by whole runs: equal whatever order the photos come in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import Catalog

STEPS = ("--gradcam.model", "shapes", "--gradcam.target", "top:2", "--gradcam.least-share", 0)
WRITERS = ("coco", "supervision", "voc", "yolo")
FLAGS = (*STEPS, "--segmenter", "threshold", *(w for name in WRITERS for w in ("--write", name)))
COUNT = 8


def name(order, place):
    return f"{order.index(place)}-{place}"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two runs of the same photos, once in the other order; None or the classes asked for."""
    from segkit.cli.main import main

    root = tmp_path_factory.mktemp("orders")
    shapes = Catalog(third_party=False).load("dataset", "shapes")(count=COUNT, size=96)
    orders = {"there": list(range(COUNT)), "back": [3, 0, 7, 5, 1, 6, 2, 4]}
    for folder, order in orders.items():
        (root / folder).mkdir()
        for place in range(COUNT):
            picture = Picture.fromarray(shapes[place][0].pixels)
            picture.save(root / folder / f"{name(order, place)}.png")
        for asked in ("", "star,circle,square"):
            flags = ("--classes", asked) if asked else ()
            out = root / f"{folder}-{asked}"
            words = ("run", root / folder, *FLAGS, *flags, "--quiet", "-o", out)
            with pytest.raises(SystemExit) as stop:
                main([str(word) for word in words])
            assert not stop.value.code
    return root, orders


@pytest.mark.parametrize("asked", ["", "star,circle,square"])
def test_class_ids_do_not_depend_on_the_order_of_the_photos(exported, asked):
    root, orders = exported
    there, back = root / f"there-{asked}", root / f"back-{asked}"
    for writer in WRITERS:
        known = json.loads((there / writer / "classes.json").read_text())
        assert json.loads((back / writer / "classes.json").read_text()) == known
        assert len(known) >= 3
        if asked:
            assert [known[str(i)] for i in (1, 2, 3)] == asked.split(",")
        else:
            assert list(known.values()) == sorted(known.values())
    assert (there / "yolo/data.yaml").read_bytes() == (back / "yolo/data.yaml").read_bytes()
    seen = set()
    for place in range(COUNT):
        one, other = name(orders["there"], place), name(orders["back"], place)
        for file in ("voc/VOCdevkit/VOC2012/SegmentationClass/{}.png", "yolo/labels/{}.txt"):
            made = (there / file.format(one)).read_bytes()
            assert (back / file.format(other)).read_bytes() == made
        fields = [
            np.load(folder / f"supervision/{stem}.npz")
            for folder, stem in ((there, one), (back, other))
        ]
        assert fields[0]["class_id"].tolist() == fields[1]["class_id"].tolist()
        seen |= {*fields[0]["class_id"].tolist()}
    assert len(seen) >= 2
