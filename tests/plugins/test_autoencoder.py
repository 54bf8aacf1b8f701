"""The segmenter autoencoder: first it reconstructs, then a head on the frozen encoder segments."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from trained import output_shapes, quick  # noqa: E402

from segkit.plugins.trainable import Examples  # noqa: E402
from segkit_plugins.dataset.shapes import Shapes  # noqa: E402
from segkit_plugins.segmenter.autoencoder import Autoencoder  # noqa: E402
from segkit_plugins.segmenter.autoencoder.network import boundary, edges, ssim  # noqa: E402


def test_every_shape():
    network = Autoencoder().network(3)
    pixels = torch.rand(1, 3, 256, 256)
    shapes, made = output_shapes(network, pixels)
    assert shapes["encoder"] == (1, 256, 32, 32)
    assert shapes["head.4"] == (1, 32, 32, 32)
    assert shapes["head"] == (1, 3, 32, 32)
    assert made.shape == (1, 3, 256, 256)
    with torch.no_grad():
        again = network.reconstruct(pixels)
    assert again.shape == pixels.shape
    assert 0 <= again.min() <= again.max() <= 1
    kinds = [type(m).__name__ for m in network.decoder]
    assert kinds == ["ConvTranspose2d", "ReLU"] * 3 + ["Conv2d", "Sigmoid"]
    convolutions = [m for m in network.head if isinstance(m, torch.nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(3, 3)] * 3 + [(1, 1)]
    assert (convolutions[0].in_channels, convolutions[2].out_channels) == (256, 32)


def test_each_stage_leaves_the_rest_alone():
    step = Autoencoder()
    network = step.network(3)
    examples = Examples(torch.rand(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32)))
    for stage, trained in (("reconstruct", ("encoder", "decoder")), ("segment", ("head",))):
        step.begin(network, stage)
        network.train()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 0.01)
        loss, logits = step.loss(network, stage, examples, torch.nn.functional.cross_entropy)
        assert (logits is None) == (stage == "reconstruct")
        loss.backward()
        adam.step()
        changed = {
            k.split(".")[0] for k, v in network.state_dict().items() if (v != before[k]).any()
        }
        assert changed == set(trained)


def test_training_reconstructs_and_then_segments(tmp_path):
    done = quick(tmp_path / "x.safetensors", Autoencoder(), epochs=3, count=16, rate=1e-3)
    first = [row for row in done.rows if row["stage"] == "reconstruct"]
    assert len(first) == 3
    assert first[-1]["train_loss"] < 0.9 * first[0]["train_loss"]
    assert done.best["stage"] == "segment"
    step = Autoencoder(weights=done.path)
    step.open("cpu")
    labels = step(Shapes(count=1)[0][0])
    assert labels.ids.shape == (256, 256)


@pytest.mark.parametrize(("rate", "expected"), [(None, (1e-4, 1e-5)), (3e-3, (3e-3, 3e-3))])
def test_the_segmentation_stage_learns_at_the_reports_rate(tmp_path, monkeypatch, rate, expected):
    rates = []

    class Noted(torch.optim.Adam):
        def __init__(self, parameters, lr):
            rates.append(lr)
            super().__init__(parameters, lr)

    monkeypatch.setattr(torch.optim, "Adam", Noted)
    quick(tmp_path / "x.safetensors", Autoencoder(), epochs=1, count=8, size=32, rate=rate)
    assert tuple(rates) == expected


def test_edges_are_scipys():
    from scipy.ndimage import sobel

    pixels = torch.rand(1, 3, 20, 25)
    grey = pixels[0].mean(0).numpy()
    wanted = np.hypot(sobel(grey, 0, mode="nearest"), sobel(grey, 1, mode="nearest")) / 20**0.5
    np.testing.assert_allclose(edges(pixels)[0, 0].numpy(), wanted, atol=1e-6)


def test_errors_on_edges_cost_more():
    pixels = torch.zeros(1, 3, 16, 16)
    pixels[..., 8:] = 1
    flat, edge = pixels.clone(), pixels.clone()
    flat[..., 2] += 0.3
    edge[..., 8] -= 0.3
    assert boundary(edge, pixels) > 2 * boundary(flat, pixels) > 0
    assert boundary(pixels, pixels) == 0
    both = boundary(torch.cat([flat, edge]), torch.cat([pixels, pixels]))
    assert both == pytest.approx((boundary(flat, pixels) + boundary(edge, pixels)) / 2)
    noisy = torch.rand(1, 3, 16, 16)  # many edges weigh no more than few
    both = boundary(torch.cat([flat, noisy + 0.1]), torch.cat([pixels, noisy]))
    assert both == pytest.approx((boundary(flat, pixels) + boundary(noisy + 0.1, noisy)) / 2)


def test_structural_similarity_is_scikit_images():
    from skimage.metrics import structural_similarity

    one = torch.rand(1, 1, 48, 48)
    other = (one + 0.2 * torch.randn_like(one)).clamp(0, 1)
    wanted = structural_similarity(
        one[0, 0].numpy(),
        other[0, 0].numpy(),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(1 - ssim(other, one)) == pytest.approx(wanted, abs=0.01)
    found = other.requires_grad_()
    ssim(found, one).backward()
    assert found.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["ssim", "boundary"])
def test_other_losses_train_too(kind):
    step = Autoencoder(reconstruction=kind)
    network = step.network(2)
    step.begin(network, "reconstruct")
    pixels = torch.rand(2, 3, 32, 32)
    adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(8):
        loss, _ = step.loss(network, "reconstruct", Examples(pixels, pixels[:, 0].long()), None)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_size_that_is_no_multiple_of_8(tmp_path):
    network = Autoencoder().network(3)
    pixels = torch.rand(2, 3, 44, 52)
    assert network.reconstruct(pixels).shape == pixels.shape
    assert network(pixels).shape == (2, 3, 44, 52)


@pytest.mark.parametrize("kind", ["mse", "ssim", "boundary"])
def test_bfloat16_rounds_the_network_and_not_its_loss(kind):
    if kind == "ssim":
        pytest.importorskip("torchmetrics")
    step = Autoencoder(reconstruction=kind)
    network = step.network(3).eval()
    flat = 0.25 + torch.rand(2, 3, 32, 32) * 0.02  # little varies, as in the sky
    seen = []
    network.reconstruct = lambda pixels: seen.append(1) or flat.roll(1, -1)
    examples = Examples(flat, torch.zeros(2, 32, 32).long())
    plain, _ = step.loss(network, "reconstruct", examples, None)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = step.loss(network, "reconstruct", examples, None)
    assert len(seen) == 2
    torch.testing.assert_close(rounded, plain)
