"""Values check themselves once, say what was wanted and what came, and are read-only."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from segkit import (
    BadValueError,
    Heatmap,
    Image,
    Labels,
    Mask,
    Masks,
    Prompt,
    Prompts,
    Truth,
    add_class,
)


def test_an_image_is_read_only_and_keeps_no_hold_on_its_source():
    source = np.zeros((2, 3, 3), np.uint8)
    image = Image(source, "a")
    source[:] = 9
    assert image.pixels.max() == 0
    assert image.size == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Image(np.zeros((2, 3), np.uint8), "a"),
            r"Image.pixels should have shape \(H, W, 3\), but has \(2, 3\)",
        ),
        (
            lambda: Image(np.zeros((0, 3, 3), np.uint8), "a"),
            "Image.pixels should not be empty",
        ),
        (
            lambda: Image(np.full((1, 1, 3), 0.5), "a"),
            "Image.pixels should hold uint8 values, but its float64 values do not fit",
        ),
        (lambda: Heatmap(np.full((2, 2), 1.5)), "should lie in .0, 1., but reach from 1.5 to 1.5"),
        (lambda: Heatmap(np.full((2, 2), np.nan)), "Heatmap.values should be finite"),
        (lambda: Prompt(points=[(np.nan, 1)]), "Prompt.points should be finite"),
        (
            lambda: Prompt(points=[(1, 1)], signs=[True, False]),
            r"Prompt.signs should have shape \(1\), but has \(2,\)",
        ),
        (lambda: Prompt(box=(5, 0, 1, 1)), "first x, first y, last x, last y"),
        (lambda: Prompts(("no",)), "should be Prompt values, but has a str"),
        (
            lambda: Masks(np.zeros((2, 4, 4), bool), [1.0], [0, 0]),
            r"Masks.scores should have shape \(2\), but has \(1,\)",
        ),
        (
            lambda: Masks(np.zeros((1, 4, 4), np.uint8), [1.0], [0]),
            "Masks.masks should be bool, but is uint8",
        ),
        (lambda: Labels(np.full((2, 2), -1)), "should be 0 or more, but reach down to -1"),
        (lambda: Labels(np.zeros((2, 2), int), {255: "x"}), "without 255"),
        (lambda: Labels(np.zeros((2, 2), int), {1: "x", 2: "x"}), "different name for each id"),
        (
            lambda: Truth(Labels(np.zeros((2, 2), int)), np.zeros((3, 3), int)),
            r"Truth.instances should have shape \(2, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(BadValueError, match=sentence):
        make()


def test_prompts_merge_into_one_about_the_same_object():
    point = Prompt(points=[(1, 2)], name="cat", score=0.9)
    box = Prompt(box=(0, 0, 4, 4), score=0.5)
    both = point.merged(box)
    assert both.points.tolist() == [[1, 2]]
    assert both.box.tolist() == [0, 0, 4, 4]
    assert (both.name, both.score) == ("cat", 0.5)
    with pytest.raises(BadValueError, match="two prompts with a box each"):
        box.merged(box)


def test_values_can_be_sent_to_worker_processes():
    masks = Masks(np.ones((1, 2, 2), bool), [0.5], [0], ("a",))
    again = pickle.loads(pickle.dumps(masks))
    assert again.names == ("a",)
    assert np.array_equal(again.masks, masks.masks)
    labels = pickle.loads(pickle.dumps(Labels(np.zeros((1, 1), int), {1: "a"})))
    assert labels.classes == {1: "a"}


def test_a_new_name_gets_the_next_free_id_but_never_void():
    classes = {1: "cat", 254: "dog"}
    assert add_class("cat", classes) == 1
    assert add_class("fish", classes) == 256
    assert classes[256] == "fish"


@pytest.fixture
def three():
    """Masks of 1, 2 and 3 pixels."""
    pixels = np.zeros((3, 2, 4), bool)
    pixels[0, 0, :1] = pixels[1, 0, :2] = pixels[2, 0, :3] = True
    return Masks(pixels, [0.9, 0.5, 0.1], [0, 0, 1], ("cat", None, "dog"), quality=[0.8, 0.4, 0])


def test_masks_are_looked_at_one_by_one(three):
    assert [mask.area for mask in three] == [1, 2, 3]
    first, last = three[0], three[-1]
    assert isinstance(first, Mask)
    assert (first.name, first.prompt, last.name, last.prompt) == ("cat", 0, "dog", 1)
    assert (first.score, first.quality) == (pytest.approx(0.9), pytest.approx(0.8))
    assert np.array_equal(first, three.masks[0])
    assert np.arange(8).reshape(2, 4)[np.asarray(last)].tolist() == [0, 1, 2]
    for place in (3, -4):
        with pytest.raises(IndexError, match="out of bounds"):
            three[place]


@pytest.mark.parametrize(
    ("index", "areas"),
    [
        (slice(1, None), [2, 3]),
        ([2, 0], [3, 1]),
        (np.array([True, False, True]), [1, 3]),
        ([], []),
        (np.int64(1), None),
    ],
)
def test_some_of_the_masks_are_masks(three, index, areas):
    some = three[index]
    if areas is None:
        assert isinstance(some, Mask)
        return
    assert isinstance(some, Masks)
    assert [mask.area for mask in some] == areas
    assert len(some.names) == len(some.quality) == len(areas)


def test_values_print_in_one_line(three):
    assert repr(three) == (
        "Masks(3 of 4x2: cat 0.90 (quality 0.80), nameless 0.50 (quality 0.40), "
        "dog 0.10 (quality 0.00))"
    )
    assert repr(three[0]) == "Mask(4x2: cat 0.90 (quality 0.80), 1 pixel)"
    many = Masks(np.zeros((99, 2, 4), bool), np.ones(99), np.zeros(99, int))
    assert repr(many).endswith("nameless 1.00, … 93 more)")
    assert repr(Masks.none((2, 4))) == "Masks(0 of 4x2)"
    labels = Labels(np.zeros((2, 4), int), {1: "cat"})
    assert repr(Truth(labels, np.eye(2, 4, dtype=int))) == "Truth(Labels(4x2: 1 cat), 1 instance)"
    assert repr(Image(np.zeros((2, 4, 3), np.uint8), "a")) == "Image('a', 4x2)"
    assert repr(Heatmap(np.zeros((2, 4)), "cat", 0.25)) == "Heatmap(4x2: cat 0.25)"
    assert (
        repr(Prompt([(1, 1), (2, 1)], box=(0, 0, 1, 1))) == "Prompt(2 points + box: nameless 1.00)"
    )
    assert repr(Prompts()) == "Prompts(items=())"
