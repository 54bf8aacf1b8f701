"""The command segkit train."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from segkit.cli.main import main, make_group

pytest.importorskip("torch")
pytest.importorskip("lightning")

SMALL = (
    *("--unet.width", "2", "--train.size", "32", "--train.batch", "8", "--train.epochs", "2"),
    *("--dataset", "shapes", "--shapes.count", "12", "--shapes.size", "32", "--shapes.seed", "1"),
)


def segkit(*arguments):
    return CliRunner().invoke(make_group(), [str(a) for a in arguments], prog_name="segkit")


def refused(capsys, *arguments):
    """The sentence of a command that cannot work."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("Error: ")
    assert "\n" not in said
    return said.removeprefix("Error: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "net.safetensors"
    done = segkit("train", *SMALL, "unet", "-o", path)  # options may come first
    assert done.exit_code == 0, done.output
    return path, done


def test_what_is_said(trained):
    path, done = trained
    lines = done.stdout.splitlines()
    assert lines[0].startswith("11 images trained, 1 validated · ")
    assert f"weights: {path}" in lines
    assert lines[-1] == f"use: segkit run --recipe {path.with_suffix('.toml')} PHOTO"
    memory, *epochs = done.stderr.splitlines()
    assert memory.startswith("Memory: batch of 8 in one pass; up to ")
    assert [line.split("  ")[0] for line in epochs] == ["segment, epoch 1/2", "segment, epoch 2/2"]


@pytest.mark.parametrize("how", ["recipe", "flags"])
def test_run_takes_it_at_once(how, trained, tmp_path):
    path, _ = trained
    chosen = {
        "recipe": ("--recipe", path.with_suffix(".toml")),
        "flags": ("--segmenter", "unet", "--unet.weights", path),
    }[how]
    data = ("--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "48")
    done = segkit("run", *chosen, *data, "-o", tmp_path / "run", "--quiet")
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["images"] == 2
    assert "unet" in json.dumps(summary["plan"])
    assert "gradcam" not in json.dumps(summary["plan"])
    assert (tmp_path / "run/masks/shapes-00000.png").is_file()


def test_quiet_says_nothing(tmp_path):
    done = segkit("train", "unet", *SMALL, "-o", tmp_path / "x.safetensors", "--quiet")
    assert (done.exit_code, done.output) == (0, "")


def test_images_left_out_are_told_by_the_exit_code(tmp_path):
    import numpy as np

    from segkit import write_png

    for i in range(4):
        write_png(tmp_path / f"images/{i}.png", np.full((40, 40, 3), 60 * i, np.uint8))
        mask = np.zeros((40, 40), np.uint8)
        mask[10:20, 10:20] = 1
        write_png(tmp_path / f"masks/{i}.png", mask)
    (tmp_path / "images/2.png").write_bytes(b"nothing")
    folder = ("--folder.images", tmp_path / "images", "--folder.masks", tmp_path / "masks")
    small = ("--unet.width", "2", "--train.size", "32", "--train.epochs", "1")
    out = tmp_path / "x.safetensors"
    given = ("train", "unet", *small, "--dataset", "folder", *folder, "-o", out)
    done = CliRunner().invoke(make_group(), [str(a) for a in given], standalone_mode=False)
    assert done.return_value == 1, done.output  # which `main` makes the exit code
    assert "Note: left out: " in done.stderr
    assert "2.png" in done.stderr
    assert "2 images trained, 1 validated, 1 left out" in done.stdout


def test_help_shows_the_options_of_what_is_chosen():
    plain = segkit("train", "--help").output
    assert "--train.epochs INTEGER" in plain
    assert "--train.augment / --train.no-augment" in plain
    assert "--unet.width" not in plain
    full = segkit("train", "unet", "--dataset", "pets", "--help").output
    assert "--unet.width INTEGER" in full
    assert "--pets.root PATH" in full
    assert all(len(line) <= 80 for line in full.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("unet", "--dataset", "shapes"), "segkit train needs a file to write; add -o FILE"),
        (("unet", "-o", "x.safetensors"), "segkit train needs data with truth; add --dataset"),
        (
            ("unet", "--dataset", "samples", "-o", "x.safetensors"),
            "the data set 'samples' has no truth to learn from",
        ),
        (
            ("sam", "--dataset", "shapes", "-o", "x.safetensors"),
            "the segmenter 'sam' has no network that segkit trains; choose one of autoencoder,",
        ),
        (("nte", "--dataset", "shapes"), "--segmenter nte: no segmenter plugin has that name"),
        (
            ("unet", "--dataset", "shapes", "--dataset", "shapes"),
            "--dataset shapes is given twice",
        ),
        (
            ("unet", "--dataset", "shapes", "--unet.weights", "y", "-o", "x.safetensors"),
            "--unet.weights is for segkit run",
        ),
        (
            ("unet", "--dataset", "shapes", "--train.epochs", "0", "-o", "x.safetensors"),
            "Invalid value for --train.epochs: Input should be greater than 0",
        ),
        (
            ("unet", "--dataset", "shapes", "--train.loss", "mse", "-o", "x.safetensors"),
            "Invalid value for --train.loss: should be cross-entropy, dice, focal, or a sum",
        ),
        (
            ("unet", "--dataset", "shapes", "--train.epoch", "3"),
            "--train.epoch: train has no option 'epoch'; did you mean --train.epochs?",
        ),
        (
            ("unet", "--dataset", "shapes", "--pets.root", "x"),
            "--pets.root is an option of the dataset plugin 'pets', which is not chosen",
        ),
        (
            ("unet", "--dataset", "shapes", "-o", "x.pt"),
            "-o x.pt should end in .safetensors",
        ),
        (
            ("unet", "--dataset", "shapes", "--shapes.count", "1", "-o", "x.safetensors"),
            "training needs 2 images or more, one to learn from and one to validate",
        ),
    ],
)
def test_wrong_use_is_told_in_a_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, "train", *arguments)
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".safetensors"]


def test_a_missing_library_is_named_with_the_line_that_installs_it(capsys, monkeypatch, tmp_path):
    for name in [
        n for n in sys.modules if n == "segkit.training.loop" or n == "segkit.cli.train_screen"
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    said = refused(capsys, "train", "unet", *SMALL, "-o", tmp_path / "x.safetensors")
    assert said == (
        "segkit train needs Lightning, which is not installed; run: pip install 'segkit[train]'"
    )


def test_run_without_weights_says_how_to_get_some(tmp_path, capsys):
    said = refused(
        capsys, *("run", "--dataset", "shapes", "--segmenter", "unet", "-o", tmp_path / "out")
    )
    assert said == (
        "--segmenter unet needs --unet.weights FILE; to make one: segkit train unet --dataset D "
        "-o FILE"
    )


def test_the_plugin_in_the_docs_is_trained_and_used(tmp_path):
    page = (Path(__file__).parents[2] / "docs/how-to/train.md").read_text(encoding="utf-8")
    module = tmp_path / "linear.py"
    module.write_text(re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL)[0])
    data = ("--plugin", module, "--dataset", "shapes", "--shapes.size", "32", "--shapes.count")
    path = tmp_path / "linear.safetensors"
    small = ("--train.size", "32", "--train.epochs", "1")
    done = segkit("train", "linear", *data, "6", *small, "-o", path)
    assert done.exit_code == 0, done.output
    out = tmp_path / "run"
    done = segkit("run", "--recipe", path.with_suffix(".toml"), *data, "1", "-o", out, "--quiet")
    assert done.exit_code == 0, done.output
    assert (out / "masks/shapes-00000.png").is_file()
