"""Grad-CAM against pytorch-grad-cam, its ways of choosing model, layer and target, its errors."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from segkit import BadValueError, Catalog, Heatmap, Image, Labels, Truth, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")
CATALOG = Catalog(third_party=False)


def gradcam(**options):
    return make_step(CATALOG, "saliency", "gradcam", options)


def opened(**options):
    step = gradcam(**options)
    step.open("cpu")
    return step


def why(**options):
    """The sentence that opening ends with."""
    with pytest.raises(UsageError) as error:
        opened(**options)
    return str(error.value)


def noise(*size, seed=0):
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"n{seed}")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet-18 with random weights of its own, and the path of its state_dict."""
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

    from segkit_plugins.saliency._cam import as_heat

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


def test_sixteen_images_share_a_forward_pass(own):
    step = opened(**own, size=64, target="top:2")
    sizes = []
    handle = step._classifier.network.register_forward_hook(
        lambda _, inputs, __: sizes.append(len(inputs[0]))
    )
    images = [noise(20 + i, 30, seed=i) for i in range(19)]
    made = step.batch([{"image": i} for i in images])
    handle.remove()
    assert sizes == [16, 3]
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
    from segkit_plugins.saliency._cam import as_heat

    assert (as_heat(torch.full((7, 7), 0.2), (5, 9)) == 1).all()
    assert not as_heat(torch.zeros(7, 7), (5, 9)).any()
    assert as_heat(torch.rand(7, 7) + 1, (1, 1)).tolist() == [[1]]


def test_a_network_that_says_nan_is_refused(tmp_path, resnet):
    weights = {k: v.clone() for k, v in resnet[0].state_dict().items()}
    weights["layer4.1.conv2.weight"][0, 0, 0, 0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    assert why(model="torchvision:resnet18", checkpoint=str(tmp_path / "nan.pth")) == (
        "--gradcam.model torchvision:resnet18 gives NaN or infinite scores for an empty picture; "
        "its weights are damaged: choose others"
    )
    from segkit_plugins.saliency._cam import as_heat

    with pytest.raises(BadValueError, match="finite"):
        Heatmap(as_heat(torch.tensor([[0.0, float("nan")], [1.0, 2.0]]), (4, 4)))


# ---- targets ------------------------------------------------------------------------------------


def test_the_likeliest_classes_come_in_order_and_as_if_asked_for_one_by_one(photos):
    heatmaps = opened(target="top:3", least_share=0)(image=photos["coffee"])
    assert len({h.name for h in heatmaps}) == 3
    scores = [h.score for h in heatmaps]
    assert scores == sorted(scores, reverse=True)
    (best,) = opened()(image=photos["coffee"])
    assert (best.name, best.score) == (heatmaps[0].name, pytest.approx(scores[0]))
    for heatmap in heatmaps:
        (alone,) = opened(target=heatmap.name)(image=photos["coffee"])
        assert alone.name == heatmap.name
        assert np.abs(alone.values - heatmap.values).max() < 1e-4


def test_a_target_is_a_name_or_a_number(photos):
    (by_name,) = opened(target="Egyptian cat")(image=photos["cat"])
    for other in ("285", "egyptian_cat"):
        (found,) = opened(target=other)(image=photos["cat"])
        assert found.name == by_name.name == "Egyptian cat"
        assert np.array_equal(by_name.values, found.values)


def test_of_two_classes_with_one_name_the_likelier_is_meant(own):
    names = ("crane", "b", "c", "crane", "e", "Crane", "g")
    image = noise(50, 50)
    (found,) = opened(**own, class_names=names, target="crane")(image=image)
    both = [opened(**own, class_names=names, target=n)(image=image)[0] for n in ("0", "3")]
    assert [h.name for h in both] == ["crane", "crane"]
    best = max(both, key=lambda h: h.score)
    assert found.score == pytest.approx(best.score)
    assert np.abs(found.values - best.values).max() < 1e-4
    assert not np.allclose(both[0].values, both[1].values, atol=1e-2)


def test_the_truths_classes_are_explained_under_the_truths_names():
    step = opened(model="shapes", target="truth")
    image = noise(100, 80)
    ids = np.zeros(image.size, np.int32)
    ids[:50], ids[60:90], ids[95:] = 5, 1, 255
    truth = Truth(Labels(ids, {1: "Circle", 5: "star"}))
    heatmaps = step(image=image, truth=truth)
    assert [h.name for h in heatmaps] == ["Circle", "star"]
    for heatmap in heatmaps:
        (alone,) = opened(model="shapes", target=heatmap.name.lower())(image=image)
        assert np.abs(alone.values - heatmap.values).max() < 1e-4
    # Classes that the model does not know are left out; names may come from the data set.
    partly = step(image=image, truth=Truth(Labels(ids, {1: "zebra"})), classes={5: "star"})
    assert [h.name for h in partly] == ["star"]


def test_truth_without_a_class_that_the_model_knows_is_told():
    step = opened(model="shapes", target="truth")
    image = noise(10, 12)
    with pytest.raises(BadValueError) as error:
        step(image=image)
    assert str(error.value) == (
        "--gradcam.target truth needs the image's truth, and it has none; choose a data set with "
        "truth or another target"
    )
    ids = np.zeros(image.size, np.int32)
    with pytest.raises(BadValueError, match=r"none of the image's classes \(it has none\)"):
        step(image=image, truth=Truth(Labels(ids)))
    ids[0], ids[1] = 1, 2
    with pytest.raises(BadValueError) as error:
        step(image=image, truth=Truth(Labels(ids, {1: "zebra"})))
    assert str(error.value) == (
        "--gradcam.target truth: the model knows none of the image's classes (zebra, class 2); "
        "choose predicted or another model"
    )


def test_images_with_different_numbers_of_true_classes_share_a_batch():
    step = opened(model="shapes", target="truth")
    inputs = []
    for count in (3, 1, 2):
        ids = np.zeros((60, 60), np.int32)
        for i in range(count):
            ids[i] = i + 1
        classes = {1: "circle", 2: "square", 3: "star"}
        inputs.append({"image": noise(60, 60, seed=count), "truth": Truth(Labels(ids, classes))})
    made = step.batch(inputs)
    assert [[h.name for h in several] for several in made] == [
        ["circle", "square", "star"],
        ["circle"],
        ["circle", "square"],
    ]
    for several, one in zip(made, inputs, strict=True):
        for heatmap, alone in zip(several, step(**one), strict=True):
            assert np.abs(heatmap.values - alone.values).max() < 1e-4


# ---- nothing is left behind ---------------------------------------------------------------------


def hooks(network):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in network.modules()
    )


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


