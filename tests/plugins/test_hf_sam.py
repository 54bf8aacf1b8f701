"""`hf-sam` answers as transformers' own processor, model and post-processing do."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from segkit import Catalog, Image, Prompt, Prompts
from segkit.cli.main import main
from segkit.running.recipe import make_step

pytest.importorskip("transformers", minversion="5.20", reason="the extra hf is not installed")
pytest.importorskip("timm", reason="EdgeTAM's image encoder is timm's")

import tiny_sams
import torch
from tiny_sams import KINDS, OF_ONE_IMAGE

CATALOG = Catalog(third_party=False)
ALL = sorted(KINDS)
POINTS = np.array([[200.0, 140.0], [120.0, 90.0], [10.0, 12.0]])
BOX = np.array([90.0, 40.0, 310.0, 250.0])


@pytest.fixture(scope="session")
def folders(tiny_model):
    """A model folder of each kind."""
    return {kind: tiny_model(kind) for kind in ALL}


@pytest.fixture(scope="module")
def steps(folders):
    """Each kind, open."""
    made = {kind: hf_sam(folders[kind]) for kind in ALL}
    for step in made.values():
        step.open("cpu")
    yield made
    for step in made.values():
        step.close()


@pytest.fixture(scope="module")
def photos():
    """A photograph that is wider than high, and one that is higher than wide."""
    from skimage import data

    coffee = data.coffee()
    return {"wide": Image(coffee[:280, 60:460], "wide"), "high": Image(coffee[:, :260], "high")}


def hf_sam(folder, **options):
    options = {"precision": "float32", **options}
    return make_step(CATALOG, "segmenter", "hf-sam", {"model": str(folder), **options})


def answer(step, image, *prompts):
    return step(image=image, prompts=Prompts(prompts), encoding=step.encode(image))


def peers(kind, folder, image, prompt, multimask, **more):
    """The masks and scores that a user of transformers gets for one prompt, and the logits."""
    processor, model = tiny_sams.processor(kind), type(KINDS[kind]()).from_pretrained(folder).eval()
    asked = {}
    if len(prompt.points):
        asked["input_points"] = [[prompt.points.tolist()]]
        asked["input_labels"] = [[prompt.signs.astype(int).tolist()]]
    if prompt.box is not None:
        asked["input_boxes"] = [[prompt.box.tolist()]]
    given = processor(images=image.pixels.copy(), return_tensors="pt", **asked)
    sizes = [given.pop(k) for k in ("original_sizes", "reshaped_input_sizes") if k in given]
    given = {k: v.float() if v.is_floating_point() else v for k, v in given.items()}
    with torch.no_grad():
        made = model(**given, **more, multimask_output=multimask)
    (masks,) = processor.post_process_masks(made.pred_masks, *sizes)
    return masks[0].numpy(), made.iou_scores[0, 0].numpy(), made.pred_masks[0, 0].numpy()


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def check_equal(made, masks, scores, low):
    assert len(made) == len(masks)
    assert np.abs(made.scores - scores).max() < 1e-4
    assert all(iou(a, b) >= 0.99 for a, b in zip(made.masks, masks, strict=True))
    assert any(0.01 < mask.mean() < 0.99 for mask in masks)  # there is something to compare
    h, w = made.logits.shape[1:]
    assert np.abs(made.logits - low[:, :h, :w]).max() < 1e-3 * np.abs(low).max()


CASES = {
    "point": (Prompt(points=POINTS[:1]), True),
    "points of both signs": (Prompt(points=POINTS, signs=[True, True, False]), False),
    "box": (Prompt(box=BOX), False),
    "box and point": (Prompt(points=POINTS[2:], signs=[False], box=BOX), False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ALL)
def test_masks_equal_those_of_the_models_own_pipeline(kind, case, folders, steps, photos):
    prompt, several = CASES[case]
    for image in photos.values():
        made = answer(steps[kind], image, prompt)
        check_equal(made, *peers(kind, folders[kind], image, prompt, several))


@pytest.mark.parametrize("kind", ALL)
def test_square_photos_are_enlarged_as_the_model_does(kind, folders, steps, photos):
    image = Image(photos["wide"].pixels[:280, :280], "square")
    prompt, several = CASES["point"]
    made = answer(steps[kind], image, prompt)
    masks, *_ = peers(kind, folders[kind], image, prompt, several)
    assert np.mean(np.array(list(made.masks)) != masks) < 1e-4


@pytest.mark.parametrize("kind", ALL)
def test_mask_prompts_equal_the_models_own(kind, folders, steps, photos):
    for image in photos.values():
        first = answer(steps[kind], image, CASES["point"][0]).take([2])
        low = np.full((1, 1, 32, 32), first.logits.min(), np.float32)
        h, w = first.logits.shape[1:]
        low[0, 0, :h, :w] = first.logits[0]
        for points in (POINTS[:1], POINTS[:0]):
            prompt = Prompt(points=points, mask=first.logits[0])
            given = {"input_masks": torch.from_numpy(low)}
            asked = peers(kind, folders[kind], image, prompt, False, **given)
            made = answer(steps[kind], image, prompt)
            check_equal(made, *asked)
        plain = answer(steps[kind], image, Prompt(points=POINTS[:1]))
        assert np.abs(plain.logits[:1] - made.logits).max() > 1e-3  # the mask counts


@pytest.mark.parametrize("kind", OF_ONE_IMAGE)
def test_video_models_answer_as_their_part_for_one_image(kind, photos, tmp_path):
    folder = tiny_sams.save(kind, tmp_path)
    step = hf_sam(folder)
    step.open("cpu")
    for prompt, several in CASES.values():
        made = answer(step, photos["wide"], prompt)
        check_equal(made, *peers(OF_ONE_IMAGE[kind], folder, photos["wide"], prompt, several))


@pytest.mark.parametrize("kind", ALL)
def test_logits_cover_the_image_without_padding(kind, steps, photos):
    image = photos["wide"]
    shape = answer(steps[kind], image, *(p for p, _ in CASES.values())).logits.shape[1:]
    assert shape == ((23, 32) if kind in ("sam", "sam_hq") else (32, 32))  # 280/400 of 32 rows


@pytest.mark.parametrize("kind", ALL)
def test_many_prompts_at_once_equal_one_by_one_in_their_order(kind, steps, photos):
    rng, step, image = np.random.default_rng(0), steps[kind], photos["wide"]
    prompts = [Prompt(points=[rng.uniform(5, 250, 2)], name=f"p{i}") for i in range(18)]
    prompts.insert(3, Prompt(box=BOX, name="box"))
    prompts.insert(9, Prompt(name="asks nothing"))
    masks = [rng.normal(0, 4, (20, 30)), rng.normal(0, 4, (7, 9))]
    prompts += [Prompt(points=POINTS, mask=mask, name="mask") for mask in masks]
    together = answer(step, image, *prompts)
    assert together.prompt.tolist() == sorted(together.prompt.tolist())
    assert set(together.prompt.tolist()) == {i for i in range(22) if i != 9}
    for i in (0, 3, 17, 20, 21):
        alone = answer(step, image, prompts[i])
        own = together.take(np.flatnonzero(together.prompt == i))
        assert np.abs(own.logits - alone.logits).max() < 1e-3
        assert np.abs(own.scores - alone.scores).max() < 1e-4
        assert set(own.names) == {prompts[i].name}


@pytest.mark.parametrize("kind", ALL)
def test_candidates_follow_sams_advice_or_the_option(kind, folders, steps, photos):
    prompts = (Prompt(points=POINTS[:1]), Prompt(box=BOX))
    for option, counts in (("auto", [3, 1]), ("on", [3, 3]), ("off", [1, 1])):
        step = hf_sam(folders[kind], multimask=option)
        step._network, step._processor = steps[kind]._network, steps[kind]._processor
        made = answer(step, photos["high"], *prompts)
        assert np.bincount(made.prompt).tolist() == counts


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 3), (300, 2), (33, 17), (1, 2000)])
@pytest.mark.parametrize("kind", ["sam", "sam_hq", "sam2", "sam3_tracker"])
def test_any_size_of_image_works(kind, size, steps):
    image = Image(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8), "x")
    made = answer(steps[kind], image, Prompt(points=[(0, 0)]))
    assert made.masks.shape == (3, *size)
    assert len(answer(steps[kind], image, Prompt(mask=made.logits[0]))) == 1
    none = answer(steps[kind], image)
    assert none.masks.shape == (0, *size)


@pytest.mark.parametrize("kind", ALL)
def test_bfloat16_encodes_nearly_the_same(kind, folders, steps, photos):
    step = hf_sam(folders[kind], precision="bfloat16")
    step._network, step._processor = steps[kind]._network, steps[kind]._processor
    exact, rounded = (s.encode(photos["wide"]).features for s in (steps[kind], step))
    one, other = (
        t[-1] if isinstance(t, list) else t
        for t in (exact["image_embeddings"], rounded["image_embeddings"])
    )
    assert other.dtype == torch.float32
    assert 0 < (one - other).abs().mean() < 0.05 * one.abs().mean()


@pytest.mark.parametrize("kind", ALL)
def test_several_images_together_as_on_a_gpu(kind, folders, steps, photos):
    alone, step = steps[kind], hf_sam(folders[kind])
    step._network, step._processor, step._together = alone._network, alone._processor, True
    mask = np.where(np.hypot(*np.mgrid[-1:1:32j, -1:1:32j]) < 0.5, 4.0, -4.0).astype(np.float32)
    asked = {
        "wide": (*(Prompt(points=[p]) for p in POINTS), Prompt(box=BOX), Prompt(mask=mask)),
        "high": (Prompt(box=BOX - 30), Prompt(points=POINTS[:1]), Prompt(), Prompt(mask=mask)),
    }
    encodings = step.encode_batch([{"image": image} for image in photos.values()])
    made = step.batch(
        [
            {"image": photos[name], "prompts": Prompts(asked[name]), "encoding": encoding}
            for name, encoding in zip(asked, encodings, strict=True)
        ]
    )
    for name, masks in zip(asked, made, strict=True):
        wanted = answer(alone, photos[name], *asked[name])
        assert masks.prompt.tolist() == wanted.prompt.tolist()
        assert np.abs(masks.scores - wanted.scores).max() < 1e-3
        union, common = masks.masks | wanted.masks, masks.masks & wanted.masks
        assert common.sum() / union.sum() > 0.999


def test_a_folder_without_a_processor_gets_the_usual_one(folders, tmp_path, photos):
    for kind in ALL:
        bare = shutil.copytree(folders[kind], tmp_path / kind)
        (bare / "processor_config.json").unlink()
        one, other = hf_sam(folders[kind]), hf_sam(bare)
        one.open("cpu"), other.open("cpu")
        first, second = (answer(s, photos["wide"], CASES["box"][0]) for s in (one, other))
        assert np.array_equal(first.logits, second.logits)


def test_half_precision_weights_become_float32(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    half = shutil.copytree(folders["sam2"], tmp_path / "half")
    tensors = {k: v.half() for k, v in load_file(half / "model.safetensors").items()}
    save_file(tensors, half / "model.safetensors", {"format": "pt"})
    settings = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**settings, "dtype": "float16"}))
    step = hf_sam(half)
    step.open("cpu")
    assert {p.dtype for p in step._network.parameters()} == {torch.float32}


def test_the_command_line_runs_it_and_notes_the_weights(folders, tmp_path, capsys, monkeypatch):
    from hashlib import sha256

    from PIL import Image as Picture
    from skimage import data

    Picture.fromarray(data.astronaut()[::4, ::4]).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGKIT_PLUGINS", "bundled")
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("run", "photo.jpg", "--segmenter", "hf-sam", "-o", "out", "--gradcam.model"),
                *("shapes", "--hf-sam.model", str(folders["sam2"])),
            ]
        )
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    assert "hf-sam" in printed.out
    assert "Loading" not in printed.err  # no bars of transformers'
    with Picture.open("out/masks/photo.png") as mask:
        assert mask.size == (128, 128)
    digest = sha256((folders["sam2"] / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (tmp_path / "out/recipe.toml").read_text()
    (line,) = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "ok"
