"""instance-f1: masks matched with true objects, one to one."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Labels, Masks, Truth
from segkit_plugins.metric.instance_f1 import InstanceF1


def spans(*ends):
    masks = np.zeros((len(ends), 2, 20), bool)
    for mask, (first, last) in zip(masks, ends, strict=True):
        mask[:, first:last] = True
    return masks


def masks(*ends, names=()):
    n = len(ends)
    return Masks(spans(*ends), np.ones(n), np.arange(n), names)


def truth(*ends, void=None, classes=(1, 1, 1)):
    ids = np.zeros((2, 20), np.int32)
    instances = np.zeros((2, 20), np.int32)
    for number, (mask, own) in enumerate(zip(spans(*ends), classes, strict=False), 1):
        ids[mask], instances[mask] = own, number
    if void:
        ids[spans(void)[0]] = instances[spans(void)[0]] = 255
    return Truth(Labels(ids, {1: "cat", 2: "dog"}), instances)


def f1(found, true, **options):
    step = InstanceF1(**options)
    return step.score(step.count(truth=true, masks=found))


@pytest.mark.parametrize(
    ("found", "true", "wanted"),
    [
        (masks((0, 4), (6, 10)), truth((0, 4), (6, 10)), 1),
        (masks((0, 4), (0, 4)), truth((0, 4)), 2 / 3),  # a duplicate is wrong
        (masks((0, 10)), truth((0, 4), (5, 10)), 2 / 3),  # half of one, too little of the other
        (masks((0, 3)), truth((0, 7)), 0),
        (masks((0, 4)), truth((0, 8)), 1),  # an IoU of one half is enough
        (masks(), truth((0, 4)), 0),
        (masks((0, 4)), truth(), 0),
        (masks(), truth(), 1),
        (masks((12, 16), (0, 4)), truth((0, 4), void=(10, 20)), 1),  # in void it counts for nothing
        (masks((0, 8)), truth((0, 4), void=(4, 8)), 1),  # void is left out of the IoU
    ],
)
def test_figures_by_hand(found, true, wanted):
    assert f1(found, true)["instance-f1"] == pytest.approx(wanted)


def test_a_second_mask_of_an_object_is_a_duplicate_and_a_wrong_one_is_not():
    found = masks((0, 4), (0, 5), (12, 16), (6, 10))
    assert f1(found, truth((0, 4), (6, 10)))["instance-duplicates"] == pytest.approx(1 / 4)
    assert f1(masks(), truth((0, 4)))["instance-duplicates"] == 0
    assert f1(masks((0, 4)), truth((0, 4)))["instance-duplicates"] == 0


def test_the_matches_are_the_best_ones():
    # Greedy by the first mask would leave the second without an object.
    found = masks((0, 12), (0, 8))
    assert f1(found, truth((0, 8), (8, 16)), least=0.2)["instance-f1"] == 1


def test_classes_count_where_they_are_asked_for():
    found = masks((0, 4), (6, 10), names=("dog", "dog"))
    true = truth((0, 4), (6, 10), classes=(1, 2))
    assert f1(found, true)["instance-f1"] == 1
    assert f1(found, true, by_class=True)["instance-f1"] == 0.5
    nameless = masks((0, 4))
    assert f1(nameless, truth((0, 4)), by_class=True)["instance-f1"] == 0


def test_truth_without_instances_is_left_out():
    step = InstanceF1()
    plain = Truth(Labels(np.ones((2, 20), np.int32), {1: "cat"}))
    assert step.count(truth=plain, masks=masks((0, 4))) == {}
    assert step.score({}) == {}


def test_counts_of_images_add_up():
    step = InstanceF1()
    one = step.count(truth=truth((0, 4)), masks=masks((0, 4)))
    two = step.count(truth=truth((0, 4), (6, 10)), masks=masks((10, 12)))
    total = {key: one[key] + two[key] for key in one}
    assert step.score(total)["instance-f1"] == pytest.approx(2 * 1 / 5)
