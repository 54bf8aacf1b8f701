"""What a network is trained on: reading, borders, split, order, clicks."""

from __future__ import annotations

import collections

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train_toys import Squares  # noqa: E402

from segkit import UsageError  # noqa: E402
from segkit.training import data  # noqa: E402
from segkit.training.data import Lessons, Order, clicked, read, split  # noqa: E402
from segkit.training.settings import Settings  # noqa: E402


def pool(tmp_path, *datasets, size=32, clicks=False, **settings):
    return read(datasets or [Squares()], Settings(**settings), size, tmp_path, clicks=clicks)


def test_images_and_targets_at_the_networks_size(tmp_path):
    found = pool(tmp_path, border="void")
    assert found.pixels.shape == (12, 32, 32, 3)
    assert found.targets.shape == (12, 32, 32)
    assert found.names == tuple(f"s{i}" for i in range(12))
    assert found.classes == ("red", "blue")
    for pixels, target, counts in zip(found.pixels, found.targets, found.counts, strict=True):
        assert set(np.unique(target)) <= {0, 1, 2, 255}
        red, blue = pixels[target == 1], pixels[target == 2]
        assert not len(red) or (red[:, 0] > 150).mean() > 0.8  # edges are smoothed
        assert not len(blue) or (blue[:, 2] > 150).mean() > 0.8
        assert counts.tolist() == [(target == i).sum() for i in range(3)]


def test_what_does_not_fit_into_memory_lies_in_a_file(tmp_path, monkeypatch):
    small = pool(tmp_path)
    monkeypatch.setattr(data, "IN_MEMORY", 100)
    large = pool(tmp_path)
    assert isinstance(large.pixels.base, np.memmap)
    assert np.array_equal(small.pixels, large.pixels)
    assert np.array_equal(small.targets, large.targets)
    assert not list(tmp_path.iterdir())


def test_void_pixels_become_what_the_border_option_says(tmp_path):
    raw = pool(tmp_path, border="void")
    void = raw.targets == 255
    assert void.any(axis=(1, 2)).all()
    back, near = pool(tmp_path, border="background"), pool(tmp_path, border="object")
    assert (back.targets[void] == 0).all()
    for target, edge in zip(near.targets, void, strict=True):  # the square's first row is void
        (kind,) = np.unique(target[target > 0])
        assert (target[edge] == kind).all()
    for found in (back, near):  # what is learnt is what is counted
        for target, counts in zip(found.targets, found.counts, strict=True):
            assert counts.tolist() == [(target == i).sum() for i in range(3)]
    for other in (back, near):
        assert np.array_equal(other.targets[~void], raw.targets[~void])


def test_classes_of_several_data_sets_meet_by_name(tmp_path):
    other = Squares(names_of={1: "blue", 2: "green"})
    found = pool(tmp_path, Squares(), other, border="void")
    assert len(found) == 24
    assert found.classes == ("red", "blue", "green")
    moved = np.array([0, 2, 3, *[0] * 252, 255], np.uint8)[found.targets[:12]]
    assert np.array_equal(found.targets[12:], moved)


def test_chosen_classes_leave_the_others_to_the_background(tmp_path):
    every, some = pool(tmp_path), pool(tmp_path, classes=("blue",))
    assert some.classes == ("blue",)
    assert np.array_equal(some.targets == 1, every.targets == 2)
    assert not (some.targets > 1).any()
    for name, hint in {"green": "there is red, blue", "bleu": "did you mean 'blue'?"}.items():
        with pytest.raises(UsageError) as error:
            pool(tmp_path, classes=("red", name))
        assert str(error.value) == f"--train.classes {name}: the data has no such class; {hint}"
    with pytest.raises(UsageError, match="no image shows an object of the classes blue to learn"):
        pool(tmp_path, Squares(only=1), classes=("blue",))


def test_a_data_set_without_names_gives_numbers(tmp_path):
    class Nameless(Squares):
        @property
        def classes(self):
            return {}

    assert pool(tmp_path, Nameless()).classes == ("2", "1")  # as they come


