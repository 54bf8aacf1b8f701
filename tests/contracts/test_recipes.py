"""Every example recipe, run from the command line as its own comment says."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import small
from pages import check_flags

from segkit import Catalog, Image, Labels, Masks, Recipe
from segkit.cli.main import main
from segkit.kinds import ASKING

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.toml"))
OPTIONS = ("--shapes.count", "2", "--shapes.size", "96", "--gradcam.model", "shapes", "--quiet")

FIGURES = {
    "max": "mean IoU 0.726",
    "max-min": "mean IoU 0.719",
    "idw-topk": "mean IoU 0.769",
    "idw-topk-background": "mean IoU 0.725",
    "centroid-grid": "mean IoU 0.860",
    "centroid-grid-background": "mean IoU 0.831",
    "dpt": "mean IoU 0.692",
    "dpt-sam": "mean IoU 0.743",
    "yolo-sam": "mean IoU 0.839",
    "unet": "mean IoU 0.36",
    "autoencoder": "mean IoU 0.23",
    "clip-decoder": "mean IoU 0.55",
    "point-clip": "IoU 0.37",
}
"""In the source reports."""

MODELS = {
    "autoencoder": "lightning",
    "clip-decoder": "lightning",
    "dpt": "transformers",
    "dpt-sam": "transformers",
    "grounding-dino-sam2": "transformers",
    "point-clip": "lightning",
    "reference-sam": "transformers",
    "text-points-sam": "transformers",
    "text-sam3": "transformers",
    "unet": "lightning",
    "yolo-sam": "onnxruntime",
    "yolo-sam-confidence": "onnxruntime",
}
"""The recipes of models that have to be fetched or trained first, and what runs these."""

STRATEGIES = [path for path in RECIPES if path.stem not in MODELS]
WITH_MODELS = [path for path in RECIPES if path.stem in MODELS]
LITTLE = (
    *("--train.size", "32", "--train.batch", "4", "--train.epochs", "1", "--train.rate", "1e-3"),
    "--quiet",
)
"""What makes a training of a recipe's comment tiny; the last of two flags counts."""

SMALL_NETWORKS = {
    "unet": ("--unet.width", "2"),
    "clip-decoder": (*("--clip-decoder.model", "clip"), "--clip-decoder.bottom", "32"),
    "point-clip": ("--point-clip.model", "clip"),
}


