"""The other class activation maps against pytorch-grad-cam; views; transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segkit import Catalog, Image
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
PEERS = {
    "gradcam-plus-plus": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
}
LAYERS = [("layer4", 96), ("layer3.0", 64)]
SLOW = ("scorecam", "layer4")


def opened(name, **options):
    step = make_step(CATALOG, "saliency", name, options)
    step.open("cpu")
    return step


def noise(*size, seed=0):
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"n{seed}")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=7).eval()
    # Gradients far above the 1e-6 that the peer adds to a denominator of Grad-CAM++.
    network.fc.weight.data *= 1e4
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network, {"model": "torchvision:resnet18", "checkpoint": str(path)}


def peer(name, network, layer, pixels, target, **how):
    """pytorch-grad-cam's map of one picture, at the input's size."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with getattr(pytorch_grad_cam, name)(network, [layer], **how) as cam:
        return cam(pixels, [ClassifierOutputTarget(target)])[0]


@pytest.mark.parametrize(
    ("name", "layer", "side"),
    # Score-CAM looks once for each channel of the layer.
    [(n, layer, side) for n in PEERS for layer, side in LAYERS if (n, layer) != SLOW]
    + [("scorecam", "layer2", 64)],
)
def test_maps_equal_pytorch_grad_cams(resnet, name, layer, side, monkeypatch):
    # Score-CAM's masks: the peer stretches them from corner to corner, we align pixel centres, as
    # for every heatmap. Let it do the same.
    monkeypatch.setattr(
        torch.nn, "UpsamplingBilinear2d", lambda size: torch.nn.Upsample(size, mode="bilinear")
    )
    network, own = resnet
    step = opened(name, **own, layer=layer, size=side, target="2")
    image = noise(side, side, seed=5)
    pixels = step._classifier.prepared(image.pixels)[None]
    wanted = peer(PEERS[name], network, network.get_submodule(layer), pixels, 2)
    (found,) = step(image=image)
    assert found.values.max() == 1
    if name == "eigencam" and np.corrcoef(found.values.ravel(), wanted.ravel())[0, 1] < 0:
        # The peer leaves the sign of the principal component to chance: compare the other side.
        network_map = -_principal(network, layer, pixels)
        assert np.abs(found.values - _stretched(network_map, side)).max() < 1e-4
        return
    assert np.abs(found.values - wanted).max() < 1e-4


