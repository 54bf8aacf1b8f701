"""Grad-CAM against pytorch-grad-cam: its heatmaps, and that it leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradcams import gradcam, hooks, noise, opened, why

from segkit import BadValueError, Heatmap, Image


@pytest.fixture(scope="module")
def lite():
    step = gradcam()
    step.open("cpu")
    yield step
    step.close()


# ---- the same as an independent implementation --------------------------------------------------


def peer(network, layer, pixels, target, size):
    """pytorch-grad-cam's map, resized by it to an image of (H, W)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Sized(GradCAM):
        def get_target_width_height(self, input_tensor):
            return size[::-1]

    with Sized(network, [network.get_submodule(layer)]) as cam:
        return cam(pixels, [ClassifierOutputTarget(target)])[0]


@pytest.mark.parametrize(
    ("layer", "input_side", "size"),
    [
        ("layer4", 224, (224, 224)),
        ("layer4.1", 224, (300, 451)),
        ("layer3.0", 96, (41, 200)),
        ("layer2.1.conv1", 96, (33, 5)),
        ("layer1", 64, (150, 149)),
    ],
)
def test_maps_equal_pytorch_grad_cams(resnet, own, layer, input_side, size):
    network, _ = resnet
    step = opened(**own, layer=layer, size=input_side, target="2")
    for seed in range(2):
        image = noise(*size, seed=seed)
        pixels = step._classifier.prepared(image.pixels)[None]
        wanted = peer(network, layer, pixels, 2, size)
        (found,) = step(image=image)
        assert wanted.max() > 0.99
        assert np.abs(found.values - wanted).max() < 1e-4


def test_a_batch_equals_pytorch_grad_cams_batch(resnet, own):
    from pytorch_grad_cam import GradCAM

    network, _ = resnet
    step = opened(**own, size=96)
    images = [noise(96, 96, seed=seed) for seed in range(4)]
    pixels = torch.stack([step._classifier.prepared(i.pixels) for i in images])
    with GradCAM(network, [network.layer4]) as cam:
        wanted = cam(pixels, None)  # each image's own best class
    found = step.batch([{"image": i} for i in images])
    for (heatmap,), values in zip(found, wanted, strict=True):
        assert np.abs(heatmap.values - values).max() < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_stretching_and_resizing_equal_pytorch_grad_cams(seed):
    from pytorch_grad_cam.utils.image import scale_cam_image

    from segkit_plugins.saliency._maps import as_heat

    rng = np.random.default_rng(seed)
    for _ in range(25):
        side = int(rng.integers(2, 15))
        low = np.maximum(rng.normal(0, 10.0 ** rng.integers(-4, 4), (side, side)), 0)
        size = tuple(int(n) for n in rng.integers(2, 120, 2))
        wanted = scale_cam_image(scale_cam_image(low[None], size[::-1]))[0]
        found = as_heat(torch.tensor(low), size)
        assert np.abs(found - wanted).max() < 1e-4


def test_a_layer_whose_output_is_overwritten_in_place_is_seen_as_it_was():
    """DenseNet ends its features with a ReLU in place: the map before it is what counts."""
    from torchvision.models import densenet121

    from segkit_plugins.saliency._layers import look_at

    torch.manual_seed(0)
    network = densenet121(num_classes=3).eval().requires_grad_(False)
    pixels = torch.rand(1, 3, 64, 64)
    scores, leaf = look_at(network, "features")(pixels)
    (gradient,) = torch.autograd.grad(scores[0, 1], leaf)
    with torch.no_grad():
        before = network.features(pixels)
    assert (leaf < 0).any()
    assert torch.equal(leaf, before)
    again = before.clone().requires_grad_()
    pooled = again.relu().mean(dim=(2, 3))
    (wanted,) = torch.autograd.grad(network.classifier(pooled)[0, 1], again)
    assert torch.allclose(gradient, wanted, atol=1e-7)


# ---- heatmaps -----------------------------------------------------------------------------------


def test_the_bundled_classifier_sees_the_cat_where_it_is(lite, photos):
    (found,) = lite(image=photos["cat"])
    assert "cat" in found.name.lower()
    assert found.score > 0.3
    assert found.values.shape == photos["cat"].size
    y, x = np.unravel_index(found.values.argmax(), found.values.shape)
    assert 100 < x < 400
    assert 30 < y < 280
    assert (found.values.min(), found.values.max()) == (0, 1)


def test_a_batch_of_any_sizes_equals_single_calls(lite, photos):
    together = lite.batch([{"image": p} for p in photos.values()])
    for image, (batched,) in zip(photos.values(), together, strict=True):
        (alone,) = lite(image=image)
        assert alone.name == batched.name
        assert alone.score == pytest.approx(batched.score, abs=1e-5)
        assert np.abs(alone.values - batched.values).max() < 1e-4


