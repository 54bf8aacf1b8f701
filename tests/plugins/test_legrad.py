"""LeGrad against its equations, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradcams import noise

from segkit import Catalog, UsageError
from segkit.running.recipe import make_step
from segkit_plugins.saliency._maps import as_heat

CATALOG = Catalog(third_party=False)


def legrad(**options):
    return make_step(CATALOG, "saliency", "legrad", options)


def opened(**options):
    step = legrad(**options)
    step.open("cpu")
    return step


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_vit", num_classes=4).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("vit") / "v.pth"
    torch.save(network.state_dict(), path)
    return network, {"model": "timm:test_vit", "checkpoint": str(path)}


def attended(qkv, heads):
    """Softmax attention (B, heads, n, n) and values of a layer's q, k and v (B, n, 3·C)."""
    images, count, width = qkv.shape
    parts = qkv.reshape(images, count, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    query, key, value = parts
    likeness = torch.einsum("bhid,bhjd->bhij", query, key) / np.sqrt(query.shape[-1])
    return torch.softmax(likeness, dim=-1), value


def relevance(weights, score):
    """Equation 6: the positive gradient, averaged over heads and over rows."""
    (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
    return gradient.clamp(min=0).sum(dim=(1, 2)) / (gradient.shape[1] * gradient.shape[2])


def by_hand(network, pixels, target, last):
    """The sum over a timm ViT's last blocks, (side, side)."""
    patches = network.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    tokens = torch.cat([network.cls_token.expand(1, -1, -1), patches], dim=1) + network.pos_embed
    total = 0
    first = len(network.blocks) - last
    for number, block in enumerate(network.blocks):
        weights, value = attended(block.attn.qkv(block.norm1(tokens)), block.attn.num_heads)
        weights = weights.detach().requires_grad_()
        mixed = torch.einsum("bhij,bhjd->bihd", weights, value).flatten(2)
        tokens = tokens + block.ls1(block.attn.proj(mixed))
        tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
        mean = tokens.sum(dim=1) / tokens.shape[1]
        score = network.head(network.norm(mean))[0, target]
        if number >= first:
            total = total + relevance(weights, score)
    return total[0, 1:].reshape(10, 10)


@pytest.mark.parametrize("last", [1, 2, 6])
def test_maps_equal_the_equations(vit, last):
    network, own = vit
    image = noise(160, 160, seed=4)
    step = opened(**own, target="2", blocks=last)
    wanted = by_hand(network, step._classifier.prepared(image.pixels)[None], 2, last)
    (found,) = step(image=image)
    assert np.abs(found.values - as_heat(wanted, (160, 160))).max() < 1e-4
    assert found.values.max() == 1


def test_all_blocks_are_summed_unless_told(vit):
    _, own = vit
    image = noise(70, 90)
    (every,) = opened(**own, target="2")(image=image)
    (same,) = opened(**own, target="2", blocks=99)(image=image)
    assert np.array_equal(every.values, same.values)
    (other,) = opened(**own, target="2", blocks=1)(image=image)
    assert np.abs(every.values - other.values).max() > 0.01


def test_the_network_is_left_as_it_was(vit):
    """What is kept of attention changes no score."""
    from segkit_plugins.saliency._attentions import transformer_of

    network, _ = vit
    pixels = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        before = network(pixels)
    transformer = transformer_of(network)
    tokens = transformer.attend(pixels).tokens
    with torch.no_grad():
        assert torch.allclose(network(pixels), before, atol=1e-6)
        assert torch.allclose(network.head(network.norm(tokens[-1])[:, 0]), before, atol=1e-5)


def test_torchvisions_transformers_attend_as_they_do_alone():
    from torchvision.models import VisionTransformer

    from segkit_plugins.saliency._attentions import transformer_of

    torch.manual_seed(6)
    network = VisionTransformer(64, 16, 2, 2, 32, 48, num_classes=3).eval().requires_grad_(False)
    torch.nn.init.normal_(network.heads.head.weight)
    pixels = torch.rand(2, 3, 64, 64)
    own = network.encoder.layers[0]
    tokens = torch.cat([network.class_token.expand(2, -1, -1), network._process_input(pixels)], 1)
    _, wanted = own.self_attention(
        *[own.ln_1(tokens + network.encoder.pos_embedding)] * 3,
        need_weights=True,
        average_attn_weights=False,
    )
    attended = transformer_of(network).attend(pixels)
    assert torch.allclose(attended.weights[0], wanted, atol=1e-6)
    score = network.heads(network.encoder.ln(attended.tokens[-1][:, 0]))
    assert torch.allclose(score, network(pixels), atol=1e-5)


def test_asked_classes_are_looked_for(vit):
    _, own = vit
    image = noise(64, 64)
    step = opened(**own, class_names=("cat", "dog", "elk", "fox"), least_probability=0)
    step.restrict(["elk"])
    assert {heatmap.name for heatmap in step(image=image)} == {"elk"}


def test_networks_without_such_attention_are_refused(tmp_path):
    with pytest.raises(UsageError) as error:
        opened(model="efficientnet-lite0")
    assert str(error.value) == (
        "--legrad.model efficientnet-lite0 is no vision transformer that can be looked into (it "
        "has no blocks of attention with a head behind them); choose another one, such as "
        "timm:vit_small_patch16_224"
    )
    from torchvision.models import swin_t

    torch.save(swin_t(num_classes=3).state_dict(), tmp_path / "s.pth")
    with pytest.raises(UsageError, match="torchvision:swin_t is no vision transformer that can"):
        opened(model="torchvision:swin_t", checkpoint=str(tmp_path / "s.pth"))
    with pytest.raises(UsageError, match=r"legrad\.model"):
        legrad()
