"""Finer-CAM against pytorch-grad-cam's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradcams import noise

from segkit import Catalog
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def opened(name="finercam", **options):
    step = make_step(CATALOG, "saliency", name, options)
    step.open("cpu")
    return step


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=7).eval()
    network.fc.weight.data *= 30  # scores that differ
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network, {"model": "torchvision:resnet18", "checkpoint": str(path), "size": 64}


def peer(network, pixels, target, similar, strength):
    from pytorch_grad_cam import FinerCAM

    with FinerCAM(network, [network.layer4]) as cam:
        return cam(
            pixels,
            target_idx=target,
            alpha=strength,
            comparison_categories=list(range(1, similar + 1)),
        )[0]


@pytest.mark.parametrize(("similar", "strength"), [(1, 1.0), (3, 1.0), (3, 0.6), (6, 0.3)])
def test_maps_equal_pytorch_grad_cams(resnet, similar, strength):
    network, own = resnet
    plain = opened("gradcam", **own, layer="layer4", target="2")
    step = opened(**own, layer="layer4", target="2", similar=similar, strength=strength)
    image = noise(64, 64, seed=5)
    pixels = step._classifier.prepared(image.pixels)[None]
    wanted = peer(network, pixels, 2, similar, strength)
    (found,) = step(image=image)
    assert wanted.max() > 0.99
    assert np.abs(found.values - wanted).max() < 1e-4
    (other,) = plain(image=image)
    assert np.abs(found.values - other.values).max() > 0.01


def test_a_sure_classifier_has_the_map_of_the_scores_that_differ():
    """Beside a score 25 above all others their probabilities add up to less than 1e-10."""
    step = opened()
    raw = [25.0, 0.3, -0.4, 0.1, *[-2.0] * (len(step._classifier.names) - 4)]
    scores = torch.tensor(raw, requires_grad=True)
    step._difference(scores, 0).backward()
    exact = torch.tensor(raw, dtype=torch.float64, requires_grad=True)
    likes = exact[[1, 3, 2]]
    (likes.exp() / likes.exp().sum() * (exact[0] - likes)).sum().backward()
    assert scores.grad[0].item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(scores.grad.double(), exact.grad, atol=1e-4)


def test_without_strength_it_is_grad_cam(resnet):
    _, own = resnet
    image = noise(50, 70)
    (found,) = opened(**own, target="1", strength=0)(image=image)
    (wanted,) = opened("gradcam", **own, target="1")(image=image)
    assert np.abs(found.values - wanted.values).max() < 1e-4


def test_each_class_of_each_image_of_a_batch_has_its_own_likes(resnet):
    _, own = resnet
    images = [noise(60, 80, seed=i) for i in range(3)]
    step = opened(**own, target="top:2", least_share=0)
    batch = step.batch([{"image": image} for image in images])
    for image, several in zip(images, batch, strict=True):
        for found, wanted in zip(several, step(image=image), strict=True):
            assert found.name == wanted.name
            assert np.abs(found.values - wanted.values).max() < 1e-4


def test_a_single_class_has_nothing_to_be_compared_with(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(3)
    torch.save(resnet18(num_classes=1).state_dict(), tmp_path / "r.pth")
    own = {"model": "torchvision:resnet18", "checkpoint": str(tmp_path / "r.pth"), "size": 64}
    (found,) = opened(**own)(image=noise(64, 64))
    (wanted,) = opened("gradcam", **own)(image=noise(64, 64))
    assert np.array_equal(found.values, wanted.values)


def test_all_else_of_an_asked_class_is_no_class_that_it_is_like():
    """`--classes` groups outputs; the group of all others has a score and no name."""
    step = opened()
    step.restrict(["cat", "dog"])
    image = noise(64, 64)
    scores, _ = step._classifier.look(step._classifier.prepared(image.pixels)[None])
    cat, dog, _ = scores[0]
    found = step._difference(scores[0], 0)
    assert found.item() == pytest.approx((cat - dog).item(), rel=1e-4)
