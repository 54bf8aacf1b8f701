"""The commands as functions: what they give, and mistakes as sentences."""

from __future__ import annotations

import json
import math
import re
import sys

import numpy as np
import pytest
from shapes_toys import shapes

import segkit
from segkit import (
    Catalog,
    Description,
    Diagnosis,
    MissingExtraError,
    Pipeline,
    PlanError,
    Robustness,
    SegkitWarning,
    TrainingResult,
    UsageError,
)


def quick(**options):
    """A pipeline that takes little time."""
    own = {"gradcam.model": "shapes", **options}
    return Pipeline(saliency="gradcam", segmenter="threshold", options=own)


@pytest.fixture
def pipelines():
    return {"low": quick(**{"threshold.level": 0.2}), "high": quick(**{"threshold.level": 0.6})}


# ---- steps by name -----------------------------------------------------------------------------


def test_a_step_by_its_name():
    step = segkit.step("topk", k=3)
    assert (step.kind, step.name, step.k) == ("prompt", "topk", 3)
    assert segkit.step("segkit:topk", k=3) == step
    assert segkit.step("threshold", kind="segmenter").kind == "segmenter"
    data = segkit.dataset("shapes", count=4)
    assert isinstance(data, segkit.Dataset)
    assert len(data) == 4


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: segkit.step("topkk"), "there is no plugin 'topkk'; did you mean 'topk'?"),
        (lambda: segkit.step("q"), "there is no plugin 'q'; segkit list-plugins shows all"),
        (
            lambda: segkit.step("threshold"),
            "'threshold' is a plugin of several kinds; say which: kind='transform' or "
            "kind='segmenter'",
        ),
        (
            lambda: segkit.step("threshold", kind="segmentor"),
            "there is no kind 'segmentor' of steps; did you mean 'segmenter'?",
        ),
        (lambda: segkit.step("topk", k=0), "--topk.k: Input should be greater than 0, not 0"),
        (lambda: segkit.step("topk", kk=1), "topk has no option 'kk'; did you mean 'k'?"),
        (lambda: segkit.dataset("voc"), "dataset 'voc' needs --voc.root; add it"),
        (lambda: segkit.dataset("topk"), "'topk' is a prompt, not a dataset"),
    ],
)
def test_a_wrong_step_is_one_sentence(make, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)) as error:
        make()
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None
    assert "pydantic" not in str(error.value)


def test_steps_of_files_are_found_in_their_catalog(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from segkit import Image, Prompter, Prompts, hookimpl\n"
        "class Nothing(Prompter):\n"
        "    name = 'nothing'\n"
        "    often: int = 1\n"
        "    def __call__(self, image: Image) -> Prompts: return Prompts()\n"
        "@hookimpl\n"
        "def segkit_prompters(): return [Nothing]\n"
    )
    assert segkit.step("nothing", catalog=Catalog(files=(file,)), often=2).often == 2


# ---- comparing ---------------------------------------------------------------------------------


def test_a_sweep_over_seeds(tmp_path, pipelines):
    board = segkit.sweep(pipelines, shapes(2), tmp_path / "out", seeds=[0, 1])
    assert board.seeds == (0, 1)
    assert board.images == 4
    assert all(math.isfinite(row.seeds["iou"].deviation) for row in board.rows)
    kept = json.loads((tmp_path / "out/leaderboard.json").read_text())
    assert kept["seeds"] == [0, 1]
    assert (tmp_path / "out/seeds/1/leaderboard.json").is_file()
    assert (tmp_path / "out/report.html").is_file()
    assert repr(board).startswith("Leaderboard(2 recipes on 4 images by iou: ")


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ([1], "--seeds 1 is one seed; name two or more, or write --seed 1"),
        ([0, 1, 0], "--seeds 0,1,0 has 0 twice; name each seed once"),
        ([0, -1], "--seeds should be whole numbers such as 0,1,2, but has '-1'"),
        ("0,1", "seeds should be whole numbers such as [0, 1, 2], but are '0,1'"),
    ],
)
def test_seeds_that_are_none(seeds, sentence, pipelines):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        segkit.sweep(pipelines, shapes(1), seeds=seeds)


def test_a_leaderboard_for_pandas(pipelines, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="the extra notebook")
    board = segkit.sweep(pipelines, shapes(2))
    frame = board.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == [row.recipe for row in board.rows]
    assert frame["iou"].tolist() == [row.scores["iou"].mean for row in board.rows]
    assert ["recipe", *frame.columns] == board.to_csv().splitlines()[0].split(",")
    assert frame["iou_low"].dtype == float
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MissingExtraError, match=r"needs pandas, .* pip install 'segkit\[notebook]'"
    ):
        board.to_pandas()


def test_a_diagnosis_of_one_pipeline(tmp_path):
    pipeline = Pipeline(prompt="center")
    diagnosis = segkit.diagnose(pipeline, shapes(1), tmp_path / "out")
    assert isinstance(diagnosis, Diagnosis)
    assert [recipe.recipe for recipe in diagnosis.recipes] == ["pipeline"]
    kept = json.loads((tmp_path / "out/diagnosis.json").read_text())
    assert kept == diagnosis.to_dict()
    assert repr(diagnosis).startswith("Diagnosis of 1 image\npipeline reaches an IoU of")
    segkit.write_png(tmp_path / "a.png", shapes(1)[0][0].pixels)
    with pytest.raises(PlanError, match="a diagnosis needs truth"):
        segkit.diagnose(pipeline, segkit.dataset("files", paths=[str(tmp_path / "a.png")]))