# ---- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("resnet18", {}, "layer4"),
        ("mobilenet_v3_small", {}, "features"),
        ("densenet121", {}, "features"),
        ("squeezenet1_1", {}, "classifier.1"),
        ("shufflenet_v2_x0_5", {}, "conv5"),
        ("googlenet", {"init_weights": False}, "inception5b"),
    ],
)
def test_the_default_layer_is_the_last_block_of_convolutions(name, options, layer):
    from torchvision.models import get_model

    from segkit_plugins.saliency._layers import default_layer, layers_of

    network = get_model(name, weights=None, **options).eval()
    picture = torch.zeros(1, 3, 96, 96)
    assert default_layer(network, picture) == layer
    assert layer in {found.name for found in layers_of(network, picture)}
    assert hooks(network) == 0


def test_a_transformers_layers(tmp_path):
    timm = pytest.importorskip("timm")
    name = "vit_tiny_patch16_224"
    torch.save(timm.create_model(name, num_classes=4).state_dict(), tmp_path / "v.pth")
    options = {"model": f"timm:{name}", "checkpoint": str(tmp_path / "v.pth")}
    listed = why(**options, layer="list")
    assert "\n  patch_embed (192 channels, 14×14)" in listed
    assert "does not take pictures of 100x100 (" in why(**options, size=100)
    assert "give the size it was made for with --gradcam.size" in why(**options, size=100)
    assert opened(**options)._classifier.look is not None