def test_images_that_cannot_be_used_are_left_out_and_named(tmp_path):
    found = pool(tmp_path, Squares(broken=(3,), truthless=(5, 6)))
    assert len(found) == 9
    assert "s3" not in found.names
    assert found.skipped == (
        "'s3' is damaged; copy it again",
        "'s5' of squares has no truth",
        "'s6' of squares has no truth",
    )


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (Squares(truth=False), "the data set 'squares' has no truth to learn from"),
        (Squares(count=1), "training needs 2 images or more, one to learn from .* has 1; add some"),
        (
            Squares(count=3, broken=(0, 1)),
            "of 3 only 1 can be used, such as: 's0' is damaged; copy it again",
        ),
    ],
)
def test_data_that_nothing_can_be_learnt_from(dataset, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        pool(tmp_path, dataset)


def test_the_split_is_the_seeds():
    training, held = split(50, 0.1, 3)
    assert len(held) == 5
    assert sorted([*training, *held]) == list(range(50))
    assert [part.tolist() for part in split(50, 0.1, 3)] == [training.tolist(), held.tolist()]
    assert split(50, 0.1, 4)[1].tolist() != held.tolist()
    assert [len(part) for part in split(2, 0.9, 0)] == [1, 1]
    assert [len(part) for part in split(3, 0.01, 0)] == [2, 1]


def test_rarer_classes_come_as_often_as_the_commonest():
    counts = np.array([[9, 5, 0]] * 7 + [[9, 1, 3]] * 3 + [[9, 0, 0]] * 2)
    images = np.arange(12)
    order = Order(images, counts, [0, 1], balance=True)
    times = collections.Counter(image for _, image in order)
    assert len(order) == sum(times.values()) == 7 + 7 + 2
    assert [times[i] for i in range(7)] == [1] * 7
    assert sorted(times[i] for i in range(7, 10)) == [2, 2, 3]
    assert [times[i] for i in (10, 11)] == [1, 1]
    plain = Order(images, counts, [0, 1], balance=False)
    assert sorted(image for _, image in plain) == images.tolist()


def test_epochs_differ_and_repeat():
    counts = np.ones((9, 2), int)
    order = Order(np.arange(9), counts, [0, 1], balance=True)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert [image for _, image in first] != [image for _, image in second]
    assert [number for number, _ in first + second] == list(range(18))
    order.set_epoch(0)
    assert list(order) == first


def test_an_example_depends_on_its_number_alone(tmp_path):
    from segkit.training.augment import augmentation

    lessons = Lessons(pool(tmp_path), [0, 1], augmentation(Settings(), 32))
    one = lessons[4, 2]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = lessons[4, 2]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], lessons[5, 2][0])


def test_clicks_and_what_lies_under_them():
    objects = np.zeros((20, 30), np.uint8)
    objects[2:8, 3:9], objects[10:15, 20:28], objects[0] = 1, 2, 255
    seen = set()
    for i in range(20):
        masks, points = clicked(objects, np.random.default_rng(i))
        (x, y), (u, v) = points.astype(int)
        kind = objects[y, x]
        seen.add(int(kind))
        assert objects[v, u] == 0
        assert np.array_equal(masks[0] == 1, objects == kind)
        assert np.array_equal(masks[1] == 1, objects == 0)
        assert all(np.array_equal(mask == 255, objects == 255) for mask in masks)
    assert seen == {1, 2}
    masks, _ = clicked(np.zeros((4, 4), np.uint8), np.random.default_rng(0))
    assert (masks == 1).all()
    masks, _ = clicked(np.full((4, 4), 255, np.uint8), np.random.default_rng(0))
    assert (masks == 255).all()


def test_with_clicks_objects_keep_their_numbers(tmp_path):
    found = pool(tmp_path, clicks=True, border="void")
    assert set(np.unique(found.targets)) == {0, 1, 255}  # one square each, red or blue
    only = pool(tmp_path, clicks=True, classes=("blue",))
    blue = pool(tmp_path, classes=("blue",)).targets == 1
    assert np.array_equal(only.targets == 1, blue)
