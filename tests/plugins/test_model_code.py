"""Code that lies in a model's folder is never run, whatever stdin answers to a question."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import Catalog, UsageError
from segkit.cli.main import main
from segkit.running.recipe import make_step

transformers = pytest.importorskip("transformers", minversion="5.20", reason="needs the extra hf")


ROOT = Path(__file__).parents[2]
CATALOG = Catalog(third_party=False)
CODE = """\
from pathlib import Path

import transformers

Path({mark!r}).touch()


class Processor(transformers.{processor}):
    pass


class Model(transformers.PreTrainedModel):
    pass
"""
AUTO_MAP = {
    "AutoConfig": "own.Config",
    "AutoModel": "own.Model",
    "AutoBackbone": "own.Model",
    "AutoModelForMaskGeneration": "own.Model",
    "AutoModelForObjectDetection": "own.Model",
    "AutoModelForSemanticSegmentation": "own.Model",
    "AutoImageProcessor": "own.Processor",
}
REFUSED = (
    "cannot be loaded without running code that comes with it (its settings have an auto_map), and "
    "that is never run; "
)
ANOTHER = "choose a model that transformers loads by itself"


STEPS = {
    "detr": ("prompt", "detr", "DetrImageProcessor"),
    "dpt": ("segmenter", "mask2former", "Mask2FormerImageProcessor"),
    "hf-sam": ("segmenter", "sam2", "Sam2ImageProcessor"),
}
"""The step to its kind, the model that it takes here, and that one's image processor."""
CLIPS = ("clip-decoder", "point-clip")


@pytest.fixture
def copied(tiny_model, tmp_path):
    """A copy of a model's folder, with code in it."""

    def copy(name):
        folder = tmp_path / "model"
        shutil.copytree(tiny_model(STEPS[name][1] if name in STEPS else "clip-vision"), folder)
        processor = STEPS[name][2] if name in STEPS else "CLIPImageProcessor"
        code = CODE.format(mark=str(tmp_path / "ran"), processor=processor)
        (folder / "own.py").write_text(code)
        return folder

    return copy


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    """Stdin says yes to all; afterwards no code has run and nothing has been asked."""
    answers = io.StringIO("y\n" * 10)
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    yield
    assert not (tmp_path / "ran").exists()
    assert answers.tell() == 0


def change(path, alter):
    settings = json.loads(path.read_text())
    alter(settings)
    path.write_text(json.dumps(settings))


def processor_file(folder):
    """Where the image processor's settings lie, and what of them they are."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            return folder / name
    raise AssertionError("no settings of an image processor")


def own_processor(folder):
    """Settings of an image processor that transformers does not know."""

    def alter(settings):
        part = settings.get("image_processor", settings)
        part.update(image_processor_type="OwnProcessor", auto_map=AUTO_MAP)

    change(processor_file(folder), alter)


def own_part(folder):
    """Settings of a model with a part for words, which is no backbone that transformers has."""

    def alter(settings):
        part = {"model_type": "trocr", "_name_or_path": str(folder), "auto_map": AUTO_MAP}
        if "vision_config" in settings:
            settings["vision_config"]["backbone_config"] = part
        else:
            settings["backbone_config"] = part

    change(folder / "config.json", alter)


def step_of(name, folder):
    return make_step(CATALOG, STEPS[name][0], name, {"model": str(folder)})


def why(name, folder):
    with pytest.raises(UsageError) as caught:
        step_of(name, folder).open("cpu")
    return str(caught.value)


@pytest.mark.parametrize("name", ["detr", "dpt"])
def test_an_image_processor_of_its_own(copied, name):
    folder = copied(name)
    own_processor(folder)
    assert why(name, folder) == f"--{name}.model {folder} {REFUSED}{ANOTHER}"


def test_an_image_processor_of_its_own_beside_a_sam(copied):
    folder = copied("hf-sam")
    own_processor(folder)
    assert why("hf-sam", folder) == (
        f"the image processor in {folder} {REFUSED}remove preprocessor_config.json and "
        "processor_config.json to use the usual settings"
    )
    processor_file(folder).unlink()
    step_of("hf-sam", folder).open("cpu")


@pytest.mark.parametrize("name", STEPS)
def test_a_part_of_its_own(copied, name):
    folder = copied(name)
    own_part(folder)
    assert why(name, folder) == f"--{name}.model {folder} {REFUSED}{ANOTHER}"


@pytest.mark.parametrize("name", STEPS)
def test_a_model_that_transformers_has_needs_no_code(copied, name):
    """Then an auto_map is left alone, and the model is the same."""
    folder = copied(name)
    plain = step_of(name, folder)
    plain.open("cpu")
    change(folder / "config.json", lambda settings: settings.update(auto_map=AUTO_MAP))
    own = step_of(name, folder)
    own.open("cpu")
    network = next(n for n in ("_network", "_model") if hasattr(own, n))
    assert type(getattr(own, network)) is type(getattr(plain, network))
    assert type(own._processor) is type(plain._processor)


@pytest.mark.parametrize("name", CLIPS)
def test_clip_is_built_of_its_sizes_and_weights_alone(copied, name):
    folder = copied("clip")
    change(folder / "config.json", lambda settings: settings.update(auto_map=AUTO_MAP))
    step = make_step(CATALOG, "segmenter", name, {"model": str(folder), "levels": 2})
    assert type(step.network(2).tokens.vision).__module__.startswith("transformers.")


def test_the_command_line_asks_nothing(copied, tmp_path, capsys):
    folder = copied("detr")
    own_processor(folder)
    photo = tmp_path / "photo.png"
    Picture.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photo)
    with pytest.raises(SystemExit) as stop:
        main(["run", str(photo), "--prompt", "detr", "--detr.model", str(folder)])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert f"--detr.model {folder} {REFUSED}{ANOTHER}" in " ".join(said.err.split())
    assert "[y/N]" not in said.out + said.err


def test_what_transformers_asks_elsewhere_is_as_before(copied):
    """Its question is switched off while segkit loads, and no longer."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    folder = copied("detr")
    step_of("detr", folder).open("cpu")
    own_processor(folder)
    why("detr", folder)
    assert dynamic_module_utils.TIME_OUT_REMOTE_CODE == before > 0


def test_models_are_loaded_in_one_place():
    """The one that forbids code."""
    sources = [p for folder in ("core", "plugins") for p in (ROOT / folder).rglob("*.py")]
    loading = [p for p in sources if ".from_pretrained(" in p.read_text(encoding="utf-8")]
    assert loading == [ROOT / "plugins/segkit_plugins/shared/hub.py"]
