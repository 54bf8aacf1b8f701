"""`nano` is made of segment-anything's classes; its training repeats and resumes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network():
    from segkit_plugins.segmenter.sam.nano import build

    return build().eval()


def test_it_is_a_sam(network):
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam

    assert isinstance(network, Sam)
    assert isinstance(network.prompt_encoder, PromptEncoder)
    assert isinstance(network.mask_decoder, MaskDecoder)


def test_the_backbone_is_frozen_moves_along_and_is_not_saved(network):
    assert not any("backbone" in key for key in network.state_dict())
    assert not any(p.requires_grad for p in network.image_encoder.backbone.parameters())
    network.double()
    assert next(network.image_encoder.backbone.parameters()).dtype == torch.float64
    network.float()


def test_fine_maps_survive_the_folding():
    from segkit_plugins.segmenter.sam.nano import unfold

    quarter, half = torch.rand(1, 16, 64, 64), torch.rand(1, 8, 128, 128)
    folded = torch.cat(
        [
            torch.zeros(1, 64, 32, 32),
            torch.nn.functional.pixel_unshuffle(quarter, 2),
            torch.nn.functional.pixel_unshuffle(half, 4),
        ],
        dim=1,
    )
    coarse, found_quarter, found_half = unfold(folded)
    assert coarse.shape == (1, 64, 32, 32)
    assert torch.equal(found_quarter, quarter)
    assert torch.equal(found_half, half)


def test_the_click_map_shows_points_by_sign_and_the_box(network):
    coords = torch.tensor([[[36.0, 100.0], [200.0, 20.0], [64.0, 64.0], [127.0, 191.0]]])
    labels = torch.tensor([[1.0, 0.0, 2.0, 3.0]])
    good, bad, box = network.prompt_encoder.clicks(coords, labels)[0]
    assert divmod(int(good.argmax()), 32) == (100 // 8, 36 // 8)
    assert divmod(int(bad.argmax()), 32) == (20 // 8, 200 // 8)
    ys, xs = np.nonzero(box.numpy() > 0.5)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (8, 15, 8, 23)


def test_training_knows_what_a_mask_must_look_like():
    from segkit_training.nano import losses

    truth = torch.zeros(1, 1, 128, 128)
    truth[..., 30:90, 30:90] = 1
    right, half = truth * 20 - 10, truth * 20 - 10
    half[..., 60:, :] = -10
    (good, full), (worse, part) = losses(right, truth), losses(half, truth)
    assert good < 0.01 < worse
    assert full == 1
    assert part == pytest.approx(0.5)


def test_pictures_and_prompts_depend_on_the_seed_alone():
    from segkit_plugins.shared.drawing import Backgrounds
    from segkit_training.nano import Prompted
    from segkit_training.pictures import Pictures

    source = Pictures([Backgrounds.load(None)], [])
    whole = Prompted(source, 3, 0, 2)
    rest = Prompted(source, 3, 1, 2)  # a run resumed after its first step
    assert len(rest) == len(whole) // 2
    for one, other in zip(whole[6], rest[0], strict=True):
        assert torch.equal(one, other)
    pixels, coords, labels, truth = whole[0]
    assert pixels.shape == (3, 256, 256)
    assert coords.shape == (8, 8, 2)
    for point, label, mask in zip(coords, labels, truth, strict=True):
        for (x, y), sign in zip(point[:6].tolist(), label[:6].tolist(), strict=True):
            if sign >= 0:  # a point lies on what it says it lies on, up to half a cell
                around = mask[max(0, int(y) // 2 - 1) :, :][:3, max(0, int(x) // 2 - 1) :][:, :3]
                assert (around.max() > 0) if sign == 1 else (around.min() < 1)


def test_measuring_asks_the_middle_of_an_object_and_its_box():
    from segkit_training.measure import box, interior, overlap

    mask = np.zeros((20, 30), bool)
    mask[4:9, 10:25] = True
    mask[6, 2:10] = True  # a thin arm, that is not the middle
    assert interior(mask)[1] == 6
    assert 12 <= interior(mask)[0] <= 22
    assert box(mask) == (2, 4, 24, 8)
    nowhere, void = np.zeros_like(mask), np.zeros_like(mask)
    assert overlap(mask, mask, void) == 1
    assert overlap(mask, nowhere, void) == 0
    void[6, 2:10] = True
    assert overlap(mask, mask & ~void, void) == 1


def test_measuring_prints_a_line_for_each_data_set():
    from click.testing import CliRunner

    from segkit_training import measure

    done = CliRunner().invoke(measure.main, ["--count", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == ["scenes", "shapes"]
    assert "own object" in done.output


def test_without_lightning_training_says_what_to_install():
    code = (
        "import sys, runpy; sys.modules['lightning'] = None; "
        "runpy.run_module('segkit_training.nano', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "training nano needs Lightning, which is not installed; run: pip install 'segkit[train]'"
    )


def test_resuming_without_a_checkpoint_is_told_in_a_sentence(tmp_path):
    pytest.importorskip("lightning")
    from click.testing import CliRunner

    from segkit_training import nano

    done = CliRunner().invoke(nano.main, ["-o", str(tmp_path / "x.safetensors"), "--resume"])
    assert done.exit_code == 2
    found = " ".join(done.output.split())
    assert f"there is no checkpoint {tmp_path / 'x.ckpt'}; leave it out" in found


@pytest.mark.slow
def test_training_repeats_and_goes_on_after_a_kill(tmp_path):
    """Two runs of one seed agree, and so does one that was cut off after its checkpoint."""
    from click.testing import CliRunner
    from safetensors.torch import load_file

    from segkit_training import nano

    def train(name, *more):
        arguments = ["-o", str(tmp_path / f"{name}.safetensors"), "--steps", "4", *more]
        done = CliRunner().invoke(nano.main, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return load_file(tmp_path / f"{name}.safetensors"), done.output

    (one, log), (two, again) = train("one"), train("two")
    assert [json.loads(t)["loss"] for t in log.splitlines() if t.startswith("{")] == [
        json.loads(t)["loss"] for t in again.splitlines() if t.startswith("{")
    ]
    assert all(torch.equal(one[k], two[k]) for k in one)

    command = [sys.executable, "-m", "segkit_training.nano", "--steps", "4", "--every", "2"]
    command += ["-o", str(tmp_path / "cut.safetensors")]
    running = subprocess.Popen(command)
    while not (tmp_path / "cut.ckpt").exists() and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert not (tmp_path / "cut.safetensors").exists()
    subprocess.run([*command, "--resume"], check=True)
    cut = load_file(tmp_path / "cut.safetensors")
    assert all(torch.allclose(one[k].float(), cut[k].float(), atol=1e-3) for k in one)