def segkit(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


def head(recipe):
    """A recipe's comment."""
    first, *_ = recipe.read_text(encoding="utf-8").partition("\n\n")
    return first


def commands(recipe, name=""):
    """The commands in a recipe's comment, as words; those of one name alone if it is given."""
    lines = [line[4:] for line in head(recipe).splitlines() if line.startswith("#   segkit ")]
    return [shlex.split(line) for line in lines if line.startswith(f"segkit {name}")]


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with all recipes and a few pets, and we are in it."""
    for recipe in RECIPES:
        shutil.copy(recipe, tmp_path)
    (tmp_path / "oxford-iiit-pet").mkdir()
    small.pets(tmp_path / "oxford-iiit-pet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_they_tell_the_source_reports_figures():
    assert FIGURES.keys() < {path.stem for path in RECIPES}
    assert MODELS.keys() < {path.stem for path in RECIPES}
    for path in RECIPES:
        assert head(path).startswith("# ")
        assert f"--recipe {path.name}" in head(path)
        assert "ViT-B," not in head(path)  # no report names SAM's size
        if path.stem in FIGURES:
            assert FIGURES[path.stem] in " ".join(head(path).replace("#", "").split())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_commands_of_its_comment_can_be_read(recipe, desk):
    assert commands(recipe)
    for words in commands(recipe):
        check_flags(words)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_leaves_the_data_set_open(recipe):
    parts = Recipe.load(recipe).parts
    assert not parts.keys() & {"dataset", "writer"}
    if recipe in STRATEGIES:
        assert parts.keys() <= {*ASKING, "segmenter", "judge", "selector", "fuser"}
        assert parts.get("prompt") or parts["segmenter"][0].name == "sam-everything"


def test_those_with_adaptive_background_compute_again_once():
    adaptive = [path for path in RECIPES if path.stem.endswith("-adaptive")]
    assert len(adaptive) == 3
    assert {Recipe.load(path).rounds for path in adaptive} == {2}


# ---- where a report's way is not the default -----------------------------------------------------


def step_of(stem, kind):
    """The step of a kind that a recipe names."""
    (part,) = Recipe.load(RECIPES[0].with_name(f"{stem}.toml")).parts[kind]
    return Catalog(third_party=False).load(kind, part.name)(**part.options)


def test_the_vote_of_dpt_sam_comes_before_the_mapping():
    """30 % wall, 30 % floor, 40 % person: a person, though two classes that VOC lacks have 60 %."""
    ids = np.repeat([1, 4, 13], [3, 3, 4])[None]
    labels = Labels(ids, {1: "wall", 4: "floor, flooring", 13: "person, individual"})
    masks = Masks(np.ones((1, 1, 10), bool), [1.0], [0], (None,))
    image = Image(np.zeros((1, 10, 3), np.uint8), "room")
    vote = step_of("dpt-sam", "fuser")
    fused = vote(image=image, labels=labels, masks=masks, classes={15: "person"})
    assert (fused.ids == 15).all()
    for part in Recipe.load(RECIPES[0].with_name("dpt-sam.toml")).parts["segmenter"]:
        assert "table" not in part.options


@pytest.mark.parametrize("stem", ["yolo-sam", "yolo-sam-confidence"])
def test_boxes_are_painted_one_over_the_other(stem):
    """In the detector's order, however likely each is, and all of them."""
    masks = np.zeros((2, 1, 10), bool)
    masks[0], masks[1, 0, 1:] = True, True  # an IoU of 0.9
    masks = Masks(masks, [0.9, 0.5], [0, 1], ("car", "dog"))
    image = Image(np.zeros((1, 10, 3), np.uint8), "street")
    paint = step_of(stem, "fuser")
    assert len(paint.merge(masks)) == 2
    painted = paint(image=image, masks=masks, classes={7: "car", 12: "dog"})
    assert painted.ids.tolist() == [[7] + [12] * 9]


@pytest.mark.parametrize("stem", ["autoencoder", "clip-decoder", "point-clip", "unet"])
def test_trainings_stop_by_the_reports_rule(stem):
    """Each epoch is compared with the one before it."""
    ((_, *words),) = commands(RECIPES[0].with_name(f"{stem}.toml"), "train")
    assert words[words.index("--train.stopping") + 1] == "previous"


# ---- strategies ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of one sweep over all of them."""
    folder = tmp_path_factory.mktemp("swept") / "s"
    flags = [flag for path in STRATEGIES for flag in ("--recipe", path)]
    everything = ("--sam-everything.points-per-side", "4")  # else most of the time goes into one
    assert segkit("sweep", *flags, "--dataset", "shapes", *OPTIONS, *everything, "-o", folder) == 0
    return folder


@pytest.mark.parametrize("recipe", STRATEGIES, ids=lambda path: path.stem)
def test_it_runs(recipe, swept):
    summary = summary_of(swept / "recipes" / recipe.stem)
    assert (summary["images"], summary["failed"]) == (2, 0)
    assert 0 <= summary["scores"]["iou"] <= 1


@pytest.mark.parametrize("stem", ["center", "default", "max-adaptive"])
def test_it_runs_alone(stem, tmp_path):
    """Without Grad-CAM, by the shortest way, and twice over."""
    # A click on the centre reads no heatmap, so there is no Grad-CAM that could take options.
    own = OPTIONS if stem != "center" else (*OPTIONS[:4], "--quiet")
    recipe = RECIPES[0].with_name(f"{stem}.toml")
    code = segkit("run", "--recipe", recipe, "--dataset", "shapes", *own, "-o", tmp_path / "r")
    assert code == 0
    summary = summary_of(tmp_path / "r")
    assert summary["images"] == 2
    assert 0 <= summary["scores"]["iou"] <= 1


def test_all_in_one_sweep(swept):
    board = json.loads((swept / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["recipe"] for row in board["rows"]} == {path.stem for path in STRATEGIES}
    assert board["images"] == 2


# ---- models, tiny and with random weights -------------------------------------------------------


def lay_models(folder):
    """A CLIP, a DPT that knows ADE20K's names, and a YOLO that knows COCO's."""
    import onnx_graphs
    import tiny_clips
    import tiny_hub
    import tiny_sams

    tiny_hub.MODELS["clip-vision"](folder / "clip")
    tiny_clips.with_texts(folder / "clip-text")
    tiny_hub.MODELS["sam2"](folder / "sam2")
    tiny_hub.save(tiny_hub.grounding_dino, folder / "dino")
    tiny_sams.sam3_with_texts(folder / "sam3")
    small.references(folder / "examples")
    names = ["wall", "floor", "person", "sofa", "car"]
    tiny_hub.save(tiny_hub.dpt, folder / "dpt", names)
    rng = np.random.default_rng(0)
    onnx_graphs.looking(folder / "yolo-nas.onnx", "YOLO-NAS", 80, (64, 64), rng)


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    for library in ("transformers", "lightning", "onnxruntime", "onnx"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("models")
    lay_models(folder)
    return folder


@pytest.fixture
def models(desk, laid):
    shutil.copytree(laid, desk, dirs_exist_ok=True)
    return desk


@pytest.mark.parametrize("recipe", WITH_MODELS, ids=lambda path: path.stem)
def test_models_that_are_missing_are_a_sentence(recipe, desk, capsys):
    pytest.importorskip(MODELS[recipe.stem])
    assert segkit("run", "--recipe", recipe.name, *PETS, "--quiet", "-o", "r") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("Error: ")
    assert "\n" not in said


PETS = ("--dataset", "pets", "--pets.root", "oxford-iiit-pet")


@pytest.mark.parametrize("stem", ["autoencoder", "clip-decoder", "point-clip", "unet"])
def test_its_training_runs_and_it_takes_the_weights(stem, models):
    """The very command of the recipe's comment, made tiny."""
    recipe = models / f"{stem}.toml"
    before = recipe.read_bytes()
    ((_, *words),) = commands(recipe, "train")
    own = SMALL_NETWORKS.get(stem, ())
    assert segkit(*words, *LITTLE, *own) == 0
    assert recipe.read_bytes() == before  # the training's own recipe has another name
    assert segkit("run", "--recipe", recipe.name, *PETS, "--quiet", "-o", "r") == 0
    scores = summary_of(models / "r")["scores"]
    wanted = "clicks-iou" if stem == "point-clip" else "iou"
    assert 0 <= scores[wanted] <= 1


OWN_MODELS = {
    "dpt": ("--dpt.model", "dpt"),
    "dpt-sam": ("--dpt.model", "dpt"),
    "grounding-dino-sam2": (
        *("--grounding-dino.model", "dino", "--grounding-dino.confidence", "0"),
        *("--hf-sam.model", "sam2", "--classes", "cat,dog"),
    ),
    "text-points-sam": ("--clip-text.model", "clip-text", "--classes", "cat,dog"),
    "reference-sam": (
        "--reference.model",
        "examples/dino",
        "--reference.examples",
        "examples/shown",
    ),
    "text-sam3": ("--sam3.model", "sam3", "--sam3.confidence", "0", "--classes", "cat,dog"),
    "yolo-sam": (),
}
"""Where a recipe's models lie, beside the recipe."""


@pytest.mark.parametrize("stem", OWN_MODELS)
def test_it_runs_with_its_models(stem, models):
    flags = OWN_MODELS[stem]
    if stem == "dpt-sam":
        flags += ("--sam-everything.points-per-side", "4", "--sam-everything.pred-iou-thresh", "0")
    command = ("run", "--recipe", f"{stem}.toml", *PETS, *flags, "--metric", "iou", "--quiet")
    assert segkit(*command, "-o", "r") == 0
    summary = summary_of(models / "r")
    assert summary["images"] == 2
    assert 0 <= summary["scores"]["iou"] <= 1


def test_the_confidence_sweep_runs_by_its_command(models):
    """A recipe for each threshold; on pets in place of VOC."""
    ((_, *words),) = commands(models / "yolo-sam-confidence.toml", "sweep")
    place = words.index("--dataset")
    words[place : place + 4] = PETS
    assert segkit(*words, "--quiet", "-o", "s") == 0
    board = json.loads((models / "s" / "leaderboard.json").read_text(encoding="utf-8"))
    assert len(board["rows"]) == 9
    kept = {}
    for results in models.glob("s/recipes/*/results.jsonl"):
        options = Recipe.load(results.with_name("recipe.toml")).parts["selector"][0].options
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        kept[options["least"]] = sum(len(line["masks"]) for line in lines)
    assert [*sorted(kept)] == [n / 10 for n in range(1, 10)]
    numbers = [kept[least] for least in sorted(kept)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
