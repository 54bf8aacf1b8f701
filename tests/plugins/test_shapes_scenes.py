"""Generated pictures follow the design, are the same everywhere, and make a sound data set."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from PIL import Image as PilImage

from segkit import BadImageError, Catalog, UsageError
from segkit_plugins.shared import drawing
from segkit_plugins.shared.drawing import CLASSES, Backgrounds, Drawing, draw, resize

FROZEN = [
    *(3576445411, 94286173, 1321810980, 2063493510),  # one object
    *(3779593126, 2904770124, 1086310710, 2585356836),  # two to five
    525903835,  # three, on pictures
]


def made(seed: int, index: int = 0, **options: object) -> Drawing:
    return draw(np.random.default_rng([seed, index]), Backgrounds.load(None), **options)


@pytest.fixture(scope="module")
def many() -> list[Drawing]:
    """600 pictures of one object on plain grey, so that all that differs from grey is drawn."""
    grey = Backgrounds(np.full((1, 8, 8, 3), 128, np.uint8))
    return [draw(np.random.default_rng([9, i]), grey, 128) for i in range(600)]


@pytest.fixture(scope="module")
def placed(many) -> list[tuple[int, float, float, float]]:
    """Class, radius, x and y of the objects that lie wholly inside, measured on their masks."""
    found = []
    for each in many:
        first_x, first_y, last_x, last_y = each.boxes[0].tolist()
        if min(first_x, first_y) > 0 and max(last_x, last_y) < 127 and each.classes[0] == 1:
            radius = (last_x - first_x + last_y - first_y + 2) / 4
            found.append((1, radius, (first_x + last_x) / 2, (first_y + last_y) / 2))
    return found


def test_classes_are_uniform(many):
    counts = np.bincount([d.classes[0] for d in many], minlength=6)[1:]
    expected = len(many) / len(CLASSES)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001


def test_radii_span_the_design(placed):
    radii = np.array([radius for _, radius, _, _ in placed]) / 128
    assert radii.min() >= 0.12 - 0.01
    assert radii.max() <= 0.38 + 0.01
    assert radii.min() < 0.15
    assert radii.max() > 0.34
    # About uniform: circles cut by the border are left out, so large ones are a little fewer.
    assert 0.21 < radii.mean() < 0.27


def test_centres_keep_their_distance_from_the_border(many):
    """The area of a circle says its radius; at 0.8 radii from the border little is cut off."""
    for each in many:
        mask = each.instances == 1
        if each.classes[0] != 1:
            continue
        width = max(np.ptp(np.nonzero(mask.any(axis))[0]) + 1 for axis in (0, 1))
        radius = width / 2  # the less cut axis shows nearly all of the diameter
        share = mask.sum() / (math.pi * radius**2)
        # A circle cut at 0.8 of its radius loses 5.2 % on a side, at most on two sides.
        assert share > 0.84


def test_centres_reach_the_border_region(placed):
    gaps = [min(x, y, 127 - x, 127 - y) / radius for _, radius, x, y in placed]
    assert min(gaps) < 1.2


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        (1, 1.0),  # of the circumscribed circle
        (2, 2 / math.pi),
        (3, 2 * 0.6 / math.pi),
        (4, 3 * math.sqrt(3) / 4 / math.pi),
        (5, 1.1226 / math.pi),
    ],
)
@pytest.mark.parametrize("angle", [-25.0, 0.0, 13.0])
def test_each_shape_has_its_area_and_reaches_its_circle(shape, share, angle):
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    line = np.arange(-220.0, 221.0)
    inside = drawing._inside(shape, line, line, 200.0, cos, sin)
    assert inside.sum() / (math.pi * 200**2) == pytest.approx(share, rel=0.01)
    y, x = np.nonzero(inside)
    reach = np.hypot(x - 220, y - 220).max()
    assert 197 < reach <= 200
    assert inside[220, 220]


def test_triangle_and_star_point_up_and_the_diamond_is_tall():
    line = np.arange(-100.0, 101.0)
    for shape in (4, 5, 3):
        inside = drawing._inside(shape, line, line, 95.0, 1.0, 0.0)
        rows = np.nonzero(inside.any(1))[0]
        assert rows[0] == pytest.approx(5, abs=1)
        assert inside[rows[0]].sum() <= 4
    wide, tall = (np.ptp(np.nonzero(inside.any(a))[0]) for a in (0, 1))
    assert wide / tall == pytest.approx(0.6, abs=0.02)


def test_rotation_turns_the_picture():
    line = np.arange(-100.0, 101.0)
    cos, sin = math.cos(math.radians(25)), math.sin(math.radians(25))
    turned = drawing._inside(4, line, line, 95.0, cos, sin)
    y, x = np.nonzero(turned)
    apex = x[y.argmin()] - 100, y.min() - 100
    assert math.degrees(math.atan2(abs(apex[0]), -apex[1])) == pytest.approx(25, abs=1.5)


def test_half_of_the_pictures_are_noisy(many):
    """On plain grey any variation outside of the object is noise."""
    deviation = np.array([d.pixels[d.instances == 0].astype(float).std() for d in many])
    noisy = deviation > 0.5
    assert 0.43 < noisy.mean() < 0.57
    assert deviation[noisy].min() > 1.9
    assert deviation[noisy].max() < 14.2
    assert deviation[noisy].mean() == pytest.approx(8, abs=0.7)


def test_most_objects_have_one_colour():
    """Without noise a flat object holds one colour, another a second crop."""
    noise = Backgrounds(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8))
    flat = []
    for i in range(300):
        each = draw(np.random.default_rng([4, i]), noise, 64)
        outside = each.pixels[each.instances == 0].astype(float)
        assert outside.std() > 5
        inside = each.pixels[each.instances == 1].astype(float)
        flat.append(inside.std(0).mean() < 16)  # the noise of a flat one is at most 14
    assert 0.52 < np.mean(flat) < 0.68


def test_the_same_seed_gives_the_same_pixels_for_good():
    """Frozen: whoever changes these pictures makes every published figure incomparable."""
    found = []
    for objects in ((1, 1), (2, 5)):
        for index in range(4):
            each = made(20007, index, objects=objects)
            found.append(zlib.crc32(each.pixels.tobytes() + each.instances.tobytes()))
    pictures = np.random.default_rng(5).integers(0, 256, (3, 32, 40, 3), np.uint8)
    each = draw(np.random.default_rng([20007, 1]), Backgrounds(pictures), 256, (3, 3))
    found.append(zlib.crc32(each.pixels.tobytes() + each.labels.tobytes()))
    assert found == FROZEN


def test_pictures_differ_by_index_and_seed():
    assert not np.array_equal(made(1, 0).pixels, made(1, 1).pixels)
    assert not np.array_equal(made(1, 0).pixels, made(2, 0).pixels)
    assert np.array_equal(made(1, 1).pixels, made(1, 1).pixels)


def test_scenes_have_two_to_five_objects_which_overlap():
    counts, touching = [], 0
    for index in range(150):
        each = made(3, index, size=96, objects=(2, 5))
        present = np.unique(each.instances)
        assert present.tolist() == list(range(len(each.classes) + 1))
        counts.append(len(each.classes))
        for i, shape in enumerate(each.classes, 1):
            assert set(each.labels[each.instances == i]) == {shape}
            x0, y0, x1, y1 = each.boxes[i - 1]
            y, x = np.nonzero(each.instances == i)
            assert (x0, y0, x1, y1) == (x.min(), y.min(), x.max(), y.max())
        side = each.instances[:, :-1], each.instances[:, 1:]
        touching += bool(((side[0] > 0) & (side[1] > 0) & (side[0] != side[1])).any())
    shares = np.bincount(counts, minlength=6)[2:] / len(counts)
    assert sum(shares) == 1
    assert shares.min() > 0.13
    assert touching > 75
    assert (each.labels[each.instances == 0] == 0).all()


def test_later_objects_lie_on_top():
    """Objects of one colour each on grey: wherever two meet, the later one's colour is seen."""
    grey = Backgrounds(np.full((1, 4, 4, 3), 128, np.uint8))
    rng = np.random.default_rng([8, 0])
    pixels, instances = np.full((64, 64, 3), 128, np.uint8), np.zeros((64, 64), np.int32)
    before: list[np.ndarray] = []
    for number in range(1, 7):
        drawing._add(rng, grey, pixels, instances, 1 + number % 5, number)
        mine = instances == number
        assert mine.any()
        assert len(np.unique(pixels[mine], axis=0)) == 1
        before.append(mine)
    assert any((a & b).any() for i, a in enumerate(before) for b in before[i + 1 :])


