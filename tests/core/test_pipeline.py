"""Pipelines: the same as a run, from Python, for pictures of every sort."""

from __future__ import annotations

import json
import re
from itertools import count, islice

import numpy as np
import pytest
from shapes_toys import CATALOG, shapes

from segkit import (
    BadImageError,
    Image,
    Pipeline,
    Prompt,
    Prompter,
    Prompts,
    SegkitWarning,
    UsageError,
    sweep,
    write_png,
)
from segkit.running.recipe import make_step

# ---- from Python -------------------------------------------------------------------------------


def test_a_pipeline_gives_what_a_run_gives(tmp_path):
    dataset = shapes()
    pipeline = Pipeline(prompt="topk", options={"gradcam.model": "shapes", "topk.k": 2})
    with pipeline:
        results = list(pipeline.each(dataset[i][0] for i in range(3)))
    summary = pipeline.run(dataset, tmp_path / "r")
    assert summary["images"] == 3
    lines = [json.loads(x) for x in (tmp_path / "r/results.jsonl").read_text().splitlines()]
    for result, line in zip(results, lines, strict=True):
        assert result.masks.masks.sum() == line["masks"][0]["pixels"]
        assert result.prompts[0].points.tolist() == line["prompts"][0]["points"]
        assert result.labels.ids.shape == (96, 96)


def test_a_pipeline_takes_pictures_of_every_sort(tmp_path):
    from PIL import Image as Pillow

    pixels = np.array(shapes()[0][0].pixels)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    with Pipeline(prompt="center") as pipeline:
        sorts = [pixels, tmp_path / "a.png", str(tmp_path / "a.png"), Pillow.fromarray(pixels)]
        areas = {pipeline(one).masks.masks.sum() for one in sorts}
        assert len(areas) == 1
        assert pipeline(pixels)._repr_jpeg_()[:3] == b"\xff\xd8\xff"
        with pytest.raises(UsageError, match="was given a int"):
            pipeline(3)
    assert repr(pipeline) == "Pipeline(center > sam > score > paint)"


@pytest.fixture
def quick():
    """A pipeline that takes little time and gives masks with classes."""
    with Pipeline(saliency="gradcam", segmenter="threshold", options=SMALL) as pipeline:
        yield pipeline


SMALL = {"gradcam.model": "shapes"}


def name_of(result):
    return result.image.name


def same(one, other):
    """Whether two results hold the same."""
    assert one.image.name == other.image.name
    return np.array_equal(one.labels.ids, other.labels.ids) and np.array_equal(
        one.masks.masks, other.masks.masks
    )


def test_batches_give_what_single_calls_give(tmp_path, quick):
    images = [image for image, _ in shapes(5)]
    alone = [quick(image) for image in images]
    for chunk in (1, 2, 4, None):
        together = list(quick.each(images, chunk=chunk))
        assert all(map(same, alone, together)), chunk
        assert len(together) == 5
    drawn = list(Pipeline(prompt="random-clicks").each(shapes(3), chunk=3))
    once = Pipeline(prompt="random-clicks")
    for result, (image, truth) in zip(drawn, shapes(3), strict=True):
        assert same(once(image, truth=truth), result)


def test_steps_work_on_a_batch_together():
    sizes = []

    class Counted(Prompter):
        """Notes how many images it is given at a time."""

        name = "counted"

        def __call__(self, image: Image) -> Prompts:
            """The first pixel."""
            return Prompts((Prompt(points=[(0, 0)]),))

        def batch(self, inputs):
            """The same for several."""
            sizes.append(len(inputs))
            return super().batch(inputs)

    pipeline = Pipeline(prompt=Counted())
    images = [image for image, _ in shapes(5)]
    assert len(list(pipeline.each(images, chunk=3))) == 5
    assert len(list(pipeline.each(iter(images), chunk=2))) == 5
    assert sizes == [3, 2, 2, 2, 1]


def test_pictures_without_end_are_read_as_they_are_needed(quick):
    read = []

    def camera():
        for number in count():
            read.append(number)
            yield shapes(3)[number % 3][0]

    assert len(list(islice(quick.each(camera(), chunk=2), 5))) == 5
    assert len(read) == 6


def test_a_folder_and_a_data_set_are_enough(tmp_path, quick):
    for number, (image, _) in enumerate(shapes(3)):
        write_png(tmp_path / f"photos/{number}.png", image.pixels)
    for source in (tmp_path / "photos", str(tmp_path / "photos/*.png")):
        assert [result.image.name for result in quick.each(source)] == ["0", "1", "2"]
    results = list(quick.each(shapes(3)))
    assert [result.image.name for result in results] == list(shapes(3).names)
    assert all(result.classes == shapes(3).classes for result in results)
    assert {i for result in results for i in result.labels.classes} <= {*shapes(3).classes}
    assert all(result.truth is not None and "iou" in result.scores for result in results)
    with pytest.raises(UsageError, match="there is no file"):
        quick.each(tmp_path / "nowhere")


