"""Values of large images: packed masks, deferred heatmaps, logits in a file, chunks that shrink."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from runner_toys import END, full, lines
from toys import Bright, Dim, Flood, Peak, Squares, walk

from segkit import BadValueError, Heatmap, Masks, MaskStack, PackedMasks, plan, run
from segkit.errors import TooLargeError
from segkit.running import batches, calling
from segkit.running import walk as walking
from segkit.running.prompting import united
from segkit.values import bitmaps, waiting
from segkit.values.waiting import Rows, RowStack

SIZE = (37, 53)


@pytest.fixture
def stack():
    """Masks of every kind: blobs, one of all pixels, one of a corner's pixel, an empty one."""
    rng = np.random.default_rng(0)
    masks = np.zeros((9, *SIZE), bool)
    for place in range(6):
        top, left = rng.integers(0, 20, 2)
        masks[place, top : top + 5 + 2 * place, left : left + 4 + 5 * place] = True
        masks[place] &= rng.random(SIZE) < 0.8
    masks[6], masks[7, -1, -1] = True, True
    return masks


@pytest.fixture
def nothing_fits(monkeypatch):
    """Everything counts as large."""
    monkeypatch.setattr(bitmaps, "DENSE", 0)
    monkeypatch.setattr(waiting, "IN_MEMORY", 0)
    monkeypatch.setattr(waiting, "AT_HAND", 0)
    monkeypatch.setattr(calling, "TOGETHER", 1)


def values(n, **more):
    return {"scores": np.linspace(0, 1, n), "prompt": np.arange(n) // 2, **more}


# ---- packed masks ------------------------------------------------------------------------------


def test_packed_masks_come_back_equal(stack):
    packed = PackedMasks.of(stack)
    assert np.array_equal(packed.unpacked(), stack)
    assert all(np.array_equal(one, mask) for one, mask in zip(packed, stack, strict=True))
    assert packed.areas.tolist() == stack.sum(axis=(1, 2)).tolist()
    assert np.array_equal(packed.covered(), stack.any(axis=0))
    assert np.array_equal(packed.covered([1, 3]), stack[[1, 3]].any(axis=0))
    assert packed.nbytes < stack.nbytes / 8
    assert np.array_equal(PackedMasks.from_arrays(packed.to_arrays()).unpacked(), stack)
    assert packed.same(PackedMasks.of(stack))
    assert not packed.same(packed.take([0, 0, 2, 3, 4, 5, 6, 7, 8]))


def test_shared_pixels_are_counted_in_the_packed_bits(stack):
    packed = PackedMasks.of(stack)
    for i, one in enumerate(stack):
        for j, other in enumerate(stack):
            assert packed.shared(i, j) == np.count_nonzero(one & other)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), bool), np.zeros((1, 2, 3), np.uint8)])
def test_only_masks_can_be_packed(wrong):
    with pytest.raises(BadValueError, match=r"should be given masks \(n, H, W\) bool, but is"):
        PackedMasks.of(wrong)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_masks_without_pixels_can_be_packed(size):
    assert PackedMasks.of(np.zeros((2, *size), bool)).unpacked().shape == (2, *size)


def test_damaged_boxes_in_a_file_are_refused(stack):
    arrays = PackedMasks.of(stack).to_arrays()
    arrays["boxes"][0, 0] = 1000
    with pytest.raises(BadValueError, match="a mask of 53x37 pixels should lie inside of them"):
        PackedMasks.from_arrays(arrays)


def test_masks_are_the_same_in_either_form(stack):
    logits = np.random.default_rng(1).normal(size=(9, 4, 5)).astype(np.float32)
    more = {"logits": logits, "quality": np.linspace(1, 0, 9), "names": tuple("abcdefghi")}
    dense = Masks(stack, **values(9, **more))
    packed = Masks(PackedMasks.of(stack), **values(9, **more))
    assert packed.size == dense.size == SIZE
    assert len(packed) == len(dense) == 9
    assert packed.overall == dense.overall
    assert np.array_equal(packed.areas, dense.areas)
    for chosen in ([], [3, 1, 1]):
        one, other = packed.take(chosen), dense.take(chosen)
        assert np.array_equal(one.masks, other.masks)
        assert np.array_equal(one.logits, other.logits)
        assert one.names == other.names
    assert repr(packed) == repr(dense)
    for one, other in zip(packed, dense, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one.logits, other.logits)
        assert repr(one) == repr(other)
    for i in range(9):
        place, inside = packed.cut_out(i)
        whole = np.zeros(SIZE, bool)
        whole[place] = inside
        assert np.array_equal(whole, dense.at(i))
    for way in (lambda m: m.changed(names=tuple("ihgfedcba")), lambda m: replace(m, names=())):
        assert np.array_equal(way(packed).masks, stack)
        assert isinstance(way(packed).held, PackedMasks)
    again = pickle.loads(pickle.dumps(packed))
    assert np.array_equal(again.masks, stack)
    assert np.array_equal(again.logits, logits)
    with pytest.raises(ValueError, match="read-only"):
        packed.masks[0, 0, 0] = True
    with pytest.raises(AttributeError, match="no attribute 'pixel'"):
        _ = packed.pixel


