"""Objects as a segmenter finds them, and runs that are cut off, for the tests of the writers."""

from __future__ import annotations

import json

import numpy as np
from scipy import ndimage

from segkit import Catalog, Image, Labels, Masks, Recipe, run
from segkit.running.recipe import Part

CATALOG = Catalog(third_party=False)
SIZE = (180, 240)


def picture(size=SIZE, name="a", seed=0):
    """A soft picture of noise, which a JPEG keeps well."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    soft = ndimage.gaussian_filter(noise, (6, 6, 0))
    return Image((128 + 100 * soft / np.abs(soft).max()).astype(np.uint8), name)


def blobs(count=24, size=SIZE, seed=0):
    """(n, H, W) bool: connected blobs of at least 400 pixels with ragged edges, most with holes."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        field = ndimage.gaussian_filter(rng.normal(size=size), rng.uniform(3, 9))
        parts, _ = ndimage.label(field > 0.2 * field.std(), np.ones((3, 3)))
        large = np.flatnonzero(np.bincount(parts.ravel())[1:] >= 400) + 1
        found += [parts == i for i in large[:3]]
    return np.stack(found[:count])


def masks_of(arrays, names=(), scores=None):
    """One mask a prompt."""
    n = len(arrays)
    if scores is None:
        scores = np.linspace(0.5, 1, n, dtype=np.float32)
    return Masks(np.array(arrays, bool), scores, np.arange(n), tuple(names))


def labels(ids, classes):
    return Labels(np.array(ids, np.int32), classes)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def recipe(writer, **options):
    """Scenes, the small classifier's warm regions as masks of three classes, and a writer."""
    saliency = Part("gradcam", {"model": "shapes", "target": "top:3", "least_share": 0})
    return Recipe(
        {
            "dataset": (Part("scenes", {"count": 3, "size": 96}),),
            "saliency": (saliency,),
            "segmenter": (Part("threshold"),),
            "fuser": (Part("paint"),),
            "writer": (Part(writer, options),),
        }
    ).build(CATALOG)


def whole_and_cut(tmp_path, writer, **options):
    """The writer's folders of a run, and of one that was cut off after an image and went on."""
    plans = {"r": recipe(writer, **options)}
    summary = run(plans, tmp_path / "whole", catalog=CATALOG)["r"]
    assert (summary["images"], summary["failed"]) == (3, 0)
    run(plans, tmp_path / "cut", catalog=CATALOG)
    results = tmp_path / "cut/results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text(lines[1])
    kept = [tmp_path / "cut" / file for file in json.loads(lines[1])["files"]]
    made = tmp_path / "cut" / writer
    for path in [p for p in made.rglob("*") if p.is_file()]:
        if path not in kept and path.name != "classes.json":
            path.unlink()
    run(plans, tmp_path / "cut", catalog=CATALOG, resume=True)
    return tmp_path / "whole" / writer, made


def content(folder):
    """Every file in a folder, by its place."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