def test_channels_last_change_the_order_in_memory_alone(lite, photos):
    from segkit_plugins.shared.lite0 import load_lite0, with_person

    pixels = lite._classifier.batch([photos["cat"].pixels])
    scores, activations = lite._classifier.look(pixels)
    assert activations.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = with_person(load_lite0()).eval()(pixels)
    assert (scores - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("passes", [[1] * 19, [16, 3]], ids=["cpu", "gpu"])
def test_on_a_gpu_sixteen_images_share_a_forward_pass(own, passes, monkeypatch):
    step = opened(**own, size=64, target="top:2")
    if passes == [16, 3]:
        monkeypatch.setattr("segkit_plugins.shared.devices.works_together", lambda device: True)
    sizes = []
    handle = step._classifier.network.register_forward_hook(
        lambda _, inputs, __: sizes.append(len(inputs[0]))
    )
    images = [noise(20 + i, 30, seed=i) for i in range(19)]
    made = step.batch([{"image": i} for i in images])
    handle.remove()
    assert sizes == passes
    assert [h[0].values.shape for h in made] == [i.size for i in images]
    for i in (0, 15, 18):
        for one, other in zip(made[i], step(image=images[i]), strict=True):
            assert one.name == other.name
            assert np.abs(one.values - other.values).max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 2), (2500, 3)])
def test_any_size_of_image_works(lite, size):
    (found,) = lite(image=Image(np.full((*size, 3), 200, np.uint8), "x"))
    assert found.values.shape == size


def test_a_network_that_sees_nothing_gives_an_all_zero_heatmap(photos, tmp_path):
    """All weights zero but one bias: no channel speaks for any class, though one class wins."""
    from torchvision.models import resnet18

    network = resnet18(num_classes=3)
    zeros = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    zeros["fc.bias"][1] = 1
    torch.save(zeros, tmp_path / "z.pth")
    step = opened(model="torchvision:resnet18", checkpoint=str(tmp_path / "z.pth"))
    (found,) = step(image=photos["cat"])
    assert not found.values.any()
    assert found.name == "class-1"
    assert found.score == pytest.approx(np.e / (np.e + 2), abs=1e-5)


def test_the_same_everywhere_is_all_one_and_nothing_is_all_zero():
    from segkit_plugins.saliency._maps import as_heat

    assert (as_heat(torch.full((7, 7), 0.2), (5, 9)) == 1).all()
    assert not as_heat(torch.zeros(7, 7), (5, 9)).any()
    assert as_heat(torch.arange(1.0, 50).view(7, 7), (1, 1)).tolist() == [[1]]


def test_a_network_that_says_nan_is_refused(tmp_path, resnet):
    weights = {k: v.clone() for k, v in resnet[0].state_dict().items()}
    weights["layer4.1.conv2.weight"][0, 0, 0, 0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    assert why(model="torchvision:resnet18", checkpoint=str(tmp_path / "nan.pth")) == (
        "--gradcam.model torchvision:resnet18 gives NaN or infinite scores for an empty picture; "
        "its weights are damaged: choose others"
    )
    from segkit_plugins.saliency._maps import as_heat

    with pytest.raises(BadValueError, match="finite"):
        Heatmap(as_heat(torch.tensor([[0.0, float("nan")], [1.0, 2.0]]), (4, 4)))


def test_nothing_is_left_on_the_network_and_its_parameters_stay_frozen(lite, photos):
    network = lite._classifier.network
    assert hooks(network) == 0
    before = {k: v.clone() for k, v in network.state_dict().items()}
    lite(image=photos["cat"])
    assert hooks(network) == 0
    assert not network.training
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_hooks_are_taken_off_when_the_network_raises():
    from segkit_plugins.saliency._layers import layers_of, look_at

    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            self.conv(x)
            raise RuntimeError("broken")

    broken = Broken()
    for work in (look_at(broken, "conv"), lambda x: layers_of(broken, x)):
        with pytest.raises(RuntimeError, match="broken"):
            work(torch.zeros(1, 3, 8, 8))
        assert hooks(broken) == 0


def test_the_gradient_stops_at_the_layer(resnet):
    from segkit_plugins.saliency._layers import look_at

    network, _ = resnet
    network.zero_grad()
    scores, leaf = look_at(network, "layer4")(torch.rand(1, 3, 64, 64))
    assert leaf.is_leaf
    scores.sum().backward()
    assert leaf.grad is not None
    assert network.fc.weight.grad is not None
    assert network.layer4[0].conv1.weight.grad is None
    network.zero_grad()


def test_it_works_where_gradients_are_switched_off(lite, photos):
    (wanted,) = lite(image=photos["cat"])
    with torch.no_grad():
        (found,) = lite(image=photos["cat"])
    assert np.array_equal(found.values, wanted.values)


def test_closing_drops_the_network(own):
    step = opened(**own)
    step.close()
    assert step._classifier is None