def test_a_packed_array_is_made_once_while_it_is_read(stack, monkeypatch):
    made = []
    unpacked = PackedMasks.unpacked
    monkeypatch.setattr(PackedMasks, "unpacked", lambda self: made.append(1) or unpacked(self))
    masks = Masks(PackedMasks.of(stack), **values(9))
    assert [int(masks.masks[i].sum()) for i in range(9)] == stack.sum(axis=(1, 2)).tolist()
    assert len(made) == 1
    waiting.let_go()
    assert masks.masks.any()
    assert len(made) == 2


def test_what_is_gathered_is_packed_when_it_grows(stack, monkeypatch):
    few, many = MaskStack(SIZE), MaskStack(SIZE)
    for block in np.split(stack, 3):
        few.add(block)
    monkeypatch.setattr(bitmaps, "DENSE", stack[:4].nbytes)
    for block in np.split(stack, 3):
        many.add(block)
    assert isinstance(few.done(), np.ndarray)
    assert isinstance(many.done(), PackedMasks)
    assert np.array_equal(few.done(), stack)
    assert np.array_equal(many.done().unpacked(), stack)
    assert MaskStack(SIZE).done().shape == (0, *SIZE)


def test_many_that_are_expected_are_packed_from_the_first_on(stack, monkeypatch):
    monkeypatch.setattr(bitmaps, "DENSE", stack[:4].nbytes)
    monkeypatch.setattr(waiting, "IN_MEMORY", 4 * 4)
    few, many = MaskStack(SIZE, expected=4), MaskStack(SIZE, expected=5)
    in_memory, in_file = RowStack(expected=4), RowStack(expected=5)
    for gathered in (few, many):
        gathered.add(stack[:1])
    for rows in (in_memory, in_file):
        rows.add(np.ones((1, 1, 1), np.float32))
    assert isinstance(few.done(), np.ndarray)
    assert isinstance(many.done(), PackedMasks)
    assert isinstance(in_memory.done(), np.ndarray)
    assert isinstance(in_file.done(), Rows)


def test_no_array_stays_of_each_mask_that_is_gathered(stack, monkeypatch):
    """Small arrays that stay where large ones come and go would leave holes in the memory."""
    monkeypatch.setattr(bitmaps, "DENSE", 0)
    monkeypatch.setattr(bitmaps, "BLOCK", 4000)  # some 30 masks, and none of them is larger
    gathered = MaskStack(SIZE)
    gathered.add(stack)
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    tracemalloc.start()
    for _ in range(100):
        gathered.add(stack[:6])
    kept = tracemalloc.take_snapshot().filter_traces([arrays]).traces
    tracemalloc.stop()
    assert 0 < len(kept) < 40
    assert np.array_equal(gathered.done().unpacked(), np.concatenate([stack, *[stack[:6]] * 100]))
    gathered.add(stack[:1])  # and it goes on
    assert gathered.done()[-1].tolist() == stack[0].tolist()


def test_parts_of_either_form_are_united(stack, nothing_fits):
    logits = np.random.default_rng(1).normal(size=(9, 4, 5)).astype(np.float32)
    whole = Masks(stack, **values(9, logits=logits))
    parts = [whole.take([4, 5, 6, 7, 8]), whole.take([0, 1, 2, 3])._as_it_waits()]
    together = united(parts, SIZE)
    assert isinstance(together.held, PackedMasks)
    assert isinstance(together._held_logits, Rows)
    assert np.array_equal(together.masks, stack)
    assert np.array_equal(together.logits, logits)
    assert np.array_equal(together.take([7, 2]).logits, logits[[7, 2]])
    assert np.array_equal(together._logits_at(5), whole._logits_at(5))
    assert together.prompt.tolist() == whole.prompt.tolist()


def test_logits_in_a_file_are_checked_as_others_are(nothing_fits):
    rows = RowStack()
    with pytest.raises(BadValueError, match=r"Masks\.logits should be finite"):
        rows.add(np.full((1, 2, 2), np.nan, np.float32))
    rows.add(np.ones((2, 2, 2), np.float32))
    with pytest.raises(BadValueError, match=r"Masks\.logits should be 1, but are 2"):
        Masks(np.zeros((1, 4, 4), bool), [1], [0], logits=rows.done())


# ---- what does not fit -------------------------------------------------------------------------


def test_what_cannot_fit_says_so_before_it_is_made(stack, monkeypatch):
    monkeypatch.setattr(bitmaps, "DENSE", 1000)
    monkeypatch.setattr(bitmaps.HostMemory, "free", lambda self: 5000)
    masks = Masks(PackedMasks.of(np.repeat(stack, 3, axis=0)), **values(27))
    with pytest.raises(TooLargeError) as info:
        _ = masks.masks
    assert str(info.value) == (
        "27 masks of 53x37 pixels need 0 MB of memory as one array, and 0 MB are free; "
        "ask for fewer objects or classes, or make the image smaller"
    )
    gathered = MaskStack(SIZE, expected=1000)
    said = r"^1,000 masks of 53x37 pixels need another .* when they are packed"
    with pytest.raises(TooLargeError, match=said):  # noqa: PT012
        for _ in range(40):  # long before they are all there
            gathered.add(stack[6:7])