def _principal(network, layer, pixels):
    """The projection on the first component with the sign that the peer happens to take."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda *args: kept.append(args[2].detach())
    )
    with torch.no_grad():
        network(pixels)
    handle.remove()
    return get_2d_projection(kept[0].numpy())[0]


def _stretched(values, side):
    from pytorch_grad_cam.utils.image import scale_cam_image

    return scale_cam_image(np.maximum(values, 0)[None], (side, side))[0]


def test_a_batch_equals_single_calls(resnet):
    _, own = resnet
    images = [noise(60, 80, seed=i) for i in range(3)]
    for name in PEERS:
        some, how = images, {"target": "top:2"}
        if name == "scorecam":  # it looks once for each channel of the layer
            some, how = images[:2], {"target": "top:1", "layer": "layer1"}
        step = opened(name, **own, size=64, **how)
        batch = step.batch([{"image": image} for image in some])
        for image, several in zip(some, batch, strict=True):
            for found, wanted in zip(several, step(image=image), strict=True):
                assert found.name == wanted.name
                assert np.abs(found.values - wanted.values).max() < 1e-4


def test_mirrored_pictures_have_mirrored_maps_when_both_views_count(resnet):
    _, own = resnet
    step = opened("gradcam", **own, size=64, target="1", flip=True)
    image = noise(64, 64)
    mirrored = Image(np.ascontiguousarray(image.pixels[:, ::-1]), "m")
    (one,), (other,) = step(image=image), step(image=mirrored)
    assert np.abs(one.values[:, ::-1] - other.values).max() < 1e-4
    plain = opened("gradcam", **own, size=64, target="1")
    assert np.abs(plain(image=image)[0].values - one.values).max() > 0.01


def test_scales_are_averaged(resnet):
    _, own = resnet
    image = noise(64, 64)
    plain = opened("gradcam", **own, size=64, target="1")(image=image)[0].values
    same = opened("gradcam", **own, size=64, target="1", scales=("1", "1"))(image=image)[0].values
    assert np.abs(plain - same).max() < 1e-5
    two = opened("gradcam", **own, size=64, target="1", scales=("1", "1.5"))(image=image)[0].values
    assert np.abs(plain - two).max() > 0.01


def test_scales_out_of_range_are_told():
    from segkit import UsageError

    with pytest.raises(UsageError, match=r"Invalid value for --gradcam.scales: scales should lie"):
        opened("gradcam", scales=("0",))


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=4).eval()
    path = tmp_path_factory.mktemp("vit") / "v.pth"
    torch.save(network.state_dict(), path)
    return network, {"model": "timm:vit_tiny_patch16_224", "checkpoint": str(path)}


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_a_transformers_tokens_equal_pytorch_grad_cams(vit, name):
    network, own = vit
    step = opened(name, **own, target="3")
    image = noise(224, 224, seed=2)
    pixels = step._classifier.prepared(image.pixels)[None]

    def laid_out(tokens):
        return tokens[:, 1:].reshape(len(tokens), 14, 14, -1).permute(0, 3, 1, 2)

    peers = {**PEERS, "gradcam": "GradCAM"}
    layer = network.blocks[-1].norm1
    wanted = peer(peers[name], network, layer, pixels, 3, reshape_transform=laid_out)
    (found,) = step(image=image)
    assert wanted.max() > 0.99
    assert np.abs(found.values - wanted).max() < 1e-4


def test_swins_maps_with_channels_last_work(tmp_path):
    from torchvision.models import swin_t

    torch.manual_seed(2)
    torch.save(swin_t(num_classes=3).state_dict(), tmp_path / "s.pth")
    own = {"model": "torchvision:swin_t", "checkpoint": str(tmp_path / "s.pth")}
    (found,) = opened("gradcam", **own, target="0")(image=noise(100, 90))
    assert found.values.shape == (100, 90)
    assert found.values.max() == 1


def test_scales_that_a_network_does_not_take_are_told(vit, tmp_path):
    """Before any image is read, and not as a wrong map."""
    from torchvision.models import swin_t

    from segkit import UsageError

    with pytest.raises(UsageError) as error:
        opened("gradcam", **vit[1], scales=("1", "1.5"))
    assert str(error.value) == (
        "--gradcam.scales: timm:vit_tiny_patch16_224 cannot be looked into at 336x336 pixels "
        "(Input height (336) doesn't match model (224)); choose scales nearer to 1, none, or "
        "another model"
    )
    torch.save(swin_t(num_classes=3).state_dict(), tmp_path / "s.pth")
    own = {"model": "torchvision:swin_t", "checkpoint": str(tmp_path / "s.pth")}
    with pytest.raises(UsageError, match=r"at 22x22 pixels \(the layer's map is too small\)"):
        opened("gradcam", **own, scales=("0.1",))
    assert opened("gradcam", **own, scales=("1", "1.3"))(image=noise(9, 9))[0].values.max() == 1


@pytest.mark.slow
def test_rows_that_are_no_images_are_no_map(tmp_path):
    """MViT's pooled heads are maps, eight for an image: no layer to look at, nor the default."""
    timm = pytest.importorskip("timm")
    from segkit import UsageError

    torch.manual_seed(4)
    network = timm.create_model("mvitv2_tiny", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "m.pth")
    own = {"model": "timm:mvitv2_tiny", "checkpoint": str(tmp_path / "m.pth")}
    with pytest.raises(UsageError, match=r"pool_v: it gives no map \(images, channels, height"):
        opened("gradcam", **own, layer="stages.3.blocks.1.attn.pool_v")
    step = opened("gradcam", **own, target="1")
    images = [noise(30, 40, seed=i) for i in range(2)]
    _, found = step._classifier.look(torch.rand(2, 3, 224, 224))
    assert len(found) == 2
    for image, (heatmap,) in zip(images, step.batch([{"image": i} for i in images]), strict=True):
        assert np.abs(heatmap.values - step(image=image)[0].values).max() < 1e-4


def test_torchvisions_transformers_are_looked_at_before_their_last_block():
    from torchvision.models import VisionTransformer

    from segkit_plugins.saliency._layers import default_layer, look_at

    torch.manual_seed(6)
    network = VisionTransformer(64, 16, 2, 2, 32, 48, num_classes=3).eval().requires_grad_(False)
    torch.nn.init.normal_(network.heads.head.weight)
    pixels = torch.rand(2, 3, 64, 64)
    layer = default_layer(network, pixels[:1])
    assert layer == "encoder.layers.encoder_layer_1.ln_1"
    scores, found = look_at(network, layer)(pixels)
    assert torch.allclose(scores, network(pixels), atol=1e-5)
    tokens = network.encoder.layers[1].ln_1(
        network.encoder.layers[0](
            torch.cat([network.class_token.expand(2, -1, -1), network._process_input(pixels)], 1)
            + network.encoder.pos_embedding
        )
    )
    assert torch.allclose(found[:, :, 1, 2], tokens[:, 1 + 1 * 4 + 2], atol=1e-5)
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), found)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 1e-6).all()
