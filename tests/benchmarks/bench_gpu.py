"""SAM on a GPU: ours over segment-anything's, and over segment-anything-fast's if it is there.

pytest -m benchmark -s tests/benchmarks/bench_gpu.py

Weights are random (they change no time), and the same in all; each figure is of five alternations.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from segkit import Catalog, Image, Prompt, Prompts
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
]

CATALOG = Catalog(third_party=False)
IMAGES = 8
TURNS = 5


def opened(name, **options):
    step = make_step(CATALOG, "segmenter", name, options)
    step.open("cuda")
    return step


def spent(work):
    """The seconds until the GPU has done what `work` asks for, and what it returns."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    made = work()
    torch.cuda.synchronize()
    return time.perf_counter() - start, made


def alternated(ours, theirs):
    """Their seconds over ours, turn by turn; both have run once before."""
    ours()
    theirs()
    ratios, own, others = [], [], []
    for _ in range(TURNS):
        others.append(spent(theirs)[0])
        own.append(spent(ours)[0])
        ratios.append(others[-1] / own[-1])
    shown = ", ".join(f"{f(ratios):.2f}" for f in (min, statistics.median, max))
    return (
        f"{statistics.median(others):.3f} s, ours {statistics.median(own):.3f} s, ratio {shown} "
        f"(minimum, median, maximum) on {torch.cuda.get_device_name()}"
    )


def overlap(one, other):
    union = (one | other).sum(axis=(-2, -1))
    common = (one & other).sum(axis=(-2, -1))
    return float(np.where(union > 0, common / np.maximum(union, 1), 1).mean())


@pytest.fixture(scope="module")
def photos():
    from skimage import data

    return [Image(np.roll(data.coffee(), 40 * i, axis=1), f"coffee-{i}") for i in range(IMAGES)]


@pytest.fixture(scope="module", params=["vit_b", "vit_h"])
def network(request, tmp_path_factory):
    """A model's name, its weight file, and segment-anything's own network on the GPU."""
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    model = sam_model_registry[request.param]().eval().requires_grad_(False)
    path = tmp_path_factory.mktemp("sam") / f"{request.param}.pth"
    torch.save(model.state_dict(), path)
    return request.param, path, model.cuda()


def test_encoding(network, photos):
    from segment_anything import SamPredictor

    name, path, model = network
    step, peer = opened("sam", model=name, checkpoint=str(path)), SamPredictor(model)
    inputs = [{"image": image} for image in photos]
    print(
        f"\n{name}, {IMAGES} images encoded: set_image "
        + alternated(
            lambda: step.encode_batch(inputs),
            lambda: [peer.set_image(image.pixels) for image in photos],
        )
        + "; target ≥ 4"
    )
    plain = opened("sam", model=name, checkpoint=str(path), precision="float32")
    asked = Prompts(tuple(Prompt(points=[(x, y)]) for x in (150, 300, 450) for y in (100, 300)))
    given = {"image": photos[0], "prompts": asked}
    one, other = (s(**given, encoding=s.encode(photos[0])) for s in (step, plain))
    print(f"{name}: masks' mean IoU with float32 {overlap(one.masks, other.masks):.4f} (≥ 0.99)")


def test_prompts_of_many_images(network, photos):
    name, path, _ = network
    step = opened("sam", model=name, checkpoint=str(path))
    encodings = step.encode_batch([{"image": image} for image in photos])
    asked = Prompts((Prompt(points=[(300, 200)]),))
    inputs = [
        {"image": image, "prompts": asked, "encoding": encoding}
        for image, encoding in zip(photos, encodings, strict=True)
    ]
    print(
        f"\n{name}, a point on each of {IMAGES} images: one by one "
        + alternated(lambda: step.batch(inputs), lambda: [step(**values) for values in inputs])
    )


@pytest.mark.parametrize("peer", ["segment_anything", "segment_anything_fast"])
def test_everything(network, photos, peer):
    package = pytest.importorskip(peer)
    name, path, model = network
    if peer == "segment_anything_fast":
        build = getattr(package, "sam_model_fast_registry", package.sam_model_registry)
        model = build[name](checkpoint=str(path)).cuda().eval()
    options = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.5}
    at_once = {"points_per_batch": 64}
    theirs = package.SamAutomaticMaskGenerator(model, points_per_side=32, **at_once, **options)
    ours = opened(
        "sam-everything",
        **{"model": name, "checkpoint": str(path), "points_per_side": 32, **at_once, **options},
    )
    image = photos[0]
    target = 8 if peer == "segment_anything" else 1
    print(
        f"\n{name}, everything on a 32x32 grid: {peer} "
        + alternated(
            lambda: ours(image=image, encoding=ours.encode(image)),
            lambda: theirs.generate(image.pixels),
        )
        + f"; target ≥ {target} with vit_h"
    )
