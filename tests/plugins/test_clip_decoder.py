"""The segmenter clip-decoder: CLIP's patch tokens, decoded to class maps."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from segkit import Image, MissingExtraError, UsageError
from segkit.cli.main import make_group
from segkit_plugins.segmenter.clip_decoder import ClipDecoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_clips import PATCH, SIDE, WIDTH, vision, whole, write  # noqa: E402

NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("clip")
    vision(where)
    return where


@pytest.fixture
def copied(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m")
    return tmp_path / "m"


def small(model, **options):
    return ClipDecoder(model=str(model), bottom=32, levels=2, **options)


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 256, (50, 70, 3), np.uint8), "p")


def test_the_tokens_are_those_of_transformers_in_their_places(folder):
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    theirs = transformers.CLIPVisionModel.from_pretrained(folder).eval()
    normalise = transformers.CLIPImageProcessor()
    mean, std = (
        torch.tensor(x)[:, None, None] for x in (normalise.image_mean, normalise.image_std)
    )
    ours = small(folder).network(2).tokens.eval()
    with torch.no_grad():
        wanted = theirs(pixel_values=(pixels - mean) / std).last_hidden_state
        found = ours(pixels)
    cells = SIDE // PATCH
    assert found.shape == (2, WIDTH, cells, cells)
    for row, column in ((0, 0), (0, 3), (2, 1)):
        torch.testing.assert_close(
            found[:, :, row, column], wanted[:, 1 + row * cells + column], rtol=0, atol=1e-5
        )


def test_position_embeddings_interpolate_for_other_sizes(folder):
    """A picture of one colour tells them apart: where it is longer, they lie between."""
    tokens = small(folder).network(2).tokens.eval()
    seen = {}
    tokens.vision.pre_layrnorm.register_forward_pre_hook(
        lambda module, given: seen.update(x=given[0][0, 1:])
    )
    grid = tokens.vision.embeddings.position_embedding.weight[1:].T.unflatten(1, (4, 4))
    for rows, columns in ((4, 4), (6, 4), (5, 9), (2, 3)):
        with torch.no_grad():
            assert tokens(torch.zeros(1, 3, rows * 8, columns * 8)).shape[2:] == (rows, columns)
            places = (
                torch.nn.functional.interpolate(grid[None], (rows, columns), mode="bicubic")[0]
                .flatten(1)
                .T
            )
        rest = seen["x"] - places
        torch.testing.assert_close(rest, rest[:1].expand_as(rest), rtol=0, atol=1e-5)


def test_sides_that_are_no_multiple_of_the_patch(folder):
    network = small(folder).network(3).eval()
    with torch.no_grad():
        assert network.tokens(torch.rand(1, 3, 45, 3)).shape[2:] == (6, 1)
        assert network(torch.rand(1, 3, 45, 37)).shape == (1, 3, 45, 37)


def test_the_image_half_of_a_whole_clip_is_found(tmp_path):
    both = whole(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert any(key.startswith("text_model.") for key in file.keys())  # noqa: SIM118
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    ours = small(tmp_path).network(2).tokens.eval()
    with torch.no_grad():
        wanted = both.vision_model((pixels - ours.mean) / ours.std).last_hidden_state
        torch.testing.assert_close(ours(pixels).flatten(2).transpose(1, 2), wanted[:, 1:])


def test_weights_as_tensors_of_torch_are_read_and_code_is_refused(copied):
    """OpenAI's own files in the hub are such ones."""
    tensors = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(tensors, copied / "pytorch_model.bin")
    found = small(copied).network(2).tokens.vision.state_dict()
    key = "encoder.layers.1.mlp.fc1.weight"
    assert torch.equal(found[key], next(v for k, v in tensors.items() if k.endswith(key)))
    torch.save({"x": print}, copied / "pytorch_model.bin")
    text = sentence(lambda: small(copied).network(2))
    assert text.startswith(
        f"the weights {copied}/pytorch_model.bin were refused, for opening them could run code"
    )


