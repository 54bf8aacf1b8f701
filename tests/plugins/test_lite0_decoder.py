"""The segmenter lite0-decoder."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from trained import output_shapes, quick  # noqa: E402

from segkit_plugins.dataset.shapes import Shapes  # noqa: E402
from segkit_plugins.segmenter.lite0_decoder import Lite0Decoder  # noqa: E402
from segkit_plugins.shared.lite0 import MEAN, STD, features, load_lite0  # noqa: E402


def test_every_shape():
    shapes, made = output_shapes(Lite0Decoder().network(3), torch.rand(1, 3, 256, 256))
    assert shapes["project"] == (1, 1024, 8, 8)
    channels, sides = (512, 256, 128, 64), (16, 32, 64, 128)
    for level, (count, side) in enumerate(zip(channels, sides, strict=True)):
        assert shapes[f"decoder.levels.{level}"] == (1, count, side, side)
    assert shapes["head"] == (1, 3, 128, 128)
    assert made.shape == (1, 3, 256, 256)


def test_skips_concatenate_the_backbones_maps():
    network = Lite0Decoder(skips=True).network(3).eval()
    widths = [level[0].in_channels for level in network.decoder.levels]
    assert widths == [512 + 112, 256 + 40, 128 + 24, 64]
    with torch.no_grad():
        assert network(torch.rand(1, 3, 70, 90)).shape == (1, 3, 70, 90)


def test_it_begins_with_imagenets_weights():
    network = Lite0Decoder().network(2).eval()
    pixels = torch.rand(1, 3, 64, 64)
    normal = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    seen = []
    network.project.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    with torch.no_grad():
        network(pixels)
        wanted = features(load_lite0(), normal)[-1]
    torch.testing.assert_close(seen[0], wanted)
    assert Lite0Decoder.train_rate == 1e-5


@pytest.mark.parametrize("frozen", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_frozen_backbone_stays_as_it_is(frozen, tmp_path):
    step = Lite0Decoder(frozen=frozen)
    done = quick(tmp_path / "x.safetensors", step, epochs=3, count=8, rate=1e-3, augment=False)
    assert done.rows[-1]["train_loss"] < done.rows[0]["train_loss"]
    used = Lite0Decoder(weights=done.path)
    used.open("cpu")
    mine, own = used.trained.network.backbone.state_dict(), load_lite0().state_dict()
    assert all(torch.equal(mine[key], own[key]) for key in own) == frozen
    assert used(Shapes(count=1)[0][0]).ids.shape == (256, 256)
