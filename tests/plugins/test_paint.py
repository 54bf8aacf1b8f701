"""paint: masks, and a class map, as one class map with the data set's ids."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Image, Labels, Masks, Prompt, Prompts, UsageError
from segkit_plugins.fuser.paint import Paint

IMAGE = Image(np.zeros((2, 6, 3), np.uint8), "x")


def bands(*spans, names=(), prompt=None):
    """Masks that cover columns first … last."""
    masks = np.zeros((len(spans), 2, 6), bool)
    for mask, (first, last) in zip(masks, spans, strict=True):
        mask[:, first : last + 1] = True
    n = len(spans)
    return Masks(masks, np.ones(n, np.float32), np.arange(n) if prompt is None else prompt, names)


def painted(table=None, **inputs):
    labels = Paint(table=table)(image=IMAGE, **inputs)
    assert np.array_equal(labels.ids[0], labels.ids[1])
    return labels.ids[0].tolist(), labels.classes


def test_names_get_the_data_sets_ids_and_new_ones_the_next_free_id():
    masks = bands((0, 0), (1, 1), (2, 2), names=("dog", "bird", "cat"))
    assert painted(masks=masks, classes={1: "cat", 3: "dog"}) == (
        [3, 4, 1, 0, 0, 0],
        {1: "cat", 3: "dog", 4: "bird"},
    )


def test_without_a_data_set_names_are_numbered_as_they_come():
    masks = bands((0, 1), (2, 2), (3, 3), names=("dog", "cat", "dog"))
    assert painted(masks=masks) == ([1, 1, 2, 1, 0, 0], {1: "dog", 2: "cat"})


def test_later_masks_lie_on_top():
    assert painted(masks=bands((0, 3), (2, 5), names=("a", "b")))[0] == [1, 1, 2, 2, 2, 2]


def test_a_nameless_mask_takes_its_prompts_class_else_object():
    prompts = Prompts((Prompt(points=[(0, 0)]), Prompt(points=[(1, 1)], name="dog")))
    masks = bands((0, 0), (1, 1), (2, 2), prompt=np.array([1, 0, 1]), names=(None, None, "cat"))
    assert painted(masks=masks, prompts=prompts) == (
        [1, 2, 3, 0, 0, 0],
        {1: "dog", 2: "object", 3: "cat"},
    )
    assert painted(masks=bands((2, 3))) == ([0, 0, 1, 1, 0, 0], {1: "object"})
    assert painted(masks=bands((2, 3)), prompts=Prompts()) == ([0, 0, 1, 1, 0, 0], {1: "object"})


def test_no_mask_makes_an_empty_class_map():
    assert painted(masks=Masks.none((2, 6)), classes={1: "cat"}) == ([0] * 6, {1: "cat"})


def test_masks_are_painted_over_the_class_map_void_too():
    labels = Labels(np.array([[1, 1, 2, 2, 255, 255]] * 2, np.int32), {1: "sky", 2: "sea"})
    assert painted(masks=bands((1, 2), (4, 4), names=("ship", "sky")), labels=labels) == (
        [1, 3, 3, 2, 1, 255],
        {1: "sky", 2: "sea", 3: "ship"},
    )


def test_the_class_map_is_renumbered_by_name():
    labels = Labels(np.array([[1, 2, 3, 0, 255, 1]] * 2, np.int32), {1: "dog", 2: "cat", 3: "elk"})
    assert painted(labels=labels, classes={1: "cat", 2: "dog"}) == (
        [2, 1, 3, 0, 255, 2],
        {1: "cat", 2: "dog", 3: "elk"},
    )


def test_a_nameless_class_of_the_map_keeps_its_id():
    labels = Labels(np.array([[7, 7, 4, 0, 0, 0]] * 2, np.int32), {})
    assert painted(labels=labels, classes={4: "dog"}, masks=bands((3, 3), names=("cat",))) == (
        [7, 7, 4, 8, 0, 0],
        {4: "dog", 7: "class 7", 8: "cat"},
    )


def test_the_void_id_is_never_given_out():
    classes = {i: f"c{i}" for i in range(1, 255)}
    ids, names = painted(masks=bands((0, 0), names=("new",)), classes=classes)
    assert ids[0] == 256
    assert names[256] == "new"


def test_the_likelier_mask_lies_on_top():
    masks = bands((0, 3), (2, 5), names=("a", "b"))
    likely = Prompts((Prompt(points=[(0, 0)], score=0.8), Prompt(points=[(5, 0)], score=0.1)))
    assert painted(masks=masks, prompts=likely)[0] == [1, 1, 1, 1, 2, 2]
    labels = Paint(overlap="order")(image=IMAGE, masks=masks, prompts=likely)
    assert labels.ids[0].tolist() == [1, 1, 2, 2, 2, 2]
    better = Masks(masks.masks, [0.9, 0.2], masks.prompt, masks.names)
    assert painted(masks=better)[0] == [1, 1, 1, 1, 2, 2]


def test_of_masks_of_one_object_the_likeliest_stays():
    masks = bands((0, 3), (0, 4), (0, 1), (5, 5), names=("beagle", "dog", "cat", "dog"))
    scores = (0.2, 0.7, 0.9, 0.9)
    prompts = Prompts(tuple(Prompt(points=[(0, 0)], score=score) for score in scores))
    merged = Paint().merge(masks, prompts)
    assert merged.names == ("dog", "cat", "dog")
    assert merged.prompt.tolist() == [1, 2, 3]
    assert Paint(duplicates=0.9).merge(masks, prompts) is masks
    assert len(Paint(duplicates=0.2).merge(masks, prompts)) == 2
    assert len(Paint().merge(Masks.none((2, 6)))) == 0


def test_a_mask_that_lies_in_a_likelier_one_is_a_part_of_it():
    masks = bands((0, 4), (0, 1), (3, 5), names=("dog", "cat", "dog"))

    def kept(scores, **options):
        prompts = Prompts(tuple(Prompt(points=[(0, 0)], score=score) for score in scores))
        return Paint(duplicates=1, **options).merge(masks, prompts).prompt.tolist()

    assert kept((0.9, 0.5, 0.5)) == [0, 1, 2]
    assert kept((0.9, 0.5, 0.5), parts=0.8) == [0, 2]  # two of three pixels: no part
    assert kept((0.9, 0.5, 0.5), parts=0.6) == [0]
    assert kept((0.5, 0.9, 0.5), parts=0.8) == [0, 1, 2]  # a likelier part stays beside its whole
    empty = Masks(np.zeros((2, 2, 6), bool), [1, 1], [0, 0])
    assert len(Paint(parts=0.5).merge(empty)) == 2
    with pytest.raises(UsageError, match=r"--paint\.parts"):
        Paint(parts=0)


def test_empty_masks_and_many_masks_are_no_duplicates():
    empty = Masks(np.zeros((3, 2, 6), bool), [1, 1, 1], [0, 0, 0])
    assert len(Paint().merge(empty)) == 3
    pixels = np.random.default_rng(0).random((200, 40, 50)) < 0.5
    assert len(Paint().merge(Masks(pixels, np.ones(200), np.zeros(200, int)))) == 200
    assert len(Paint().merge(Masks(pixels[[0] * 200], np.ones(200), np.zeros(200, int)))) == 1


@pytest.mark.parametrize("given", ["masks", "labels"])
def test_inputs_stay_as_they_were(given):
    labels = Labels(np.array([[1, 2, 0, 0, 0, 0]] * 2, np.int32), {1: "a", 2: "b"})
    classes = {1: "b"}
    inputs = {"labels": labels, "masks": bands((3, 3), names=("c",))}
    painted(**{given: inputs[given]}, classes=classes)
    assert classes == {1: "b"}
    assert labels.ids[0].tolist() == [1, 2, 0, 0, 0, 0]
    assert labels.classes == {1: "a", 2: "b"}


def test_the_table_comes_after_the_painting():
    voc = {7: "car", 15: "person"}
    masks = bands((0, 2), (1, 1), (4, 5), (5, 5), names=("person", "giraffe", "car", None))
    before = painted(masks=masks, classes=voc)
    assert before == ([15, 16, 15, 0, 7, 17], {**voc, 16: "giraffe", 17: "object"})
    # The giraffe is no class of VOC's, and stands before the person all the same.
    after = painted(masks=masks, classes=voc, table="coco-voc")
    assert after == ([15, 0, 15, 0, 7, 16], {**voc, 16: "object"})


def test_the_table_renames_the_class_map_too():
    labels = Labels(np.array([[1, 4, 13, 255, 9, 0]] * 2), {1: "wall", 4: "bus", 13: "person"})
    masks = bands((5, 5), names=("armchair",))
    given = {"labels": labels, "masks": masks, "table": "ade20k-voc"}
    ids, names = painted(**given, classes={6: "bus", 9: "chair", 15: "person"})
    assert ids == [0, 6, 15, 255, 0, 9]
    assert names == {6: "bus", 9: "chair", 15: "person"}


def test_where_all_is_object_the_table_says_what_counts():
    masks = bands((0, 0), (1, 1), (2, 2), names=("car", "giraffe", None))
    assert painted(masks=masks, classes={1: "object"}, table="coco-voc") == (
        [1, 0, 1, 0, 0, 0],
        {1: "object"},
    )
    with pytest.raises(UsageError, match="there is no name table 'coco'"):
        Paint(table="coco").open("cpu")
