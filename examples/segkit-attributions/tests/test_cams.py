"""Class activation maps against pytorch-grad-cam's and segkit's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from segkit import Heatmap, Image, step

from segkit_attributions.gscorecam import GScoreCAM
from segkit_attributions.refinecam import RefineCAM

SIDE = 96


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    return tiny.resnet(tmp_path_factory.mktemp("resnet"))


def opened(made: Any) -> Any:
    made.open("cpu")
    return made


def one(made: Any, image: Image) -> Heatmap:
    """The step's one heatmap of a picture."""
    (heatmap,) = opened(made)(image=image)
    assert isinstance(heatmap, Heatmap)
    return heatmap


@pytest.mark.parametrize(
    ("method", "peer"), [("gradcam-plus-plus", "GradCAMPlusPlus"), ("layercam", "LayerCAM")]
)
@pytest.mark.parametrize("layers", [("layer2", "layer4"), ()])
def test_refinecam_equals_pytorch_grad_cams(
    resnet: Any, method: str, peer: str, layers: tuple[str, ...]
) -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.refine_cam import RefineCAM as Peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, own = resnet
    image = tiny.noise(SIDE, seed=5)
    names = layers or ("layer1", "layer2", "layer3", "layer4")
    peers = Peer(
        network, [network.get_submodule(n) for n in names], base_method=getattr(grad_cam, peer)
    )
    (wanted,) = peers(tiny.normalised(image), [ClassifierOutputTarget(2)])
    options: Any = {**own, "size": SIDE, "target": "2", "layers": layers, "method": method}
    made = RefineCAM(**options)
    found = one(made, image)
    assert found.name == "class-2"
    assert np.abs(found.values - wanted).max() < 2e-4
    single = one(step("gradcam-plus-plus", **own, size=SIDE, target="2"), image)
    assert np.abs(found.values - single.values).max() > 0.05


def test_one_layer_alone_is_the_methods_own_map(resnet: Any) -> None:
    _, own = resnet
    image = tiny.noise(SIDE, seed=4)
    plain = one(step("gradcam-plus-plus", **own, size=SIDE, target="1", layer="layer3"), image)
    refined = one(RefineCAM(**own, size=SIDE, target="1", layers=("layer3",)), image)
    assert np.abs(plain.values - refined.values).max() < 1e-4


@pytest.mark.parametrize("target", ["3", "top:2"])
def test_gscorecam_of_all_channels_is_scorecam(resnet: Any, target: str) -> None:
    _, own = resnet
    image = tiny.noise(64, seed=1)
    common = {**own, "size": 64, "target": target, "layer": "layer2.0"}
    every = opened(GScoreCAM(**common, channels=999))(image=image)
    scored = opened(step("scorecam", **common))(image=image)
    assert len(every) == len(scored)
    for found, wanted in zip(every, scored, strict=True):
        assert found.name == wanted.name
        assert np.abs(found.values - wanted.values).max() < 1e-5


def test_gscorecam_takes_the_channels_with_the_greatest_gradient(resnet: Any) -> None:
    """Worked out one channel after another, on the network itself."""
    network, own = resnet
    image, count = tiny.noise(64, seed=2), 5
    pixels = tiny.normalised(image)
    kept: list[torch.Tensor] = []
    handle = network.layer4.register_forward_hook(lambda *args: kept.append(args[2]))
    scores = network(pixels)
    handle.remove()
    (gradient,) = torch.autograd.grad(scores[0, 3], kept[0])
    order = sorted(range(512), key=lambda c: -float(gradient[0, c].sum()))
    weights = []
    with torch.no_grad():
        for channel in order[:count]:
            mask = torch.nn.functional.interpolate(kept[0][:, [channel]], (64, 64), mode="bilinear")
            mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
            weights.append(float(network(pixels * mask)[0, 3]))
    shares = np.exp(np.array(weights) - max(weights))
    shares /= shares.sum()
    maps = kept[0][0, order[:count]].detach().numpy()
    wanted = tiny.enlarged(np.maximum((shares[:, None, None] * maps).sum(axis=0), 0), 64)
    found = one(GScoreCAM(**own, size=64, target="3", layer="layer4", channels=count), image)
    assert np.abs(found.values - wanted).max() < 1e-3


def test_classes_that_are_asked_for_are_looked_for(resnet: Any) -> None:
    _, own = resnet
    names = tuple("abcdefg")
    for cls in (RefineCAM, GScoreCAM):
        made: Any = cls(**own, size=64, class_names=names, least_probability=0)
        made.open("cpu")
        made.restrict(["c"])
        assert {heatmap.name for heatmap in made(image=tiny.noise(64))} == {"c"}


def test_work_on_tokens(tmp_path: Path) -> None:
    """gScoreCAM takes a transformer's tokens as the map of its patches, as every CAM does."""
    pytest.importorskip("timm")
    _, own = tiny.vit(tmp_path)
    found = one(GScoreCAM(**own, target="1", channels=8), tiny.noise(160))
    assert found.values.max() == 1
