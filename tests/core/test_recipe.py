"""Recipes: read, filled in with defaults, written out and read back."""

from __future__ import annotations

import pytest

from segkit import Catalog, Recipe, UsageError
from segkit.running.recipe import Part
from segkit.running.recipe_record import recorded, to_toml

CATALOG = Catalog(third_party=False)


def written(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[[promt]]\nname = 'topk'",
            "has 'promt', which is no kind of step; did you mean 'prompt'",
        ),
        ("prompt = 'topk'", "should hold [[prompt]] tables, but has 'topk'"),
        ("[[prompt]]\nk = 3", 'has a [[prompt]] without a name; add name = "PLUGIN"'),
        ("[run]\nsed = 1", "has 'sed' under [run]; known: seed, rounds, classes, least_quality"),
        ("[run", "is not a TOML file"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(tmp_path, text, sentence):
    with pytest.raises(UsageError) as error:
        Recipe.load(written(tmp_path, text))
    assert sentence in str(error.value)


def test_weights_that_were_moved_with_their_recipe_are_found(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    (new / "net.safetensors").write_text("")
    text = f'[[segmenter]]\nname = "unet"\nweights = "{(old / "net.safetensors").as_posix()}"\n'
    path = new / "net.toml"
    path.write_text(text)

    def weights():
        return Recipe.load(path).parts["segmenter"][0].options["weights"]

    assert weights() == str(new / "net.safetensors")
    (old / "net.safetensors").write_text("")  # where the recipe says, if there is something
    assert weights() == (old / "net.safetensors").as_posix()
    path.write_text(text.replace("net.safe", "gone.safe"))
    assert weights() == (old / "gone.safetensors").as_posix()


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no\.toml could not be read: No such file"):
        Recipe.load(tmp_path / "no.toml")


def test_defaults_join_only_where_something_reads_them():
    full = Recipe().build(CATALOG, ["photo.jpg"])
    assert full.dataset.name == "files"
    assert full.words == ("files > gradcam > objectness-prior > components > sam > score > paint")
    assert [w.name for w in full.writers] == ["masks", "overlay"]
    assert Recipe().build(CATALOG).dataset.name == "samples"
    heat = {"segmenter": (Part("threshold"),)}
    assert [s.name for s in Recipe(heat).build(CATALOG).steps] == [
        *("gradcam", "threshold", "score", "paint", "masks", "overlay")
    ]
    only_heatmaps = {"saliency": (Part("gradcam"),), "segmenter": ()}
    assert [s.name for s in Recipe(only_heatmaps).build(CATALOG).steps] == ["gradcam", "overlay"]


@pytest.mark.parametrize("kind", ["saliency", "transform", "prompt"])
def test_who_chooses_a_part_of_what_is_asked_gets_no_transform_besides(kind):
    name = {"saliency": "gradcam", "transform": "gaussian", "prompt": "topk"}[kind]
    transforms = Recipe({kind: (Part(name),)}).build(CATALOG).transforms
    assert [t.name for t in transforms] == (["gaussian"] if kind == "transform" else [])
    assert Recipe({"transform": ()}).build(CATALOG).transforms == ()


def test_an_option_of_a_default_leaves_the_others():
    for kind, name, option in (
        ("saliency", "gradcam", {"target": "top:2"}),
        ("transform", "objectness-prior", {"weight": 0.5}),
        ("prompt", "components", {"level": 0.3}),
    ):
        recipe = Recipe().with_options(kind, name, option)
        assert recipe.build(CATALOG).words == Recipe().build(CATALOG).words
        (step,) = (s for s in recipe.build(CATALOG).steps if s.name == name)
        ((key, value),) = option.items()
        assert getattr(step, key) == value


def test_masks_and_pictures_are_always_written_unless_no_writer_is_asked_for():
    def writers(*names, **parts):
        parts |= {"writer": tuple(Part(n) for n in names)}
        return [w.name for w in Recipe(parts).build(CATALOG).writers]

    assert writers("coco") == ["coco", "masks", "overlay"]
    assert writers("overlay") == ["overlay", "masks"]
    assert writers("masks") == ["masks", "overlay"]
    assert writers() == []
    # Without a class map there are no masks, but still pictures.
    assert writers("coco", segmenter=(Part("sam"),), fuser=()) == ["coco", "overlay"]


def test_all_metrics_that_fit_join_where_there_is_truth():
    made = Recipe({"dataset": (Part("shapes"),)}).build(CATALOG)
    assert {m.name for m in made.metrics} == {
        *("iou", "dice", "accuracy", "miou", "hit-rate", "distance", "pointing-game"),
        *("boundary-iou", "class-dice", "class-iou", "voc-miou"),
        *("class-accuracy", "class-hit-rate", "mean-class-dice", "instance-f1"),
    }
    chosen = {"dataset": (Part("shapes"),), "metric": ()}
    assert Recipe(chosen).build(CATALOG).metrics == ()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"prompt": (Part("topk", {"k": 0}),)},
            "Invalid value for --topk.k: Input should be greater than 0, not 0",
        ),
        (
            {"dataset": (Part("folder", {"images": "photos"}),)},
            "dataset 'folder' needs --folder.masks; add it",
        ),
        ({"prompt": (Part("topk", {"kk": 1}),)}, "topk has no option 'kk'; did you mean 'k'?"),
        (
            {"prompt": (Part("tokp"),)},
            "--prompt tokp: no prompt plugin has that name; did you mean 'topk'?",
        ),
        (
            {"saliency": (Part("topk"),)},
            "--saliency topk: 'topk' is a prompt, not a saliency; use --prompt topk",
        ),
        (
            {"saliency": (), "prompt": (Part("topk"),)},
            "topk needs 'heatmap', and nothing before it makes one; add --saliency",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(parts, sentence):
    with pytest.raises(UsageError) as error:
        Recipe(parts).build(CATALOG)
    assert str(error.value) == sentence


def test_a_recorded_plan_reads_back_as_the_same_plan(tmp_path):
    parts = {
        "dataset": (Part("shapes", {"count": 3}),),
        "saliency": (Part("gradcam", {"model": "shapes", "target": "top:2"}),),
        "transform": (Part("idw"), Part("idw", {"radius": 2})),
        "prompt": (Part("topk", {"k": 2}), Part("maxmin", merge=True), Part("centroid-grid")),
    }
    made = Recipe(parts, rounds=2).build(CATALOG)
    text = to_toml(recorded(made, catalog=CATALOG, seed=5))
    again = Recipe.load(written(tmp_path, text))
    assert (again.seed, again.rounds) == (5, 2)
    assert again.build(CATALOG) == made
    assert '[[prompt]]\nname = "topk"' in text
    assert "merge = true" in text


def test_a_record_names_versions_weights_and_plugins():
    found = recorded(Recipe().build(CATALOG, ["x.jpg"]), catalog=CATALOG)["record"]
    assert found["segkit"] == found["plugins"][0]["version"]
    assert {p["distribution"] for p in found["plugins"]} == {"segkit"}
    assert any(key.startswith("sam/") for key in found["weights"])
    assert all(len(digest) == 64 for digest in found["weights"].values())


def test_named_images_win_over_a_recipes_own_data_set():
    plan = Recipe({"dataset": (Part("shapes"),)}).build(CATALOG, ["a.jpg"])
    assert plan.dataset.name == "files"
    assert plan.dataset.paths == ("a.jpg",)


def test_options_may_be_spelt_as_their_flags():
    recipe = Recipe.from_dict({"prompt": [{"name": "topk", "min-distance": 3}]})
    assert recipe.build(CATALOG, ["a.jpg"]).prompters[0][0].min_distance == 3


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (3, "the recipe should hold a table [run], but has run = 3"),
        ({"rounds": "3"}, "the recipe: rounds should be a whole number from 1, but is '3'"),
        ({"seed": True}, "the recipe: seed should be a whole number from 0, but is True"),
        ({"classes": "cat"}, "the recipe: classes should be a list of names, but is 'cat'"),
    ],
)
def test_settings_of_the_wrong_type_are_told(run, sentence):
    with pytest.raises(UsageError) as error:
        Recipe.from_dict({"run": run})
    assert str(error.value) == sentence
