"""`nano` is made of segment-anything's classes and grew from `nano-2`; its training repeats."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from segkit_plugins.shared.weights import bundled, load_safetensors

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network():
    from segkit_plugins.segmenter.sam.nano import build

    return build().eval()


def test_it_is_a_sam(network):
    from segkit_plugins.segmenter.sam.authors.modeling import MaskDecoder, PromptEncoder, Sam

    assert isinstance(network, Sam)
    assert isinstance(network.prompt_encoder, PromptEncoder)
    assert isinstance(network.mask_decoder, MaskDecoder)


def test_the_folded_backbone_is_the_packages():
    from segkit_plugins.shared.lite0 import features, load_lite0
    from segkit_plugins.shared.lite0_folded import FoldedLite0

    original = load_lite0()
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = features(original, pixels), FoldedLite0(original)(pixels)
    assert [tuple(m.shape[1:]) for m in found[:2]] == [(16, 32, 48), (24, 16, 24)]
    for one, other in zip(wanted, found[1:], strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_fine_maps_survive_the_folding():
    from segkit_plugins.segmenter.sam.nano import unfold

    quarter, half = torch.rand(1, 16, 80, 80), torch.rand(1, 8, 160, 160)
    folded = torch.cat(
        [
            torch.zeros(1, 64, 40, 40),
            torch.nn.functional.pixel_unshuffle(quarter, 2),
            torch.nn.functional.pixel_unshuffle(half, 4),
        ],
        dim=1,
    )
    coarse, found_quarter, found_half = unfold(folded)
    assert coarse.shape == (1, 64, 40, 40)
    assert torch.equal(found_quarter, quarter)
    assert torch.equal(found_half, half)


def test_the_click_map_shows_points_by_sign_and_the_box(network):
    coords = torch.tensor([[[36.0, 100.0], [200.0, 20.0], [64.0, 64.0], [127.0, 191.0]]])
    labels = torch.tensor([[1.0, 0.0, 2.0, 3.0]])
    good, bad, box = network.prompt_encoder.clicks(coords, labels)[0]
    assert divmod(int(good.argmax()), 40) == (100 // 8, 36 // 8)
    assert divmod(int(bad.argmax()), 40) == (20 // 8, 200 // 8)
    ys, xs = np.nonzero(box.numpy() > 0.5)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (8, 15, 8, 23)


def test_a_mask_is_seen_only_where_it_is_given(network):
    masks = torch.full((2, 1, 160, 160), -8.0)
    masks[..., 40:80, 80:120] = 8
    coords, labels = torch.zeros(2, 8, 2), -torch.ones(2, 8)
    given = torch.tensor([True, False])
    _, dense = network.prompt_encoder.encode(coords, labels, masks, given)
    seen = dense[:, -1]
    assert seen[0, 10:20, 20:30].min() > 0.99
    assert seen[0].sum() < 101
    assert seen[1].abs().max() == 0
    none = network.prompt_encoder.encode(coords[1:], labels[1:], None)[1]
    assert torch.equal(dense[1:], none)


def test_it_begins_as_what_it_grew_from():
    """With the weights of `nano-2` and its side it gives the same masks."""
    from segkit_plugins.segmenter.sam import nano, nano_2

    weights = load_safetensors(bundled("nano-2"))
    older = nano_2.build().eval()
    older.load_state_dict(weights)
    newer = nano.grown(weights, 256).eval()
    pixels = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 255
    point = (torch.tensor([[[90.0, 140.0]]]), torch.ones(1, 1))
    answers = []
    for network in (older, newer):
        with torch.no_grad():
            embedding = network.image_encoder(network.preprocess(pixels))
            sparse, dense = network.prompt_encoder(points=point, boxes=None, masks=None)
            place = network.prompt_encoder.get_dense_pe()
            answers.append(network.mask_decoder.predict_masks(embedding, place, sparse, dense))
    for one, other in zip(*answers, strict=True):
        assert torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("model", ["nano", "nano-2"])
def test_both_ship_and_find_a_bright_disc(model):
    from segkit import Image as Picture
    from segkit import Prompt, Prompts
    from segkit_plugins.segmenter.sam import Sam

    y, x = np.mgrid[:120, :160]
    disc = (x - 70) ** 2 + (y - 60) ** 2 < 30**2
    pixels = np.where(disc[..., None], [220, 180, 40], [40, 60, 90]).astype(np.uint8)
    step = Sam(model=model)
    step.open("cpu")
    image = Picture(pixels, "disc")
    asked = Prompts((Prompt(points=[(70, 60)]),))
    found = step(image=image, prompts=asked, encoding=step.encode(image))
    mask = found.masks[found.scores.argmax()]
    assert (mask & disc).sum() / (mask | disc).sum() > 0.85
    assert set(step.weight_files()) == (
        {"nano"} if model == "nano" else {"nano-2", "efficientnet-lite0"}
    )


def test_weights_of_the_other_are_told_apart():
    from segkit import UsageError
    from segkit_plugins.segmenter.sam.loading import load

    with pytest.raises(UsageError, match=r"are of nano-2; use --sam\.model nano-2 or another"):
        load("sam", "nano", bundled("nano-2"))


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


def test_a_correction_clicks_where_the_answer_is_most_wrong():
    from segkit_training.nano import corrected

    truth = torch.zeros(8, 64, 64)
    truth[:, 10:50, 10:50] = 1
    logits = (truth * 20 - 10)[:, None].repeat(1, 4, 1, 1)
    logits[:, :, 30:50, 30:50] = -10  # a corner is missing
    coords, labels = torch.zeros(8, 8, 2), -torch.ones(8, 8)
    draw = torch.Generator().manual_seed(0)
    places, signs, masks = corrected(logits, torch.zeros(8, 4), truth, coords, labels, draw)
    clicked = signs[:, 5] == 1
    assert 0 < clicked.sum() < 8 or clicked.all()
    assert (places[clicked, 5] > 60).all()
    assert (places[clicked, 5] < 100).all()
    assert torch.equal(masks[:, 0] > 0, logits[:, 0] > 0)


def test_pictures_and_prompts_depend_on_the_seed_alone():
    from segkit_plugins.shared.drawing import Backgrounds
    from segkit_training.nano import PICTURES, Prompted
    from segkit_training.photos import Pictures

    source = Pictures([Backgrounds.load(None)], [], 320)
    whole = Prompted(source, PICTURES, 3, 0, 2)
    rest = Prompted(source, PICTURES, 3, 1, 2)  # a run resumed after its first step
    assert len(rest) == len(whole) // 2
    for one, other in zip(whole[PICTURES], rest[0], strict=True):
        assert torch.equal(one, other)
    pixels, coords, labels, masked, truth, things, learned = whole[0]
    assert pixels.shape == (3, 320, 320)
    assert coords.shape == (6, 8, 2)
    assert truth.shape == (6, 160, 160)
    assert things.shape == (2, 40, 40)
    assert learned.all()
    asked = (labels >= 0).any(1) | masked
    assert asked.all()
    for point, label, mask in zip(coords, labels, truth, strict=True):
        for (x, y), sign in zip(point[:6].tolist(), label[:6].tolist(), strict=True):
            if sign >= 0:  # a point lies on what it says it lies on, up to half a cell
                around = mask[max(0, int(y) // 2 - 1) :, :][:3, max(0, int(x) // 2 - 1) :][:, :3]
                assert (around.max() > 0) if sign == 1 else (around.min() < 1)


def test_coarse_masks_lie_on_the_object():
    from segkit_training.prompting import coarse_masks

    truth = torch.zeros(6, 160, 160)
    truth[:, 40:100, 30:110] = 1
    for seed in range(8):
        logits = coarse_masks(truth, torch.Generator().manual_seed(seed))
        assert logits.shape == (6, 1, 160, 160)
        assert logits.abs().max() <= 12
        inside = (logits[:, 0] > 0).float()
        assert (inside.sum((1, 2)) > 0).all()
        assert ((inside * truth).sum((1, 2)) / inside.sum((1, 2)) > 0.5).all()


def coco(folder, names, annotated=None):
    """A COCO folder with a square of 40 pixels on each photograph, of class person."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, name in enumerate(names):
        Image.new("RGB", (100, 80), (90, 90, 90)).save(folder / "images" / name)
        entry = {"id": number, "file_name": name, "width": 100, "height": 80}
        images.append(entry if annotated is None else {**entry, "annotated": annotated})
        square = [10, 10, 50, 10, 50, 50, 10, 50]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "segmentation": [square]}
        )
    listed = {"images": images, "annotations": annotations}
    listed["categories"] = [{"id": 1, "name": "person"}]
    (folder / "instances.json").write_text(json.dumps(listed))
    return folder