def test_covered_objects_are_replaced(monkeypatch):
    """Where a large object hides an earlier one, the number of visible objects still holds."""
    monkeypatch.setattr(drawing, "RADIUS", (0.12, 0.6))
    monkeypatch.setattr(drawing, "MARGIN", 0.2)
    for index in range(60):
        each = made(6, index, size=32, objects=(4, 4))
        assert np.unique(each.instances).tolist() == list(range(len(each.classes) + 1))
        assert len(each.classes) <= 4
    counts = [len(made(6, i, size=32, objects=(4, 4)).classes) for i in range(60)]
    assert np.mean(np.array(counts) == 4) > 0.9


# Backgrounds


def test_made_up_textures_vary():
    rng = np.random.default_rng(0)
    seen = [Backgrounds.load(None).crop(rng, 64) for _ in range(60)]
    assert all(t.shape == (64, 64, 3) and t.dtype == np.uint8 for t in seen)
    colours = [len(np.unique(t.reshape(-1, 3), axis=0)) for t in seen]
    assert min(colours) <= 2  # stripes, checks or patches
    assert max(colours) > 500  # smooth ones
    means = np.array([t.mean((0, 1)) for t in seen])
    assert means.std(0).min() > 25


def test_an_npz_gives_crops_of_its_pictures(tmp_path):
    grey = np.array([10, 100, 200], np.uint8)
    flat = np.zeros((3, 20, 30, 3), np.uint8) + grey[:, None, None, None]
    np.savez(tmp_path / "b.npz", images=flat)
    backgrounds = Backgrounds.load(tmp_path / "b.npz")
    rng = np.random.default_rng(0)
    found = [np.unique(backgrounds.crop(rng, 48)) for _ in range(40)]
    assert all(len(v) == 1 for v in found)  # a flat picture stays flat, bicubically too
    assert {int(v[0]) for v in found} == {10, 100, 200}


