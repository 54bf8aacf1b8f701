"""Masks of every fast path of the SAM steps against the plain one: mean IoU of 0.99 and more.

What a GPU is given (several images in a pass, fused attention, bfloat16 and float16) is made to run
on the processor here; where there is a GPU, there too.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from segkit import Catalog, Image, Prompt, Prompts
from segkit.running.recipe import make_step
from segkit_plugins.segmenter._prompted import rows_of
from segkit_plugins.segmenter.sam import encoding, loading
from segkit_plugins.segmenter.sam.on_device import boxes_of, packed, packed_by_products
from segkit_plugins.shared import devices
from segkit_plugins.shared.devices import dtype_of, to_device, to_host

CATALOG = Catalog(third_party=False)
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


def sam(device="cpu", **options):
    step = make_step(CATALOG, "segmenter", "sam", {"multimask": "auto", **options})
    step.open(device)
    return step


def overlap(one, other):
    """The mean IoU of masks (n, H, W); two that are empty are equal."""
    union = (one | other).sum(axis=(1, 2))
    common = (one & other).sum(axis=(1, 2))
    return float(np.where(union > 0, common / np.maximum(union, 1), 1).mean())


@pytest.fixture(scope="module")
def photos():
    from skimage import data

    pictures = {"coffee": data.coffee(), "chelsea": data.chelsea(), "rocket": data.rocket()}
    return [Image(pixels, name) for name, pixels in pictures.items()]


def asked(image, count):
    """Points, a box, a point and a box, a coarse mask …: `count` of them, and an empty prompt."""
    height, width = image.size
    y, x = np.mgrid[0.3:0.7:2j, 0.3:0.7:2j] * np.array([height, width])[:, None, None]
    points = [*zip(x.ravel(), y.ravel(), strict=True)]
    box = (0.2 * width, 0.2 * height, 0.8 * width, 0.9 * height)
    logits = np.where(np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]) < 0.6, 6.0, -6.0)
    several = [
        *(Prompt(points=[p]) for p in points),
        Prompt(box=box),
        Prompt(points=[points[0]], box=box),
        Prompt(mask=logits.astype(np.float32)),
        Prompt(points=points[:2], signs=[True, False]),
    ]
    return Prompts((*several[:count], Prompt()))


def given(step, photos, together):
    """What the step is called with: images with different numbers of prompts."""
    inputs = [{"image": image} for image in photos]
    encodings = (
        step.encode_batch(inputs) if together else [step.encode(**values) for values in inputs]
    )
    return [
        {"image": image, "prompts": asked(image, 8 - 2 * i), "encoding": encoding}
        for i, (image, encoding) in enumerate(zip(photos, encodings, strict=True))
    ]


def answers(step, photos, together=False):
    inputs = given(step, photos, together)
    return step.batch(inputs) if together else [step(**values) for values in inputs]


def alike(plain, fast, least=0.99):
    """Whether the answers to several images are the same."""
    for one, other in zip(plain, fast, strict=True):
        assert one.prompt.tolist() == other.prompt.tolist()
        assert one.names == other.names
        assert one.logits.shape == other.logits.shape
    ious = [overlap(one.masks, other.masks) for one, other in zip(plain, fast, strict=True)]
    assert np.mean(ious) >= least, ious
    return ious


@pytest.fixture(scope="module")
def plain(photos):
    return answers(sam(), photos)


@pytest.mark.parametrize("model", ["nano", "nano-2"])
def test_several_images_together(photos, model):
    step = sam(model=model)
    alone = answers(step, photos)
    step._together = True
    together = answers(step, photos, together=True)
    alike(alone, together, least=0.9999)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.scores - other.scores).max() < 1e-4
        assert np.abs(one.logits - other.logits).max() < 1e-2


def test_on_a_processor_an_image_is_decoded_alone_to_the_last_bit(photos):
    step = sam()
    for one, other in zip(
        answers(step, photos), answers(step, photos[::-1], together=True)[::-1], strict=True
    ):
        shared = np.isin(one.prompt, other.prompt) & (one.prompt < 4)
        assert np.array_equal(one.logits[shared], other.logits[: shared.sum()])


def test_nano_with_rounded_numbers(photos, plain):
    alike(plain, answers(sam(precision="float16"), photos))
    # bfloat16 has three bits less, and nano was not trained to do without: never by itself.
    assert sam()._dtype == torch.float32
    alike(plain, answers(sam(precision="bfloat16"), photos), least=0.9)


# ---- the large encoder, small ------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_vit():
    """A SAM of segment-anything's own classes, as a ViT-B but for its size; weights at random."""
    from segkit_plugins.segmenter.sam.authors.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    side, dim = 256, 64
    network = Sam(
        ImageEncoderViT(
            img_size=side,
            patch_size=16,
            embed_dim=96,
            depth=4,
            num_heads=6,
            out_chans=dim,
            qkv_bias=True,
            use_rel_pos=True,
            window_size=7,
            global_attn_indexes=(1, 3),
        ),
        PromptEncoder(dim, (side // 16, side // 16), (side, side), 16),
        MaskDecoder(
            transformer_dim=dim,
            transformer=TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=128),
        ),
    )
    for name, weight in network.named_parameters():
        if "rel_pos" in name or name.endswith("pos_embed"):
            torch.nn.init.normal_(weight, 0, 0.5)  # else they would do nothing
    return network.eval().requires_grad_(False)


def of(network, monkeypatch, *, as_on_a_gpu, precision="float32"):
    """The step on this network, on the processor."""
    monkeypatch.setattr(loading, "load", lambda *_: copy.deepcopy(network))
    monkeypatch.setattr(devices, "works_together", lambda device: as_on_a_gpu)
    return sam(model="vit_b", checkpoint="random.pth", precision=precision)


@pytest.fixture(scope="module")
def peers(small_vit, photos):
    """What segment-anything's own predictor makes of each image and prompt: masks (n, H, W)."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(small_vit)
    found = []
    for i, image in enumerate(photos):
        predictor.set_image(image.pixels)
        masks = []
        for prompt in asked(image, 8 - 2 * i):
            if not prompt.empty and prompt.mask is None:
                points = {"point_coords": prompt.points, "point_labels": prompt.signs}
                single = len(prompt.points) == 1 and prompt.box is None
                made, _, _ = predictor.predict(
                    **(points if len(prompt.points) else {}),
                    box=prompt.box,
                    multimask_output=single,
                )
                masks.append(made)
        found.append(np.concatenate(masks))
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("as_on_a_gpu", [False, True], ids=["piece by piece", "fused, together"])
def test_each_form_of_a_vit_draws_what_the_authors_own_draws(
    small_vit, peers, photos, monkeypatch, precision, as_on_a_gpu
):
    step = of(small_vit, monkeypatch, as_on_a_gpu=as_on_a_gpu, precision=precision)
    assert step._sam.image_encoder.blocks[1].attn.fused is as_on_a_gpu
    made = answers(step, photos, together=as_on_a_gpu)
    ious = []
    for image, masks, wanted in zip(photos, made, peers, strict=True):
        prompts = asked(image, 8)
        own = [i for i, p in enumerate(masks.prompt) if prompts[int(p)].mask is None]
        ious.append(overlap(masks.masks[own], wanted))
    assert np.mean(ious) >= (0.9999 if precision == "float32" else 0.99), ious


@pytest.mark.parametrize("room", [1 << 28, 3 * 256 * 256, 1], ids=["all", "some heads", "one"])
def test_fused_attention_is_attention(room, monkeypatch):
    from segment_anything.modeling.image_encoder import Attention

    torch.manual_seed(0)
    monkeypatch.setattr(encoding, "FUSED", room)
    for relative in (True, False):
        ordinary = Attention(48, 4, use_rel_pos=relative, input_size=(16, 16))
        if relative:
            for table in (ordinary.rel_pos_h, ordinary.rel_pos_w):
                torch.nn.init.normal_(table)
        x = torch.randn(2, 16, 16, 48)
        with torch.inference_mode():
            wanted = ordinary(x)
            made = encoding.QuickAttention(ordinary, fused=True)(x)
        assert (made - wanted).abs().max() < 1e-5 * wanted.abs().max() + 1e-6


# ---- parts -------------------------------------------------------------------------------------


def test_rows_are_as_long_and_look_alike():
    point, box = Prompt(points=[(1, 1)]), Prompt(box=(0, 0, 2, 2))
    several = [Prompts((point,) * 5), Prompts((box, point)), Prompts(), Prompts((point, Prompt()))]
    rows = [
        [(image, places) for image, places, _ in group]
        for group in rows_of(several, lambda prompt: False, 4)
    ]
    assert rows == [[(0, [0, 1, 2, 3])], [(0, [4]), (1, [1]), (3, [0])], [(1, [0])]]


def test_boxes_are_first_and_last_pixel():
    masks = torch.zeros(2, 6, 9, dtype=torch.bool)
    masks[0, 2:4, 3:8] = masks[1, 5, 0] = True
    assert boxes_of(masks).tolist() == [[3, 2, 7, 3], [0, 5, 0, 5]]


def test_pixels_are_packed_as_numpy_packs_them():
    masks = torch.rand(3, 7, 11) > 0.5
    wanted = np.packbits(masks.numpy().reshape(3, -1), axis=1)
    assert np.array_equal(packed(masks).numpy(), wanted)
    assert np.array_equal(packed_by_products(masks.flatten(1)).numpy(), wanted)


def test_what_numbers_are_multiplied():
    assert dtype_of("float32", "cpu") == torch.float32
    assert dtype_of("float16", "cpu") == torch.float16
    quick = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert dtype_of("auto", "cpu") == (torch.bfloat16 if quick else torch.float32)


@on_a_gpu
def test_copies_to_a_gpu_and_back():
    tensors = [torch.rand(3, 5), torch.rand(4) > 0.5]
    back = to_host(*(to_device(tensor, "cuda") for tensor in tensors))
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(tensors, back, strict=True))


@on_a_gpu
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_gpu_draws_what_the_processor_draws(photos, plain, precision):
    alike(plain, answers(sam("cuda", precision=precision), photos, together=True))