def test_a_fifth_of_the_photographs_is_set_aside(tmp_path):
    from segkit_training.photos import coco_photos, set_aside

    names = [f"{i:012}.png" for i in range(40)]
    folder = coco(tmp_path / "c", names)
    aside = sum(set_aside(name) for name in names)
    assert 2 <= aside <= 16
    assert len(coco_photos(folder)) == 40 - aside
    assert len(coco_photos(folder, development=True)) == aside
    assert len(coco_photos(folder, development=None)) == 40


def test_what_is_not_annotated_is_never_called_empty(tmp_path):
    from segkit_training.photos import Pictures, about, coco_photos, humans

    names = [f"{i:012}.png" for i in range(6)]
    rng = np.random.default_rng(0)
    for annotated, least in (("all", 0), (["person"], -1)):
        photo = coco_photos(coco(tmp_path / str(least), names, annotated), None)[0]
        assert photo.classes == ("person",)
        picture = Pictures([], [photo], 64).crop(rng, photo)
        values = about(picture)
        assert values.min() == least
        assert (values[picture.ids > 0] == 1).all()
        where = humans(picture)
        assert where.min() == 0  # persons are annotated in either
        assert (where[picture.ids > 0] == 1).all()
    photo = coco_photos(coco(tmp_path / "dogs", names, ["dog"]), None)[0]
    assert humans(Pictures([], [photo], 64).crop(rng, photo)).min() == -1


