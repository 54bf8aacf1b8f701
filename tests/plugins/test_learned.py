"""The judge `learned`: its figures of masks, its forest, and what it says of good and bad masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from segkit import Catalog, Image, Masks, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")

from segkit_plugins.judge.learned.features import (  # noqa: E402
    NAMES,
    features,
    overlaps,
    together_features,
)
from segkit_plugins.judge.learned.forest import Forest  # noqa: E402
from segkit_plugins.judge.learned.scene import Scene, grid_of, sampled  # noqa: E402

CATALOG = Catalog(third_party=False)


@pytest.fixture(scope="module")
def judge():
    step = make_step(CATALOG, "judge", "learned", {})
    step.open("cpu")
    return step


def shape(index=0, seed=20500):
    """A generated picture and the mask of its one object."""
    dataset = make_step(CATALOG, "dataset", "shapes", {"count": 12, "seed": seed, "size": 160})
    image, truth = dataset[index]
    return image, truth.labels.ids > 0


def moved(mask, by):
    return np.roll(mask, by, axis=(0, 1))


def scene(size=(12, 20)):
    rng = np.random.default_rng(1)
    return Scene(
        rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        rng.random(size, np.float32),
        rng.random(size, np.float32),
        rng.random((3, 5, 7), np.float32),
    )


def masks_of(*masks, scores=None):
    count = len(masks)
    return Masks(np.stack(masks), scores or np.full(count, 0.5, np.float32), np.arange(count))


# ---- features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(12, 20), (8, 128), (8, 8)])
def test_every_figure_is_finite(size):
    empty, full, dot, stripes = np.zeros((4, *size), bool)
    full[:] = True
    dot[3, 4] = True
    stripes[::2] = True
    masks = np.stack([empty, full, dot, stripes, ~dot])
    for some in (masks, masks[:1], masks[:0]):
        told = features(scene(size), some, np.ones(len(some), np.float32))
        assert told.shape == (len(some), len(NAMES))
        assert np.isfinite(told).all()


def figures(masks, scores=None, seen=None):
    """Name to the figures of masks."""
    scores = np.ones(len(masks), np.float32) if scores is None else np.float32(scores)
    told = features(seen or scene(), np.stack(masks), scores)
    return dict(zip(NAMES, told.T, strict=True))


def test_what_the_figures_say():
    box, frame, two = np.zeros((3, 12, 20), bool)
    box[2:8, 5:15] = True
    frame[1:11, 2:18] = True
    frame[4:8, 6:14] = False
    two[:, :4] = two[5:7, 8:10] = True
    told = figures([box, frame, two])
    np.testing.assert_allclose(told["area"][0], 60 / 240)
    np.testing.assert_allclose(told["extent"][[0, 1]], [1, 128 / 160])
    np.testing.assert_allclose(told["parts"], [1, 1, np.log2(3)])
    np.testing.assert_allclose(told["largest-part"][2], 48 / 52)
    np.testing.assert_allclose(told["holes"], [0, 32 / 160, 0])
    np.testing.assert_allclose(told["frame"], [0, 0, (4 + 4 + 12) / 64])
    np.testing.assert_allclose(told["frame-sides"], [0, 0, 3 / 4])
    assert told["off-middle"][2] > told["off-middle"][0]


def test_contrast_and_things_follow_the_picture():
    box = np.zeros((12, 20), bool)
    box[2:8, 5:15] = True
    pixels = np.where(box[..., None], np.uint8([220, 40, 40]), np.uint8([40, 200, 60]))
    plain = scene()
    seen = Scene(pixels, box.astype(np.float32), plain.people, plain.embedding)
    told = figures([box, moved(box, (2, 4))], seen=seen)
    for name in ("edge", "edge-relative", "colour-split", "things-overlap", "things-half"):
        assert told[name][0] > told[name][1], name
    for name in ("colours-out", "colours-ring", "things-out"):
        assert told[name][0] < told[name][1], name
    np.testing.assert_allclose(told["things-overlap"][0], 1)
    np.testing.assert_allclose(told["colour-split"][0], 1, atol=1e-4)


def test_agreement_is_with_the_others_alone():
    box = np.zeros((12, 20), bool)
    box[2:8, 4:14] = True
    other = moved(box, (0, 10))
    masks = np.stack([box, box, other])
    things = np.array([0.5, 0.5, 0.5], np.float32)
    scores = np.array([0.2, 0.9, 0.4], np.float32)
    from segkit_plugins.judge.learned.features import TOGETHER

    columns = together_features(masks, things, scores, *overlaps(masks)).T
    told = dict(zip(TOGETHER, columns, strict=True))
    np.testing.assert_allclose(told["agree-best"][:2], 1)
    np.testing.assert_allclose(told["agree-share"], [0.5, 0.5, 0])
    assert told["agree"][2] < told["agree"][0] < 1
    np.testing.assert_allclose(told["score-rank"], [1 / 6, 5 / 6, 0.5])
    alone = together_features(masks[:1], things[:1], scores[:1], *overlaps(masks[:1]))
    assert not alone[0, list(TOGETHER).index("agree-best")]


def test_masks_are_taken_at_the_middles_of_the_grid():
    assert grid_of((375, 500)) == (96, 128)
    assert grid_of((1, 5000)) == (8, 128)
    mask = np.zeros((1, 4, 8), bool)
    mask[0, 2:, 4:] = True
    small = sampled(mask, (2, 4))
    np.testing.assert_array_equal(small[0], [[0, 0, 0, 0], [0, 0, 1, 1]])
    assert sampled(mask, (8, 16)).sum() == 4 * mask.sum()


# ---- the forest ---------------------------------------------------------------------------------


def grown(rows=400):
    """A forest of scikit-learn's and the same as arrays."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    judge = pytest.importorskip("segkit_training.judge")
    rng = np.random.default_rng(0)
    values = rng.random((rows, len(NAMES)), np.float32)
    iou = (values[:, 3] * values[:, 7]).astype(np.float32)
    forest = ensemble.ExtraTreesRegressor(10, min_samples_leaf=5, random_state=0).fit(values, iou)
    return forest, judge.as_arrays([tree.tree_ for tree in forest.estimators_]), values, judge


