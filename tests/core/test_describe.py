"""What `segkit describe` counts, against truths that were made by hand."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from segkit import BadImageError, Dataset, Image, Labels, Truth
from segkit.reporting.describe import Description, spread
from segkit.reporting.describe_objects import objects_in, pixels_by_id
from segkit.reporting.describe_page import chart, write_description


class Made(Dataset):
    """Pictures whose truths are given: `_made` holds (ids, instances), or an error to raise."""

    name = "made"

    @property
    def names(self):
        return [f"picture-{i}" for i in range(len(MADE))]

    @property
    def classes(self):
        return {1: "cat", 2: "dog", 3: "cow"}

    @property
    def groups(self):
        return {"coat": {"picture-0": "red", "picture-1": "red", "picture-2": "black"}}

    def __getitem__(self, index):
        made = MADE[index]
        if isinstance(made, Exception):
            raise made
        pixels = np.full((4, 6, 3), 100, np.uint8)
        if made is None:
            return Image(pixels, self.names[index]), None
        ids, instances = made
        return Image(pixels, self.names[index]), Truth(Labels(ids, self.classes), instances)


def grid(*rows):
    return np.array([[int(c) if c != "v" else 255 for c in row] for row in rows], np.int32)


TWO_CATS = grid("110011", "110011", "000000", "000002")
TOUCHING = (grid("111100", "111100", "000000", "000000"), grid("112200", "112200", *["0" * 6] * 2))
MADE = [
    (TWO_CATS, None),
    TOUCHING,
    (grid("vv0000", *["0" * 6] * 3), None),
    BadImageError("the file is torn; replace it"),
    BadImageError("the mask is smaller; scale it", cause="size"),
    RuntimeError("out of luck"),
    None,
    (grid("700000", *["0" * 6] * 3), None),
    (np.zeros((3, 6), np.int32), None),
]


@pytest.fixture
def described():
    found = Description.of(Made())
    assert list(found.look(Made())) == list(Made().names)
    return found


def test_images_classes_and_objects_are_counted(described):
    found = described
    assert (found.total, found.looked_at, found.usable, found.with_truth) == (9, 9, 5, 4)
    assert found.spoilt == 4
    counted = {t.name: (t.images, t.pixels, t.objects) for t in found.classes.values()}
    assert counted == {
        "cat": (2, 16, 4),  # two pieces, and two instances that touch
        "dog": (1, 1, 1),
        "cow": (0, 0, 0),
        "class 7": (1, 1, 1),
    }
    assert found.unseen == ["cow"]
    assert [t.name for _, t in found.shown] == ["cat", "dog", "class 7"]
    assert (found.pixels, found.void, found.background) == (4 * 24, 2, 4 * 24 - 2 - 18)
    assert found.objects == Counter({3: 1, 2: 1, 0: 1, 1: 1})
    assert found.counted_by == {"regions": 3, "instances": 1}
    assert found.groups == {"coat": {"red": 2, "black": 1}}
    assert found.sizes == {(6, 4): 5}


def test_every_problem_is_named_and_none_is_the_end(described):
    told = {(p.image, p.problem): p.sentence for p in described.problems}
    assert told == {
        ("picture-2", "empty"): "the truth of 'picture-2' shows no object",
        ("picture-3", "unreadable"): "the file is torn; replace it",
        ("picture-4", "size"): "the mask is smaller; scale it",
        ("picture-5", "unreadable"): "dataset 'made' raised RuntimeError: out of luck",
        ("picture-6", "no truth"): "'picture-6' has no truth, though the data set has",
        ("picture-7", "ids"): "the truth of 'picture-7' holds 7, which no class has",
        ("picture-8", "size"): (
            "the truth of 'picture-8' is 6x3, but the image is 6x4; scale one of them"
        ),
    }
    assert described.counts == {"unreadable": 2, "size": 2, "no truth": 1, "ids": 1, "empty": 1}


def test_a_truth_that_is_none_is_the_plugins_fault_and_spoils_its_image_alone():
    class Loose(Made):
        name = "loose"

        def __getitem__(self, index):
            image, truth = super().__getitem__(0)
            return image, truth.labels if index == 1 else truth

    found = Description.of(Loose())
    assert len(list(found.look(Loose()))) == len(MADE)
    (problem,) = found.problems
    assert (problem.image, problem.problem) == ("picture-1", "unreadable")
    assert problem.sentence == (
        "dataset 'loose' should make an Image and a Truth or None, but made a Labels"
    )


def test_void_does_not_cut_an_object_in_pieces():
    cut = grid("11v110", "11v110", "vvvvv0", "0000v1")
    assert objects_in(Truth(Labels(cut))) == ([(1, 9)], "regions")
    apart = grid("110011", "000000")
    assert objects_in(Truth(Labels(apart))) == ([(1, 2), (1, 2)], "regions")
    corner = grid("1000", "0100")
    assert objects_in(Truth(Labels(corner))) == ([(1, 2)], "regions")


def test_an_instance_has_the_class_of_most_of_its_pixels():
    ids = grid("1112", "00v0")
    instances = grid("1111", "22v3")  # 2 and 3 lie on background
    assert objects_in(Truth(Labels(ids), instances)) == ([(1, 4)], "instances")
    many = np.arange(300, dtype=np.int32).reshape(1, 300)  # 255 is void, and no object
    assert len(objects_in(Truth(Labels(np.ones_like(many)), many))[0]) == 298


def test_regions_agree_with_an_independent_count():
    measure = pytest.importorskip("skimage.measure")
    ids = np.random.default_rng(4).integers(0, 4, (40, 50)).astype(np.int32)
    found, _ = objects_in(Truth(Labels(ids)))
    marked = measure.label(ids, background=0, connectivity=2)
    areas = [(int(ids[marked == r.label][0]), int(r.area)) for r in measure.regionprops(marked)]
    assert sorted(found) == sorted(areas)


@pytest.mark.parametrize("most", [5, 2_000_000])
def test_pixels_are_counted_whatever_the_ids(most):
    ids = np.random.default_rng(1).integers(0, most + 1, (30, 20)).astype(np.int32)
    ids[0, 0] = most
    assert pixels_by_id(ids) == dict(Counter(ids.ravel().tolist()))


def test_spread_agrees_with_numpy():
    values = np.random.default_rng(2).integers(0, 9, 101)
    for some in (values, values[:-1]):
        found = spread(Counter(some.tolist()))
        assert found["median"] == np.median(some)
        assert found["mean"] == pytest.approx(some.mean())
        assert (found["min"], found["max"]) == (some.min(), some.max())
    assert spread({}) is None


def test_it_may_be_stopped_after_any_image():
    found = Description.of(Made())
    looking = found.look(Made())
    next(looking)
    looking.close()
    assert (found.looked_at, found.usable, found.with_truth) == (1, 1, 1)


def test_memory_does_not_grow_with_the_images():
    class Many(Dataset):
        name = "many"
        count: int = 1

        @property
        def names(self):
            return [str(i) for i in range(self.count)]

        def __getitem__(self, index):
            ids = np.zeros((200, 200), np.int32)
            ids[: 5 + index % 50] = 1
            return Image(np.zeros((200, 200, 3), np.uint8), str(index)), Truth(Labels(ids))

    peaks = []
    for count in (30, 30, 150):  # the first one pays for what is imported
        tracemalloc.start()
        found = Description.of(Many(count=count))
        assert sum(1 for _ in found.look(Many(count=count), samples=3)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 200 * 200 * 3  # less than one more picture


def test_all_figures_survive_json(described):
    told = json.loads(json.dumps(described.to_dict()))
    assert told["images"] == {"total": 9, "looked_at": 9, "usable": 5, "with_truth": 4}
    assert told["sizes"]["width"] == {"min": 6, "median": 6, "mean": 6, "max": 6}
    assert told["pixels"]["void_share"] == pytest.approx(2 / 96)
    assert sum(c["pixel_share"] for c in told["classes"]) == pytest.approx(18 / 96)
    assert told["objects"]["all"] == 6
    assert told["problem_counts"]["size"] == 2
    assert len(told["problems"]) == 7


def test_samples_show_the_truth(described):
    samples = {s.name: s for s in described.samples}
    assert list(samples) == ["picture-0", "picture-1", "picture-2", "picture-6", "picture-7"]
    drawn = samples["picture-0"].drawn()
    assert drawn[0, 0].tolist() == [50 + 64, 50, 50]  # half photo, half the class's dark red
    assert drawn[0, 2].tolist() == [255, 255, 255]  # the line around it
    assert drawn[0, 3].tolist() == [100, 100, 100]  # background as it is
    assert (samples["picture-6"].drawn() == 100).all()


def test_the_page_holds_it_all_and_runs_nothing(described, tmp_path):
    described.problems[0] = type(described.problems[0])("<script>x", "empty", "<b>'bold'</b>")
    write_description(tmp_path / "page.html", described)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in ("made: 9 images", "4 cannot be used", ">cat<", "By coat", "No image shows cow."):
        assert text in page
    assert page.count("data:image/jpeg;base64,") == 5
    assert "&lt;script&gt;x" in page
    assert "<script" not in page
    assert "&lt;b&gt;" in page
    for outside in ("http:", "https:", 'src="//', "@import"):
        assert outside not in page


def test_the_page_of_nothing_usable(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "MADE", [BadImageError("it is torn")])
    found = Description.of(Made())
    list(found.look(Made()))
    write_description(tmp_path / "page.html", found)
    assert "it is torn" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_bars_count_what_they_say():
    made = chart("objects", Counter({1: 3, 4: 6}))
    assert [bar.label for bar in made.bars] == ["1: 3 images", "4: 6 images"]
    assert [bar.height for bar in made.bars] == [22, 44]
    assert [bar.x for bar in made.bars] == [0.5, 225.5]
    wide = chart("width", Counter({100: 1, 300: 1, 500: 2}))
    assert [bar.label for bar in wide.bars] == [
        *("100 to 120: 1 image", "300 to 320: 1 image", "480 to 500: 2 images")
    ]
    assert wide.median_x == 225
    assert len(chart("aspect", {1.5: 4}).bars) == 1
    assert chart("nothing", {}) is None