def test_people_that_are_pasted_stay_people(tmp_path):
    from segkit_plugins.shared.drawing import Backgrounds
    from segkit_training.photos import Pictures, coco_photos, humans

    photo = coco_photos(coco(tmp_path / "c", ["000000000001.png"]), None)[0]
    pictures = Pictures([], [photo], 96)
    rng = np.random.default_rng(3)
    for _ in range(8):
        picture = pictures.paste(rng, Backgrounds.load(None))
        assert (humans(picture) == (picture.ids > 0)).all()


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


def test_measuring_photographs_prints_a_line_a_part(tmp_path):
    from click.testing import CliRunner

    from segkit_training import measure_photos

    coco(tmp_path / "coco_measure", ["000000000001.png"], ["person"])
    arguments = ["--data", str(tmp_path), "--part", "coco", "--part", "persons"]
    done = CliRunner().invoke(measure_photos.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    first, second = done.output.splitlines()
    assert first.split()[:3] == ["coco", "1", "objects"]
    assert second.split()[:3] == ["persons", "1", "photos"]


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

    small = ["--side", "64", "--init", str(bundled("nano-2")), "--steps", "4"]

    def train(name, *more):
        arguments = ["-o", str(tmp_path / f"{name}.safetensors"), *small, *more]
        done = CliRunner().invoke(nano.main, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return load_file(tmp_path / f"{name}.safetensors"), done.output

    (one, log), (two, again) = train("one"), train("two")
    assert [json.loads(t)["loss"] for t in log.splitlines() if t.startswith("{")] == [
        json.loads(t)["loss"] for t in again.splitlines() if t.startswith("{")
    ]
    assert all(torch.equal(one[k], two[k]) for k in one)

    command = [sys.executable, "-m", "segkit_training.nano", *small, "--every", "2"]
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


def test_networks_are_averaged_by_their_shares(tmp_path):
    from click.testing import CliRunner
    from safetensors.torch import load_file, save_file

    from segkit_training import average

    whole = torch.tensor([7])
    save_file({"w": torch.tensor([1.0, 2.0]), "n": whole}, tmp_path / "a.safetensors")
    later = {
        "average.module.w": torch.tensor([3.0, 6.0]),
        "average.module.new": torch.tensor([5.0]),
    }
    state = {**later, "average.module.n": whole, "sam.w": torch.zeros(2)}
    torch.save({"state_dict": state}, tmp_path / "b.ckpt")
    files = [f"{tmp_path / 'a.safetensors'}=1", f"{tmp_path / 'b.ckpt'}=3"]
    out = tmp_path / "c.safetensors"
    done = CliRunner().invoke(average.main, [*files, "-o", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    mean = load_file(out)
    assert mean["w"].tolist() == [2.5, 5.0]
    assert mean["new"].tolist() == [5.0]
    assert mean["n"].tolist() == [7]
    assert mean["w"].dtype == torch.float16
    wrong = CliRunner().invoke(average.main, [f"{tmp_path / 'a.safetensors'}", "-o", str(out)])
    assert wrong.exit_code == 2
    assert "should be FILE=SHARE" in wrong.output
