"""map: figures by hand, and those of COCO's own evaluation over all images at once."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from segkit import Labels, Masks, MissingExtraError, Prompt, Prompts, Truth
from segkit_plugins.metric.map import MeanAveragePrecision

pytest.importorskip("pycocotools")

CLASSES = {1: "cat", 2: "dog", 3: "bird"}


def scored(*images, **options):
    """The figures of (truth, masks) of several images."""
    step = MeanAveragePrecision(**options)
    sums = {}
    for truth, masks in images:
        for key, value in step.count(truth=truth, masks=masks).items():
            sums[key] = sums.get(key, 0) + value
    return step.score(sums)


def picture(rng, size=(40, 60)):
    """Rectangles of three classes, and masks that are more or less theirs, of any score."""
    ids, instances = np.zeros(size, np.int32), np.zeros(size, np.int32)
    masks, names, scores = [], [], []
    for number in range(1, rng.integers(1, 6)):
        y, x = rng.integers(0, 28), rng.integers(0, 44)
        h, w = rng.integers(5, 12, 2)
        class_id = int(rng.integers(1, 4))
        ids[y : y + h, x : x + w], instances[y : y + h, x : x + w] = class_id, number
        for _ in range(rng.integers(0, 3)):
            mask = np.zeros(size, bool)
            dy, dx = rng.integers(-2, 3, 2)
            mask[max(y + dy, 0) : y + h + dy, max(x + dx, 0) : x + w + dx] = True
            masks.append(mask)
            names.append(CLASSES[class_id if rng.random() < 0.8 else int(rng.integers(1, 4))])
            scores.append(round(float(rng.random()), 3))
    count = len(masks)
    stacked = np.stack(masks) if count else np.zeros((0, *size), bool)
    found = Masks(stacked, np.array(scores), np.arange(count), tuple(names))
    return Truth(Labels(ids, CLASSES), instances), found


def by_pycocotools(images):
    """COCO's evaluation of all images, as its own tool does it."""
    from pycocotools import mask as api
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def runs(mask):
        return api.encode(np.asfortranarray(mask.astype(np.uint8)))

    true, found = [], []
    for image, (truth, masks) in enumerate(images, 1):
        for number in np.setdiff1d(truth.instances, [0]):
            mask = truth.instances == number
            class_id = int(np.bincount(truth.labels.ids[mask]).argmax())
            own = {"id": len(true) + 1, "image_id": image, "category_id": class_id, "iscrowd": 0}
            true.append({**own, "area": int(mask.sum()), "segmentation": runs(mask)})
        for mask, score, name in zip(masks.masks, masks.scores, masks.names, strict=True):
            (class_id,) = (i for i, known in CLASSES.items() if known == name)
            own = {"image_id": image, "category_id": class_id, "score": float(score)}
            found.append({**own, "segmentation": runs(mask)})
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i + 1, "height": 40, "width": 60} for i in range(len(images))],
        "annotations": true,
        "categories": [{"id": i, "name": name} for i, name in CLASSES.items()],
    }
    coco.createIndex()
    judge = COCOeval(coco, coco.loadRes(found), "segm")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return judge.stats[:3]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_cocos_own_figure(seed, capsys):
    rng = np.random.default_rng(seed)
    images = [picture(rng) for _ in range(12)]
    wanted = by_pycocotools(images)
    assert 0.02 < wanted[0] < 0.95
    figures = scored(*images)
    assert [*figures] == ["map", "map-50", "map-75"]
    assert [*figures.values()] == pytest.approx(wanted, abs=1e-9)


def band(first, last):
    mask = np.zeros((2, 20), bool)
    mask[:, first:last] = True
    return mask


def truth(*bands, classes=(1, 1, 1), void=None):
    ids, instances = np.zeros((2, 20), np.int32), np.zeros((2, 20), np.int32)
    for number, (place, own) in enumerate(zip(bands, classes, strict=False), 1):
        ids[band(*place)], instances[band(*place)] = own, number
    if void:
        ids[band(*void)] = instances[band(*void)] = 255
    return Truth(Labels(ids, CLASSES), instances)


def masks(*bands, scores=None, names=("cat",) * 9):
    count = len(bands)
    found = np.stack([band(*b) for b in bands]) if count else np.zeros((0, 2, 20), bool)
    return Masks(found, scores or np.ones(count), np.arange(count), names[:count])


def test_a_surer_wrong_mask_costs_more():
    true = truth((0, 4))
    first = scored((true, masks((0, 4), (10, 14), scores=[0.9, 0.5])))
    last = scored((true, masks((0, 4), (10, 14), scores=[0.5, 0.9])))
    assert first["map"] == pytest.approx(1)
    assert last["map"] == pytest.approx(0.5)


def test_the_level_of_a_match_is_the_iou():
    figures = scored((truth((0, 10)), masks((0, 8))))  # 0.8: seven of ten levels
    assert figures == pytest.approx({"map": 0.7, "map-50": 1, "map-75": 1})
    assert scored((truth((0, 10)), masks((0, 7))))["map-75"] == 0


def test_a_class_that_is_wrong_does_not_count_unless_told():
    pair = truth((0, 4)), masks((0, 4), names=("dog",))
    assert scored(pair)["map"] == 0
    assert scored(pair, by_class=False)["map"] == pytest.approx(1)
    nameless = truth((0, 4)), masks((0, 4), names=(None,))
    assert scored(nameless)["map"] == 0


def test_the_prompt_s_score_takes_part():
    step = MeanAveragePrecision()
    prompts = Prompts((Prompt(points=[(1, 0)], score=0.5),))
    counts = step.count(truth=truth((0, 4)), masks=masks((0, 4), scores=[0.5]), prompts=prompts)
    assert counts == {"object:cat": 1, "mask:0.250000:1111111111:cat": 1}


def test_void_counts_for_nothing_and_no_object_gives_no_figure():
    in_void = masks((12, 16), (0, 4), scores=[0.9, 0.5])
    assert scored((truth((0, 4), void=(10, 20)), in_void))["map"] == pytest.approx(1)
    assert scored((truth(), masks((0, 4)))) == {}
    assert scored((truth((0, 4)), masks()))["map"] == 0
    without = Truth(Labels(np.ones((2, 20), np.int32), CLASSES))
    assert scored((without, masks((0, 4)))) == {}


def test_without_pycocotools_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match=r"--metric map needs pycocotools.*segkit\[coco\]"):
        MeanAveragePrecision().open("cpu")
