"""Pipelines: the same as a run, from Python, for pictures of every sort."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shapes_toys import CATALOG, shapes

from segkit import Image, Pipeline, Prompt, Prompter, Prompts, UsageError, sweep
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
