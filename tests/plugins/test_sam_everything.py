"""`sam-everything` finds what segment-anything's own mask generator finds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from segkit import Catalog, Image, SegkitWarning
from segkit.running.recipe import make_step
from segkit_plugins.segmenter._prompted import Frame
from segkit_plugins.segmenter.sam.candidates import Candidates, Limits, boxes_of, cut_off
from segkit_plugins.segmenter.sam.everything import SamEverything, suppress, without_specks
from segkit_plugins.segmenter.sam.nano_points import PointDecoder
from segkit_plugins.segmenter.sam.on_device import DeviceCandidates

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
        pytest.param(
            {"box_nms_thresh": 1.0, "stability_score_thresh": 0.0}, marks=pytest.mark.slow
        ),
        {"pred_iou_thresh": 0.0, "stability_score_offset": 0.5},
        pytest.param(
            {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}, marks=pytest.mark.slow
        ),
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


# ---- the quick path against the plain one ------------------------------------------------------


def blobs(count, side, seed):
    """Smooth random logits (count, side, side), each with a blob that many others resemble."""
    import torch
    from torch.nn.functional import interpolate

    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, 12, 12, generator=generator)
    bumps = interpolate(noise, (side, side), mode="bicubic")[:, 0]
    at = torch.rand(count, 4, generator=generator)
    y, x = (torch.linspace(0, 1, side)[None] - at[:, i : i + 1] for i in (0, 1))
    spread = 0.02 + 0.3 * at[:, 2:3] ** 2
    inside = 6 - (y / spread)[:, :, None] ** 2 - (x / spread)[:, None] ** 2
    return inside.clamp(min=-8) + bumps


def plainly(low, quality, frame, limits, crop, whole):
    """Every candidate in full: masks that are stable, then without duplicates, best first."""
    full = frame.logits(low)
    higher = (full > limits.threshold + limits.offset).sum(dim=(1, 2))
    wider = (full > limits.threshold - limits.offset).sum(dim=(1, 2))
    masks = (full > limits.threshold).numpy()
    stable = (higher / wider.clamp(min=1) >= limits.stability).numpy() & masks.any(axis=(1, 2))
    masks, scores = masks[stable], quality.numpy()[stable]
    inside = ~cut_off(boxes_of(masks), crop, whole)
    masks, scores = masks[inside], scores[inside]
    kept = suppress(boxes_of(masks), scores, limits.overlap)
    return masks[kept], scores[kept]


@pytest.mark.parametrize(
    ("size", "limits"),
    [
        ((375, 500), Limits(0.0, 1.0, 0.6, 0.7)),
        ((500, 333), Limits(0.0, 0.5, 0.0, 0.4)),
        ((150, 157), Limits(0.5, 1.0, 0.8, 1.0)),
        ((24, 31), Limits(0.0, 1.0, 0.0, 0.7)),
        ((2, 90), Limits(0.0, 1.0, 0.0, 0.7)),
    ],
    ids=["photo", "upright", "no suppression", "smaller than the logits", "thin"],
)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "a crop"])
@pytest.mark.parametrize("gathering", [Candidates, DeviceCandidates])
def test_candidates_that_stay_are_those_of_the_plain_path(size, limits, cut, gathering):
    import torch

    scale = 320 / max(size)
    inside = tuple(max(1, int(n * scale + 0.5)) for n in size)
    frame = Frame(320, (160, 160), inside, size)
    low = blobs(150, 160, seed=size[0])
    quality = torch.rand(150, generator=torch.Generator().manual_seed(1))
    crop = (5, 7, size[1] + 5, size[0] + 7) if cut else (0, 0, size[1], size[0])
    whole = (size[0] + 40, size[1] + 40) if cut else size
    candidates = gathering(frame, limits, "cpu")
    for start in range(0, 150, 40):
        some = slice(start, start + 40)
        candidates.add(low[some], quality[some])
    kept = candidates.best(crop, whole)
    masks, scores = plainly(low, quality, frame, limits, crop, whole)
    if not cut:
        assert len(masks) > 1
    assert kept.scores.tolist() == scores.tolist()
    assert (kept.boxes == boxes_of(masks)).all()
    for bits, mask in zip(kept.bits, masks, strict=True):
        ours = np.unpackbits(bits, count=mask.size).reshape(size).astype(bool)
        assert iou(ours, mask) > 0.999


def test_few_candidates_are_enlarged_where_most_are_duplicates(monkeypatch):
    import torch

    frame = Frame(320, (160, 160), (240, 320), (375, 500))
    low = blobs(1, 160, seed=3).repeat(200, 1, 1) + 0.01 * blobs(200, 160, seed=4)
    candidates = Candidates(frame, Limits(0.0, 1.0, 0.0, 0.7), "cpu")
    candidates.add(low, torch.linspace(0, 1, 200))
    in_full = []
    mask = Candidates._mask
    monkeypatch.setattr(
        Candidates, "_mask", lambda self, place: in_full.append(place) or mask(self, place)
    )
    assert len(candidates.best((0, 0, 500, 375), (375, 500)).bits) == 1
    assert len(in_full) < 10


def test_nanos_decoder_for_points_answers_as_the_ordinary_one(photo):
    import torch

    step = everything()
    assert isinstance(step._points, PointDecoder)
    embedding = step.encode(photo)[0].encoding.embedding
    points = torch.tensor([[[3.0, 5.0]], [[160.5, 100.25]], [[319.0, 239.0]], [[40.0, 200.0]]])
    answers = []
    with torch.inference_mode():
        for decoder in (step._decoder, step._points):
            seen = decoder.see(embedding)
            asked = decoder.ask((points, torch.ones(4, 1, dtype=torch.int64)), None, None)
            tokens, places = decoder.attend(seen, *asked)
            drawn = decoder.draw(seen, tokens, places, [1, 2, 3])
            answers.append((drawn, decoder.quality(tokens)))
    (plain, expected), (drawn, quality) = answers
    assert plain.abs().max() > 1
    assert (drawn - plain).abs().max() < 1e-3
    assert (quality - expected).abs().max() < 1e-4


def test_other_models_keep_their_decoder():
    step = everything(model="nano-2")
    assert step._points is step._decoder


def test_suppression_keeps_the_better_of_two_and_both_that_are_apart():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 10], [50, 50, 60, 60]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.1], np.float32), 0.7).tolist() == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.9, 0.1], np.float32), 1.0).tolist() == [1, 0, 2]


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
