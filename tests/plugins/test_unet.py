"""The segmenter unet."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from trained import output_shapes, quick  # noqa: E402

from segkit_plugins.dataset.shapes import Shapes  # noqa: E402
from segkit_plugins.segmenter.unet import Unet  # noqa: E402


def test_every_level_has_the_shape_of_the_paper():
    network = Unet().network(3)
    assert sum(p.numel() for p in network.parameters()) == 31_037_763
    shapes, made = output_shapes(network, torch.rand(1, 3, 64, 64))
    sides, channels = (64, 32, 16, 8, 4), (64, 128, 256, 512, 1024)
    for level, (side, count) in enumerate(zip(sides, channels, strict=True)):
        assert shapes[f"down.{level}"] == (1, count, side, side)
    for level, (side, count) in enumerate(zip(sides[-2::-1], channels[-2::-1], strict=True)):
        assert shapes[f"up.ups.{level}"] == shapes[f"up.levels.{level}"] == (1, count, side, side)
    assert network.up.levels[0][0].in_channels == 1024  # the skip is concatenated
    assert made.shape == (1, 3, 64, 64)
    kernels = [m.kernel_size for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(3, 3)] * 18 + [(1, 1)]


@pytest.mark.parametrize("size", [(50, 37), (16, 16), (33, 64)])
def test_any_size(size):
    network = Unet(width=2).network(4).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, *size)).shape == (2, 4, *size)


def test_it_learns_and_its_file_is_used(tmp_path):
    done = quick(tmp_path / "x.safetensors", Unet(width=4), epochs=6, rate=3e-3, count=32)
    losses = [row["train_loss"] for row in done.rows]
    assert losses[-1] < 0.75 * losses[0]
    step = Unet(weights=done.path)  # the width stands in the file
    step.open("cpu")
    image, truth = Shapes(count=1, seed=9)[0]
    labels = step(image, {5: "star"})
    assert labels.ids.shape == truth.labels.ids.shape
    assert labels.classes == {5: "star", 6: "circle", 7: "square", 8: "diamond", 9: "triangle"}
    assert set(np.unique(labels.ids)) <= {0, 5, 6, 7, 8, 9}
    assert step.weight_files() == {"weights": done.path}
    step.close()
