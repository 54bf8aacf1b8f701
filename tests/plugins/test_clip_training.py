"""Training of the segmenters on CLIP by `segkit train`, from a small CLIP, and their clicks."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from segkit import Image, Labels, Masks, Truth
from segkit.cli.main import make_group

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lightning")

from segkit_training import measure_clicks, small_clip  # noqa: E402


def small(folder, *more):
    arguments = ["--side", "32", "--width", "32", "--layers", "1", "-o", str(folder), *more]
    return CliRunner().invoke(small_clip.main, arguments)


def test_a_small_clip_depends_on_the_seed_alone_and_knows_its_places(tmp_path):
    from safetensors.torch import load_file

    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done = small(tmp_path / name, "--seed", seed)
        assert done.exit_code == 0, done.output
    a, b, c = (load_file(tmp_path / n / "model.safetensors") for n in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)
    (place,) = (v[1:] for k, v in a.items() if k.endswith("position_embedding.weight"))
    for row, column in ((0, 0), (2, 1), (3, 3)):  # 4×4 patches, 8 waves each
        rates = 100.0 ** -(np.arange(8) / 8)
        wanted = [wave(at * rates) for at in (column, row) for wave in (np.sin, np.cos)]
        np.testing.assert_allclose(place[4 * row + column], 0.5 * np.concatenate(wanted), atol=1e-6)


def test_sizes_that_make_no_clip(tmp_path):
    done = small(tmp_path, "--patch", "5")
    assert done.exit_code == 2
    assert "a side of 32 px is not made of whole patches of 5 px; give a multiple" in done.output
    done = small(tmp_path, "--width", "33")
    assert "--width 33 is no multiple of 32; give one" in done.output


@pytest.mark.parametrize("name", ["clip-decoder", "point-clip"])
def test_it_is_trained_and_used_by_command_without_the_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert small("clip").exit_code == 0
    bottom = "--clip-decoder.bottom 64" if name == "clip-decoder" else ""
    words = (
        f"train {name} --dataset scenes --scenes.count 24 --scenes.size 32 --scenes.seed 5 "
        f"--{name}.model clip --{name}.levels 2 {bottom} --train.size 32 --train.rate 3e-3 "
        "--train.epochs 4 --train.batch 8 --train.no-augment --device cpu --quiet "
        "-o net.safetensors"
    )
    done = CliRunner().invoke(make_group(), words.split())
    assert done.exit_code == 0, (done.output, done.exception)
    with (tmp_path / "net.csv").open(encoding="utf-8") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    shutil.rmtree("clip")
    words = (
        "run --recipe net.toml --dataset scenes --scenes.count 2 --scenes.size 40 --quiet -o out"
    )
    words += " --prompt center" if name == "point-clip" else ""
    done = CliRunner().invoke(make_group(), words.split())
    assert done.exit_code == 0, (done.output, done.exception)
    assert len(list((tmp_path / "out/masks").glob("*.png"))) == 2
    if name == "point-clip":
        arguments = ["--weights", "net.safetensors", "--count", "3", "--size", "32"]
        done = CliRunner().invoke(measure_clicks.main, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        assert " random clicks   own object 0." in done.output


class Answers:
    """Answers the click in each object with a given mask."""

    def __init__(self, masks):
        self.masks = masks

    def encode(self, image):
        return None

    def __call__(self, image, prompts, encoding):
        self.points = [tuple(p.points[0]) for p in prompts]
        return Masks(self.masks, np.ones(len(prompts)), np.arange(len(prompts)))


@pytest.mark.parametrize("where", ["random", "interior"])
def test_an_answer_counts_if_it_overlaps_the_object_under_the_click_most(where):
    ids = np.zeros((64, 64), np.int32)
    ids[5:25, 5:25], ids[30:60, 30:60], ids[2:4, 50:54], ids[63, 0] = 1, 2, 3, 4  # 4 is too small
    truth = Truth(Labels((ids > 0).astype(np.int32), {1: "x"}), ids)
    image = Image(np.zeros((64, 64, 3), np.uint8), "s")
    answers = Answers(np.stack([(ids == 1) | (ids == 3), ids > 0, ids == 4]))
    found = measure_clicks.clicked(answers, image, truth, where, np.random.default_rng(0))
    assert [ids[int(y), int(x)] for x, y in answers.points] == [1, 2, 3]
    assert [answer.own for answer in found] == [True, True, False]
    assert found[0].iou == pytest.approx(400 / 408)
    assert found[1].iou == pytest.approx(900 / (900 + 400 + 8 + 1))
    assert found[2].iou == 0


def test_the_interval_is_over_pictures():
    text = measure_clicks.mean([[1.0, 1.0, 1.0, 1.0], [0.0]] * 50)
    assert text.startswith("0.800 [")
    low, high = (float(x) for x in text[7:-1].split(", "))
    assert 0.5 < low < 0.8 < high < 1


def test_segmenters_that_cannot_be_asked():
    done = CliRunner().invoke(measure_clicks.main, ["--segmenter", "grabcut", "--count", "1"])
    assert done.exit_code == 2
    assert "has no encode(image), and clicks are asked by that" in " ".join(done.output.split())
    done = CliRunner().invoke(measure_clicks.main, ["--count", "1"])
    assert done.exit_code == 2
    assert "needs --point-clip.weights FILE" in " ".join(done.output.split())
