"""detr: transformers' own detections as named prompts, from tiny networks of random weights."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from segkit import Image, MissingExtraError, UsageError
from segkit_plugins.prompt._detection import to_pixels
from segkit_plugins.prompt.detr import Detr

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny_hub import DETECTED  # noqa: E402


@pytest.fixture(scope="session")
def folders(tiny_model):
    """Model folders as transformers saves them."""
    return {name: tiny_model(name) for name in ("yolos", "detr")}


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(np.ascontiguousarray(data.chelsea()[::3, ::3]), "cat")


def opened(folder, **options):
    step = Detr(model=str(folder), **options)
    step.open("cpu")
    return step


def copied(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "model"))


@pytest.mark.parametrize("kind", ["yolos", "detr"])
def test_it_finds_what_the_users_own_pipeline_finds(folders, photo, kind):
    least = 0.2
    prompts = opened(folders[kind], confidence=least)(photo)
    processor = transformers.AutoImageProcessor.from_pretrained(folders[kind])
    model = transformers.AutoModelForObjectDetection.from_pretrained(folders[kind]).eval()
    with torch.no_grad():
        outputs = model(**processor(images=photo.pixels.copy(), return_tensors="pt"))
    (own,) = processor.post_process_object_detection(
        outputs, threshold=least, target_sizes=[photo.size]
    )
    order = own["scores"].argsort(descending=True, stable=True)
    boxes, right = to_pixels(own["boxes"][order].numpy(), photo.size)
    assert len(order) >= 5
    assert right.all()
    assert np.array([p.box for p in prompts]) == pytest.approx(boxes, abs=1e-3)
    assert [p.score for p in prompts] == pytest.approx(own["scores"][order].tolist(), abs=1e-6)
    assert [p.name for p in prompts] == [DETECTED[int(i)] for i in own["labels"][order]]


def test_confidence_most_classes_and_table(folders, photo, tmp_path):
    def found(**options):
        return [p.name for p in opened(folders["yolos"], **options)(photo)]

    every = found(confidence=0)
    assert len(every) == 12
    assert found(confidence=0, most=3) == every[:3]
    assert found(confidence=0.999) == []
    name = every[0]
    assert found(confidence=0, classes=(name,)) == [n for n in every if n == name]
    (tmp_path / "table.csv").write_text(f"{name},thing\n")
    assert set(found(confidence=0, table=str(tmp_path / "table.csv"))) == {"thing"}
    (tmp_path / "table.csv").write_text(f"{name},thing\n{name}s,thing\n")
    with pytest.raises(UsageError) as error:
        found(confidence=0, table=str(tmp_path / "table.csv"))
    assert str(error.value) == (
        f"--detr.table {tmp_path / 'table.csv'}: the model has no class '{name}s'; did you mean "
        f"'{name}'?"
    )
    with pytest.raises(UsageError, match=r"--detr\.classes names 'cot'.*'cat'"):
        found(classes=("cot",))


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 2)], ids=lambda s: f"{s[1]}x{s[0]}")
def test_pictures_of_any_size(folders, size):
    step = opened(folders["yolos"], confidence=0)
    for prompt in step(Image(np.zeros((*size, 3), np.uint8), "x")):
        x0, y0, x1, y1 = prompt.box
        assert 0 <= x0 <= x1 <= size[1] - 1
        assert 0 <= y0 <= y1 <= size[0] - 1


def refused(folder):
    with pytest.raises(UsageError) as error:
        opened(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_models_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("nobody/nothing", "hf:nobody/nothing"):
        assert refused(name) == (
            f"--detr.model {name} is no folder, and no model of that name was fetched from the "
            "hub; check the path, or run: segkit weights fetch hf:nobody/nothing"
        )
    assert "is no folder and no name of the hub" in refused("no such / name!")
    assert "holds no config.json" in refused(tmp_path)


def test_folders_that_are_no_detector(folders, tmp_path):
    folder = copied(folders["yolos"], tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    said = refused(folder)
    assert f"--detr.model {folder} is a model of the type 'bert', not an object detector" in said
    assert "rt_detr" in said
    (folder / "config.json").write_text("{")
    assert "has a config.json that cannot be read" in refused(folder)


def test_weights_that_are_missing_or_damaged(folders, tmp_path):
    folder = copied(folders["yolos"], tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:200])
    assert f"the weights {weights} cannot be read as safetensors (" in refused(folder)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folders["yolos"] / "model.safetensors")
    few = {k: v for k, v in tensors.items() if "class_labels" not in k}
    save_file(few, weights, metadata={"format": "pt"})
    said = refused(folder)
    assert said.startswith(
        f"--detr.model {folder} is no whole object detector: 6 weights that its config.json asks "
        "for are missing or of another shape, such as class_labels"
    )
    weights.unlink()
    assert refused(folder) == (
        f"--detr.model {folder} has no weights (model.safetensors or pytorch_model.bin); fetch it "
        "again, or give a folder as save_pretrained writes it"
    )
    weights.write_bytes(whole)
    (folder / "preprocessor_config.json").unlink()
    assert "has no preprocessor_config.json" in refused(folder)


def test_the_weights_are_noted(folders):
    assert Detr(model=str(folders["yolos"])).weight_files() == {
        "model.safetensors": folders["yolos"] / "model.safetensors"
    }


def test_without_transformers_the_install_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as error:
        opened("any")
    assert str(error.value) == (
        "--prompt detr needs transformers, which is not installed; run: pip install 'segkit[hf]'"
    )
