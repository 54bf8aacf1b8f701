"""What `hf-sam` says of folders that it cannot use, and where it looks for names of the hub."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from segkit import Catalog, MissingExtraError, UsageError
from segkit.cli.main import main
from segkit.running.recipe import make_step

pytest.importorskip("transformers", minversion="5.20", reason="the extra hf is not installed")

import tiny_sams

CATALOG = Catalog(third_party=False)


@pytest.fixture(scope="module")
def whole(tiny_model):
    """A folder with nothing wrong."""
    return tiny_model("sam")


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to damage."""
    return shutil.copytree(whole, tmp_path / "model")


def hf_sam(model):
    return make_step(CATALOG, "segmenter", "hf-sam", {"model": str(model)})


def why(model, error=UsageError):
    with pytest.raises(error) as caught:
        hf_sam(model).open("cpu")
    return str(caught.value)


def change(path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_a_name_that_was_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("nobody/no-such-sam", "hf:nobody/no-such-sam"):
        assert why(name) == (
            f"--hf-sam.model {name} is no folder, and no model of that name was fetched from the "
            "hub; check the path, or run: segkit weights fetch hf:nobody/no-such-sam"
        )
    assert why("models/of/mine") == (
        "--hf-sam.model models/of/mine is no folder and no name of the hub; give a model folder, "
        "or OWNER/NAME"
    )


def test_a_name_that_was_fetched_is_found_in_the_hubs_cache(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--owner--tiny-sam"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    shutil.copytree(whole, cached / "snapshots" / ("0" * 40))
    for name in ("owner/tiny-sam", "hf:owner/tiny-sam"):
        step = hf_sam(name)
        step.open("cpu")
        assert type(step._network).__name__ == "SamModel"
        (path,) = step.weight_files().values()
        assert path == cached / "snapshots" / ("0" * 40) / "model.safetensors"


def test_settings_that_are_not_of_the_family(folder):
    config = folder / "config.json"
    change(config, model_type="vit")
    said = why(folder)
    assert said.startswith(f"--hf-sam.model {folder} is of type vit, and hf-sam takes edgetam, ")
    assert said.endswith(
        "sam, sam2, sam2_video, sam3_tracker, sam3_video, sam_hq; choose another model"
    )
    change(config, model_type="sam3")
    assert why(folder).endswith(
        "; choose another model, for this one answers words alone and has no tracker for clicks"
    )
    config.write_text("{")
    assert why(folder).startswith(f"{config} cannot be read (Expecting property name")
    config.write_text("[]")
    assert why(folder) == f"{config} holds no settings; fetch the model again"
    config.unlink()
    assert why(folder) == (
        f"--hf-sam.model {folder} has no config.json; give a folder as save_pretrained writes it"
    )


def test_folders_without_usable_weights(folder):
    weights = folder / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:5000])
    assert why(folder).startswith(f"the weights {weights} cannot be read as safetensors (")
    assert why(folder).endswith("the file is damaged or of another kind: fetch it again")
    weights.unlink()
    assert why(folder) == (
        f"--hf-sam.model {folder} has no weights (model.safetensors or pytorch_model.bin); fetch "
        "it again, or give a folder as save_pretrained writes it"
    )


def test_weights_of_another_model(folder):
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    lacking = {k: v for k, v in tensors.items() if k != "mask_decoder.iou_token.weight"}
    save_file(lacking, weights, {"format": "pt"})
    assert why(folder) == (
        f"--hf-sam.model {folder} is no whole sam: 1 weights that its config.json asks for are "
        "missing or of another shape, such as mask_decoder.iou_token.weight; choose another model"
    )
    save_file(
        {
            **tensors,
            "mask_decoder.iou_token.weight": tensors["mask_decoder.iou_token.weight"].repeat(1, 2),
        },
        weights,
        {"format": "pt"},
    )
    assert "is no whole sam: 1 weights that its config.json asks for" in why(folder)


def test_weights_in_several_files(folder, whole):
    from safetensors.torch import load_file, save_file

    tensors = sorted(load_file(folder / "model.safetensors").items())
    (folder / "model.safetensors").unlink()
    names = {}
    for i, part in enumerate((tensors[:60], tensors[60:])):
        file = f"model-0000{i + 1}-of-00002.safetensors"
        save_file(dict(part), folder / file, {"format": "pt"})
        names.update({key: file for key, _ in part})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    several, one = hf_sam(folder), hf_sam(whole)
    several.open("cpu"), one.open("cpu")
    assert [*several.weight_files()] == sorted(set(names.values()))
    for ours, theirs in zip(several._network.parameters(), one._network.parameters(), strict=True):
        assert np.array_equal(ours, theirs)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert why(folder) == (
        f"--hf-sam.model {folder} lacks model-00002-of-00002.safetensors that its {index.name} "
        "names; copy or fetch the whole folder again"
    )
    index.write_text('{"weight_map": {}}')
    assert "lacks the files that its" in why(folder)


def test_an_image_processor_that_does_not_fit(folder):
    settings = folder / "processor_config.json"
    settings.rename(folder / "kept")
    sizes = {"size": {"longest_edge": 1024}, "pad_size": {"height": 1024, "width": 1024}}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "SamImageProcessor", **sizes})
    )
    assert why(folder) == (
        f"the image processor in {folder} makes images of 1024 px, and its config.json wants 128 "
        "px; make them agree"
    )
    (folder / "preprocessor_config.json").write_text("{")
    said = why(folder)
    assert said.startswith(f"the image processor in {folder} cannot be loaded (")
    assert said.endswith(
        "preprocessor_config.json and processor_config.json to use the usual settings"
    )


def test_missing_libraries_are_named_with_the_install_line(whole, monkeypatch):
    for module, model, asked in (
        ("transformers", whole, "--segmenter hf-sam"),
        ("huggingface_hub", "owner/name", "--hf-sam.model owner/name"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            assert why(model, MissingExtraError) == (
                f"{asked} needs {module}, which is not installed; run: pip install 'segkit[hf]'"
            )


def test_edgetam_without_timm(tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="EdgeTAM's image encoder is timm's")
    folder = tiny_sams.save("edgetam", tmp_path)
    from transformers.utils import import_utils

    monkeypatch.setitem(
        import_utils.BACKENDS_MAPPING, "timm", (lambda: False, import_utils.TIMM_IMPORT_ERROR)
    )
    assert why(folder, MissingExtraError) == (
        f"--hf-sam.model {folder} needs timm, which is not installed; run: pip install "
        "'segkit[timm]'"
    )


def test_the_command_line_says_it_in_a_sentence(folder, capsys, tmp_path):
    (folder / "config.json").unlink()
    photo = tmp_path / "photo.png"
    from PIL import Image as Picture

    Picture.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photo)
    with pytest.raises(SystemExit) as stop:
        main(["run", str(photo), "--segmenter", "hf-sam", "--hf-sam.model", str(folder)])
    assert stop.value.code == 2
    assert f"{folder} has no config.json" in " ".join(capsys.readouterr().err.split())
