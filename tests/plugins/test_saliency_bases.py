"""What others build saliency methods on: `segkit_plugins.saliency`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from gradcams import noise
from pydantic import PrivateAttr

from segkit import PluginError, UsageError
from segkit_plugins import saliency
from segkit_plugins.saliency import AttentionMap, ClassActivationMap, ClassAttentionMap


class LastBlock(AttentionMap):
    """How much the last block looks at each patch."""

    name = "last-block"

    def relevance(self, attended):
        return attended.as_map(attended.weights[-1].mean(dim=(1, 2)))


class Nothing(ClassActivationMap):
    """Says nothing of how it works."""

    name = "nothing"


def opened(step):
    step.open("cpu")
    return step


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_vit", num_classes=4).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("vit")
    torch.save(network.state_dict(), folder / "v.pth")
    return network, {"model": "timm:test_vit", "checkpoint": folder / "v.pth"}


def test_the_names_bring_no_torch():
    code = "from segkit_plugins.saliency import *; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert all(hasattr(saliency, name) for name in saliency.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        _ = saliency.Nobody


def test_attention_is_part_of_the_graph_and_the_scores_are_the_networks(vit):
    network, own = vit

    class Kept(ClassAttentionMap):
        """Keeps what it was told."""

        name = "kept"

        def relevance(self, attended, target):
            told.append((attended, target))
            return attended.as_map(attended.weights[0].mean(dim=(1, 2)))

    told = []
    step = opened(Kept(**own, target="2"))
    image = noise(160, 160)
    step(image=image)
    ((attended, target),) = told
    assert target == 2
    pixels = step._classifier.prepared(image.pixels)[None]
    assert torch.allclose(attended.scores, network(pixels), atol=1e-5)
    gradients = torch.autograd.grad(attended.scores[0, 2], attended.weights)
    assert all(g.abs().max() > 0 for g in gradients)
    # The first block reaches the score through the attention of those behind it, too.
    assert [w.shape for w in attended.weights] == [(1, 2, 101, 101)] * 6
    assert (attended.others, attended.read) == (1, slice(0, 1))
    with torch.no_grad():
        assert torch.allclose(
            attended.classify(attended.tokens[-1][:, 0]), attended.scores, atol=1e-5
        )


@pytest.mark.parametrize("headless", [True, False])
def test_a_transformer_needs_no_head(vit, headless, tmp_path):
    network, own = vit
    tensors = dict(network.state_dict())
    if headless:
        tensors = {f"module.{k}": v for k, v in tensors.items() if not k.startswith("head.")}
    torch.save(tensors, tmp_path / "h.pth")
    step = opened(LastBlock(model="timm:test_vit", checkpoint=tmp_path / "h.pth"))
    heatmap = step(image=noise(50, 70))
    assert (heatmap.name, heatmap.size, heatmap.values.max()) == (None, (50, 70), 1)
    assert np.array_equal(heatmap.values, opened(LastBlock(**own))(image=noise(50, 70)).values)


def test_another_layer_is_looked_at_with_the_scores_of_what_is_asked_for():
    step = opened(Nothing(model="shapes", size=64))
    step.restrict(["star", "circle"])
    sizes = {layer.name: layer.size for layer in step.find_layers()}
    pixels = torch.rand(2, 3, 64, 64)
    scores, activations = step.look_at("blocks.1", "my_layers")(pixels)
    assert activations.shape[2:] == sizes["blocks.1"] == (8, 8)
    assert scores.shape == step.network(pixels).shape == (2, 3)
    assert torch.allclose(scores, step.network(pixels), atol=1e-5)
    with pytest.raises(UsageError) as error:
        step.look_at("block.1", "my_layers")
    assert str(error.value).startswith("--nothing.my-layers block.1: there is none of that name")


def test_a_method_that_says_nothing_is_told():
    with pytest.raises(PluginError, match="Nothing should define 'combine', but does not"):
        opened(Nothing(model="shapes", size=32))(image=noise(32, 32))


STATE = {"_classifier", "_transformer", "_fed"}
"""The private names that the docs tell authors to leave alone."""


@pytest.mark.parametrize("base", [AttentionMap, ClassActivationMap, ClassAttentionMap])
def test_private_names_of_an_authors_own_hide_nothing(base):
    """Of the bases' own methods no name can be met by chance: `_maps`, `_views`, `_looks` …"""
    owners = [c for c in base.__mro__ if c.__module__.startswith("segkit_plugins.")]
    plain = {
        name
        for owner in owners
        for name in vars(owner)
        if name.startswith("_")
        and not name.startswith(("__", "_abc_", f"_{owner.__name__}__"))
        and name not in base.__pydantic_decorators__.field_validators
    }
    assert plain <= {"_network_options"}
    assert set(base.__private_attributes__) - {"_pins"} <= STATE


def test_a_method_with_private_attributes_of_everyday_names():
    class Everyday(ClassActivationMap):
        """Keeps what it likes, under names that come to mind."""

        name = "everyday"

        _looks = PrivateAttr((1,))
        _maps = PrivateAttr((2,))
        _targets = PrivateAttr((3,))

        def combine(self, activations, gradients):
            assert (self._looks, self._maps, self._targets) == ((1,), (2,), (3,))
            return activations.sum(dim=1).relu()

    step = opened(Everyday(model="shapes"))
    (heatmap,) = step(image=noise(64, 64))
    assert heatmap.size == (64, 64)
    (low,) = step.part(noise(64, 64), (heatmap,))
    assert low.max() > 0
