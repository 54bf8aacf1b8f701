"""The segmenter dpt: networks of transformers that make class maps, tiny and untrained here."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from segkit import BadImageError, Image, MissingExtraError, UsageError
from segkit.cli.main import make_group
from segkit_plugins.segmenter.dpt import Dpt, _largest

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from tiny_hub import NAMES, beit, dpt, mask2former, segformer  # noqa: E402

KINDS = {"dpt": dpt, "segformer": segformer, "beit": beit, "mask2former": mask2former}
SPREAD = {"dpt": 0.2, "mask2former": 0.5}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A saved model of each kind, with weights so large that its classes differ by place."""
    made = {}
    for kind, make in KINDS.items():
        torch.manual_seed(3)
        network, processor = make()
        with torch.no_grad():
            for weight in network.parameters():
                if weight.ndim > 1:
                    weight.normal_(0, SPREAD.get(kind, 0.1))
        made[kind] = tmp_path_factory.mktemp(kind)
        network.save_pretrained(made[kind])
        processor.save_pretrained(made[kind])
    return made


@pytest.fixture
def copied(folders, tmp_path):
    shutil.copytree(folders["dpt"], tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(data.coffee()[100:275:2, 150:400:2].copy(), "coffee")


def opened(folder, **options):
    step = Dpt(model=str(folder), **options)
    step.open("cpu")
    return step


def users_way(folder, image):
    """The class map (H, W) as the model's documentation makes it."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    auto = (
        transformers.AutoModelForUniversalSegmentation
        if "mask2former" in json.loads((folder / "config.json").read_text())["model_type"]
        else transformers.AutoModelForSemanticSegmentation
    )
    network = auto.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = network(
            **processor(images=PIL.Image.fromarray(image.pixels), return_tensors="pt")
        )
    (made,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.size])
    return made.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_map_is_the_one_a_user_of_transformers_gets(folders, photo, kind):
    wanted = users_way(folders[kind], photo)
    assert len(np.unique(wanted)) > 1
    labels = opened(folders[kind])(image=photo)
    assert labels.classes == {i: name.strip() for i, name in enumerate(NAMES, 1)}
    assert (labels.ids == wanted + 1).mean() > 0.999


def test_ids_are_the_data_sets_after_the_table(folders, photo):
    classes = {7: "car", 15: "person", 18: "sofa", 20: "tvmonitor"}
    wanted = np.array([0, 15, 18, 0, 20, 7])[users_way(folders["dpt"], photo)]
    labels = opened(folders["dpt"], table="ade20k-voc")(image=photo, classes=classes)
    assert labels.classes == classes
    assert (labels.ids == wanted).mean() > 0.999


def test_a_class_called_background_is_background(folders, photo, tmp_path):
    shutil.copytree(folders["dpt"], tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    config["id2label"] = dict(enumerate(["_background_", "a", "b", "c", "d", "e"]))
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    labels = opened(tmp_path / "m")(image=photo)
    assert labels.classes == {1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}
    assert (labels.ids == users_way(folders["dpt"], photo)).mean() > 0.999


def test_scores_of_many_classes_are_resized_in_parts(monkeypatch):
    torch.manual_seed(0)
    logits = torch.randn(1, 11, 5, 7).round(decimals=1)
    whole = _largest(logits, (20, 30))
    monkeypatch.setattr("segkit_plugins.segmenter.dpt.FLOATS", 2000)
    assert torch.equal(_largest(logits, (20, 30)), whole)
    resized = torch.nn.functional.interpolate(logits, (20, 30), mode="bilinear")
    assert torch.equal(whole, resized[0].argmax(dim=0))


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 200), (400, 2)])
def test_images_of_every_size(folders, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for kind in ("segformer", "beit"):
        assert opened(folders[kind])(image=Image(pixels, "x")).ids.shape == size


def test_a_cut_to_the_centre_is_left_out(folders, photo, tmp_path):
    """The whole image is looked at: it equals a model that squeezes to the size of the cut."""
    shutil.copytree(folders["beit"], tmp_path / "m")
    path = tmp_path / "m/preprocessor_config.json"
    settings = json.loads(path.read_text())
    settings |= {
        "do_center_crop": True,
        "size": {"height": 80, "width": 80},
        "crop_size": {"height": 64, "width": 64},
    }
    path.write_text(json.dumps(settings))
    assert np.array_equal(
        opened(tmp_path / "m")(image=photo).ids, opened(folders["beit"])(image=photo).ids
    )


def test_an_image_that_the_model_cannot_take(copied):
    """DPT takes square images alone, whatever its processor makes."""
    path = copied / "preprocessor_config.json"
    settings = json.loads(path.read_text()) | {"keep_aspect_ratio": True, "ensure_multiple_of": 32}
    path.write_text(json.dumps(settings))
    with pytest.raises(BadImageError) as info:
        opened(copied)(image=Image(np.zeros((88, 125, 3), np.uint8), "wide"))
    assert str(info.value).startswith(f"the model {copied} cannot take 'wide' of 125x88 (")
    assert str(info.value).endswith("); cut or scale the image")


def sentence(model, kind=UsageError, **options):
    with pytest.raises(kind) as info:
        opened(model, **options)
    return str(info.value)


def test_models_that_are_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert sentence("owner/no-such-model-here") == (
        "--dpt.model owner/no-such-model-here is no folder, and no model of that name was fetched "
        "from the hub; check the path, or run: segkit weights fetch hf:owner/no-such-model-here"
    )
    assert sentence(str(tmp_path / "none")) == (
        f"--dpt.model {tmp_path / 'none'} is no folder and no name of the hub; give a model "
        "folder, or OWNER/NAME"
    )


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("config.json", "which says what model it is"),
        ("preprocessor_config.json", "which says how images are prepared"),
    ],
)
def test_folders_that_lack_settings(copied, file, what):
    (copied / file).unlink()
    assert sentence(copied) == (
        f"--dpt.model {copied} has no {file}, {what}; give a folder to which model and image "
        "processor were saved"
    )


def test_folders_without_weights(copied):
    (copied / "model.safetensors").unlink()
    assert sentence(copied) == (
        f"--dpt.model {copied} has no weights (model.safetensors or pytorch_model.bin); fetch it "
        "again, or give a folder as save_pretrained writes it"
    )


def test_dpt_by_the_documented_way(copied, photo, tmp_path, monkeypatch):
    """What `segkit weights fetch hf:Intel/dpt-large-ade` leaves: its weights are a pickle."""
    expected = opened(copied)(image=photo).ids
    network = transformers.DPTForSemanticSegmentation.from_pretrained(copied)
    torch.save(network.state_dict(), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    cached = tmp_path / "hub/models--Intel--dpt-large-ade"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    shutil.move(copied, cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    step = opened("Intel/dpt-large-ade")
    assert np.array_equal(step(image=photo).ids, expected)
    assert [*step.weight_files()] == ["pytorch_model.bin"]


def test_weights_that_are_damaged_or_foreign(copied, folders):
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert sentence(copied).startswith(
        f"the weights {copied / 'model.safetensors'} cannot be read as safetensors ("
    )
    shutil.copy(folders["segformer"] / "model.safetensors", copied)
    text = sentence(copied)
    assert text.startswith(f"--dpt.model {copied} is no whole model for class maps: ")
    assert text.endswith("; choose another model")


def test_a_model_for_another_job(copied):
    """DPT for depth has the same type and no head for classes."""
    depth = transformers.DPTForDepthEstimation(dpt()[0].config)
    depth.save_pretrained(copied)
    assert "is no whole model for class maps: " in sentence(copied)
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    assert sentence(copied).startswith(
        f"--dpt.model {copied} is of type bert, and dpt takes beit, "
    )
    (copied / "config.json").write_text("[")
    assert sentence(copied) == (
        f"--dpt.model {copied} has a config.json that cannot be read; fetch or save it again"
    )


def test_parts_that_nothing_depends_on_may_lack(copied, photo):
    """The official DPT files lack them."""
    from safetensors.torch import load_file, save_file

    before = opened(copied)(image=photo).ids
    path = copied / "model.safetensors"
    tensors = load_file(path)
    unused = ("neck.fusion_stage.layers.0.residual_layer1.", "auxiliary_head.")
    kept = {k: v for k, v in tensors.items() if not k.startswith(unused)}
    assert len(kept) < len(tensors)
    save_file(kept, path, {"format": "pt"})
    assert np.array_equal(opened(copied)(image=photo).ids, before)


def test_a_table_that_knows_none_of_the_classes(folders, tmp_path):
    (tmp_path / "t.csv").write_text("cat,dog\n")
    assert sentence(folders["beit"], table=str(tmp_path / "t.csv")) == (
        f"--dpt.table {tmp_path / 't.csv'} knows none of the 6 classes of {folders['beit']}, such "
        "as 'wall'; choose the table that goes with it"
    )


def test_a_table_that_names_an_unknown_class(folders, tmp_path):
    (tmp_path / "t.csv").write_text("wall,wall\nwal,wall\n")
    assert sentence(folders["beit"], table=str(tmp_path / "t.csv")) == (
        f"--dpt.table {tmp_path / 't.csv'}: {folders['beit']} has no class 'wal'; did you mean "
        "'wall'?"
    )


def test_without_transformers_the_install_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert sentence("x/y", MissingExtraError) == (
        "--segmenter dpt needs transformers, which is not installed; run: pip install 'segkit[hf]'"
    )


def test_weight_files_are_named(folders):
    assert Dpt(model=str(folders["dpt"])).weight_files() == {
        "model.safetensors": folders["dpt"] / "model.safetensors"
    }


def test_from_the_command_line(folders, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(photo.pixels).save("photo.png")
    words = f"run photo.png --segmenter dpt --dpt.model {folders['dpt']} --quiet -o out"
    done = CliRunner().invoke(make_group(), [*words.split(), "--dpt.table", "ade20k-voc"])
    assert done.exit_code == 0, (done.output, done.exception)
    made = np.asarray(PIL.Image.open("out/masks/photo.png"))
    labels = opened(folders["dpt"], table="ade20k-voc")(image=photo)
    assert np.array_equal(made, labels.ids)
    assert "model.safetensors" in (tmp_path / "out/recipe.toml").read_text()
