"""The SAM step against segment-anything itself: encoding, many prompts, and the bundled nano.

pytest -m benchmark -s tests/benchmarks/bench_sam.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from segkit import Catalog, Image, Prompt, Prompts
from segkit.running.recipe import make_step

pytestmark = pytest.mark.benchmark
CATALOG = Catalog(third_party=False)


def sam(**options):
    step = make_step(CATALOG, "segmenter", "sam", options)
    step.open("cpu")
    return step


def spent(work):
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


@pytest.fixture(scope="module")
def photo():
    from skimage import data, transform

    pixels = transform.resize(data.coffee(), (375, 500), preserve_range=True)
    return Image(pixels.astype(np.uint8), "coffee")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sam") / "vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
    return str(path)


def overlap(one, other):
    union = (one | other).sum(axis=(-2, -1))
    common = (one & other).sum(axis=(-2, -1))
    return float(np.where(union > 0, common / np.maximum(union, 1), 1).mean())


def test_encoding_and_many_prompts_on_vit_b(photo, checkpoint):
    import torch
    from segment_anything import SamPredictor, sam_model_registry

    step = sam(model="vit_b", checkpoint=checkpoint)
    peer = SamPredictor(sam_model_registry["vit_b"](checkpoint=None).eval())
    peer.model.load_state_dict(torch.load(checkpoint, weights_only=True))
    ratios, exact = [], None
    step.encode(photo)
    for _ in range(5):
        theirs, _ = spent(lambda: peer.set_image(photo.pixels))
        ours, encoding = spent(lambda: step.encode(photo))
        ratios.append(theirs / ours)
        print(f"\nViT-B encoding: set_image {theirs:.2f} s, ours {ours:.2f} s")
    print(f"set_image over ours {statistics.median(ratios):.2f} (target ≥ 3)")
    y, x = np.mgrid[20:355:8j, 20:480:8j]
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    prompts = Prompts(tuple(Prompt(points=[p]) for p in points))
    encoding = type(encoding)(peer.features, encoding.input_size)  # the same for both
    coords = torch.as_tensor(peer.transform.apply_coords(points, photo.size))[:, None]
    labels = torch.ones(len(points), 1)
    ratios = []
    for _ in range(3):
        theirs, wanted = spent(lambda: peer.predict_torch(coords, labels)[0])
        ours, found = spent(lambda: step(image=photo, prompts=prompts, encoding=encoding))
        ratios.append(theirs / ours)
        print(f"64 prompts: predict_torch {theirs:.2f} s, ours {ours:.2f} s")
    exact = overlap(found.masks, wanted.flatten(0, 1).numpy())
    print(
        f"predict_torch over ours {statistics.median(ratios):.2f} (target ≥ 4), masks' mean IoU "
        f"{exact:.5f} (target ≥ 0.99)"
    )


def test_nano_over_the_bare_backbone(photo):
    import torch

    step = sam()
    low = sam(precision="bfloat16")
    prompts = Prompts((Prompt(points=[(250, 190)]),))
    backbone = step._sam.image_encoder.backbone
    pixels = torch.zeros(1, 3, 224, 224)
    whole, bare = [], []
    for _ in range(30):
        whole.append(
            spent(lambda: step(image=photo, prompts=prompts, encoding=step.encode(photo)))[0]
        )
        with torch.inference_mode():
            bare.append(spent(lambda: backbone(pixels))[0])
    ratio = statistics.median(whole) / statistics.median(bare)
    print(
        f"\nnano, photo to mask {1000 * statistics.median(whole):.0f} ms, the bare "
        f"EfficientNet-Lite0 at 224 px {1000 * statistics.median(bare):.0f} ms: ratio {ratio:.2f}"
    )
    from skimage import data

    ious = []
    for name in ("coffee", "chelsea", "astronaut", "rocket", "hubble_deep_field"):
        pixels = getattr(data, name)()
        image = Image(pixels, name)
        y, x = np.mgrid[0.2:0.8:3j, 0.2:0.8:3j] * np.array(image.size)[:, None, None]
        asked = Prompts(tuple(Prompt(points=[p]) for p in zip(x.ravel(), y.ravel(), strict=True)))
        one, other = (s(image=image, prompts=asked, encoding=s.encode(image)) for s in (step, low))
        best = one.scores.reshape(-1, 3).argmax(axis=1) + 3 * np.arange(len(asked))
        ious.append(overlap(one.masks[best], other.masks[best]))
    print(f"nano's best masks at bfloat16 against float32: mean IoU {np.mean(ious):.4f}")
