"""`sam` answers as segment-anything's own predictor does, and says plainly what it cannot load."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

from segkit import Catalog, Image, Masks, Prompt, Prompts, UsageError
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def sam(**options):
    return make_step(CATALOG, "segmenter", "sam", options)


@pytest.fixture(scope="module")
def nano():
    step = sam()
    step.open("cpu")
    yield step
    step.close()


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(data.coffee()[:280:, 60:460], "coffee")  # wider than high: SAM pads below


def answer(step, image, *prompts):
    return step(image=image, prompts=Prompts(prompts), encoding=step.encode(image))


def peers(network, image, **asked):
    """What `SamPredictor` makes with the same network: masks, scores, low-resolution logits."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(network)
    predictor.set_image(image.pixels)
    return predictor.predict(**asked)


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def check_equal(step, image, prompt, network=None, **asked):
    masks, scores, low = peers(network or step._sam, image, **asked)
    ours = answer(step, image, prompt)
    assert len(ours) == len(masks)
    h, w = ours.logits.shape[1:]
    assert np.abs(ours.logits - low[:, :h, :w]).max() < 1e-4
    assert np.abs(ours.scores - scores).max() < 1e-4
    assert all(iou(a, b) >= 0.999 for a, b in zip(ours.masks, masks, strict=True))


POINTS = np.array([[200.0, 140.0], [120.0, 90.0], [10.0, 12.0]])


def cases():
    one = POINTS[:1]
    box = np.array([90.0, 40.0, 310.0, 250.0])
    return {
        "point": (
            Prompt(points=one),
            {"point_coords": one, "point_labels": np.array([1]), "multimask_output": True},
        ),
        "points": (
            Prompt(points=POINTS, signs=[True, True, False]),
            {
                "point_coords": POINTS,
                "point_labels": np.array([1, 1, 0]),
                "multimask_output": False,
            },
        ),
        "box": (Prompt(box=box), {"box": box, "multimask_output": False}),
        "box and point": (
            Prompt(points=one, box=box),
            {
                "point_coords": one,
                "point_labels": np.array([1]),
                "box": box,
                "multimask_output": False,
            },
        ),
    }


@pytest.mark.parametrize("case", cases())
def test_nano_equals_sam_predictor(nano, photo, case):
    prompt, asked = cases()[case]
    check_equal(nano, photo, prompt, **asked)


def test_a_mask_prompt_equals_sam_predictors(nano, photo):
    first = answer(nano, photo, Prompt(points=POINTS[:1])).take([0])
    h, w = first.logits.shape[1:]
    padded = np.full((1, 160, 160), first.logits.min(), np.float32)
    padded[0, :h, :w] = first.logits[0]
    check_equal(
        nano,
        photo,
        Prompt(points=POINTS[:1], mask=first.logits[0]),
        point_coords=POINTS[:1],
        point_labels=np.array([1]),
        mask_input=padded,
        multimask_output=False,
    )