def test_crops_lie_inside_and_cover_at_least_half_a_side(tmp_path):
    ramp = np.arange(100, dtype=np.uint8)[None, :, None] * 2
    picture = np.broadcast_to(ramp, (1, 60, 100, 3)).copy()
    backgrounds = Backgrounds(picture)
    rng = np.random.default_rng(0)
    spans, lefts = [], []
    for _ in range(200):
        row = backgrounds.crop(rng, 64)[0, :, 0].astype(int)
        spans.append((row[-1] - row[0]) / 2 + 1)
        lefts.append(row[0] / 2)
    assert min(spans) > 28
    assert max(spans) > 56
    assert max(spans) <= 61
    assert min(lefts) < 4
    assert max(lefts) > 40


def test_a_folder_gives_crops_of_its_pictures(tmp_path):
    for name, colour in (("a.png", 40), ("b.JPG", 220)):
        pixels = np.full((50, 40, 3), colour, np.uint8)
        PilImage.fromarray(pixels).save(tmp_path / name, "png")
    (tmp_path / "notes.txt").write_text("no picture")
    backgrounds = Backgrounds.load(tmp_path)
    rng = np.random.default_rng(0)
    assert {int(backgrounds.crop(rng, 16)[0, 0, 0]) for _ in range(20)} == {40, 220}


def test_a_broken_picture_of_a_folder_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(BadImageError, match=r"a\.png"):
        Backgrounds.load(tmp_path).crop(np.random.default_rng(0), 16)


@pytest.mark.data("cifar10_train.npz")
def test_cifar_backgrounds(real_data):
    shapes = Catalog(third_party=False).load("dataset", "shapes")(count=2, backgrounds=real_data)
    assert not np.array_equal(shapes[0][0].pixels, shapes[1][0].pixels)


