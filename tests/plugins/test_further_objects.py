"""erase and uncovered: further objects of a class, and none of them twice."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Heatmap, Image, Masks, Prompt, Prompts, UsageError
from segkit_plugins.prompt.erase import Erase
from segkit_plugins.prompt.uncovered import Uncovered

SIZE = (40, 60)
LEFT, RIGHT = (slice(10, 20), slice(5, 15)), (slice(22, 30), slice(40, 52))


def region(*places):
    mask = np.zeros(SIZE, bool)
    for place in places:
        mask[place] = True
    return mask


def masks(*regions, names=()):
    count = len(regions)
    found = np.stack(regions) if count else np.zeros((0, *SIZE), bool)
    return Masks(found, np.full(count, 0.9), np.arange(count), names)


def photo():
    pixels = np.full((*SIZE, 3), 100, np.uint8)
    pixels[LEFT], pixels[RIGHT] = (250, 0, 0), (200, 0, 0)
    return Image(pixels, "two")


class Classifier:
    """Sees a cat where a pixel is red; its score is what share of the red is left."""

    def __init__(self, scores=(0.8, 0.7, 0.6)):
        self.seen = []
        self.scores = scores

    def __call__(self, image):
        red = (image.pixels[..., 0].astype(np.float32) - image.pixels[..., 1]) / 255
        heat = np.clip(red, 0, 1)
        self.seen.append(image.pixels)
        score = self.scores[len(self.seen) - 1]
        return Heatmap(heat / max(heat.max(), 1e-6), "cat", score), Heatmap(heat * 0, "dog", 0.1)


def again(found, *, classifier=None, prompts=1, **options):
    """What erase asks after these masks, and the classifier it has asked."""
    classifier = classifier or Classifier()
    asked = Prompts(tuple(Prompt(points=[(9, 14)], name="cat", score=0.8) for _ in range(prompts)))
    (heatmap, _), classifier.seen = classifier(photo()), []
    step = Erase(**options)
    assert len(step()) == 0
    return step.refine(asked, found, heatmap, photo(), classifier), classifier


def test_the_second_object_is_asked_for_when_the_first_is_hidden():
    prompts, classifier = again(masks(region(LEFT)), classifier=Classifier((0.8, 0.7)), wider=2)
    first, second = prompts
    assert first.points.tolist() == [[9, 14]]
    assert second.box.tolist() == [40, 22, 51, 29]
    assert (second.name, second.score) == ("cat", pytest.approx(0.8))
    assert region(RIGHT)[int(second.points[0][1]), int(second.points[0][0])]
    (shown,) = classifier.seen
    hidden = (shown != photo().pixels).any(axis=2)
    assert hidden[region(LEFT)].all()
    assert not hidden[region(RIGHT)].any()
    assert shown[12, 8].tolist() == pytest.approx([104, 96, 96], abs=2)  # the mean of the rest


def test_it_ends_where_the_class_is_seen_no_more():
    assert again(masks(region(LEFT)), classifier=Classifier((0.8, 0.8)))[0] is not None
    low = Classifier((0.3, 0.3))
    heatmap = Heatmap(region(LEFT).astype(np.float32), "cat", 0.8)
    prompts = Prompts((Prompt(points=[(9, 14)]),))
    assert Erase().refine(prompts, masks(region(LEFT)), heatmap, photo(), low) is None
    kept = Erase(keep=0.3).refine(
        prompts, masks(region(LEFT)), heatmap, photo(), Classifier((0.3,))
    )
    assert len(kept) == 2
    bird = Heatmap(heatmap.values, "bird", 0.8)  # no longer among the classes that are seen
    found = masks(region(LEFT))
    assert Erase().refine(prompts, found, bird, photo(), Classifier()) is None


@pytest.mark.parametrize(
    "found",
    [masks(), masks(region()), masks(np.ones(SIZE, bool)), masks(region(LEFT, RIGHT))],
    ids=["no mask", "empty", "all of the picture", "both objects"],
)
def test_nothing_is_asked_where_nothing_is_left(found):
    assert again(found)[0] is None


def test_its_number_of_prompts_is_bounded():
    assert again(masks(region(LEFT)), most=1)[0] is None
    assert again(masks(region(LEFT)), prompts=7, most=8)[0] is not None
    assert again(masks(region(LEFT)), min_area=0.1)[0] is None


def test_what_hides_can_be_the_blurred_picture():
    _, classifier = again(masks(region(LEFT)), fill="blur", wider=0)
    (shown,) = classifier.seen
    assert (shown != photo().pixels).any(axis=2)[region(LEFT)].all()
    assert 100 < shown[14, 9, 0] < 250


# ---- uncovered ---------------------------------------------------------------------------------


def asked(found, *prompts, **options):
    """Which of the prompts are worth asking, by their place."""
    step = Uncovered(**options)
    assert len(step()) == 0
    kept = [*step.admit(Prompts(prompts), found)]
    return [i for i, prompt in enumerate(prompts) if any(prompt is own for own in kept)]


CAT = {"name": "cat"}


def test_a_prompt_in_a_mask_of_its_class_is_left_out():
    found = masks(region(LEFT), names=("cat",))
    inside, outside = Prompt(points=[(9, 14)], **CAT), Prompt(points=[(45, 25)], **CAT)
    dog = Prompt(points=[(9, 14)], name="dog")
    nameless = Prompt(points=[(9, 14)])
    assert asked(found, inside, outside, dog, nameless) == [1, 2]
    assert asked(found, inside, outside, dog, any_class=True) == [1]
    assert asked(masks(region(LEFT)), inside, dog) == []  # a mask without a class goes with all
    assert asked(masks(), inside, dog) == [0, 1]


def test_all_its_foreground_points_have_to_lie_there():
    found = masks(region(LEFT), names=("cat",))
    half = Prompt(points=[(9, 14), (30, 5)], **CAT)
    held_back = Prompt(points=[(9, 14), (30, 5)], signs=[True, False], **CAT)
    edge = Prompt(points=[(59.5, 39.5)], **CAT)
    assert asked(found, half, held_back, edge) == [0, 2]


def test_boxes_and_masks_go_by_their_share():
    found = masks(region(LEFT), names=("cat",))
    box = Prompt(box=[5, 10, 14, 24], **CAT)  # 100 of 150 pixels
    logits = np.full((20, 30), -5, np.float32)
    logits[5:10, 2:12] = 5  # rows 10 to 19, columns 4 to 23: half of it
    mask = Prompt(mask=logits, **CAT)
    assert asked(found, box, mask) == []
    assert asked(found, box, mask, share=0.6) == [1]
    assert asked(found, box, mask, share=0.7) == [0, 1]


def test_options_that_do_not_fit_get_a_sentence():
    with pytest.raises(UsageError, match=r"--uncovered\.share"):
        Uncovered(share=0)
    with pytest.raises(UsageError, match=r"--erase\.fill"):
        Erase(fill="black")