def test_robustness_by_names_and_steps(tmp_path):
    damage = ["gaussian-noise", segkit.step("jpeg")]
    found = segkit.robustness(quick(), shapes(2), tmp_path / "out", perturbations=damage, levels=2)
    assert isinstance(found, Robustness)
    assert {curve.perturbation for curve in found.curves} == {"gaussian-noise", "jpeg"}
    assert (found.levels, found.figure) == (2, "iou")
    assert (tmp_path / "out/robustness.json").is_file()
    assert repr(found).startswith("Robustness on 2 images\n")
    by_dice = segkit.robustness(
        quick(), shapes(1), perturbations="jpeg", levels=1, metrics=[segkit.step("dice")]
    )
    assert by_dice.figure == "dice"


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: segkit.sweep({}, shapes(1)), "there is nothing to compare; give at least one"),
        (lambda: segkit.sweep("photos", shapes(1)), "pipelines should be one, or several by their"),
        (lambda: segkit.sweep([quick()], shapes(1)), "pipelines should be one, or several by"),
        (lambda: segkit.diagnose({"a": "objects"}, shapes(1)), "pipelines should be one, or sev"),
        (lambda: segkit.run("photos", "out"), "plans should be given by their names, such as"),
        (lambda: segkit.run({"a": quick()}, "out"), "pipeline.run('photos', 'out') runs a single"),
        (lambda: segkit.sweep(quick(), "photos"), "the data set should be one, such as segkit."),
        (lambda: segkit.sweep(quick(), shapes(1), sort_by="io"), "none of the metrics gives it"),
        (lambda: segkit.robustness(quick(), shapes(1), levels=0), "levels should be a whole numbe"),
        (
            lambda: segkit.robustness(quick(), shapes(1), perturbations=["jpg"]),
            "no perturbation plugin has that name; did you mean 'jpeg'?",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(ask, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        ask()


# ---- data sets and training --------------------------------------------------------------------


def test_a_description(tmp_path):
    found = segkit.describe(shapes(3), tmp_path / "out")
    assert isinstance(found, Description)
    assert (found.total, found.with_truth, found.spoilt) == (3, 3, 0)
    assert repr(found) == "Description(shapes: 3 images, all with truth)"
    kept = json.loads((tmp_path / "out/describe.json").read_text())
    assert kept == found.to_dict()
    assert (tmp_path / "out/describe.html").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; name a folder, or a file that ends in"):
        segkit.describe(shapes(3), tmp_path / "file")


def test_a_training(tmp_path):
    pytest.importorskip("lightning", reason="the extra train")
    rows = []
    path = tmp_path / "net.safetensors"
    with pytest.warns(SegkitWarning):  # so few images
        result = segkit.train(
            "lite0-decoder", shapes(4), path, size=64, epochs=2, batch=2, on_epoch=rows.append
        )
    assert isinstance(result, TrainingResult)
    assert (result.path, result.training, result.validating) == (path, 3, 1)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows == result.rows
    recipe = Pipeline(path.with_suffix(".toml"))
    assert recipe(shapes(1)[0][0]).labels.ids.shape == (96, 96)


@pytest.mark.parametrize(
    ("segmenter", "settings", "sentence"),
    [
        ("unet", {"epoch": 2}, "train has no option 'epoch'; did you mean 'epochs'?"),
        ("unet", {"epochs": 0}, "Invalid value for --train.epochs: Input should be greater than 0"),
        ("sam", {}, "the segmenter 'sam' has no network that segkit trains; choose one of"),
        ("unett", {}, "--segmenter unett: no segmenter plugin has that name; did you mean 'unet'?"),
    ],
)
def test_a_wrong_training_is_one_sentence(tmp_path, segmenter, settings, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)) as error:
        segkit.train(segmenter, shapes(1), tmp_path / "a.safetensors", **settings)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="has no network that segkit trains; choose one such as"):
        segkit.train(segkit.step("topk"), shapes(1), tmp_path / "a.safetensors")


def test_a_step_prints_as_its_name_and_what_was_chosen():
    assert repr(segkit.step("topk")) == "topk()"
    step = segkit.step("topk", k=3, min_distance=0)
    assert (str(step), repr(step)) == ("topk(k=3)", "topk(k=3)")
    assert f"{[step]}" == "[topk(k=3)]"


def test_one_path_is_enough_for_files(tmp_path):
    for name in ("a", "b"):
        segkit.write_png(tmp_path / f"photos/{name}.png", np.zeros((4, 5, 3), np.uint8))
    photos = tmp_path / "photos"
    for paths in (str(photos), photos, [photos], (str(photos / "a.png"), photos / "b.png")):
        assert [*segkit.dataset("files", paths=paths).names] == ["a", "b"]
    with pytest.raises(segkit.UsageError, match=r"--files.paths"):
        segkit.dataset("files", paths=3)
