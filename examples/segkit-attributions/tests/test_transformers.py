"""Methods on vision transformers against their equations, worked out apart from segkit in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import tiny
import torch
from numpy.typing import NDArray
from segkit import Image

from segkit_attributions.chefer import Chefer
from segkit_attributions.dino_attention import DinoAttention
from segkit_attributions.rollout import Rollout
from segkit_attributions.tokencut import TokenCut

SIDE, GRID, HEADS = 160, 10, 2


class Blocks:
    """timm's `test_vit`, run block by block; its class token comes first."""

    def __init__(self, network: Any, image: Image) -> None:
        self.weights: list[torch.Tensor] = []
        """Attention of each block, (heads, n, n)."""
        config = network.default_cfg
        patches = network.patch_embed.proj(tiny.normalised(image, config["mean"], config["std"]))
        rows = [network.cls_token[0], patches.flatten(2)[0].T]
        tokens = torch.cat(rows) + network.pos_embed[0]
        for block in network.blocks:
            qkv = block.attn.qkv(block.norm1(tokens))
            query, key, value = qkv.reshape(len(tokens), 3, HEADS, -1).permute(1, 2, 0, 3)
            weights = torch.softmax(query @ key.transpose(1, 2) / key.shape[-1] ** 0.5, dim=-1)
            weights.retain_grad()
            self.weights.append(weights)
            mixed = (weights @ value).transpose(0, 1).flatten(1)
            tokens = tokens + block.ls1(block.attn.proj(mixed))
            tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
        self.keys: NDArray[Any] = key.transpose(0, 1).flatten(1).detach().numpy()
        """Of the last block, (n, channels)."""
        self.scores = network.head(network.norm(tokens)[0])

    @property
    def attention(self) -> list[NDArray[Any]]:
        return [w.detach().numpy().astype(np.float64) for w in self.weights]


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    pytest.importorskip("timm")
    return tiny.vit(tmp_path_factory.mktemp("vit"))


def values(step: Any, image: Image) -> NDArray[np.float32]:
    """The step's one heatmap of a picture."""
    step.open("cpu")
    heatmap = step(image=image)
    (heatmap,) = heatmap if isinstance(heatmap, tuple) else (heatmap,)
    own: NDArray[np.float32] = heatmap.values
    return own


def laid_out(patches: NDArray[Any]) -> NDArray[Any]:
    return patches.reshape(GRID, GRID)


def test_the_network_by_hand_is_timms(vit: Any) -> None:
    network, _ = vit
    image = tiny.noise(SIDE)
    config = network.default_cfg
    scores = network(tiny.normalised(image, config["mean"], config["std"]))[0]
    assert torch.allclose(Blocks(network, image).scores, scores, atol=1e-4)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
def test_rollout_is_the_product_of_attention_and_skips(vit: Any, heads: Any) -> None:
    network, own = vit
    image = tiny.noise(SIDE, seed=5)
    product = np.eye(GRID**2 + 1)
    for attention in Blocks(network, image).attention:
        mixed = (getattr(attention, heads)(axis=0) + np.eye(GRID**2 + 1)) / 2
        product = mixed / mixed.sum(axis=1, keepdims=True) @ product
    assert np.allclose(product.sum(axis=1), 1)
    wanted = tiny.enlarged(laid_out(product[0, 1:]), SIDE)
    assert np.abs(values(Rollout(**own, heads=heads), image) - wanted).max() < 1e-4


@pytest.mark.parametrize("target", [0, 2])
def test_chefers_relevance_grows_block_by_block(vit: Any, target: int) -> None:
    network, own = vit
    image = tiny.noise(SIDE, seed=6)
    blocks = Blocks(network, image)
    blocks.scores[target].backward()
    relevance = np.eye(GRID**2 + 1)
    for attention, weights in zip(blocks.attention, blocks.weights, strict=True):
        assert weights.grad is not None
        both = np.maximum(attention * weights.grad.numpy(), 0)
        relevance = relevance + both.mean(axis=0) @ relevance
    wanted = tiny.enlarged(laid_out(relevance[0, 1:]), SIDE)
    assert np.abs(values(Chefer(**own, target=str(target)), image) - wanted).max() < 1e-4


