"""What the judge learns from: views, altered masks, their truth, and the command that fits it."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("sklearn")
pytest.importorskip("cv2")
pytest.importorskip("torch")

from segkit_plugins.judge.learned.forest import Forest
from segkit_plugins.judge.learned.scene import Scene
from segkit_plugins.shared.weights import load_safetensors
from segkit_training import candidates, judge, judging, strategies
from segkit_training.candidates import Collected, Example, Source, View


def two_boxes(complete=True):
    """A large object, a main one beside it, a small one, and a strip that is not counted."""
    ids = np.zeros((40, 60), np.uint8)
    ids[5:25, 5:25], ids[5:25, 30:45], ids[30:34, 5:9] = 1, 2, 3
    ids[:, 58:] = 255
    return Example(np.zeros((40, 60, 3), np.uint8), ids, complete)


def test_the_object_meant_is_all_or_the_main_ones_or_one_of_these():
    entry = two_boxes()
    masks = np.stack([(entry.ids > 0) & (entry.ids < 255), *(entry.ids == n for n in (1, 2, 3))])
    masks = np.concatenate([masks, [(entry.ids == 1) | (entry.ids == 2)], masks[:1] & False])
    union, best, known = candidates.truths(entry, masks)
    np.testing.assert_allclose(union, [1, 400 / 716, 300 / 716, 16 / 716, 700 / 716, 0], rtol=1e-5)
    np.testing.assert_allclose(best, [1, 1, 1, 16 / 716, 1, 0], rtol=1e-5)
    assert known.all()


def test_uncounted_pixels_are_left_out():
    entry = two_boxes()
    mask = (entry.ids == 1) | (entry.ids == 255)
    _, (best,), _ = candidates.truths(entry, mask[None])
    assert best == 1


def test_where_not_all_is_annotated_masks_elsewhere_are_not_known():
    entry = two_boxes(complete=False)
    elsewhere = np.zeros_like(entry.ids, bool)
    elsewhere[26:, 12:50] = True
    half = elsewhere | (entry.ids == 1)
    _, _, known = candidates.truths(entry, np.stack([elsewhere, half]))
    assert known.tolist() == [False, True]


def test_parts_of_pictures():
    entry = two_boxes()
    rng = np.random.default_rng(0)
    part = candidates.cropped(entry, rng)
    assert part.pixels.shape[:2] == part.ids.shape
    assert set(np.unique(part.ids)) <= set(np.unique(entry.ids))
    empty = candidates.bare(entry, rng)
    assert empty is None or not empty.ids.any()
    full = Example(entry.pixels, np.ones_like(entry.ids))
    assert candidates.bare(full, rng) is None


def test_altered_masks_keep_their_size_and_differ():
    rng = np.random.default_rng(0)
    mask = two_boxes().ids == 1
    for _ in range(40):
        other = strategies.changed(mask, rng)
        assert other.shape == mask.shape
        assert other.dtype == bool
    spoiled = strategies.jittered(two_boxes().ids, rng)
    iou = strategies.true_iou(spoiled, spoiled[0], np.zeros_like(mask))
    assert iou[0] == 1
    assert len(np.unique(iou.round(2))) > 3


def test_every_recipe_that_works_with_what_ships_takes_part():
    groups = {"+".join(part.name for part in group) for group in strategies.prompt_groups()}
    assert {"components", "box+topk", "center", "mask", "topk+cascade"} <= groups
    assert not any("yolo" in words or "random" in words for words in groups)
    assert len(groups) > 14


def view_of(origins, prompts):
    count = len(origins)
    rng = np.random.default_rng(1)
    scene = Scene(
        np.zeros((8, 10, 3), np.uint8),
        rng.random((8, 10), np.float32),
        rng.random((8, 10), np.float32),
        rng.random((2, 2, 3), np.float32),
    )
    even = np.full(count, 0.5, np.float32)
    masks = rng.random((count, 8, 10)) > 0.5
    known = np.arange(count) > 0
    return Collected(
        "set-0001-0", scene, masks, even, np.array(origins), np.array(prompts), even, even, known,
        False,
    )  # fmt: skip


def test_candidates_are_judged_in_whole_prompts():
    origins = ["gradcam/topk"] * 3 + ["prior/box"] + ["everything"] * 2 + ["altered"] * 4
    prompts = [0, 0, 0, 0, 0, 1, 0, 1, 2, 3]
    judged = judging.Judged(view_of(origins, prompts))
    assert judged.strategies.tolist() == [0, 1, 2, 3]
    sets = judged.candidate_sets(np.random.default_rng(0))
    assert len(sets) == judging.SETS
    assert sets[0].tolist() == [0, 1, 2, 3]
    assert sets[1].tolist() == [4, 5]
    for some in sets:
        assert len({0, 1, 2} & set(some.tolist())) in (0, 3)
    rows = judged.rows(np.random.default_rng(0))
    assert len(rows.iou) == sum((some > 0).sum() for some in sets)
    np.testing.assert_allclose(rows.weight.sum(), 1, rtol=1e-5)


def test_the_area_under_the_curve_counts_ties_half():
    told = np.float32([0.1, 0.4, 0.4, 0.9])
    assert judging.area_under_curve(told, np.array([False, False, True, True])) == 0.875
    assert np.isnan(judging.area_under_curve(told, np.ones(4, bool)))


@pytest.mark.slow
def test_the_command_collects_once_and_fits(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "cifar10_train.npz", images=images)
    monkeypatch.setattr(judge, "SOURCES", (Source("shapes", most=2), Source("textures", most=1)))
    monkeypatch.setattr(judge, "TREES", 4)
    monkeypatch.setattr(judge, "LEAF", 5)
    asked = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "-o"]
    output, again = tmp_path / "judge.safetensors", tmp_path / "again.safetensors"
    done = CliRunner().invoke(judge.main, [*asked, str(output)], catch_exceptions=False)
    assert done.output.splitlines()[-1].startswith("3 views, 4 trees")
    (folder,) = (tmp_path / "cache").iterdir()
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    CliRunner().invoke(judge.main, [*asked, str(again)], catch_exceptions=False)
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert output.read_bytes() == again.read_bytes()
    assert len(Forest.of(load_safetensors(output), output).roots) == 4
    kept = candidates.read(View("shapes", 1).file(folder))
    assert kept is not None
    assert kept.best.max() > 0.5
    assert {"gradcam", "everything", "altered"} <= {o.partition("/")[0] for o in kept.origin}
    texture = candidates.read(View("textures", 0).file(folder))
    assert texture is not None
    assert texture.nothing
    assert not texture.best.any()