def test_a_picture_that_cannot_be_read_loses_no_other(tmp_path, quick):
    for name in "abd":
        write_png(tmp_path / f"{name}.png", shapes(1)[0][0].pixels)
    (tmp_path / "c.png").write_bytes(b"no picture")
    text = "c.png' is not an image that can be read"
    with pytest.warns(SegkitWarning, match=text):
        names = [result.image.name for result in quick.each(tmp_path, errors="warn")]
    assert names == ["a", "b", "d"]
    before = []
    with pytest.raises(BadImageError, match=text):
        before.extend(map(name_of, quick.each(tmp_path)))
    assert before == ["a", "b"]


def test_a_call_within_a_loop_disturbs_nothing(quick):
    """Each call has the classes of its own pictures."""
    for result in quick.each(shapes(3), chunk=1):
        assert quick(np.zeros((9, 9, 3), np.uint8)).classes == {}
        assert result.classes == shapes(3).classes


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda p: p.each(3), "each takes a folder, a data set or several pictures, but was given"),
        (lambda p: p.each([3]), "a pipeline takes a file, pixels (H, W, 3) uint8, an Image or a"),
        (lambda p: p.each([], chunk=0), "chunk should be a whole number from 1, but is 0"),
        (lambda p: p.each([], errors="skip"), "errors should be 'raise' or 'warn', but is 'skip'"),
        (lambda p: Pipeline(seed="x"), "the pipeline: seed should be a whole number from 0, but"),
        (lambda p: Pipeline(rounds=0), "the pipeline: rounds should be a whole number from 1, but"),
        (lambda p: Pipeline(least_quality=2), "least_quality should be a number from 0 to 1, but"),
        (lambda p: Pipeline(classes="cat"), "classes should be a list of names, but is 'cat'"),
        (lambda p: Pipeline(prompt=3), "prompt should be a plugin's name, a step, or several of"),
        (
            lambda p: Pipeline(prompt="random-clicks")(shapes()[0][0]),
            "random-clicks needs 'truth', and the pictures have none; give a data set with truth, ",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(ask, sentence, quick):
    with pytest.raises(UsageError, match=re.escape(sentence)) as error:
        ask(quick)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None


def test_steps_at_hand_take_part_without_being_installed():
    class Corner(Prompter):
        """The first pixel."""

        name = "corner"

        def __call__(self, image: Image) -> Prompts:
            """One point."""
            return Prompts((Prompt(points=[(0, 0)]),))

    with Pipeline(prompt=Corner()) as pipeline:
        assert pipeline(shapes()[0][0]).prompts[0].points.tolist() == [[0, 0]]


def test_a_step_at_hand_serves_several_pipelines(tmp_path):
    saliency = make_step(CATALOG, "saliency", "gradcam", {"model": "shapes"})
    one = Pipeline(saliency=saliency, segmenter="threshold")
    other = Pipeline(saliency=saliency, segmenter="threshold", classes=("circle", "star"))
    image = shapes()[0][0]
    before = one(image).masks.masks.sum()
    assert other(image).masks.masks.sum() == before
    other.run(shapes(), tmp_path / "r")
    assert (tmp_path / "r/report.html").exists()
    assert len(list((tmp_path / "r/masks").iterdir())) == 3
    assert 'classes = [\n    "circle",' in (tmp_path / "r/recipe.toml").read_text()
    assert one(image).masks.masks.sum() == before


def test_what_is_given_beside_a_recipe_wins(tmp_path):
    (tmp_path / "r.toml").write_text("[run]\nseed = 3\nrounds = 2\n")
    assert Pipeline(tmp_path / "r.toml").recipe.seed == 3
    found = Pipeline(tmp_path / "r.toml", seed=7, rounds=1, classes=("cat",)).recipe
    assert (found.seed, found.rounds, found.classes) == (7, 1, ("cat",))


def test_an_option_of_nobody_is_told():
    with pytest.raises(UsageError) as error:
        Pipeline(prompt="center", options={"topk.k": 3})
    assert str(error.value) == "'topk.k' is an option of a plugin that takes no part; choose it too"


def test_pipelines_are_compared():
    own = {"gradcam.model": "shapes"}
    board = sweep({p: Pipeline(prompt=p, options=own) for p in ("topk", "maxmin")}, shapes())
    assert {row.recipe for row in board.rows} == {"topk", "maxmin"}
    assert board.images == 3
    with pytest.raises(UsageError, match="nothing to compare"):
        sweep({}, shapes())