def test_list_prints_the_layers(own):
    text = why(**own, layer="list")
    first, *rows = text.splitlines()
    assert first == (
        "--gradcam.layer: torchvision:resnet18 has these layers to look at, and the modules "
        "inside them:"
    )
    assert rows[0] == "  conv1 (64 channels, 112×112)"
    assert rows[-1] == "  layer4 (512 channels, 7×7) (default)"
    assert "  layer4.1 (512 channels, 7×7)" in rows
    assert "  _blocks.15 (320 channels, 7×7) (default)" in why(layer="list").splitlines()


def test_a_layer_that_cannot_be_looked_at_is_told(own):
    assert why(**own, layer="layer44") == (
        "--gradcam.layer layer44: there is none of that name; did you mean 'layer4'?"
    )
    assert why(**own, layer="fc") == (
        "--gradcam.layer fc: it gives no map (images, channels, height, width); "
        "--gradcam.layer list shows them"
    )


def test_a_layer_that_takes_no_part_is_told():
    from torchvision.models import get_model

    from segkit_plugins.saliency._classifiers import _try_look
    from segkit_plugins.saliency._layers import look_at

    picture = torch.zeros(1, 3, 96, 96)
    network = get_model("googlenet", weights=None, init_weights=False).eval()
    with pytest.raises(LookupError, match="the network does not use it"):
        look_at(network, "aux1.conv")(picture)

    class Deaf(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.conv(x)
            return x.mean(dim=(2, 3))

    deaf = Deaf()
    with pytest.raises(LookupError, match="the class scores do not depend on it"):
        _try_look(look_at(deaf, "conv"), picture, deaf(picture))


# ---- models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripts(resnet, tmp_path_factory):
    """The ResNet as TorchScript, scripted and traced."""
    network, _ = resnet
    folder = tmp_path_factory.mktemp("scripts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(folder / "scripted.pt"))
        torch.jit.trace(network, torch.rand(1, 3, 64, 64)).save(str(folder / "traced.pt"))
    return folder


@pytest.mark.parametrize("kind", ["scripted", "traced"])
@pytest.mark.parametrize("layer", ["", "layer4.1", "layer3.0.conv1"])
def test_a_torchscript_file_gives_the_same_maps(own, scripts, kind, layer):
    image = noise(50, 70)
    options = {"size": 64, "target": "top:2"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody asked for Torch's advice on formats
        step = opened(model=str(scripts / f"{kind}.pt"), layer=layer, **options)
    assert step.weight_files() == {"torchscript": scripts / f"{kind}.pt"}
    wanted = opened(**own, layer=layer, **options)
    for _ in range(2):
        pairs = zip(step(image=image), wanted(image=image), strict=True)
        for found, other in pairs:
            assert found.name == other.name
            assert np.abs(found.values - other.values).max() < 1e-4


def test_a_layer_of_a_torchscript_file_that_cannot_be_reached_is_told(tmp_path, scripts):
    class Branching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 3)
            self.second = torch.nn.Conv2d(4, 5, 3)

        def forward(self, x):
            x = self.first(x)
            if x.sum() > -1e9:
                x = self.second(x)
            return x.mean(dim=[2, 3])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Branching()).save(str(tmp_path / "b.pt"))
    model = {"model": str(tmp_path / "b.pt"), "size": 32}
    assert why(**model, layer="second") == (
        "--gradcam.layer second: the TorchScript program does not call it in plain sequence; "
        "--gradcam.layer list shows them"
    )
    assert why(**model, layer="list").splitlines()[1:] == ["  first (4 channels, 30×30) (default)"]
    assert opened(**model)(image=noise(9, 9))[0].values.shape == (9, 9)
    assert "there is none of that name; did you mean 'layer4'?" in why(
        model=str(scripts / "traced.pt"), layer="layer44", size=64
    )


def test_safetensors_timm_and_wrapped_weights_give_the_same_maps(resnet, own, tmp_path):
    from safetensors.torch import save_file

    network, path = resnet
    image = noise(40, 60)
    (wanted,) = opened(**own)(image=image)
    save_file(network.state_dict(), tmp_path / "r.safetensors")
    wrapped = {f"module.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "w.pth")
    cases = [("torchvision", tmp_path / "r.safetensors"), ("torchvision", tmp_path / "w.pth")]
    try:
        import timm  # noqa: F401

        cases.append(("timm", path))
    except ImportError:
        pass
    for family, checkpoint in cases:
        step = opened(model=f"{family}:resnet18", checkpoint=str(checkpoint))
        assert step.weight_files() == {f"{family}:resnet18": checkpoint}
        assert np.abs(step(image=image)[0].values - wanted.values).max() < 1e-4


def test_an_efficientnet_lite0_of_ones_own(tmp_path):
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    network = EfficientNet.from_name("efficientnet-lite0", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "own.pth")
    step = opened(checkpoint=str(tmp_path / "own.pth"), class_names=("a", "b", "c"), target="b")
    (found,) = step(image=noise(30, 30))
    assert found.name == "b"


def test_weights_in_torchs_cache_are_used_without_asking(monkeypatch, tmp_path):
    from torchvision.models import ResNet18_Weights, resnet18

    file = Path(ResNet18_Weights.DEFAULT.url).name
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert gradcam(model="torchvision:resnet18").weight_files() == {}
    path = tmp_path / "hub/checkpoints" / file
    path.parent.mkdir(parents=True)
    torch.save(resnet18().state_dict(), path)
    step = opened(model="torchvision:resnet18")
    assert step.weight_files() == {"torchvision:resnet18": path}
    assert step._classifier.names[285] == "Egyptian cat"


def test_a_download_is_checked_and_its_failure_told(tmp_path):
    """From a file instead of the network, by the same client."""
    import hashlib

    from segkit_plugins.saliency._networks import ClassifierOptions, _download

    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "w.pth").write_bytes(content)
    options = ClassifierOptions("gradcam", model="torchvision:resnet18")
    url = (tmp_path / "w.pth").as_uri()
    good = tmp_path / "cache" / f"resnet18-{digest[:8]}.pth"
    _download(options, url, good)
    assert good.read_bytes() == content
    bad = tmp_path / "cache/resnet18-0123abcd.pth"
    with pytest.raises(UsageError, match=r"could not be fetched from .* \(invalid hash value"):
        _download(options, url, bad)
    assert not bad.exists()
    with pytest.raises(UsageError) as error:
        _download(options, url.replace("w.pth", "gone.pth"), bad)
    assert str(error.value).startswith("the weights of torchvision:resnet18 could not be fetched")
    assert str(error.value).endswith("; try again, or give --gradcam.checkpoint FILE")


def test_normalisation_and_size_can_be_given(own):
    image = noise(32, 32)
    step = opened(**own, mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.3), size=32)
    found = step._classifier.prepared(image.pixels).permute(1, 2, 0).numpy()
    wanted = (image.pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.1, 0.3]
    assert np.abs(found - wanted).max() < 1e-5
    assert opened(model="shapes")._classifier.size == 256
    assert opened(**own)._classifier.size == 224