def test_a_trained_file_needs_no_folder(copied, picture, tmp_path):
    step = small(copied)
    network = step.network(3)
    with torch.no_grad():
        network.head.weight.normal_(0, 1)
    path = write(step, tmp_path / "w.safetensors", NAMES, SIDE, network)
    with safe_open(path, "pt") as file:
        slices = [file.get_slice(key) for key in file.keys()]  # noqa: SIM118
        assert {s.get_dtype() for s in slices if len(s.get_shape()) > 1} == {"F16"}
        assert "tokens.vision.encoder.layers.1.mlp.fc1.weight" in file.keys()  # noqa: SIM118
    shutil.rmtree(copied)
    opened = ClipDecoder(weights=path)
    opened.open("cpu")
    assert opened.weight_files() == {"weights": path}
    labels = opened(image=picture)
    assert labels.ids.shape == picture.size
    assert labels.classes == {1: "cat", 2: "dog"}
    with torch.no_grad():
        squeezed = PIL.Image.fromarray(picture.pixels).resize((SIDE, SIDE), 2)
        pixels = torch.from_numpy(np.array(squeezed)).permute(2, 0, 1)[None] / 255
        logits = network.eval()(pixels)
        wanted = torch.nn.functional.interpolate(logits, picture.size, mode="bilinear")[0].argmax(0)
    assert len(wanted.unique()) > 1
    assert (labels.ids == wanted.numpy()).mean() > 0.99  # the file has half precision