@pytest.mark.slow
def test_vit_b_equals_sam_predictor(tmp_path, photo):
    """Random weights, saved as a checkpoint: the class and the file are SAM's own."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]().eval()
    torch.save(network.state_dict(), tmp_path / "b.pth")
    step = sam(model="vit_b", checkpoint=str(tmp_path / "b.pth"), precision="float32")
    step.open("cpu")
    for prompt, asked in cases().values():
        check_equal(step, photo, prompt, network, **asked)


def test_many_prompts_at_once_equal_one_by_one_in_their_order(nano, photo):
    rng = np.random.default_rng(0)
    prompts = [Prompt(points=[rng.uniform(5, 250, 2)], name=f"p{i}") for i in range(20)]
    prompts.insert(3, Prompt(box=(20, 20, 200, 200), name="box"))
    prompts.insert(9, Prompt(name="asks nothing"))
    together = answer(nano, photo, *prompts)
    assert together.prompt.tolist() == sorted(together.prompt.tolist())
    assert 9 not in together.prompt
    for i in (0, 3, 15):
        alone = answer(nano, photo, prompts[i])
        own = together.take(np.flatnonzero(together.prompt == i))
        assert np.abs(own.logits - alone.logits).max() < 1e-4
        assert set(own.names) == {prompts[i].name}


def test_an_encoding_is_looked_at_once_for_all_prompts(photo, monkeypatch):
    step = sam()
    step.open("cpu")
    see, looked = step._decoder.see, []
    monkeypatch.setattr(step._decoder, "see", lambda e: looked.append(1) or see(e))
    first, second = step.encode(photo), step.encode(Image(photo.pixels[:, ::-1], "mirrored"))
    asked = [Prompts([Prompt(points=[point], signs=[True])]) for point in POINTS]
    masks = [step(image=photo, prompts=prompts, encoding=first) for prompts in asked]
    assert len(looked) == 1
    step(image=photo, prompts=asked[0], encoding=second)
    again = step(image=photo, prompts=asked[0], encoding=first)
    assert len(looked) == 2
    assert np.array_equal(again.logits, masks[0].logits)
    assert len(step._shared) == 2
    assert len(pickle.loads(pickle.dumps(step._shared))) == 0
    del second
    gc.collect()
    assert len(step._shared) == 1
    step.close()


def test_candidates_follow_sams_advice_or_the_option(nano, photo):
    point, box = Prompt(points=POINTS[:1]), Prompt(box=(20, 20, 200, 200))
    assert [len(answer(nano, photo, p)) for p in (point, box, Prompt(points=POINTS))] == [3, 1, 1]
    for option, count in (("on", 3), ("off", 1)):
        step = sam(multimask=option)
        step.open("cpu")
        assert [len(answer(step, photo, p)) for p in (point, box)] == [count, count]


def test_no_prompt_is_no_mask(nano, photo):
    made = answer(nano, photo)
    assert isinstance(made, Masks)
    assert made.masks.shape == (0, *photo.size)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (33, 17), (1, 2000)])
def test_any_size_of_image_works(nano, size):
    image = Image(np.full((*size, 3), 90, np.uint8), "x")
    made = answer(nano, image, Prompt(points=[(0, 0)]))
    assert made.masks.shape == (3, *size)
    assert len(answer(nano, image, Prompt(mask=made.logits[0]))) == 1


def test_bfloat16_encodes_nearly_the_same(nano, photo):
    step = sam(precision="bfloat16")
    step.open("cpu")
    one, other = (answer(s, photo, Prompt(points=POINTS[:1])) for s in (nano, step))
    assert iou(one.masks[0], other.masks[0]) > 0.95


def test_a_click_on_each_of_two_objects_gives_two_masks(nano):
    scenes = CATALOG.load("dataset", "scenes")(count=10, seed=20011)
    scenes.open("cpu")
    own, clicks = 0, 0
    for index in range(10):
        image, truth = scenes[index]
        objects = [truth.instances == i for i in range(1, truth.instances.max() + 1)]
        objects = [o for o in objects if o.sum() > 150]
        prompts = [Prompt(points=[centre(o)]) for o in objects]
        made = answer(nano, image, *prompts)
        for i in range(len(objects)):
            mine = made.take(np.flatnonzero(made.prompt == i))
            best = mine.masks[mine.scores.argmax()]
            overlap = [(best & o).sum() for o in objects]
            own += bool(max(overlap)) and int(np.argmax(overlap)) == i
            clicks += 1
    assert own / clicks >= 0.8


def centre(mask):
    from scipy.ndimage import distance_transform_edt

    y, x = np.unravel_index(
        distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].argmax(), mask.shape
    )
    return x, y


class RunsCode:
    """A pickle that would run code when opened."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    import torch
    from segment_anything import sam_model_registry

    from segkit_plugins.shared.weights import bundled

    def why(**options):
        with pytest.raises(UsageError) as error:
            sam(**options).open("cpu")
        return str(error.value)

    missing = tmp_path / "no.pth"
    assert why(checkpoint=str(missing)) == f"the weights {missing} were not found; check the path"

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(bundled("nano").read_bytes()[:5000])
    assert "cannot be read as safetensors" in why(checkpoint=str(cut))

    whole = tmp_path / "vit_b.pth"
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in sam_model_registry["vit_b"]().state_dict().items()}
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}  # a small file
    torch.save(state, whole)
    assert why(model="vit_l", checkpoint=str(whole)) == (
        f"--sam.model vit_l was asked for, but the weights {whole} are of vit_b; "
        "use --sam.model vit_b or another file"
    )
    assert "are of vit_b; use --sam.model vit_b" in why(checkpoint=str(whole))
    (tmp_path / "short.pth").write_bytes(whole.read_bytes()[:3_000])
    assert "the file is truncated or no weight file" in why(
        model="vit_b", checkpoint=str(tmp_path / "short.pth")
    )
    (tmp_path / "text.pth").write_text("hello")
    assert "no weight file" in why(model="vit_b", checkpoint=str(tmp_path / "text.pth"))

    torch.save({"x": RunsCode()}, tmp_path / "evil.pth")
    assert "were refused, for opening them could run code" in why(
        model="vit_b", checkpoint=str(tmp_path / "evil.pth")
    )
    assert "must never be printed" not in capsys.readouterr().out

    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "lacks.pth")
    assert (
        "are not of SAM's vit_b: it lacks 1 tensors, such as mask_decoder.iou_token.weight; "
        "choose another file"
    ) in why(model="vit_b", checkpoint=str(tmp_path / "lacks.pth"))

    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path))
    assert "--sam.model vit_h needs its checkpoint, and there is none at" in why(model="vit_h")
    (tmp_path / "weights").mkdir()
    whole.rename(tmp_path / "weights/sam_vit_b_01ec64.pth")
    found = sam(model="vit_b")
    found.open("cpu")  # found by --sam.model vit_b alone
