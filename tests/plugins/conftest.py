"""Classifiers and tiny models that several test files look into."""

from __future__ import annotations

import pytest

from segkit import Image


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet-18 with random weights of its own, and the path of its state_dict."""
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=7).eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.fixture(scope="module")
def own(resnet):
    """Options for this ResNet."""
    return {"model": "torchvision:resnet18", "checkpoint": str(resnet[1])}


@pytest.fixture(scope="module")
def photos():
    from skimage import data

    pictures = {"cat": data.cat(), "coffee": data.coffee(), "astronaut": data.astronaut()}
    return {name: Image(pixels, name) for name, pixels in pictures.items()}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a model of `tiny_hub`, made when it is first asked for; change copies alone."""
    import tiny_hub

    folders = {}

    def of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            tiny_hub.MODELS[name](folders[name])
        return folders[name]

    return of
