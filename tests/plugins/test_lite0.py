"""EfficientNet-Lite0 comes with its weights and knows a cat when it sees one."""

from __future__ import annotations

from segkit_plugins.shared import lite0


def test_it_recognises_photographs():
    import torch
    import torch.nn.functional as F
    from skimage import data

    network = lite0.load_lite0()
    names = lite0.imagenet_names()
    assert len(names) == 1000
    pixels = torch.from_numpy(data.cat().copy()).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, (lite0.SIZE, lite0.SIZE), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (lite0.MEAN, lite0.STD))
    with torch.no_grad():
        scores = network((pixels - mean) / std)[0]
    assert "cat" in names[int(scores.argmax())].lower()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_names_are_those_of_torchvision():
    from torchvision.models import ResNet18_Weights

    assert lite0.imagenet_names() == tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def test_features_come_at_four_strides():
    import torch

    maps = lite0.features(lite0.load_lite0(), torch.zeros(1, 3, 256, 256))
    assert [m.shape[1] for m in maps] == list(lite0.CHANNELS)
    assert [256 // m.shape[-1] for m in maps] == [4, 8, 16, 32]
