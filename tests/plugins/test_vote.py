"""vote: masks take the majority class of a class map."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from segkit import (
    BadValueError,
    Image,
    Labels,
    Masks,
    SegkitWarning,
    UsageError,
    write_png,
)
from segkit.cli.main import make_group
from segkit_plugins.fuser.vote import Vote

NAMES = {i: f"class {i}" for i in range(1, 21)}


def picture(size):
    return Image(np.zeros((*size, 3), np.uint8), "x")


def answer(masks, scores=None):
    masks = np.array(masks, bool)
    n = len(masks)
    return Masks(masks, np.ones(n, np.float32) if scores is None else scores, np.arange(n))


def bands(*spans, width=8):
    """Masks of one row that cover columns first … last."""
    return [[[first <= x <= last for x in range(width)]] for first, last in spans]


def voted(ids, masks, classes=NAMES, names=NAMES, scores=None, **options):
    """The row of ids after the vote; later masks lie on top unless said otherwise."""
    options.setdefault("overlap", "last")
    labels = Labels(np.array([ids], np.int32), names)
    made = Vote(**options)(
        image=picture((1, len(ids))), labels=labels, masks=answer(masks, scores), classes=classes
    )
    return made.ids[0].tolist()


def pixel_loop(ids, masks, rewriting):
    """The vote, one pixel after the other: ties to the class met first, later masks on top."""
    made, height, width = ids.copy(), *ids.shape
    for mask in masks:
        source = made if rewriting else ids
        votes = {}
        for y in range(height):
            for x in range(width):
                if mask[y, x]:
                    votes[source[y, x]] = votes.get(source[y, x], 0) + 1
        for y in range(height):
            for x in range(width):
                if mask[y, x]:
                    made[y, x] = max(votes, key=votes.get)
    return made


def random_case(seed):
    """A class map of few classes in blocks, and masks that overlap, one in three with a tie."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 90, 2)
    block = rng.integers(1, 12)
    cells = rng.integers(0, rng.integers(2, 6), (height // block + 1, width // block + 1))
    ids = np.kron(cells, np.ones((block, block), int))[:height, :width].astype(np.int32)
    masks = np.zeros((rng.integers(0, 13), height, width), bool)
    for mask in masks:
        (y0, y1), (x0, x1) = np.sort(rng.integers(0, (height + 1, width + 1), (2, 2)).T)
        mask[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < rng.choice([0.3, 1, 1])
    present, counts = np.unique(ids, return_counts=True)
    for mask in masks[::3]:  # the same number of pixels of each class
        mask[:] = False
        for label in present:
            places = rng.choice(np.flatnonzero(ids == label), counts.min(), replace=False)
            mask.reshape(-1)[places] = True
    return ids, masks


@pytest.mark.parametrize("seed", range(50))
def test_the_sequential_preset_is_the_pixel_loop(seed):
    ids, masks = random_case(seed)
    image, labels = picture(ids.shape), Labels(ids, NAMES)
    made = Vote(preset="sequential")(image=image, labels=labels, masks=answer(masks))
    assert np.array_equal(made.ids, pixel_loop(ids, masks, rewriting=True))
    made = Vote(overlap="last")(image=image, labels=labels, masks=answer(masks))
    assert np.array_equal(made.ids, pixel_loop(ids, masks, rewriting=False))


def test_the_random_cases_hold_overlaps_and_ties():
    overlaps = ties = apart = 0
    for seed in range(50):
        ids, masks = random_case(seed)
        overlaps += bool((masks.sum(axis=0) > 1).any())
        apart += not np.array_equal(pixel_loop(ids, masks, True), pixel_loop(ids, masks, False))
        for mask in masks:
            counts = np.bincount(ids[mask], minlength=1)
            ties += (counts == counts.max()).sum() > 1
    assert overlaps > 25
    assert apart > 15
    assert ties > 50


def test_a_mask_takes_its_majority_and_the_rest_stays():
    assert voted([1, 1, 2, 2, 2, 3, 3, 0], bands((1, 3), (5, 7))) == [1, 2, 2, 2, 2, 3, 3, 3]
    assert voted([0, 0, 2, 1, 1, 1, 1, 1], bands((0, 2))) == [0, 0, 0, 1, 1, 1, 1, 1]


def test_ties_go_to_the_class_met_first():
    assert voted([2, 1, 1, 2, 0, 0, 0, 0], bands((0, 3))) == [2] * 4 + [0] * 4
    assert voted([3, 1, 2, 2, 1, 0, 0, 0], bands((0, 4))) == [1] * 5 + [0] * 3


def test_rewriting_votes_on_what_masks_before_left():
    ids, masks = [1, 1, 1, 2, 2, 2, 2, 2], bands((0, 4), (3, 6))
    assert voted(ids, masks, order="given") == [1, 1, 1, 2, 2, 2, 2, 2]
    assert voted(ids, masks, order="given", mode="rewriting") == [1, 1, 1, 1, 1, 1, 1, 2]
    assert voted(ids, masks, preset="sequential") == [1, 1, 1, 1, 1, 1, 1, 2]


def test_orders():
    ids, masks = [1, 1, 2, 3, 3, 2, 2, 2], bands((0, 2), (2, 7), (2, 3))
    # Majorities: 1, 2, and 2 (met first).
    assert voted(ids, masks, order="given") == [1, 1, 2, 2, 2, 2, 2, 2]
    assert voted(ids, masks[:2], order="area") == [1, 1, 1, 2, 2, 2, 2, 2]
    assert voted(ids, masks[:2], order="given") == [1, 1, 2, 2, 2, 2, 2, 2]
    scores = np.array([0.9, 0.1], np.float32)
    assert voted(ids, masks[:2], order="score", scores=scores) == [1, 1, 1, 2, 2, 2, 2, 2]
    assert voted(ids, masks[:2], order="score", scores=1 - scores) == [1, 1, 2, 2, 2, 2, 2, 2]


def test_overlaps():
    ids, masks = [1, 1, 1, 2, 2, 3, 3, 3], bands((0, 3), (3, 7), (2, 5))
    # Majorities with their shares: 1 of 3/4, 3 of 3/5, 2 of 2/4.
    assert voted(ids, masks) == [1, 1, 2, 2, 2, 2, 3, 3]
    assert voted(ids, masks, overlap="first") == [1, 1, 1, 1, 3, 3, 3, 3]
    ids, masks = [1, 1, 1, 2, 2, 2, 3, 2], bands((1, 4), (4, 7), (2, 5))
    # 1 of 2/4, 2 of 3/4, 2 of 3/4.
    assert voted(ids, masks, overlap="purest") == [1, 1, 2, 2, 2, 2, 2, 2]
    assert Vote() == Vote(mode="original", order="given", overlap="purest", purity=0)
    # Where both have the same share, the first keeps the pixel.
    assert voted([1, 1, 2, 2, 3, 3], bands((0, 3), (2, 5), width=6), overlap="purest") == [
        *(1, 1, 1, 1, 2, 2)
    ]


def test_least_purity():
    ids, masks = [1, 1, 1, 2, 3, 3, 2, 2], bands((0, 3), (4, 7))
    assert voted(ids, masks, purity=0.75) == [1, 1, 1, 1, 3, 3, 2, 2]
    assert voted(ids, masks, purity=0.76) == ids
    assert voted([1] * 8, bands((0, 7)), purity=1) == [1] * 8
    # A mask that is left out claims no pixel.
    assert voted(ids, bands((0, 7), (4, 7)), purity=0.5, overlap="first") == [1] * 3 + [2] + [3] * 4


def test_void_has_no_vote_but_is_painted_over():
    assert voted([255, 255, 255, 2, 1, 1, 255, 0], bands((0, 3))) == [2] * 4 + [1, 1, 255, 0]
    assert voted([255, 255, 1, 2, 1, 1, 1, 0], bands((0, 1))) == [255, 255, 1, 2, 1, 1, 1, 0]
    assert voted([255, 255, 255, 2, 2, 1, 0, 0], bands((0, 5)), purity=0.6) == [2] * 6 + [0, 0]


def test_large_ids_and_many_of_them():
    ids, names = [70000, 70000, 300, 255, 255, 255, 0, 0], {300: "a", 70000: "b"}
    assert voted(ids, bands((0, 4)), classes=names, names=names) == [70000] * 5 + [255, 0, 0]
    ids = [*range(256, 656), 400, 255]
    many = {i: f"n{i}" for i in range(256, 656)}
    masks = bands((0, 401), width=402)
    assert voted(ids, masks, classes=many, names=many) == [400] * 402


def test_the_class_map_gets_the_data_sets_ids_by_name():
    labels = Labels(np.array([[1, 1, 2, 3, 3, 9]], np.int32), {1: "dog", 2: "cat", 3: "elk"})
    made = Vote()(
        image=picture((1, 6)),
        labels=labels,
        masks=answer(bands((0, 2), width=6)),
        classes={1: "cat", 2: "dog"},
    )
    assert made.ids[0].tolist() == [2, 2, 2, 10, 10, 9]
    assert made.classes == {1: "cat", 2: "dog", 9: "class 9", 10: "elk"}
    assert labels.ids[0].tolist() == [1, 1, 2, 3, 3, 9]


def test_large_ids_are_renumbered_too():
    assert voted([90000, 90000, 0, 255], bands((0, 1), width=4), {7: "x"}, {90000: "x"}) == [
        *(7, 7, 0, 255)
    ]


def test_nothing_to_vote_on():
    ids = [1, 2, 0, 255, 3, 3, 3, 3]
    assert voted(ids, np.zeros((0, 1, 8), bool)) == ids
    assert voted(ids, np.zeros((2, 1, 8), bool), overlap="first", order="area") == ids
    assert voted([5], [[[True]]]) == [5]
    assert voted([5], [[[False]]], overlap="purest") == [5]


def test_masks_over_more_than_one_block():
    """A mask's first and last pixels are found wherever they are in a large image."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (150, 200)).astype(np.int32)
    masks = np.zeros((6, 150, 200), bool)
    masks[0, 149, 199] = masks[1, 0, 0] = masks[2, 60, 100] = masks[3, 20:25, 90:] = True
    masks[4, [0, 149], [0, 199]] = masks[5, 20:96, 96:107] = True
    made = Vote(preset="sequential")(
        image=picture((150, 200)), labels=Labels(ids, NAMES), masks=answer(masks)
    )
    assert np.array_equal(made.ids, pixel_loop(ids, masks, rewriting=True))


def test_the_preset_and_other_options():
    step = Vote(preset="sequential")
    assert (step.mode, step.order, step.overlap, step.purity) == ("rewriting", "given", "last", 0)
    assert Vote.model_validate(step.model_dump(mode="json")) == step
    assert Vote(preset="sequential", purity="0.0") == step
    with pytest.raises(UsageError) as info:
        Vote(preset="sequential", order="area")
    assert (
        "preset sequential means order given, but order is area; leave one of the two out"
        in str(info.value)
    )
    with pytest.raises(UsageError, match="'none' or 'sequential'"):
        Vote(preset="parallel")


# ---- the table -------------------------------------------------------------------------------

ADE = {1: "wall", 4: "floor, flooring", 13: "person, individual", 20: "car"}
VOC_IDS = {7: "car", 15: "person"}


def test_the_vote_runs_before_the_table():
    ids = [1, 1, 1, 4, 4, 4, 13, 13, 13, 13]  # 30 % wall, 30 % floor, 40 % person
    mask = [[[True] * 10]]
    after = {"names": ADE, "classes": VOC_IDS, "table": "ade20k-voc"}
    assert voted(ids, mask, **after) == [15] * 10
    before = [15 if i == 13 else 0 for i in ids]  # as --dpt.table would give them
    assert voted(before, mask, names=VOC_IDS, classes=VOC_IDS) == [0] * 10
    assert voted([*ids, 13, 255, 9], [[[True] * 10 + [False] * 3]], **after) == [
        *([15] * 11),
        255,
        0,  # nobody named it
    ]


@pytest.mark.parametrize("mode", ["original", "rewriting"])
def test_vote_and_table_one_after_the_other_by_a_loop(tmp_path, mode):
    rng = np.random.default_rng(7)
    table = {"wall": "house", "floor": "house", "person": "person", "car": "thing"}
    (tmp_path / "t.csv").write_text("".join(f"{a},{b}\n" for a, b in table.items()))
    targets = {0: 0, 1: 16, 4: 16, 13: 15, 20: 17, 30: 0}  # the next free ids in the map's order
    ids = rng.choice([0, 1, 4, 13, 20, 30], (9, 12)).astype(np.int32)
    masks = rng.random((5, 9, 12)) < 0.4
    labels = Labels(ids, {**ADE, 30: "sky"})
    step = Vote(overlap="last", mode=mode, table=str(tmp_path / "t.csv"))
    made = step(image=picture((9, 12)), labels=labels, masks=answer(masks), classes=VOC_IDS)
    wanted = np.vectorize(targets.get)(pixel_loop(ids, masks, rewriting=mode == "rewriting"))
    assert np.array_equal(made.ids, wanted)
    assert made.classes == {**VOC_IDS, 16: "house", 17: "thing"}


def test_a_table_that_does_not_go_with_the_map(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("cat,dog\n")
    with pytest.raises(BadValueError) as error:
        voted([1], [[[True]]], names={1: "wall"}, table=str(table))
    assert str(error.value) == (
        f"--vote.table {table} knows none of the 1 classes of the class map, such as 'wall'; "
        "choose the table that goes with it"
    )
    table.write_text("wall,house\npersn,person\n")
    with pytest.warns(SegkitWarning) as told:
        assert voted([1], [[[True]]], names=ADE, classes={}, table=str(table)) == [1]
    assert [str(warning.message) for warning in told] == [
        f"--vote.table {table}: the class map has no class 'persn'; did you mean 'person'?"
    ]
    with pytest.raises(UsageError, match="there is no name table 'voc'"):
        Vote(table="voc").open("cpu")


def test_from_the_command_line(tmp_path, monkeypatch):
    """Class maps and masks of the heatmap meet in the vote."""
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = (220, 40, 30)
    write_png(tmp_path / "photo.png", pixels)
    ids = np.full((64, 64), 2, np.uint8)
    ids[:, :4] = 1
    write_png(tmp_path / "maps" / "photo.png", ids)
    words = "run photo.png --segmenter class-maps --class-maps.folder maps --segmenter threshold "
    words += "--class-maps.names cat --class-maps.names dog --threshold.level 0.01 --prompt none "
    words += "--fuser vote --vote.preset sequential --write masks --quiet -o out"
    done = CliRunner().invoke(make_group(), words.split(), prog_name="segkit")
    assert done.exit_code == 0, done.output
    recipe = (tmp_path / "out" / "recipe.toml").read_text()
    assert 'mode = "rewriting"' in recipe
    assert (tmp_path / "out" / "masks" / "photo.png").is_file()
    done = CliRunner().invoke(
        make_group(), [*words.split(), "--overwrite", "--vote.mode", "original"]
    )
    assert "preset sequential means mode rewriting, but mode is original" in str(done.exception)


def test_without_a_class_map_the_plan_says_so(tmp_path):
    write_png(tmp_path / "photo.png", np.zeros((8, 8, 3), np.uint8))
    words = ["run", str(tmp_path / "photo.png"), "--fuser", "vote"]
    done = CliRunner().invoke(make_group(), words)
    assert str(done.exception) == (
        "vote needs 'labels', and nothing before it makes one; add --segmenter or --fuser"
    )