def test_pictures_are_resized_as_torchvision_resizes_them(own, photos):
    from PIL import Image as Picture
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as T

    classifier = opened(**own)._classifier
    for photo in photos.values():
        picture = T.resize(Picture.fromarray(photo.pixels), [224, 224], InterpolationMode.BILINEAR)
        wanted = T.normalize(T.to_tensor(picture), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        found = classifier.prepared(photo.pixels)
        assert (found - wanted).abs().max() < 1.01 / 255 / 0.224  # a grey level of rounding
        assert (found - wanted).abs().mean() < 0.1 / 255


def test_names_come_from_a_file_or_one_by_one(own, tmp_path):
    names = [f"thing {i}" for i in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    for given in ((str(tmp_path / "names.txt"),), tuple(names)):
        (found,) = opened(**own, class_names=given, target="thing 4")(image=noise(9, 9))
        assert found.name == "thing 4"


# ---- what cannot work ---------------------------------------------------------------------------


class RunsCode:
    """A pickle that would run code when opened."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_an_unknown_model_is_told():
    assert why(model="torchvision:resnet81") == (
        "--gradcam.model torchvision:resnet81: there is no such model; did you mean 'resnet18'?"
    )
    assert why(model="efficientnet-lit0") == (
        "--gradcam.model efficientnet-lit0: there is no such model; did you mean "
        "'efficientnet-lite0'?"
    )
    assert "or the path of a TorchScript file" in why(model="/no/such/file.pt")
    pytest.importorskip("timm")
    assert "there is no such model; did you mean 'resnet18'?" in why(model="timm:resnet1888")


def test_missing_and_unfit_weights_are_told(own, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert why(model="torchvision:resnet18") == (
        "--gradcam.model torchvision:resnet18 needs its weights, and segkit downloads nothing by "
        "itself; give --gradcam.checkpoint FILE, or allow it with --gradcam.pretrained"
    )
    assert "are not of torchvision's resnet34: it lacks" in why(
        model="torchvision:resnet34", checkpoint=own["checkpoint"]
    )
    assert "were not found; check the path" in why(
        model="torchvision:resnet18", checkpoint=str(tmp_path / "gone.pth")
    )
    assert why(model="shapes", checkpoint=own["checkpoint"]) == (
        "--gradcam.checkpoint goes with torchvision:NAME, timm:NAME or efficientnet-lite0, but "
        "the model is shapes; drop it or change the model"
    )


def test_dangerous_and_damaged_files_are_refused(tmp_path, own, capsys):
    torch.save({"x": RunsCode()}, tmp_path / "evil.pth")
    for model in ("torchvision:resnet18", "efficientnet-lite0"):
        assert "were refused, for opening them could run code" in why(
            model=model, checkpoint=str(tmp_path / "evil.pth")
        )
    (tmp_path / "no.pt").write_text("hello")
    for file in (tmp_path / "no.pt", tmp_path / "evil.pth", own["checkpoint"]):
        text = why(model=str(file))
        assert "cannot be read as TorchScript" in text
        assert text.endswith(
            "for a state_dict give --gradcam.model torchvision:NAME --gradcam.checkpoint FILE"
        )
    whole = Path(own["checkpoint"]).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    assert "truncated or no weight file" in why(
        model="torchvision:resnet18", checkpoint=str(tmp_path / "half.pth")
    )
    assert "must never be printed" not in capsys.readouterr().out


def test_names_that_do_not_match_are_told(own, tmp_path):
    assert why(**own, class_names=("a", "b")) == (
        "--gradcam.class-names: 2 names were given, but torchvision:resnet18 has 7 outputs; give "
        "one name for each"
    )
    assert "gone.txt cannot be read as a file of names (" in why(
        **own, class_names=(str(tmp_path / "gone.txt"),)
    )


def test_a_network_that_is_no_classifier_is_told(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))).save(tmp_path / "c.pt")
    assert why(model=str(tmp_path / "c.pt"), size=32) == (
        f"--gradcam.model {tmp_path / 'c.pt'} should give class scores (images, classes), but "
        "gives (1, 4, 30, 30); choose a classifier"
    )


def test_targets_that_the_model_lacks_are_told(own):
    assert why(target="egyptian kat") == (
        "--gradcam.target egyptian kat: efficientnet-lite0 has 1001 classes and none of that "
        "name; did you mean 'Egyptian cat' or 'Persian cat'?"
    )
    assert "did you mean 'tiger cat'" in why(target="tiger kat")
    assert why(**own, target="7") == (
        "--gradcam.target 7: torchvision:resnet18 has 7 classes and none of that name; it has "
        "numbers 0 to 6 and names such as 'class-0'"
    )
    assert why(**own, target="top:8") == (
        "--gradcam.target top:8: torchvision:resnet18 has only 7 classes; ask for fewer"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "top:none"}, "Invalid value for --gradcam.target: after top: comes how many"),
        ({"target": "top:0"}, "such as top:3, not 'top:0'"),
        ({"mean": (0.5,)}, "Invalid value for --gradcam.mean: give three numbers"),
        ({"std": (0.5, 0.5, 0)}, "Invalid value for --gradcam.std: deviations should be greater"),
        ({"size": 0}, "Invalid value for --gradcam.size: Input should be greater than 0"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_loaded(options, sentence):
    with pytest.raises(UsageError) as error:
        gradcam(**options)
    assert sentence in str(error.value)