def test_from_the_command_line(folder, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step = small(folder)
    write(step, tmp_path / "w.safetensors", NAMES, SIDE, step.network(3))
    PIL.Image.fromarray(picture.pixels).save("p.png")
    words = "run p.png --segmenter clip-decoder --clip-decoder.weights w.safetensors --quiet -o out"
    done = CliRunner().invoke(make_group(), words.split())
    assert done.exit_code == 0, (done.output, done.exception)
    made = np.asarray(PIL.Image.open("out/masks/p.png"))
    opened = ClipDecoder(weights=tmp_path / "w.safetensors")
    opened.open("cpu")
    assert np.array_equal(made, opened(image=picture).ids)


def sentence(work, kind=UsageError):
    with pytest.raises(kind) as info:
        work()
    return str(info.value)


def test_models_that_are_nowhere(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    step = ClipDecoder(model="owner/no-such-clip-here")
    assert sentence(lambda: step.network(2)) == (
        "--clip-decoder.model owner/no-such-clip-here is no folder, and no model of that name was "
        "fetched from the hub; check the path, or run: segkit weights fetch "
        "hf:owner/no-such-clip-here"
    )
    assert ClipDecoder().model == "openai/clip-vit-base-patch32"


def test_folders_that_cannot_be_used(copied):
    def told():
        return sentence(lambda: small(copied).network(2)).replace(str(copied), "IT")

    whole_file = (copied / "model.safetensors").read_bytes()
    tensors = load_file(copied / "model.safetensors")
    lost = next(k for k in tensors if k.endswith("encoder.layers.0.mlp.fc2.bias"))
    save_file({k: v for k, v in tensors.items() if k != lost}, copied / "model.safetensors")
    assert told() == (
        "--clip-decoder.model IT is no whole CLIP: of its image half 1 weights are missing or of "
        "another shape, such as encoder.layers.0.mlp.fc2.bias; choose another model"
    )
    (copied / "model.safetensors").write_bytes(whole_file[:5000])
    assert told().startswith("the weights IT/model.safetensors cannot be read as safetensors (")
    (copied / "model.safetensors").unlink()
    assert told() == (
        "--clip-decoder.model IT has no weights (model.safetensors or pytorch_model.bin); fetch it "
        "again, or give a folder as save_pretrained writes it"
    )
    settings = json.loads((copied / "config.json").read_text())
    (copied / "model.safetensors").write_bytes(whole_file)
    (copied / "config.json").write_text(json.dumps({**settings, "num_attention_heads": 5}))
    assert told().startswith("--clip-decoder.model IT has settings that make no CLIP (")
    (copied / "config.json").write_text(json.dumps({**settings, "model_type": "bert"}))
    assert told() == (
        "--clip-decoder.model IT is of type bert, and a CLIP (clip or clip_vision_model) is "
        "wanted; choose another model"
    )
    (copied / "config.json").write_text("[")
    assert told() == (
        "--clip-decoder.model IT has a config.json that cannot be read; fetch or save it again"
    )
    (copied / "config.json").unlink()
    assert told() == (
        "--clip-decoder.model IT has no config.json; give a folder as save_pretrained writes it"
    )


def test_a_bottom_that_cannot_be_halved_so_often(folder):
    step = ClipDecoder(model=str(folder), bottom=36, levels=3)
    assert sentence(lambda: step.network(2)) == (
        "--clip-decoder.bottom 36 cannot be halved 3 times (--clip-decoder.levels); give a "
        "multiple of 8"
    )


def test_files_that_do_not_say_which_clip(folder, tmp_path):
    step = small(folder)
    network = step.network(2)
    step._clip = None
    path = write(step, tmp_path / "w.safetensors", ("cat",), SIDE, network)
    assert sentence(lambda: ClipDecoder(weights=path).open("cpu")) == (
        f"the weights {path} do not say which CLIP they are of; they were made by another version "
        "of clip-decoder: train again"
    )


def test_without_transformers_the_install_line_is_said(folder, tmp_path, monkeypatch):
    step = small(folder)
    path = write(step, tmp_path / "w.safetensors", ("cat",), SIDE, step.network(2))
    monkeypatch.setitem(sys.modules, "transformers", None)
    line = "needs transformers, which is not installed; run: pip install 'segkit[hf]'"
    assert sentence(lambda: step.network(2), MissingExtraError) == (
        f"--clip-decoder.model {folder} {line}"
    )
    assert sentence(lambda: ClipDecoder(weights=path).open("cpu"), MissingExtraError) == (
        f"--clip-decoder.weights {path} {line}"
    )


@pytest.mark.parametrize("safe", [True, False])
def test_a_fetch_brings_older_weights_where_there_are_no_others(tmp_path, monkeypatch, safe):
    """The hub is a folder here; the patterns are matched as its client does."""
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.utils import filter_repo_objects

    from segkit.plugins.weights import fetch_from_hub

    older = ["pytorch_model-00001-of-00002.bin", "pytorch_model.bin"]
    files = ["config.json", *older, "tf_model.h5"]
    files += ["model.safetensors"] if safe else []

    def snapshot_download(name, allow_patterns):
        assert name == "openai/clip"
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (tmp_path / file).touch()
        return str(tmp_path)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert fetch_from_hub("hf:openai/clip") == tmp_path
    weights = ["model.safetensors"] if safe else older
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", *weights]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_clip_stays_as_it_is(frozen, folder, tmp_path):
    pytest.importorskip("lightning")
    from trained import quick

    step = small(folder, frozen=frozen)
    own = {k: v.clone() for k, v in step.network(2).tokens.state_dict().items()}
    done = quick(tmp_path / "x.safetensors", step, epochs=2, size=SIDE, rate=1e-3)
    found = {
        key.removeprefix("tokens."): value.float()
        for key, value in load_file(done.path).items()
        if key.startswith("tokens.")
    }
    assert found.keys() == own.keys()
    half = {k: v.half().float() if v.dim() > 1 else v for k, v in own.items()}  # as files have it
    assert all(torch.equal(found[key], half[key]) for key in own) == frozen
    used = ClipDecoder(weights=done.path)
    used.open("cpu")
    assert used.trained.network.frozen == frozen
    used.close()


def test_a_frozen_clip_works_in_training_as_later(folder):
    network = small(folder, frozen=True).network(2).train()
    assert not any(module.training for module in network.tokens.modules())
    assert network.decoder.training
    assert not any(p.requires_grad for p in network.tokens.parameters())
    assert all(p.requires_grad for p in network.decoder.parameters())
