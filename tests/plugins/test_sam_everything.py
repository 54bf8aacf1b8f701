"""`sam-everything` finds what segment-anything's own mask generator finds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from segkit import Catalog, Image, SegkitWarning
from segkit.running.recipe import make_step
from segkit_plugins.segmenter.sam.candidates import boxes_of
from segkit_plugins.segmenter.sam.everything import SamEverything, suppress, without_specks

CATALOG = Catalog(third_party=False)
LOOSE = {"points_per_side": 8, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}


def everything(**options):
    step = make_step(CATALOG, "segmenter", "sam-everything", {**LOOSE, **options})
    step.open("cpu")
    return step


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(data.coffee()[:300:, 60:460], "coffee")


def peers(step, image, **options):
    """The masks (n, H, W) of `SamAutomaticMaskGenerator` on the same network, and their scores."""
    from segment_anything import SamAutomaticMaskGenerator

    made = SamAutomaticMaskGenerator(step._sam, **{**LOOSE, **options}).generate(image.pixels)
    return [m["segmentation"] for m in made], [m["predicted_iou"] for m in made]


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"box_nms_thresh": 1.0, "stability_score_thresh": 0.0},
        {"pred_iou_thresh": 0.0, "stability_score_offset": 0.5},
        {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
        {"min_mask_region_area": 100},
    ],
    ids=["plain", "duplicates", "any quality", "crops", "tidied"],
)
def test_it_finds_what_the_peer_finds(photo, options):
    if "min_mask_region_area" in options:
        pytest.importorskip("cv2", reason="the peer tidies masks with OpenCV")
    step = everything(**options)
    ours = step(image=photo, encoding=step.encode(photo))
    masks, scores = peers(step, photo, **options)
    assert len(masks) > 3
    found = [max(iou(m, o) for o in ours.masks) >= 0.95 for m in masks if m.any()]
    assert np.mean(found) >= 0.99
    assert abs(len(ours) - len(masks)) <= 0.05 * len(masks) + 1
    if not options:
        assert np.abs(ours.scores - scores).max() < 1e-4
        assert (np.diff(ours.scores) <= 0).all()


def test_an_image_of_nothing_and_a_tiny_one_get_no_mask_or_some():
    step = everything(pred_iou_thresh=1.0)
    image = Image(np.zeros((20, 30, 3), np.uint8), "black")
    with pytest.warns(SegkitWarning):
        made = step(image=image, encoding=step.encode(image))
    assert made.masks.shape == (0, 20, 30)
    for size in ((1, 1), (1, 50)):
        image = Image(np.full((*size, 3), 200, np.uint8), "thin")
        step = everything(pred_iou_thresh=0, stability_score_thresh=0, crop_n_layers=1)
        made = step(image=image, encoding=step.encode(image))
        assert made.masks.shape[1:] == size
        assert made.masks.any(axis=(1, 2)).all()


def test_suppression_keeps_the_better_of_two_and_both_that_are_apart():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 10], [50, 50, 60, 60]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.1], np.float32), 0.7).tolist() == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.9, 0.1], np.float32), 1.0).tolist() == [1, 0, 2]


def test_boxes_are_first_and_last_pixel():
    masks = np.zeros((2, 6, 9), bool)
    masks[0, 2:4, 3:8] = masks[1, 5, 0] = True
    assert boxes_of(masks).tolist() == [[3, 2, 7, 3], [0, 5, 0, 5]]


def test_small_holes_are_filled_and_small_islands_go():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[5, 5] = False  # a hole of one pixel
    mask[15, 15] = True  # an island of one
    wanted = np.zeros_like(mask)
    wanted[2:12, 2:12] = True
    assert (without_specks(mask, 5) == wanted).all()
    assert (without_specks(mask, 1) == mask).all()
    assert (without_specks(mask, 1000) == wanted).sum() > 0  # the largest island stays


# ---- the bundled model --------------------------------------------------------------------------


def test_nano_has_thresholds_of_its_own():
    def thresholds(**options):
        step = SamEverything(**options)
        return step.pred_iou_thresh, step.stability_score_thresh

    assert thresholds() == thresholds(model="nano") == (0.5, 0.3)
    assert thresholds(model="vit_b") == thresholds(model="nano-2") == (0.88, 0.95)
    assert thresholds(pred_iou_thresh=0.7) == (0.7, 0.3)


def test_the_first_image_without_a_mask_is_told():
    step = SamEverything(points_per_side=2, pred_iou_thresh=1)
    step.open("cpu")
    image = Image(np.zeros((20, 30, 3), np.uint8), "black")
    told = "sam-everything found nothing in 'black'; lower --sam-everything"
    with pytest.warns(SegkitWarning, match=told):
        step(image=image, encoding=step.encode(image))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(step(image=image, encoding=step.encode(image))) == 0
