"""Commands that train the small detector and the small DPT; plugins take the files."""

from __future__ import annotations

import json
import runpy
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

from click.testing import CliRunner  # noqa: E402

from segkit import Image  # noqa: E402
from segkit.cli.main import make_group  # noqa: E402
from segkit_plugins.dataset.scenes import Scenes  # noqa: E402
from segkit_plugins.prompt.yolo import Yolo  # noqa: E402
from segkit_plugins.segmenter.dpt import Dpt  # noqa: E402
from segkit_plugins.shared.drawing import CLASSES, Backgrounds  # noqa: E402
from segkit_training import detector, dpt, scenes  # noqa: E402

COMMANDS = {"detector": (detector, "net.onnx"), "dpt": (dpt, "net")}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(scenes.Scenes, "batch", 2)


def train(which, folder, *more):
    """Three steps by the command; what came of it, and the file or folder."""
    command, name = COMMANDS[which]
    folder.mkdir(exist_ok=True)
    arguments = ["--steps", "3", "--every", "2", "--seed", "5", "--threads", "1"]
    done = CliRunner().invoke(command.main, [*arguments, "-o", str(folder / name), *more])
    return done, folder / name


def weights(which, path):
    """Arrays of a trained file or folder by name."""
    if which == "dpt":
        from safetensors.numpy import load_file

        return load_file(path / "model.safetensors")
    held = onnx.load(path).graph.initializer
    return {each.name: onnx.numpy_helper.to_array(each) for each in held}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes.Scenes, "batch", 2)
        folder = tmp_path_factory.mktemp("small")
        found = {which: train(which, folder) for which in COMMANDS}
    for done, _ in found.values():
        assert done.exit_code == 0, done.output
    return {which: path for which, (_, path) in found.items()}


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 256, (90, 160, 3), np.uint8), "photo")


def test_the_prompter_yolo_takes_the_detector(trained, photo):
    path = trained["detector"]
    assert path.stat().st_size < 1_500_000
    yolo = Yolo(weights=path, confidence=0)
    yolo.open("cpu")
    found = yolo(photo)
    assert 1 <= len(found) <= 300
    assert {p.name for p in found} <= set(CLASSES.values())
    for prompt in found:
        assert 0 <= prompt.box[0] <= prompt.box[2] <= 159
        assert 0 <= prompt.box[1] <= prompt.box[3] <= 89


def test_the_segmenter_dpt_takes_the_dpt(trained, photo):
    folder = trained["dpt"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    assert {"config.json", "preprocessor_config.json", "model.safetensors"} <= {
        path.name for path in folder.iterdir()
    }
    segmenter = Dpt(model=str(folder))
    segmenter.open("cpu")
    labels = segmenter(photo, CLASSES)
    assert labels.ids.shape == photo.size
    assert dict(labels.classes) == CLASSES
    assert set(np.unique(labels.ids)) <= {0, *CLASSES}
    prepared = segmenter._prepared(Image(np.full((90, 160, 3), 255, np.uint8), "white"))
    assert prepared["pixel_values"].shape == (1, 3, 128, 128)  # squeezed as a whole
    assert torch.all(prepared["pixel_values"] == 1)  # as in training


def scenes_run(out, *more, count="2"):
    """What `segkit run` says of some scenes."""
    data = ["--dataset", "scenes", "--scenes.count", count, "--scenes.seed", "5001"]
    given = ["run", *data, "--metric", "miou", *more, "-o", str(out)]
    done = CliRunner().invoke(make_group(), given)
    assert done.exit_code == 0, done.output
    return json.loads((out / "summary.json").read_text())


def test_they_work_in_runs_over_scenes(trained, tmp_path):
    boxes = ["--prompt", "yolo", "--yolo.weights", str(trained["detector"])]
    steps = [*boxes, "--yolo.confidence", "0", "--yolo.most", "3", "--segmenter", "sam"]
    for out, more in (
        (tmp_path / "boxes", [*steps, "--select", "score", "--fuser", "paint"]),
        (tmp_path / "map", ["--segmenter", "dpt", "--dpt.model", str(trained["dpt"])]),
    ):
        assert 0 <= scenes_run(out, *more)["scores"]["miou"] <= 1


def test_onnx_and_torch_agree_on_what_the_detector_finds(tmp_path):
    import onnxruntime

    torch.manual_seed(1)
    network = detector.Detector()
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 128, 128))  # batch statistics that are not the first ones
        pixels = torch.rand(1, 3, 128, 128)
        wanted = network.eval()(pixels).numpy()
    detector.export(network, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    (found,) = session.run(None, {"images": pixels.numpy()})
    assert found.shape == (1, 9, 256)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    said = session.get_modelmeta().custom_metadata_map
    assert said["names"] == "{0: 'circle', 1: 'square', 2: 'diamond', 3: 'triangle', 4: 'star'}"
    assert said["task"] == "detect"


@pytest.mark.parametrize("which", COMMANDS)
def test_training_repeats_and_goes_on_where_it_was_cut_off(which, trained, tmp_path, monkeypatch):
    command = COMMANDS[which][0]
    step = command.Training.training_step

    def cut(self, batch, index):
        if self.global_step == 2:
            raise OSError("the power is gone")
        return step(self, batch, index)

    monkeypatch.setattr(command.Training, "training_step", cut)
    done, path = train(which, tmp_path / "halted")
    assert "the power is gone" in str(done.exception)
    assert not path.exists()
    monkeypatch.setattr(command.Training, "training_step", step)
    done, path = train(which, tmp_path / "halted", "--resume")
    assert done.exit_code == 0, done.output
    whole, resumed = weights(which, trained[which]), weights(which, path)
    assert whole.keys() == resumed.keys()
    for key in whole:
        np.testing.assert_allclose(
            resumed[key].astype(np.float32), whole[key].astype(np.float32), rtol=0, atol=1e-3
        )
    done, path = train(which, tmp_path / "other", "--seed", "6")
    other = weights(which, path)
    changed = [k for k in whole if not np.allclose(whole[k], other[k], rtol=0, atol=1e-2)]
    assert len(changed) > len(whole) / 4


def test_pictures_depend_on_the_seed_alone_and_their_truth_fits():
    sources = [Backgrounds.load(None)]
    for kind in (detector.Boxes, dpt.ClassMaps):
        whole, rest = kind(sources, 3, 0, 16), kind(sources, 3, 1, 16)
        for one, other in zip(whole[2], rest[0], strict=True):
            assert torch.equal(one, other)
    several = 0
    for i in range(32):
        pixels, edges, kinds, owner = detector.Boxes(sources, 3, 0, 16)[i]
        assert pixels.shape == (3, 128, 128)
        sides = edges[:, 2:] - edges[:, :2]
        count = int((sides > 0).all(1).sum())
        several += count > 1
        assert owner.max() <= count
        middles = detector.Detector().centres
        for number in range(1, count + 1):  # cells lie in the box of their object
            on = middles[owner == number]
            assert ((on >= edges[number - 1, :2]) & (on <= edges[number - 1, 2:])).all()
        labels = dpt.ClassMaps(sources, 3, 0, 16)[i][1]  # the same picture
        assert labels.shape == (128, 128)
        assert set(labels.unique().tolist()) - {0} <= {int(k) + 1 for k in kinds[:count]}
        for number, (left, top, right, bottom) in enumerate(edges[:count].tolist()):
            part = labels[int(top) : int(bottom + 0.5), int(left) : int(right + 0.5)]
            assert (part == kinds[number] + 1).any() or part.numel() < 4
    assert several > 16


def test_the_best_cells_of_each_object_answer_for_it():
    owner = torch.zeros(1, 256, dtype=torch.int64)
    owner[0, :20], owner[0, 20:23] = 1, 2
    overlap = torch.linspace(0, 0.9, 256)[None].clone()
    fit = overlap**4
    fit[0, 5] = 1.0  # the best cell of the first object, though its box is a poor one
    score = detector.wanted(fit, overlap, owner)[0]
    first = [5, *range(13, 20)]
    assert score.nonzero()[:, 0].tolist() == [*first, 20, 21, 22]
    assert score[5] == pytest.approx(float(overlap[0, 19]))
    assert score[22] == pytest.approx(float(overlap[0, 22]))
    assert detector.wanted(fit, overlap, torch.zeros_like(owner)).max() == 0


def test_overlap_of_boxes():
    one = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4]])
    other = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 8, 8]])
    assert detector.overlaps(one, other).tolist() == pytest.approx([1, 1 / 3, 0])


