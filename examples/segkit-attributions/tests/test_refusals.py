"""What cannot work is refused in a sentence, before any image is read."""

import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from segkit import Catalog, SegkitError, UsageError

NAMES = ("chefer", "dino-attention", "gscorecam", "refinecam", "rollout", "tokencut")
ON_TRANSFORMERS = ("chefer", "dino-attention", "rollout", "tokencut")


def refusal(name: str, **options: Any) -> str:
    """The sentence with which a plugin is not opened."""
    cls: Any = Catalog().load("saliency", f"segkit-attributions:{name}")
    with pytest.raises(SegkitError) as error:
        cls(**options).open("cpu")
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("name", ON_TRANSFORMERS)
@pytest.mark.parametrize("model", ["efficientnet-lite0", "shapes"])
def test_a_network_of_convolutions_is_no_transformer(name: str, model: str) -> None:
    assert refusal(name, model=model) == (
        f"--{name}.model {model} is no vision transformer that can be looked into (it has no "
        "blocks of attention with a head behind them); choose another one, such as "
        "timm:vit_small_patch16_224"
    )


@pytest.mark.parametrize("name", ON_TRANSFORMERS)
def test_a_transformer_of_windows_is_refused(name: str, tmp_path: Path) -> None:
    from torchvision.models import swin_t

    torch.save(swin_t(num_classes=3).state_dict(), tmp_path / "s.pth")
    sentence = refusal(name, model="torchvision:swin_t", checkpoint=tmp_path / "s.pth")
    assert f"--{name}.model torchvision:swin_t is no vision transformer" in sentence


@pytest.mark.parametrize("name", ON_TRANSFORMERS)
def test_weights_of_another_network_are_told(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    _, own = tiny.resnet(tmp_path)
    sentence = refusal(name, model="timm:test_vit", checkpoint=own["checkpoint"])
    assert "are not of timm's test_vit: it lacks" in sentence
    assert sentence.endswith("choose another file")


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_no_model(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    sentence = refusal(name, model=str(tmp_path))
    assert f"--{name}.model {tmp_path}: there is no such model" in sentence
    assert "timm:NAME" in sentence


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_not_there_are_asked_for(name: str) -> None:
    pytest.importorskip("timm")
    assert "needs its weights, and segkit downloads nothing by itself" in refusal(
        name, model="timm:test_vit"
    )


@pytest.mark.parametrize("name", NAMES)
def test_timm_is_named_where_it_is_missing(name: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    sentence = refusal(name, model="timm:vit_small_patch16_224", pretrained=True)
    assert "pip install 'segkit[timm]'" in sentence


@pytest.mark.parametrize("name", ON_TRANSFORMERS)
def test_a_transformer_has_to_be_named(name: str) -> None:
    cls: Any = Catalog().load("saliency", f"segkit-attributions:{name}")
    with pytest.raises(UsageError, match=rf"--{name}\.model"):
        cls()


def test_a_head_that_is_not_there_is_told(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    _, own = tiny.vit(tmp_path)
    assert refusal("dino-attention", **own, head=2) == (
        "--dino-attention.head 2: the last block of timm:test_vit has heads 0 to 1; choose one of "
        "them, or leave it out for all"
    )


def test_a_size_that_a_transformer_does_not_take_is_told(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("vit_tiny_patch16_224", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "v.pth")
    own = {"model": "timm:vit_tiny_patch16_224", "checkpoint": tmp_path / "v.pth"}
    sentence = refusal("rollout", **own, size=96)
    assert sentence.startswith(f"--rollout.model {own['model']} does not take pictures of 96x96")


def test_layers_that_are_not_there_are_told(tmp_path: Path) -> None:
    _, own = tiny.resnet(tmp_path)
    assert refusal("refinecam", **own, layers=("layer4", "layer33")) == (
        "--refinecam.layers layer33: there is none of that name; did you mean 'layer3'?"
    )


def test_maps_of_one_size_refine_nothing(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    _, own = tiny.vit(tmp_path)
    sentence = refusal("refinecam", **own)
    assert sentence.startswith("--refinecam.model timm:test_vit has no maps of several sizes")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("rollout", "heads", "sum"),
        ("dino-attention", "mass", 0),
        ("dino-attention", "mass", 1.5),
        ("tokencut", "similarity", 1),
        ("tokencut", "weak", 0),
        ("refinecam", "stages", 0),
        ("refinecam", "method", "scorecam"),
        ("gscorecam", "channels", 0),
    ],
)
def test_an_option_out_of_its_range_is_told(name: str, option: str, value: Any) -> None:
    cls: Any = Catalog().load("saliency", f"segkit-attributions:{name}")
    with pytest.raises(UsageError, match=rf"--{name}\.{option}"):
        cls(model="timm:test_vit", **{option: value})