def test_the_arrays_tell_what_scikit_learn_tells():
    forest, arrays, values, _ = grown()
    away = np.abs(arrays.quality(values) - forest.predict(values))
    # Rounding a threshold sends few rows another way, in one tree of ten.
    assert np.mean(away < 1e-3) > 0.97
    assert away.max() < 0.05


def test_a_written_forest_is_read_again(tmp_path):
    from segkit_plugins.shared.weights import load_safetensors

    _, arrays, values, judge = grown()
    path = tmp_path / "judge.safetensors"
    judge.save(arrays, path)
    read = Forest.of(load_safetensors(path), path)
    np.testing.assert_array_equal(read.quality(values), arrays.quality(values))


def test_what_is_no_forest_is_refused(tmp_path):
    from safetensors.numpy import save_file

    whole = {
        "roots": np.int32([0]),
        "skip": np.int16([2, 0, 0]),
        "feature": np.uint8([1, 0, 0]),
        "number": np.float32([0.5, 0.1, 0.9]),
    }
    told = Forest.of(whole, tmp_path / "f").quality(np.full((1, len(NAMES)), 0.7, np.float32))
    np.testing.assert_allclose(told, 0.9)
    spoiled = (
        {"number": np.float32([0.5, 0.1, 1.5])},
        {"number": np.float32([np.nan, 0.1, 0.9])},
        {"skip": np.int16([9, 0, 0])},
        {"skip": np.int16([1, 0, 0])},
        {"feature": np.uint8([255, 0, 0])},
        {"feature": np.uint8([1, 0])},
        {"roots": np.int32([])},
    )
    for change in spoiled:
        with pytest.raises(UsageError, match="are not of the judge 'learned'"):
            Forest.of({**whole, **change}, tmp_path / "f")
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, path)
    step = make_step(CATALOG, "judge", "learned", {"weights": path})
    with pytest.raises(UsageError, match=r"leave --learned.weights out, or fit them anew"):
        step.open("cpu")


# ---- what is judged -----------------------------------------------------------------------------


def test_a_mask_is_judged_by_how_well_it_fits(judge):
    """On pictures of seeds that nothing learned from: the better the mask, the higher."""
    correlations = []
    for index in range(6):
        image, mask = shape(index)
        side = int(np.sqrt(mask.sum()))
        spoiled = [moved(mask, (0, by * side // 8)) for by in (0, 1, 2, 3, 5, 8)]
        iou = [(m & mask).sum() / (m | mask).sum() for m in spoiled]
        quality = judge(image=image, masks=masks_of(*spoiled)).quality
        correlations.append(spearmanr(quality, iou).statistic)
        assert quality[0] > 0.6 > 0.4 > quality[-1]
    assert np.mean(correlations) > 0.9


def test_empty_and_full_masks_and_none(judge):
    image, mask = shape()
    told = judge(image=image, masks=masks_of(~mask & mask, mask | ~mask, mask)).quality
    assert told[0] == 0
    assert told[1] < 0.4 < told[2]
    none = judge(image=image, masks=Masks.none(image.size))
    assert none.quality.shape == (0,)
    dot = Image(np.zeros((1, 1, 3), np.uint8), "dot")
    assert judge(image=dot, masks=masks_of(np.ones((1, 1), bool))).quality.shape == (1,)


def test_order_and_makers_do_not_matter(judge):
    image, mask = shape(1)
    several = [mask, moved(mask, (9, 9)), ~mask, moved(mask, (-30, 4))]
    masks = masks_of(*several, scores=[0.9, 0.2, 0.5, 0.5])
    told = judge(image=image, masks=masks).quality
    order = [2, 0, 3, 1]
    other = masks.take(order)
    renamed = Masks(other.masks, other.scores, [5, 5, 0, 1], ("a", None, "b", "c"))
    np.testing.assert_allclose(judge(image=image, masks=renamed).quality, told[order], atol=1e-6)


def test_its_files_are_known(judge):
    assert set(judge.weight_files()) == {"judge", "nano"}
    assert [w.name for w in type(judge).known_weights()] == ["judge"]