def test_an_image_that_does_not_fit_fails_alone(tmp_path, monkeypatch):
    """By itself, for chunks of several are tried one by one; the sentence says for what."""
    monkeypatch.setattr(calling, "TOGETHER", 192)
    monkeypatch.setattr(calling.HostMemory, "free", lambda self: 5000)
    steps = [Squares(count=2), Bright(n=8), Dim(by=0.5), Peak(), Flood(), *END]
    run({"toy": plan(steps)}, tmp_path)
    errors = [line["error"] for line in lines(tmp_path)]
    assert errors == [
        f"square-{i}: transform 'dim' would make 8 arrays for 16x12 pixels, which need another "
        "0 MB of memory, and 0 MB are free; ask for fewer classes or objects, or make the image "
        "smaller"
        for i in range(2)
    ]
    monkeypatch.setattr(calling.HostMemory, "free", lambda self: 7000)
    run({"toy": plan(steps)}, tmp_path, overwrite=True)
    assert [line["error"] for line in lines(tmp_path)] == [None, None]


# ---- heatmaps ----------------------------------------------------------------------------------


def test_a_deferred_heatmap_is_made_when_it_is_read():
    made = []

    def make():
        made.append(1)
        return np.full((3, 4), 0.5, np.float32)

    heatmap = Heatmap.deferred(make, (3, 4), "cat", 0.25)
    assert (heatmap.size, heatmap.name, heatmap.score) == ((3, 4), "cat", 0.25)
    assert heatmap._is_deferred
    assert not made
    assert heatmap.values.sum() == heatmap.values.sum() == 6
    assert len(made) == 1
    waiting.let_go()
    assert pickle.loads(pickle.dumps(heatmap)).values.tolist() == heatmap.values.tolist()
    assert not replace(heatmap, name="dog")._is_deferred
    wrong = Heatmap.deferred(lambda: np.full((3, 4), 2, np.float32), (3, 4))
    with pytest.raises(BadValueError, match=r"Heatmap\.values should lie in \[0, 1\]"):
        _ = wrong.values


def test_many_deferred_heatmaps_take_the_room_of_a_few(monkeypatch):
    monkeypatch.setattr(waiting, "AT_HAND", 2_000_000)
    size = (500, 500)

    def warm(heat):
        return Heatmap.deferred(lambda: np.full(size, heat, np.float32), size)

    heatmaps = tuple(warm(i / 100) for i in range(100))
    tracemalloc.start()
    for heatmap in heatmaps:
        assert heatmap.values[0, 0] == pytest.approx(heatmap.values[-1, -1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000  # all of them are 100 MB


# ---- runs --------------------------------------------------------------------------------------


def test_a_run_is_the_same_where_nothing_fits(tmp_path, nothing_fits, monkeypatch):
    toy = full(bright=Bright(n=3))
    packed = list(walk({"toy": toy}))
    monkeypatch.undo()
    for outcome, dense in zip(packed, walk({"toy": toy}), strict=True):
        assert outcome.error is None
        assert isinstance(outcome.masks.held, PackedMasks)
        assert not isinstance(dense.masks.held, PackedMasks)
        assert np.array_equal(outcome.masks.masks, dense.masks.masks)
        assert np.array_equal(outcome.labels.ids, dense.labels.ids)
        assert outcome.counts == dense.counts


def test_chunks_shrink_for_large_images(monkeypatch):
    taken = []
    evaluate = walking._evaluate

    def noted(work, branch, tasks, uses):
        taken.append(len(tasks))
        evaluate(work, branch, tasks, uses)

    monkeypatch.setattr(walking, "_evaluate", noted)
    assert len([*walk({"toy": full(data=Squares(count=9))}, chunk=4)]) == 9
    assert taken == [4, 4, 1]
    taken.clear()
    monkeypatch.setattr(batches, "SHARE", 12 * 16 * 32 // 2)  # room for half an image each
    assert [o.name for o in walk({"toy": full(data=Squares(count=9))}, chunk=4)] == [
        f"square-{i}" for i in range(9)
    ]
    assert taken[0] == 2
    assert all(1 <= count <= 2 for count in taken)
    taken.clear()
    monkeypatch.setattr(batches, "SHARE", 1)
    assert len([*walk({"toy": full(data=Squares(count=3))}, chunk=4)]) == 3
    assert taken == [1, 1, 1]


def test_images_that_cannot_be_read_take_no_room(monkeypatch):
    monkeypatch.setattr(batches, "SHARE", 12 * 16 * 32)
    toy = full(data=Squares(count=6, bad=(0, 1, 5)))
    outcomes = [*walk({"toy": toy}, chunk=2)]
    assert [o.error is not None for o in outcomes] == [True, True, False, False, False, True]
