"""Model folders of the hub whose weights are a pickle, as older models have them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from segkit import Catalog, UsageError
from segkit.running.recipe import make_step

transformers = pytest.importorskip("transformers", minversion="5.20", reason="needs the extra hf")

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

CATALOG = Catalog(third_party=False)


MODELS = {
    **dict.fromkeys(("dpt", "segformer", "beit", "mask2former"), ("segmenter", "dpt")),
    **dict.fromkeys(("detr", "yolos"), ("prompt", "detr")),
    **dict.fromkeys(("sam", "sam2"), ("segmenter", "hf-sam")),
    "clip": ("segmenter", "clip-decoder"),
    "clip-vision": ("segmenter", "point-clip"),
}
"""The model to the kind and name of the step that takes it."""


@pytest.fixture
def older(tiny_model, tmp_path):
    """A copy of a model's folder with pytorch_model.bin in place of safetensors."""

    def of(model):
        folder = tmp_path / "older"
        shutil.copytree(tiny_model(model), folder)
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder

    return of


def network(model, folder):
    """The network that the step opens."""
    kind, name = MODELS[model]
    options = {"levels": 2} if "clip" in name else {}
    step = make_step(CATALOG, kind, name, {"model": str(folder), **options})
    if "clip" in name:
        return step.network(2).tokens
    step.open("cpu")
    return step._model if name == "detr" else step._network


def why(model, folder):
    with pytest.raises(UsageError) as caught:
        network(model, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_weights_of_an_older_model_are_the_same(tiny_model, older, model):
    ours, theirs = network(model, older(model)), network(model, tiny_model(model))
    assert type(ours) is type(theirs)
    expected = theirs.state_dict()
    assert expected
    for key, tensor in ours.state_dict().items():
        assert tensor.dtype == expected[key].dtype
        assert torch.equal(tensor, expected[key]), key


class Runs:
    """What runs code when a pickle of it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("model", MODELS)
def test_a_pickle_that_would_run_code_is_refused(older, tmp_path, model):
    folder = older(model)
    weights = folder / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1), "b": Runs(tmp_path / "ran")}, weights)
    assert why(model, folder) == (
        f"the weights {weights} were refused, for opening them could run code; use a file that "
        "holds tensors alone (torch.save of a state_dict, or safetensors)"
    )
    weights.write_bytes(weights.read_bytes()[:300])
    assert why(model, folder).startswith(f"the weights {weights} cannot be read (")
    assert not (tmp_path / "ran").exists()


def option(model):
    return f"--{MODELS[model][1]}.model"


@pytest.mark.parametrize("model", ["dpt", "yolos", "sam"])
def test_a_checkpoint_of_another_size_is_told(older, model):
    folder = older(model)
    weights = folder / "pytorch_model.bin"
    tensors = torch.load(weights, weights_only=True)
    key = next(k for k, v in tensors.items() if v.ndim == 2 and min(v.shape) > 4)
    torch.save({**tensors, key: torch.cat([tensors[key]] * 2)}, weights)
    said = why(model, folder)
    assert said.startswith(f"{option(model)} {folder} is no whole ")
    assert said.endswith(
        ": 1 weights that its config.json asks for are missing or of another shape, such as "
        f"{key}; choose another model"
    )


def test_a_dpt_with_more_layers_than_its_settings_say(older):
    """It would open, with the first of its layers alone, and find nothing."""
    folder = older("dpt")
    weights = folder / "pytorch_model.bin"
    tensors = torch.load(weights, weights_only=True)
    last = max(int(k.split("layer.")[1].split(".")[0]) for k in tensors if "encoder.layer." in k)
    more = {
        key.replace(f"encoder.layer.{last}.", f"encoder.layer.{last + 1}."): tensor.clone()
        for key, tensor in tensors.items()
        if f"encoder.layer.{last}." in key
    }
    assert more
    torch.save({**tensors, **more}, weights)
    assert why("dpt", folder) == (
        f"--dpt.model {folder} has weights of a larger model for class maps than its config.json "
        f"says, such as {min(more)}; fetch both from one place"
    )
    # What is no further layer of its own, such as a head for another job, is left alone.
    torch.save({**tensors, "classifier.weight": torch.zeros(2, 2)}, weights)
    network("dpt", folder)


def test_a_pickle_in_several_files(tiny_model, older):
    folder = older("segformer")
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    (folder / "pytorch_model.bin").unlink()
    files = {k: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, k in enumerate(tensors)}
    for file in set(files.values()):
        torch.save({k: v for k, v in tensors.items() if files[k] == file}, folder / file)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    for ours, theirs in zip(
        network("segformer", folder).parameters(),
        network("segformer", tiny_model("segformer")).parameters(),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    assert why("segformer", folder) == (
        f"--dpt.model {folder} lacks pytorch_model-00002-of-00002.bin that its {index.name} names; "
        "copy or fetch the whole folder again"
    )


def test_safetensors_go_before_a_pickle(tiny_model, older, tmp_path):
    folder = older("dpt")
    torch.save({"a": Runs(tmp_path / "ran")}, folder / "pytorch_model.bin")
    shutil.copy(tiny_model("dpt") / "model.safetensors", folder)
    network("dpt", folder)
    assert not (tmp_path / "ran").exists()


def test_other_files_of_weights_are_named(older):
    folder = older("dpt")
    (folder / "pytorch_model.bin").rename(folder / "dpt_large-ade20k.pt")
    assert why("dpt", folder) == (
        f"--dpt.model {folder} has no weights (model.safetensors or pytorch_model.bin); it has "
        "dpt_large-ade20k.pt, which is no name that transformers reads; fetch it again, or give a "
        "folder as save_pretrained writes it"
    )


@pytest.mark.parametrize("model", ["dpt", "detr"])
def test_a_backbone_in_the_hub_is_not_asked_for(tiny_model, tmp_path, model, monkeypatch):
    """transformers would, in spite of `local_files_only`."""
    from huggingface_hub import constants

    asked = []

    def no_network(*address, **how):
        asked.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    folder = tmp_path / "model"
    shutil.copytree(tiny_model(model), folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"backbone": "owner/name", "backbone_config": None, "use_timm_backbone": False}
    (folder / "config.json").write_text(json.dumps(settings))
    before = constants.HF_HUB_OFFLINE
    assert why(model, folder) == (
        f"{option(model)} {folder} names a backbone whose settings are in the hub, and nothing is "
        "fetched while a model is opened; load it once with transformers and save_pretrained it, "
        "which writes them into its config.json"
    )
    assert not asked
    assert constants.HF_HUB_OFFLINE is before
