"""random-clicks and the metric clicks: the protocol by which a segmenter of clicks is measured."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from segkit import (
    BadImageError,
    Catalog,
    Image,
    Labels,
    Masks,
    PlanError,
    Prompt,
    Prompts,
    Recipe,
    Truth,
)
from segkit.cli.main import main
from segkit_plugins.fuser.paint import Paint
from segkit_plugins.metric.clicks import Clicks
from segkit_plugins.prompt.random_clicks import RandomClicks
from segkit_plugins.writer._annotations import objects_in

CLASSES = {1: "cat", 2: "dog"}


def truth(instances=True):
    """Two cats and a dog; a stripe between them is void."""
    ids = np.zeros((20, 30), np.int32)
    ids[2:8, 2:8], ids[2:8, 20:24], ids[12:18, 5:25] = 1, 1, 2
    numbers = np.zeros_like(ids)
    numbers[2:8, 2:8], numbers[2:8, 20:24], numbers[12:18, 5:25] = 1, 2, 3
    ids[10] = numbers[10] = 255
    return Truth(Labels(ids, CLASSES), numbers if instances else None)


def asked(known, seed=0, **options):
    image = Image(np.zeros((*known.labels.ids.shape, 3), np.uint8), "x")
    return RandomClicks(**options)(image, known, np.random.default_rng(seed))


def places(prompts):
    return [tuple(prompt.points[0].astype(int)) for prompt in prompts]


def test_one_click_on_the_background_and_one_on_an_object():
    known = truth()
    for seed in range(50):
        prompts = asked(known, seed)
        assert [len(p.points) for p in prompts] == [1, 1]
        assert all(p.signs.all() and p.box is None for p in prompts)
        (x, y), (column, row) = places(prompts)
        assert known.labels.ids[y, x] == 0
        assert known.labels.ids[row, column] in (1, 2)
        assert prompts[0].name == "background"
        assert prompts[1].name == CLASSES[known.labels.ids[row, column]]


@pytest.mark.parametrize("instances", [True, False])
def test_each_object_is_as_likely_and_each_of_its_pixels(instances):
    known = truth(instances)
    numbers = known.instances if instances else known.labels.ids
    found = Counter()
    for seed in range(600):
        ((x, y),) = places(asked(known, seed, on="object"))
        found[int(numbers[y, x])] += 1
    objects = 3 if instances else 2
    assert sorted(found) == list(range(1, objects + 1))
    assert all(abs(n - 600 / objects) < 65 for n in found.values())
    columns = [places(asked(known, s, on="background"))[0][0] for s in range(600)]
    assert abs(np.mean(columns) - np.nonzero(known.labels.ids == 0)[1].mean()) < 1.1


def test_every_object_and_the_most_interior_pixel():
    prompts = asked(truth(), on="object", each=True, place="interior")
    assert places(prompts) == [(4, 4), (21, 4), (14, 14)]
    assert [p.name for p in prompts] == ["cat", "cat", "dog"]
    assert len(asked(truth(), each=True)) == 4


@pytest.mark.parametrize(
    ("value", "on", "other"), [(1, "background", "object"), (0, "object", "background")]
)
def test_nothing_to_click_on_is_a_sentence(value, on, other):
    known = Truth(Labels(np.full((4, 5), value, np.int32), CLASSES))
    for option in ("both", on):
        with pytest.raises(BadImageError) as error:
            asked(known, on=option)
        assert str(error.value) == (
            f"random-clicks should click on the {on}, but the truth of 'x' shows no pixel of it; "
            f"leave the image out, or click elsewhere (--random-clicks.on {other})"
        )
    assert len(asked(known, on=other)) == 1


def test_without_truth_it_is_refused():
    parts = {"dataset": [{"name": "samples"}], "prompt": [{"name": "random-clicks"}]}
    with pytest.raises(PlanError) as error:
        Recipe.from_dict(parts).build(Catalog(third_party=False))
    assert str(error.value) == (
        "random-clicks needs 'truth', and the data set samples has none; choose a data set with "
        "truth, or name its masks"
    )


# ---- the metric ---------------------------------------------------------------------------------


def answers(prompts, size=(20, 30), seed=1):
    """A random mask for each prompt."""
    masks = np.random.default_rng(seed).random((len(prompts), *size)) < 0.4
    return Masks(masks, np.ones(len(prompts), np.float32), np.arange(len(prompts)))


def test_figures_are_those_of_scikit_learn():
    """Click by click, over the pixels that are not void, by an independent implementation."""
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    known, metric, counts, wanted = truth(), Clicks(), Counter(), []
    kept = (known.labels.ids != 255).ravel()
    for seed in range(20):
        prompts = asked(known, seed)
        masks = answers(prompts, seed=seed)
        counts.update(metric.count(prompts, masks, known))
        for (x, y), mask in zip(places(prompts), masks.masks, strict=True):
            region = known.instances == known.instances[y, x]
            pair = region.ravel()[kept], mask.ravel()[kept]
            wanted.append([f(*pair) for f in (jaccard_score, f1_score, accuracy_score)])
    scores = metric.score(counts)
    names = ("clicks-iou", "clicks-dice", "clicks-accuracy")
    assert [scores[name] for name in names] == pytest.approx(np.mean(wanted, axis=0))
    assert counts["clicks"] == 40
    assert counts["objects"] == 20


def test_perfect_answers_missing_ones_and_the_wrong_object():
    known = truth()
    prompts = asked(known, on="object", each=True)
    own = np.stack([known.instances == i for i in (1, 2, 3)])
    whole = Masks(own, np.ones(3, np.float32), np.arange(3))
    metric = Clicks()
    assert set(metric.score(metric.count(prompts, whole, known)).values()) == {1}
    moved = Masks(own[[1, 2, 0]], np.ones(3, np.float32), np.arange(3))
    scores = metric.score(metric.count(prompts, moved, known))
    assert (scores["clicks-iou"], scores["clicks-own"]) == (0, 0)
    none = metric.score(metric.count(prompts, Masks.none((20, 30)), known))
    assert (none["clicks-iou"], none["clicks-own"]) == (0, 0)
    assert 0 < none["clicks-accuracy"] < 1
    two = Masks(own[[2, 0]], np.array([0.1, 0.9], np.float32), [0, 0])  # the better one counts
    first = Prompts((prompts[0],))
    assert set(metric.score(metric.count(first, two, known)).values()) == {1}


def test_clicks_on_void_and_prompts_without_a_click_are_left_out():
    void = Prompt(points=[(3, 10)])
    cold = Prompt(points=[(3, 3)], signs=[False])
    prompts = Prompts((void, cold, Prompt(box=[1, 1, 5, 5])))
    metric = Clicks()
    counts = metric.count(prompts, answers(prompts), truth())
    assert counts["clicks"] == 0
    assert metric.score(counts) == {}


def test_the_answer_to_a_background_click_is_not_painted():
    image = Image(np.zeros((20, 30, 3), np.uint8), "x")
    known = truth()
    prompts = asked(known)
    masks = Masks(np.ones((2, 20, 30), bool), np.ones(2, np.float32), [0, 1])
    for classes, names in ((CLASSES, CLASSES), ({1: "object"}, {1: "object"})):
        labels = Paint()(image, masks.take([0]), prompts, classes=classes)
        assert not labels.ids.any()
        assert labels.classes == names
        assert Paint()(image, masks, prompts, classes=classes).ids.all()


def test_the_answer_to_a_background_click_is_no_object_of_an_annotation():
    prompts = asked(truth())
    masks = Masks(np.ones((2, 20, 30), bool), np.ones(2, np.float32), [0, 1])
    objects = objects_in("coco", masks, prompts, None, CLASSES)
    assert [one.name for one in objects] == [prompts[1].name]


def test_the_protocol_is_one_command(tmp_path):
    """On any data set with truth, with any segmenter that is asked by prompts."""
    command = (
        *("run", "--dataset", "scenes", "--scenes.count", "3", "--scenes.size", "96"),
        *("--prompt", "random-clicks", "--metric", "iou", "--metric", "dice"),
        *("--metric", "accuracy", "--metric", "clicks", "--quiet", "-o", str(tmp_path / "r")),
    )
    with pytest.raises(SystemExit) as stop:
        main(list(command))
    assert not stop.value.code
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    wanted = {"iou", "dice", "accuracy", *Clicks.figures}
    assert wanted <= summary["scores"].keys()
    assert all(0 <= summary["scores"][name] <= 1 for name in wanted)
