"""A recipe of somebody else's runs no program unless its user says so."""

from __future__ import annotations

import shutil

import pytest
import torch
from reading import summary

from segkit import Pipeline, Recipe, UsageError


class Tiny(torch.nn.Module):
    """A classifier of four classes, which is a program as TorchScript."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(3, 4, 3)

    def forward(self, pixels):
        return self.features(pixels).relu().mean((2, 3))


@pytest.fixture
def recipe(tmp_path):
    """A folder from elsewhere: a recipe, and the TorchScript that it names."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    torch.jit.script(Tiny().eval()).save(str(folder / "model.pt"))
    path = folder / "recipe.toml"
    path.write_text(
        f'[[saliency]]\nname = "gradcam"\nmodel = "{folder}/model.pt"\nsize = 32\n'
        'layer = "features"\n\n[[segmenter]]\nname = "threshold"\n'
    )
    return path


@pytest.mark.parametrize("command", ["run", "sweep", "diagnose", "robustness"])
def test_a_recipe_that_names_a_torchscript_needs_a_word(segkit, recipe, photo, tmp_path, command):
    data = (photo,) if command == "run" else ("--dataset", "shapes", "--shapes.count", "1")
    asked = (command, *data, "--recipe", recipe, "-o", "out")
    done = segkit(*asked)
    assert done.code == 2
    model = recipe.parent / "model.pt"
    assert done.err.startswith(f"Error: the recipe names {model} as --gradcam.model, which is a ")
    assert "add --trust-torchscript" in done.err
    assert not (tmp_path / "out").exists()
    if command == "run":
        done = segkit(*asked, "--trust-torchscript")
        assert done.code == 0, done.err
        assert summary(tmp_path / "out")["failed"] == 0


def test_a_file_that_lies_beside_a_moved_recipe_is_found_and_refused_too(segkit, recipe, photo):
    moved = recipe.parent.with_name("moved")
    shutil.move(recipe.parent, moved)
    done = segkit("run", photo, "--recipe", moved / "recipe.toml")
    assert done.code == 2
    assert f"names {moved / 'model.pt'} as --gradcam.model" in done.err


def test_flags_are_the_users_own_word(segkit, recipe, photo):
    model = recipe.parent / "model.pt"
    light = ("--gradcam.size", "32", "--gradcam.layer", "features", "--segmenter", "threshold")
    assert segkit("run", photo, "--gradcam.model", model, *light, "-o", "a").code == 0
    done = segkit("run", photo, "--recipe", recipe, "--gradcam.model", model, "-o", "b")
    assert done.code == 0, done.err
    done = segkit("run", photo, "--recipe", recipe, "--saliency", "gradcam", "-o", "c")
    assert done.code == 2  # the model is still the recipe's


def test_the_same_in_python(recipe, photo):
    for start in (recipe, Recipe.load(recipe)):
        with pytest.raises(UsageError, match="in Python trust_torchscript=True"):
            Pipeline(start)
    with Pipeline(recipe, trust_torchscript=True, device="cpu") as pipeline:
        assert pipeline(photo).labels is not None
    with pytest.raises(UsageError, match="trust_torchscript"):
        Pipeline(recipe, options={"gradcam.size": 48})
    own = {"gradcam.model": str(recipe.parent / "model.pt")}
    with Pipeline(recipe, options=own, device="cpu") as pipeline:
        assert pipeline(photo).labels is not None