@pytest.mark.parametrize(("head", "mass"), [(None, 1.0), (None, 0.6), (1, 0.6), (0, 0.3)])
def test_attention_is_kept_until_its_mass_is_reached(
    vit: Any, head: int | None, mass: float
) -> None:
    network, own = vit
    image = tiny.noise(SIDE, seed=7)
    maps = []
    for attention in Blocks(network, image).attention[-1][:, 0, 1:]:
        shares = attention / attention.sum()
        kept, total = np.zeros_like(shares), 0.0
        for place in np.argsort(-shares, kind="stable"):
            if total >= mass:
                break
            kept[place] = shares[place]
            total += shares[place]
        maps.append(kept)
    low = np.mean(maps, axis=0) if head is None else maps[head]
    wanted = tiny.enlarged(laid_out(low), SIDE)
    found = values(DinoAttention(**own, head=head, mass=mass), image)
    assert np.abs(found - wanted).max() < 1e-4


def tied(network: Any, image: Image, similarity: float, weak: float) -> NDArray[Any]:
    """The weights of TokenCut's graph."""
    keys = Blocks(network, image).keys[1:].astype(np.float64)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return np.where(keys @ keys.T > similarity, 1.0, weak)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("similarity", [0.2, 0.5])
def test_tokencut_solves_the_generalised_eigenproblem(
    vit: Any, similarity: float, connected: bool
) -> None:
    network, own = vit
    image = two_halves()
    weights = tied(network, image, similarity, 1e-3)
    assert not (weights == 1).all()
    sums = np.diag(weights.sum(axis=1))
    roots, vectors = scipy.linalg.eigh(sums - weights, sums)
    assert roots[2] - roots[1] > 1e-6
    second = vectors[:, 1]
    side = second > second.mean()
    if not side[np.abs(second).argmax()]:
        second, side = -second, ~side
    heat = laid_out(np.where(side, second - second.mean(), 0))
    if connected:
        parts, count = scipy.ndimage.label(heat > 0)
        heat = np.where(parts == parts.ravel()[heat.argmax()], heat, 0)
    wanted = tiny.enlarged(heat, SIDE)
    step = TokenCut(**own, similarity=similarity, weak=1e-3, connected=connected)
    assert np.abs(values(step, image) - wanted).max() < 1e-3


def two_halves() -> Image:
    """Noise on the left, and grey with a bright patch on the right."""
    pixels = tiny.noise(SIDE, seed=8).pixels.copy()
    pixels[:, SIDE // 2 :] = 90
    pixels[40:90, 100:150] = 255
    return Image(pixels, "halves")


def test_what_is_all_alike_is_not_cut(vit: Any) -> None:
    _, own = vit
    assert not values(TokenCut(**own, similarity=-1), tiny.noise(SIDE)).any()


def test_a_head_is_not_needed(vit: Any, tmp_path: Path) -> None:
    """Self-supervised weights come without one."""
    network, own = vit
    tensors = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    torch.save(tensors, tmp_path / "headless.pth")
    image = tiny.noise(SIDE)
    for method in (Rollout, DinoAttention, TokenCut):
        found = values(method(**{**own, "checkpoint": tmp_path / "headless.pth"}), image)
        assert np.array_equal(found, values(method(**own), image))


@pytest.mark.parametrize("method", [Rollout, Chefer, DinoAttention, TokenCut])
def test_torchvisions_transformers_serve_too(method: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from torchvision import models

    torch.manual_seed(6)
    small = {"image_size": 224, "patch_size": 32, "num_layers": 2, "num_heads": 2}
    small |= {"hidden_dim": 32, "mlp_dim": 48}
    network = models.VisionTransformer(**small, num_classes=3)
    torch.nn.init.normal_(network.heads.head.weight)
    torch.save(network.state_dict(), tmp_path / "small.pth")
    made = models.get_model
    monkeypatch.setattr(
        models,
        "get_model",
        lambda name, weights=None, num_classes=1000: (
            models.VisionTransformer(**small, num_classes=num_classes)
            if name == "vit_b_32"
            else made(name, weights=weights, num_classes=num_classes)
        ),
    )
    step = method(model="torchvision:vit_b_32", checkpoint=tmp_path / "small.pth")
    found = values(step, tiny.noise(224))
    assert found.shape == (224, 224)
    assert found.max() == 1


def test_a_network_without_a_class_token_is_read_at_its_patches(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(2)
    network = timm.create_model("test_vit2", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "mean.pth")
    own: Any = {"model": "timm:test_vit2", "checkpoint": tmp_path / "mean.pth"}
    step: Any = Rollout(**own)
    step.open("cpu")
    image = tiny.noise(64)
    attended = step._transformer.attend(torch.rand(1, 3, 64, 64))
    assert attended.others == network.num_prefix_tokens
    assert attended.read == slice(network.num_prefix_tokens, None)
    assert step(image=image).values.max() == 1
