"""Out with a writer, corrected or not, and back with the data set that reads its files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from writer_toys import CATALOG, blobs, masks_of, picture

from segkit import Recipe, run
from segkit.running.recipe import Part
from segkit_plugins.dataset.coco import Coco
from segkit_plugins.dataset.label_studio import LabelStudio
from segkit_plugins.dataset.labelme import Labelme
from segkit_plugins.dataset.scenes import Scenes
from segkit_plugins.dataset.voc import Voc
from segkit_plugins.writer.coco import Coco as Writer

PHOTOS = 54

FINE = {"tolerance": 0.5, "least_part": 0.0}
"""Options of labelme that lose less than its defaults, which are for photos, not for 96 pixels."""

LEAST = {"labelme": 0.98}
"""Mean IoU of what comes back with what went out; others 0.99."""


def exported(folder):
    """What Label Studio exports once each prediction has been accepted."""
    tasks = json.loads((folder / "label-studio/tasks.json").read_bytes())
    for number, task in enumerate(tasks, 1):
        (prediction,) = task["predictions"]
        results = [{**region, "origin": "prediction"} for region in prediction["result"]]
        accepted = {"id": number, "completed_by": 1, "result": results, "was_cancelled": False}
        task |= {"id": number, "annotations": [accepted], "predictions": []}
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


READERS = {
    "coco": lambda d: Coco(root=d / "coco", annotations=d / "coco/annotations.json"),
    "label-studio": lambda d: LabelStudio(annotations=exported(d), root=d / "label-studio/images"),
    "labelme": lambda d: Labelme(root=d / "labelme"),
    "voc": lambda d: Voc(root=d / "voc/VOCdevkit/VOC2012", split="trainval"),
}
"""How it is read again."""


def by_class(truth):
    """{class: (H, W) bool} of the classes that an image shows."""
    ids, classes = truth.labels.ids, truth.labels.classes
    return {name: ids == i for i, name in classes.items() if (ids == i).any()}


def there_and_back(folder, dataset, truths, writers, kept):
    """{writer: IoU of each class of each image}, for class maps that are the truth itself.

    `writers`: each with its options; `kept`: the folder of the class maps.
    """
    recipe = Recipe(
        {
            "dataset": (dataset,),
            "segmenter": (Part("class-maps", kept),),
            "writer": tuple(Part(name, options) for name, options in writers.items()),
        }
    ).build(CATALOG)
    summary = run({"r": recipe}, folder, catalog=CATALOG)["r"]
    assert (summary["images"], summary["failed"]) == (len(truths), 0)
    figures = {}
    for writer in writers:
        ious = []
        data = READERS[writer](folder)
        assert sorted(data.names) == sorted(truths)
        for image, truth in data:
            out, back = by_class(truths[image.name]), by_class(truth)
            assert back.keys() == out.keys()
            ious += [(out[n] & back[n]).sum() / (out[n] | back[n]).sum() for n in out]
        figures[writer] = ious
    return figures


def check(figures):
    for writer, ious in figures.items():
        assert np.mean(ious) >= LEAST.get(writer, 0.99), writer
        if writer not in LEAST:
            assert min(ious) == 1, writer


def test_scenes_come_back(tmp_path):
    pytest.importorskip("pycocotools", reason="needs pycocotools")
    scenes = Scenes(count=4, size=96)
    truths = {image.name: truth for image, truth in scenes}
    (tmp_path / "maps").mkdir()
    for name, truth in truths.items():
        np.save(tmp_path / f"maps/{name}.npy", truth.labels.ids)
    names = tuple(scenes.classes.values())
    check(
        there_and_back(
            tmp_path / "run",
            Part("scenes", {"count": 4, "size": 96}),
            truths,
            {"coco": {}, "label-studio": {}, "labelme": FINE},
            {"folder": tmp_path / "maps", "names": names},
        )
    )


def test_datumaro_reads_every_mask_as_cvat_does(tmp_path):
    """CVAT reads COCO by datumaro. No extra names it, for it asks for other versions than ours."""
    reader = pytest.importorskip("datumaro", reason="pip install datumaro")
    arrays, names = blobs(6), ["cat", "dog", "cat", "owl", "dog", "cat"]
    Writer(images="png").write(tmp_path, picture(), masks=masks_of(arrays, names))
    Writer(images="png").finish(tmp_path, [picture().name])
    layout = tmp_path / "cvat"
    (layout / "annotations").mkdir(parents=True)
    shutil.copy(tmp_path / "coco/annotations.json", layout / "annotations/instances_default.json")
    shutil.copytree(tmp_path / "coco/images", layout / "images/default")
    data = reader.Dataset.import_from(str(layout), "coco_instances")
    (item,) = data
    kinds = reader.AnnotationType
    known = [label.name for label in data.categories()[kinds.label].items]
    read = sorted((a for a in item.annotations if a.type == kinds.mask), key=lambda a: a.id)
    assert [known[a.label] for a in read] == names
    assert all(np.array_equal(a.image, mask) for a, mask in zip(read, arrays, strict=True))


@pytest.mark.slow
@pytest.mark.data("VOCdevkit/VOC2012")
def test_photos_of_voc_come_back(tmp_path, real_data):
    pytest.importorskip("pycocotools", reason="needs pycocotools")
    root = real_data
    listed = (root / "ImageSets/Segmentation/val.txt").read_text().split()[:PHOTOS]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    options = {"root": root, "split": str(tmp_path / "list.txt")}
    truths = {image.name: truth for image, truth in Voc(**options)}
    assert len(truths) == PHOTOS
    writers = {"coco": {}, "label-studio": {}, "labelme": {}, "voc": {}}
    for folder, asked in {"run": writers, "fine": {"labelme": FINE}}.items():
        figures = there_and_back(
            tmp_path / folder,
            Part("voc", options),
            truths,
            asked,
            {"folder": root / "SegmentationClass"},
        )
        for name, ious in figures.items():
            print(
                f"{name} {asked[name]}: {len(ious)} classes, IoU mean {np.mean(ious):.4f}, "
                f"least {min(ious):.4f}"
            )
        check(figures)