@pytest.mark.parametrize("which", COMMANDS)
def test_bad_input_is_told_in_a_sentence(which, tmp_path):
    done, path = train(which, tmp_path, "--resume")
    assert done.exit_code == 2
    assert f"there is no checkpoint {path.parent / 'net.ckpt'}; leave it out" in " ".join(
        done.output.split()
    )
    done, _ = train(which, tmp_path, "--backgrounds", str(tmp_path / "nowhere"))
    assert done.exit_code == 2
    assert "backgrounds should be a folder or an .npz file" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("which", "library", "sentence"),
    [
        ("detector", "lightning", "training the detector needs Lightning, {} 'segkit[train]'"),
        ("detector", "onnx", "writing ONNX needs onnx, {} 'segkit[train]'"),
        ("dpt", "lightning", "training the DPT needs Lightning, {} 'segkit[train]'"),
        ("dpt", "transformers", "training the DPT needs transformers, {} 'segkit[hf]'"),
    ],
)
@pytest.mark.filterwarnings("ignore:'segkit_training:RuntimeWarning")  # it is imported already
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    which, library, sentence, tmp_path, monkeypatch
):
    """As the program runs it; Python prints what it exits with, and ends with 1."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(f"segkit_training.{which}", run_name="__main__")
    assert stop.value.code == sentence.format("which is not installed; run: pip install")


@pytest.mark.slow
def test_a_detector_trained_for_minutes_finds_most_objects(tmp_path, monkeypatch):
    monkeypatch.undo()  # batches of the usual size
    path = tmp_path / "net.onnx"
    done = CliRunner().invoke(detector.main, ["--steps", "900", "-o", str(path)])
    assert done.exit_code == 0, done.output
    yolo, data = Yolo(weights=path), Scenes(count=40, seed=5001)
    yolo.open("cpu")
    objects = found = answers = 0
    for image, truth in (data[i] for i in range(len(data))):
        prompts = yolo(image)
        answers += len(prompts)
        for number in range(1, truth.instances.max() + 1):
            on = truth.instances == number
            if on.sum() < 300:
                continue
            ys, xs = np.nonzero(on)
            true = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            name = CLASSES[int(truth.labels.ids[on][0])]
            each = [
                detector.overlaps(torch.from_numpy(p.box) + torch.tensor([0, 0, 1, 1]), true)
                for p in prompts
                if p.name == name
            ]
            objects += 1
            found += max(each, default=0) > 0.5
    assert found / objects > 0.6
    assert found / answers > 0.7


@pytest.mark.slow
def test_a_dpt_trained_for_minutes_makes_useful_class_maps(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = tmp_path / "net"
    done = CliRunner().invoke(dpt.main, ["--steps", "500", "-o", str(folder)])
    assert done.exit_code == 0, done.output
    more = ["--segmenter", "dpt", "--dpt.model", str(folder)]
    assert scenes_run(tmp_path / "run", *more, count="40")["scores"]["miou"] > 0.5
