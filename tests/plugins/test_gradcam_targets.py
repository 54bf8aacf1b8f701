"""What Grad-CAM explains, which class, and where it looks, at which layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradcams import hooks, noise, opened, why

from segkit import BadValueError, Labels, Truth

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
