"""Grad-CAM against pytorch-grad-cam, its ways of choosing model, layer and target, its errors."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import BadValueError, Catalog, Image, Labels, Truth, UsageError
from segkit.recipe import make_step

torch = pytest.importorskip("torch")
CATALOG = Catalog(third_party=False)


def gradcam(**options):
    return make_step(CATALOG, "saliency", "gradcam", options)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet-18 with random weights of its own, as a state_dict on disk."""
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=7).eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network, path


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


def opened(**options):
    step = gradcam(**options)
    step.open("cpu")
    return step


@pytest.mark.parametrize("layer", ["layer4", "layer4.1", "layer3.0", "layer2"])
def test_maps_equal_pytorch_grad_cams(resnet, photos, layer):
    """At the network's own size, where both resize to the same picture."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, path = resnet
    step = opened(model="torchvision:resnet18", checkpoint=str(path), layer=layer, target="2")
    for name in ("cat", "astronaut"):
        image = Image(photos[name].pixels[:224, :224], name)
        tensor = step._classifier.prepared(image.pixels)[None]
        with GradCAM(network, [network.get_submodule(layer)]) as peer:
            wanted = peer(tensor, [ClassifierOutputTarget(2)])[0]
        (found,) = step(image=image)
        assert np.abs(found.values - wanted).max() < 1e-4


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
        assert np.abs(alone.values - batched.values).max() < 1e-4


def test_the_likeliest_classes_come_in_order(photos):
    heatmaps = opened(target="top:3")(image=photos["coffee"])
    scores = [h.score for h in heatmaps]
    assert len({h.name for h in heatmaps}) == 3
    assert scores == sorted(scores, reverse=True)


def test_targets_by_name_number_and_truth(photos):
    (by_name,) = opened(target="Egyptian cat")(image=photos["cat"])
    (by_number,) = opened(target="285")(image=photos["cat"])
    assert by_name.name == by_number.name == "Egyptian cat"
    assert np.array_equal(by_name.values, by_number.values)
    step = opened(model="shapes", target="truth")
    ids = np.zeros(photos["cat"].size, np.int32)
    ids[:50], ids[60:90] = 5, 1
    truth = Truth(Labels(ids, {1: "circle", 5: "star"}))
    assert [h.name for h in step(image=photos["cat"], truth=truth)] == ["circle", "star"]
    with pytest.raises(BadValueError, match="needs the image's truth, and it has none"):
        step(image=photos["cat"])
    other = Truth(Labels(ids, {1: "zebra"}))
    with pytest.raises(BadValueError, match=r"knows none of the image's classes \(zebra, class 5"):
        step(image=photos["cat"], truth=other)


def test_nothing_is_left_on_the_network_and_its_parameters_stay_frozen(lite, photos):
    network = lite._classifier.network

    def hooks():
        return sum(len(m._forward_hooks) for m in network.modules())

    assert hooks() == 0
    lite(image=photos["cat"])
    assert hooks() == 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())

    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            self.conv(x)
            raise RuntimeError("broken")

    from segkit_plugins.shared.cam import scores_at

    broken = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        scores_at(broken, "conv", torch.zeros(1, 3, 8, 8))
    assert not broken.conv._forward_hooks


def test_the_gradient_stops_at_the_layer(resnet):
    from segkit_plugins.shared.cam import scores_at

    network, _ = resnet
    scores, leaf = scores_at(network, "layer4", torch.rand(1, 3, 64, 64))
    assert leaf.is_leaf
    scores.sum().backward()
    assert leaf.grad is not None
    assert network.conv1.weight.grad is None


def test_a_network_that_sees_nothing_gives_an_all_zero_heatmap(photos, tmp_path):
    """All weights zero: no channel speaks for any class."""
    from torchvision.models import resnet18

    network = resnet18(num_classes=3)
    torch.save(
        {k: torch.zeros_like(v) for k, v in network.state_dict().items()}, tmp_path / "z.pth"
    )
    step = opened(model="torchvision:resnet18", checkpoint=str(tmp_path / "z.pth"))
    (found,) = step(image=photos["cat"])
    assert not found.values.any()


def test_timm_torchscript_and_safetensors_work(resnet, photos, tmp_path):
    from safetensors.torch import save_file

    network, path = resnet
    (wanted,) = opened(model="torchvision:resnet18", checkpoint=str(path))(image=photos["cat"])
    save_file(network.state_dict(), tmp_path / "r.safetensors")
    for model, checkpoint in (
        ("torchvision:resnet18", tmp_path / "r.safetensors"),
        ("timm:resnet18", path),
    ):
        (found,) = opened(model=model, checkpoint=str(checkpoint))(image=photos["cat"])
        assert np.abs(found.values - wanted.values).max() < 1e-4
    torch.jit.script(network).save(str(tmp_path / "r.pt"))
    (found,) = opened(model=str(tmp_path / "r.pt"), layer="layer4.1")(image=photos["cat"])
    assert np.abs(found.values - wanted.values).max() < 1e-4


def test_names_come_from_a_file_or_one_by_one(resnet, photos, tmp_path):
    _, path = resnet
    names = [f"thing {i}" for i in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    same = {"model": "torchvision:resnet18", "checkpoint": str(path), "target": "thing 4"}
    for given in ((str(tmp_path / "names.txt"),), tuple(names)):
        (found,) = opened(class_names=given, **same)(image=photos["cat"])
        assert found.name == "thing 4"


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 2)])
def test_any_size_of_image_works(lite, size):
    (found,) = lite(image=Image(np.full((*size, 3), 200, np.uint8), "x"))
    assert found.values.shape == size


class RunsCode:
    """A pickle that would run code when opened."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_what_cannot_work_is_told_in_a_sentence(resnet, tmp_path, capsys):
    _, path = resnet
    own = {"model": "torchvision:resnet18", "checkpoint": str(path)}

    def why(**options):
        with pytest.raises(UsageError) as error:
            opened(**options)
        return str(error.value)

    assert "did you mean 'resnet18'?" in why(model="torchvision:resnet81")
    assert "there is no such model; did you mean 'efficientnet-lite0'?" in why(
        model="efficientnet-lit0"
    )
    assert why(model="torchvision:resnet18") == (
        "--gradcam.model torchvision:resnet18 needs its weights, and segkit downloads nothing by "
        "itself; give --gradcam.checkpoint FILE"
    )
    assert "there is none of that name; did you mean 'layer4'?" in why(**own, layer="layer44")
    assert "has these layers to look at: " in why(**own, layer="list")
    assert "layer4.1 (512 channels)" in why(**own, layer="list")
    assert "it gives no map (B, C, h, w)" in why(**own, layer="fc")
    assert "did you mean" in why(target="egyptian kat")
    assert "none of that name; did you mean 'Egyptian cat'" in why(target="egyptian kat")
    assert "after top: comes how many classes" in why(target="top:none")
    assert "2 names were given, but torchvision:resnet18 has 7 outputs" in why(
        **own, class_names=("a", "b")
    )
    assert "should be given three times" in why(mean=(0.5,))
    assert "are not of torchvision's resnet34: it lacks" in why(
        model="torchvision:resnet34", checkpoint=str(path)
    )
    torch.save({"x": RunsCode()}, tmp_path / "evil.pth")
    assert "were refused, for opening them could run code" in why(
        model="torchvision:resnet18", checkpoint=str(tmp_path / "evil.pth")
    )
    assert "must never be printed" not in capsys.readouterr().out
    (tmp_path / "no.pt").write_text("hello")
    assert "cannot be read as TorchScript" in why(model=str(tmp_path / "no.pt"))
