"""The segmenter unet."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from trained import output_shapes, quick  # noqa: E402

from segkit_plugins.dataset.shapes import Shapes  # noqa: E402
from segkit_plugins.segmenter._unet_blocks import AttentionGate, PyramidPooling  # noqa: E402
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


OPTIONS = [{"attention": True}, {"pyramid": True}, {"attention": True, "pyramid": True}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", [(50, 37), (16, 16)])
def test_any_size_and_a_single_image_with_each_option(options, size):
    """In training too: a single image has one part whose variance nobody knows."""
    network = Unet(width=2, **options).network(4).train()
    made = network(torch.rand(1, 3, *(max(n, 32) for n in size)))
    made.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 3, *size)).shape == (1, 4, *size)


def test_what_each_option_adds():
    plain, gated, pooled = (
        {n: tuple(p.shape) for n, p in Unet(width=4, **given).network(3).named_parameters()}
        for given in ({}, *OPTIONS[:2])
    )
    assert {k: gated[k] for k in plain} == {k: pooled[k] for k in plain} == plain
    gates = {k.split(".")[2] for k in gated if k not in plain}
    assert gates == {"0", "1", "2"}  # none on the uppermost skip
    assert gated["up.gates.0.of_skip.weight"] == (32, 32, 2, 2)
    assert gated["up.gates.0.of_gating.weight"] == (32, 64, 1, 1)
    assert gated["up.gates.0.score.weight"] == (1, 32, 1, 1)
    branches = [pooled[f"pyramid.branches.{i}.weight"] for i in range(4)]
    assert branches == [(16, 64, 1, 1)] * 4
    assert pooled["pyramid.fuse.0.weight"] == (64, 128, 3, 3)


def test_an_attention_gate_is_the_papers_equation():
    """α = σ(ψ ReLU(Wx x + Wg g + bg) + bψ), written out place by place."""
    torch.manual_seed(0)
    gate = AttentionGate(3, 5)
    skip, gating = torch.rand(1, 3, 4, 4), torch.rand(1, 5, 2, 2)
    with torch.no_grad():
        found = gate(skip, gating)
    wx, wg = gate.of_skip.weight.detach(), gate.of_gating.weight.detach()[:, :, 0, 0]
    psi = gate.score.weight.detach()[0, :, 0, 0]
    alpha = torch.zeros(2, 2)
    for row, column in np.ndindex(2, 2):
        cell = skip[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        hidden = (wx * cell).sum((1, 2, 3)) + wg @ gating[0, :, row, column]
        hidden = (hidden + gate.of_gating.bias.detach()).clamp(min=0)
        alpha[row, column] = 1 / (1 + torch.exp(-(psi @ hidden + gate.score.bias.detach()[0])))
    assert 0 < alpha.min() < alpha.max() < 1
    corners = found[0, :, [0, 0, 3, 3], [0, 3, 0, 3]] / skip[0, :, [0, 0, 3, 3], [0, 3, 0, 3]]
    torch.testing.assert_close(corners, alpha.flatten().expand(3, 4))
    middle = (found / skip)[0, 0, 1, 1]  # bilinearly between the four: 9, 3, 3 and 1 sixteenths
    wanted = (alpha.flatten() * torch.tensor([9.0, 3, 3, 1]) / 16).sum()
    torch.testing.assert_close(middle, wanted)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (7, 10), (1, 3)])
def test_pyramid_pooling_averages_as_torch_does(height, width):
    torch.manual_seed(0)
    pooling = PyramidPooling(8).eval()
    x = torch.rand(2, 8, height, width)
    with torch.no_grad():
        found = pooling(x)
        maps = [x]
        for count, branch in zip((1, 2, 3, 6), pooling.branches, strict=True):
            parts = branch(torch.nn.functional.adaptive_avg_pool2d(x, count)).relu()
            maps.append(torch.nn.functional.interpolate(parts, (height, width), mode="bilinear"))
        torch.testing.assert_close(found, pooling.fuse(torch.cat(maps, 1)))


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"attention": True, "pyramid": True}, marks=pytest.mark.slow)],
)
def test_it_learns_and_its_file_is_used(options, tmp_path):
    network = Unet(width=4, **options)
    done = quick(tmp_path / "x.safetensors", network, epochs=8, rate=4e-3, count=16)
    losses = [row["train_loss"] for row in done.rows]
    assert losses[-1] < 0.75 * losses[0]
    step = Unet(weights=done.path)  # width and options stand in the file
    step.open("cpu")
    image, truth = Shapes(count=1, seed=9)[0]
    labels = step(image, {5: "star"})
    assert labels.ids.shape == truth.labels.ids.shape
    assert labels.classes == {5: "star", 6: "circle", 7: "square", 8: "diamond", 9: "triangle"}
    assert set(np.unique(labels.ids)) <= {0, 5, 6, 7, 8, 9}
    assert step.weight_files() == {"weights": done.path}
    step.close()