def test_unusable_backgrounds_get_one_sentence(tmp_path):
    def sentence(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            Backgrounds.load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        return str(caught.value).replace(str(tmp_path / name), "IT")

    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", pictures=np.zeros((1, 2, 2, 3), np.uint8))
    np.savez(tmp_path / "grey.npz", images=np.zeros((4, 8, 8), np.uint8))
    np.savez(tmp_path / "float.npz", images=np.zeros((4, 8, 8, 3)))
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 8, 8, 3), np.uint8))
    np.save(tmp_path / "single.npy", np.zeros((4, 8, 8, 3), np.uint8))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "zero.npz").write_bytes(b"")
    good = tmp_path / "good.npz"
    np.savez(good, images=np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8))
    data = bytearray(good.read_bytes())
    data[600:900] = bytes(300)
    (tmp_path / "damaged.npz").write_bytes(bytes(data))
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:700])
    np.savez(tmp_path / "pickle.npz", images=np.array([{}], object))

    assert sentence("empty") == (
        "backgrounds should be a folder of pictures, but 'IT' holds none; "
        "put pictures into it or name another folder"
    )
    assert sentence("gone") == (
        "backgrounds should be a folder or an .npz file, but there is no 'IT'; check the path"
    )
    what = "backgrounds should be an .npz file with 'images' (n, h, w, 3) uint8, but "
    assert sentence("other.npz") == what + "'IT' holds pictures; rename the array to 'images'"
    for name, shape in (
        ("grey.npz", "(4, 8, 8) uint8"),
        ("float.npz", "(4, 8, 8, 3) float64"),
        ("none.npz", "(0, 8, 8, 3) uint8"),
    ):
        assert sentence(name) == (
            f"{what}'images' of 'IT' is {shape}; save RGB pictures of one size, at least one"
        )
    for name in ("single.npy", "text.npz", "zero.npz", "cut.npz", "damaged.npz", "pickle.npz"):
        assert sentence(name) == (
            what + "'IT' is another kind of file or damaged; save it with numpy.savez"
        )


# Resizing


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (47, 47), (20, 33), (64, 64), (90, 90)])
def test_resizing_agrees_with_pillow(cubic, height, width):
    """Pillow's filters are the same where they enlarge, but at the border and where they clip."""
    rng = np.random.default_rng(1)
    picture = rng.integers(64, 192, (height, width, 3), np.uint8)
    ours = resize(picture, 96, cubic).astype(int)
    kind = PilImage.Resampling.BICUBIC if cubic else PilImage.Resampling.BILINEAR
    theirs = np.array(PilImage.fromarray(picture).resize((96, 96), kind)).astype(int)
    assert abs(ours - theirs)[10:-10, 10:-10].max() <= 1


def test_large_pictures_are_averaged_before_resizing():
    checks = np.indices((400, 400)).sum(0) % 2 * 255
    small = resize(np.repeat(checks[:, :, None], 3, 2).astype(np.uint8), 100)
    assert abs(small.astype(int) - 128).max() <= 1


# The data sets


@pytest.mark.parametrize(("name", "least", "most"), [("shapes", 1, 1), ("scenes", 2, 5)])
def test_the_data_sets_keep_their_contract(name, least, most):
    step = Catalog(third_party=False).load("dataset", name)(count=6, seed=5, size=96)
    assert len(step) == 6
    assert list(step.names) == [f"{name}-0000{i}" for i in range(6)]
    assert dict(step.classes) == CLASSES
    assert step.has_truth
    step.open("cpu")
    for index, expected in enumerate(step.names):
        image, truth = step[index]
        assert image.name == expected
        assert image.size == (96, 96)
        assert truth.labels.ids.shape == truth.instances.shape == (96, 96)
        assert truth.labels.classes == CLASSES
        assert least <= truth.instances.max() <= most
        assert ((truth.instances > 0) == (truth.labels.ids > 0)).all()
        own = draw(np.random.default_rng([5, index]), Backgrounds.load(None), 96, (least, most))
        assert np.array_equal(own.pixels, image.pixels)
    step.close()
    assert np.array_equal(step[5][0].pixels, image.pixels)  # opened by itself
    assert step[-1][0].name == image.name
    with pytest.raises(IndexError):
        step[6]


def test_options_out_of_range_are_refused():
    shapes = Catalog(third_party=False).load("dataset", "shapes")
    for wrong in ({"count": 0}, {"seed": -1}, {"size": 31}):
        with pytest.raises(UsageError, match="greater than"):
            shapes(**wrong)
    assert shapes().backgrounds is None
    assert shapes() == shapes(count=100, seed=20000, size=256)
    assert shapes() != shapes(seed=1)


def test_missing_backgrounds_are_said_before_the_first_picture(tmp_path):
    scenes = Catalog(third_party=False).load("dataset", "scenes")(backgrounds=tmp_path / "no")
    with pytest.raises(UsageError, match="there is no"):
        scenes.open("cpu")


def test_a_count_that_no_list_of_names_holds_is_refused_at_once():
    catalog = Catalog(third_party=False)
    assert len(catalog.load("dataset", "scenes")(count=1_000_000)) == 1_000_000
    with pytest.raises(UsageError, match=r"--shapes.count: .* less than or equal to 1000000"):
        catalog.load("dataset", "shapes")(count=10**15)
