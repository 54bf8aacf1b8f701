"""A recipe holds its weight files to their hashes, wherever it goes."""

from __future__ import annotations

import hashlib
import re

import pytest

from segkit import Catalog, Pipeline, Recipe, UsageError
from segkit.cli.main import main
from segkit.running.pins import revisions

PLUGIN = '''\
"""A segmenter with a weight file of its own."""
from pathlib import Path

import numpy as np
from segkit import Image, Masks, Segmenter, hookimpl


class Weighed(Segmenter):
    """The left half."""

    name = "weighed"
    file: Path
    """Its weights."""

    def weight_files(self):
        return {"net": self.file}

    def __call__(self, image: Image) -> Masks:
        mask = np.zeros((1, *image.size), bool)
        mask[:, :, : image.size[1] // 2] = True
        return Masks(mask, [1.0], [0])


class Fetched(Weighed):
    """The same, whose weights are fetched when it is opened."""

    name = "fetched"

    def weight_files(self):
        return {"net": self.file} if self.file.exists() else {}

    def open(self, device):
        if not self.file.exists():
            self.file.write_bytes(Path("remote").read_bytes())


@hookimpl
def segkit_segmenters():
    return [Weighed, Fetched]
'''

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the plugin, a photo and weights as the hub's client keeps them."""
    from segkit import write_png

    monkeypatch.chdir(tmp_path)
    (tmp_path / "weighed.py").write_text(PLUGIN)
    import numpy as np

    write_png(tmp_path / "photo.png", np.zeros((6, 8, 3), np.uint8))
    weights = tmp_path / f"models--owner--name/snapshots/{COMMIT}/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    return tmp_path, weights


def segkit(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["run", "photo.png", "--plugin", "weighed.py", *map(str, arguments)])
    return int(stop.value.code or 0), capsys.readouterr()


@pytest.mark.parametrize("kept", ["out/recipe.toml", "saved.toml"])
def test_other_weights_than_the_recipe_was_run_with_are_refused(place, capsys, kept):
    folder, weights = place
    asked = ("--segmenter", "weighed", "--weighed.file", weights)
    assert segkit(capsys, *asked, "-o", "out", "--save", "saved.toml")[0] == 0
    recipe = folder / kept
    digest = hashlib.sha256(b"weights").hexdigest()
    assert Recipe.load(recipe).pins["weighed/net"] == (digest, f"owner/name@{COMMIT}")
    assert segkit(capsys, "--recipe", recipe, "-o", "again")[0] == 0
    weights.write_bytes(b"others!!")
    code, printed = segkit(capsys, "--recipe", recipe, "-o", "other")
    assert code == 2
    now = hashlib.sha256(b"others!!").hexdigest()
    assert printed.err == (
        f"Error: the recipe was run with weights weighed/net of the SHA-256 {digest}, but those "
        f"that are here have {now}; fetch hf:owner/name@{COMMIT} and name it so, give the same, "
        "or drop its [record.weights] to take these for weighed\n"
    )
    assert not (folder / "other").exists()
    catalog = Catalog(files=(folder / "weighed.py",))
    with pytest.raises(UsageError, match="the recipe was run with weights weighed/net"):
        Pipeline(recipe, catalog=catalog)
    # A flag on the step is the user's own word, as is a recipe without the hashes.
    code, printed = segkit(capsys, "--recipe", recipe, "--weighed.file", weights, "-o", "other")
    assert code == 0, printed.err
    recipe.write_text(re.sub(r"\[record.*", "", recipe.read_text(), flags=re.DOTALL))
    assert segkit(capsys, "--recipe", recipe, "-o", "last")[0] == 0


def test_weights_that_are_fetched_when_a_step_is_opened_are_held_too(place, capsys):
    folder, _ = place
    remote, file = folder / "remote", folder / "net.bin"
    remote.write_bytes(b"weights")
    asked = ("--segmenter", "fetched", "--fetched.file", file)
    assert segkit(capsys, *asked, "-o", "out")[0] == 0
    recipe = folder / "out/recipe.toml"
    assert [*Recipe.load(recipe).pins] == ["fetched/net"]
    file.unlink()
    assert segkit(capsys, "--recipe", recipe, "-o", "again")[0] == 0
    file.unlink()
    remote.write_bytes(b"others!!")
    code, printed = segkit(capsys, "--recipe", recipe, "-o", "other")
    assert code == 2
    assert printed.err.startswith(
        "Error: the recipe was run with weights fetched/net of the SHA-256 "
    )
    assert not (folder / "other/masks").exists()
    file.unlink()
    code, printed = segkit(capsys, *asked, "-o", "out", "--resume")
    assert code == 2
    assert "--resume: the weights fetched/net have changed since out was run" in printed.err
    file.unlink()
    catalog = Catalog(files=(folder / "weighed.py",))
    sentence = "the recipe was run with weights fetched/net"
    with pytest.raises(UsageError, match=sentence), Pipeline(recipe, catalog=catalog) as pipeline:
        pipeline("photo.png")


def test_what_ships_with_a_plugin_is_no_pin_of_a_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["run", "--dataset", "shapes", "--save", "saved.toml", "--dry-run"])
    assert not stop.value.code
    assert "record" not in (tmp_path / "saved.toml").read_text()


def test_revisions_of_files_elsewhere_are_none(place):
    folder, weights = place
    catalog = Catalog(files=(folder / "weighed.py",))
    step = catalog.load("segmenter", "weighed")
    assert revisions([step(file=weights)]) == {"weighed/net": f"owner/name@{COMMIT}"}
    assert revisions([step(file=folder / "photo.png")]) == {}
