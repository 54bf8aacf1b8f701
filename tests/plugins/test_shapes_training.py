"""Training of the shapes classifier repeats and resumes; its weight file is checked."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from segkit import UsageError

torch = pytest.importorskip("torch")


def test_pictures_depend_on_the_seed_alone():
    pytest.importorskip("lightning")
    from segkit_plugins.shared.drawing import Backgrounds
    from segkit_training.shapes import PICTURES, Pictures

    whole = Pictures([Backgrounds.load(None)], 3, 0, 2)
    rest = Pictures([Backgrounds.load(None)], 3, 1, 2)  # a run resumed after its first step
    assert len(rest) == len(whole) - PICTURES == PICTURES
    for one, other in zip(whole[PICTURES], rest[0], strict=True):
        assert torch.equal(one, other)
    several = 0
    for pixels, cover, one in (whole[i] for i in range(2 * PICTURES)):
        assert pixels.shape == (3, 256, 256)
        assert cover.shape == (5, 32, 32)
        assert cover.min() >= 0
        assert cover.max() <= 1
        several += int(one) == -1
        if one >= 0:
            assert cover[one].sum() == cover.sum() > 0
    assert 2 <= several <= 16


def test_training_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    """Two and two steps give the weights of four."""
    pytest.importorskip("lightning")
    from click.testing import CliRunner
    from safetensors.torch import load_file

    from segkit_training import shapes

    monkeypatch.setattr(shapes, "PICTURES", 2)

    def train(name, *more):
        arguments = ["--steps", "4", "--every", "2", "--seed", "5", "--threads", "1"]
        arguments += ["-o", str(tmp_path / f"{name}.safetensors"), *more]
        done = CliRunner().invoke(shapes.main, arguments)
        return done, tmp_path / f"{name}.safetensors"

    done, whole = train("whole")
    assert done.exit_code == 0, done.output

    step = shapes.Training.training_step

    def cut(self, batch, index):
        if self.global_step == 3:
            raise OSError("the power is gone")
        return step(self, batch, index)

    monkeypatch.setattr(shapes.Training, "training_step", cut)
    done, halted = train("halted")
    assert "the power is gone" in str(done.exception)
    assert not halted.exists()
    monkeypatch.setattr(shapes.Training, "training_step", step)
    done, halted = train("halted", "--resume")
    assert done.exit_code == 0, done.output

    one, other = load_file(whole), load_file(halted)
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=1e-3)
    untrained = shapes.ShapesNet().state_dict()
    moved = [k for k in one if not torch.allclose(one[k].float(), untrained[k].float(), atol=1e-3)]
    assert len(moved) > len(one) / 2


def test_a_missing_lightning_is_named_with_the_line_that_installs_it():
    code = "import sys; sys.modules['lightning'] = None; import segkit_training.shapes"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "training the shapes classifier needs Lightning, which is not installed; "
        "run: pip install 'segkit[train]'"
    )


def test_a_weight_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from segkit_plugins.saliency import _shapes_net as shapes_net
    from segkit_plugins.shared import weights

    good = weights.load_safetensors(weights.bundled("shapes"))
    assert all(v.dtype == torch.float32 for v in good.values() if v.is_floating_point())
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(shapes_net, "bundled", lambda name: path)

    def sentence():
        with pytest.raises(UsageError) as caught:
            shapes_net.load()
        return str(caught.value).replace(str(path), "IT")

    assert sentence() == "the weights IT were not found; check the path"
    shutil.copy(weights.bundled("shapes"), path)
    path.write_bytes(path.read_bytes()[:5000])
    assert sentence().startswith("the weights IT cannot be read as safetensors (")
    path.write_text("hello, I am no weight file")
    assert sentence().startswith("the weights IT cannot be read as safetensors (")
    save_file({**good, "evidence.weight": torch.zeros(4, 64, 1, 1)}, path)
    assert sentence() == (
        "the weights IT are not of the shapes classifier: evidence.weight is (4, 64, 1, 1), "
        "not (5, 64, 1, 1); choose another file"
    )
    save_file({k: v for k, v in good.items() if k != "evidence.weight"}, path)
    assert sentence() == (
        "the weights IT are not of the shapes classifier: it lacks 1 tensors, such as "
        "evidence.weight; choose another file"
    )


def test_the_figures_are_printed_for_all_and_for_each_class():
    from click.testing import CliRunner

    from segkit_training import measure_shapes

    done = CliRunner().invoke(measure_shapes.main, ["--count", "12", "--seed", "15100"])
    assert done.exit_code == 0, done.output
    first, *others = (line.split() for line in done.output.splitlines())
    assert first[:2] == ["all", "12"]
    assert sum(int(line[1]) for line in others) == 12
    for column in (3, 5):
        mean = sum(int(line[1]) * float(line[column]) for line in others) / 12
        assert mean == pytest.approx(float(first[column]), abs=0.002)
        assert float(first[column]) > 0.5
