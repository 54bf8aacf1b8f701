"""Grad-CAM over the bare forward pass, and against pytorch-grad-cam: ResNet-50, batch of 16.

pytest -m benchmark -s tests/benchmarks/bench_gradcam.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest
from spreads import spread

from segkit import Catalog, Image

pytestmark = pytest.mark.benchmark
ROUNDS = 9


def seconds(work):
    """Each one's seconds, round by round; in turn within a round, so that noise hits all alike."""
    times = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: several[1:] for name, several in times.items()}  # the first warms up


def ratio(one, other, target=""):
    """The rounds' own ratios: least, median and greatest."""
    return spread((a / b for a, b in zip(one, other, strict=True)), target)


def test_grad_cam_costs_a_forward_pass(tmp_path):
    import torch
    from pytorch_grad_cam import GradCAM
    from torchvision.models import resnet50

    torch.manual_seed(0)
    network = resnet50().eval()
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    cls = Catalog(third_party=False).load("saliency", "gradcam")
    step = cls(model="torchvision:resnet50", checkpoint=tmp_path / "resnet50.pth")
    step.open("cpu")
    rng = np.random.default_rng(0)
    images = [Image(rng.integers(0, 256, (224, 224, 3), np.uint8), f"{i}") for i in range(16)]
    pixels = torch.stack([step._classifier.prepared(i.pixels) for i in images])
    peer = GradCAM(network, [network.layer4])

    def forward():
        with torch.no_grad():
            network(pixels)

    def alone():
        """The gradient and the map, from pixels that are ready, as the peer gets them."""
        scores, activations = step._classifier.look(pixels)
        best = scores.max(dim=1).values.sum()
        (gradients,) = torch.autograd.grad(best, activations)
        step.combine(activations.detach(), gradients)

    found = seconds(
        {
            "forward": forward,
            "gradcam": alone,
            "step": lambda: step.batch([{"image": i} for i in images]),
            "peer": lambda: peer(pixels, None),
        }
    )
    wanted = peer(pixels, None)
    made = step.batch([{"image": i} for i in images])
    difference = max(
        float(np.abs(h.values - w).max()) for (h,), w in zip(made, wanted, strict=True)
    )
    peer.activations_and_grads.release()
    print()
    for name, times in found.items():
        print(f"{name}: {statistics.median(times):.3f} s")
    over_forward = ratio(found["gradcam"], found["forward"], "≤ 1.05")
    print(f"Grad-CAM over the bare forward pass: {over_forward}")
    whole = ratio(found["step"], found["forward"])
    print(f"whole step, from pictures to heatmaps, over the bare forward pass: {whole}")
    faster = ratio(found["peer"], found["step"], "≥ 1.9")
    print(f"pytorch-grad-cam over the whole step: {faster}")
    print(f"largest difference to pytorch-grad-cam's maps {difference:.1e}")
    assert difference < 1e-4
