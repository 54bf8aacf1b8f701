"""clip-text: CLIP's patches against texts, against the papers' arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_clips
from gradcams import noise

from segkit import Catalog, Image, Pipeline, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CATALOG = Catalog(third_party=False)
CLASSES = {1: "zebra", 2: "red car", 3: "person"}
ATTENTIONS = ("maskclip", "sclip", "clearclip", "naclip")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return tiny_clips.with_texts(folder), str(folder)


def made(model, **options):
    return make_step(CATALOG, "saliency", "clip-text", {"model": str(model), **options})


def opened(model, **options):
    step = made(model, **options)
    step.open("cpu")
    return step


def why(model, **options):
    with pytest.raises(UsageError) as error:
        opened(model, **options)
    return str(error.value)


# ---- the arithmetic ------------------------------------------------------------------------------


def by_hand(model, pixels, attention, spread):
    """Embeddings (patches, D) of one window (3, h, w), a head and a patch at a time."""
    vision = model.vision_model
    with torch.no_grad():
        told = vision(pixels[None], interpolate_pos_encoding=True, output_hidden_states=True)
        before = told.hidden_states[-2][0]  # what the last block is given
        last = vision.encoder.layers[-1]
        layer = last.self_attn
        tokens = last.layer_norm1(before)
        q, k, v = (part(tokens) for part in (layer.q_proj, layer.k_proj, layer.v_proj))
        width = q.shape[1] // layer.num_heads
        columns = pixels.shape[2] // tiny_clips.PATCH
        mixed = torch.zeros_like(v)
        for head in range(layer.num_heads):
            own = slice(head * width, (head + 1) * width)
            for i in range(len(tokens)):
                qq = torch.stack([q[i, own] @ q[j, own] for j in range(len(tokens))]) / width**0.5
                kk = torch.stack([k[i, own] @ k[j, own] for j in range(len(tokens))]) / width**0.5
                if attention == "maskclip":
                    weights = torch.eye(len(tokens))[i]
                elif attention == "sclip":
                    weights = qq.softmax(0) + kk.softmax(0)
                elif attention == "clearclip":
                    weights = qq.softmax(0)
                else:
                    for j in range(1, len(tokens)):
                        if i:
                            (y, x), (b, a) = divmod(i - 1, columns), divmod(j - 1, columns)
                            away = (y - b) ** 2 + (x - a) ** 2
                            kk[j] += np.exp(-away / (2 * spread**2))
                    weights = kk.softmax(0)
                mixed[i, own] = weights @ v[:, own]
        output = layer.out_proj(mixed)
        if attention in ("maskclip", "sclip"):
            output = before + output
            output = output + last.mlp(last.layer_norm2(output))
        seen = model.visual_projection(vision.post_layernorm(output))[1:]
        return seen / seen.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_patches_are_those_of_the_papers(clip, attention, size):
    from segkit_plugins.saliency._clip_dense import patch_embeddings

    model, _ = clip
    torch.manual_seed(5)
    pixels = torch.randn(3, *size)
    wanted = by_hand(model, pixels, attention, 2.0)
    with torch.no_grad():
        found = patch_embeddings(model, pixels[None], attention, 2.0)[0]
    assert found.shape == (24, size[0] // 8, size[1] // 8)
    assert torch.allclose(found.flatten(1).T, wanted, atol=1e-5)


def test_the_four_ways_differ(clip):
    _, folder = clip
    image = noise(40, 40)
    maps = [
        opened(folder, attention=a, every=True)(image=image, classes={1: "zebra"})[0].values
        for a in ATTENTIONS
    ]
    for i, one in enumerate(maps):
        for other in maps[i + 1 :]:
            assert np.abs(one - other).max() > 1e-4


def test_a_text_is_the_mean_of_its_templates(clip):
    model, folder = clip
    step = opened(folder, templates=("a {}.", "the {} here"), background=("sky",))
    found = step._embeddings(("red car",))
    words = tiny_clips.tokenizer()
    for row, text in zip(found, ("red car", "sky"), strict=True):
        parts = []
        for whole in (f"a {text}.", f"the {text} here"):
            with torch.no_grad():
                told = model.get_text_features(**words(whole, return_tensors="pt"))
            feature = getattr(told, "pooler_output", told)[0]
            parts.append(feature / feature.norm())
        mean = (parts[0] + parts[1]) / 2
        assert torch.allclose(row, mean / mean.norm(), atol=1e-5)


def test_a_heatmap_is_the_softmax_over_texts_and_background(clip):
    """One window: the picture has the network's size."""
    from segkit_plugins.saliency.clip_text import MEAN, STD

    model, folder = clip
    step = opened(folder, every=True, side=32, logit_scale=10, background=("sky",))
    image = noise(32, 32, seed=3)
    heatmaps = {h.name: h for h in step(image=image, classes=CLASSES)}
    pixels = (torch.from_numpy(image.pixels.copy()).permute(2, 0, 1) / 255).float()
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    seen = by_hand(model, pixels, "naclip", 5.0)
    cosines = (seen @ step._embeddings(tuple(CLASSES.values())).T).T.reshape(1, 4, 4, 4)
    high = torch.nn.functional.interpolate(cosines, (32, 32), mode="bilinear")[0]
    likely = (10 * high).softmax(dim=0)
    for place, name in enumerate(CLASSES.values()):
        assert np.abs(heatmaps[name].values - likely[place].numpy()).max() < 1e-4
        assert heatmaps[name].score == pytest.approx(likely[place].max().item(), abs=1e-4)


def test_windows_cover_the_picture_and_are_averaged(clip):
    _, folder = clip
    step = opened(folder, window=32, stride=16)
    assert step._windows(32, 72) == [(0, x, 32, x + 32) for x in (0, 16, 32, 40)]
    assert step._windows(24, 32) == [(0, 0, 24, 32)]
    image = noise(32, 40, seed=1)
    step = opened(folder, window=32, stride=8, side=32)
    texts = step._embeddings(("zebra",))
    found = step._logits(image, texts)
    halves = [
        step._logits(Image(np.ascontiguousarray(image.pixels[:, x : x + 32]), "h"), texts)
        for x in (0, 8)
    ]
    assert torch.allclose(found[..., :8], halves[0][..., :8], atol=1e-5)
    assert torch.allclose(found[..., 32:], halves[1][..., 24:], atol=1e-5)
    both = (halves[0][..., 8:] + halves[1][..., :24]) / 2
    assert torch.allclose(found[..., 8:32], both, atol=1e-5)


def test_texts_that_win_nowhere_have_no_heatmap(clip):
    _, folder = clip
    image = noise(32, 32)
    every = opened(folder, every=True)(image=image, classes=CLASSES)
    assert {h.name for h in every} == set(CLASSES.values())
    assert [h.score for h in every] == sorted((h.score for h in every), reverse=True)
    total = sum(
        h.values for h in opened(folder, every=True, background=())(image=image, classes=CLASSES)
    )
    assert np.abs(total - 1).max() < 1e-4
    seen = opened(folder)(image=image, classes=CLASSES)
    assert len(seen) < 3
    assert seen[0].values.shape == (32, 32)
    (none,) = opened(folder)(image=image, classes={})
    assert none.name is None
    assert not none.values.any()


def test_a_class_that_is_a_background_text_is_looked_for(clip):
    _, folder = clip
    step = opened(folder, background=("sky", "Wall"))
    assert len(step._embeddings(("wall",))) == 2
    assert len(step._embeddings(("cat",))) == 3


# ---- in a run ------------------------------------------------------------------------------------


def segkit(*arguments):
    from segkit.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


def test_classes_reach_it_and_have_ids_in_that_order(clip, tmp_path, capsys):
    _, folder = clip
    code = segkit(
        *("run", "--dataset", "shapes", "--shapes.count", 2, "--shapes.size", 48),
        *("--saliency", "clip-text", "--clip-text.model", folder, "--clip-text.every"),
        *("--classes", "zebra,red car,person", "--segmenter", "threshold", "--quiet"),
        *("-o", tmp_path / "r"),
    )
    assert code == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert summary["classes"] == {"1": "zebra", "2": "red car", "3": "person"}
    lines = (tmp_path / "r" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    named = {m["name"] for line in lines for m in json.loads(line)["masks"]}
    assert named <= {"zebra", "red car", "person"}
    assert named


def test_the_data_sets_classes_are_looked_for_where_none_are_asked(clip):
    _, folder = clip
    pipeline = Pipeline(
        saliency="clip-text",
        segmenter="threshold",
        options={"clip-text.model": folder, "clip-text.every": True},
        classes=["cat", "dog"],
    )
    found = pipeline(np.zeros((32, 32, 3), np.uint8))
    assert {h.name for h in found.heatmaps} == {"cat", "dog"}


# ---- bad input, before images are read -----------------------------------------------------------


def test_no_text(clip, tmp_path, capsys):
    _, folder = clip
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code = segkit(
        *("run", tmp_path / "broken.png", "--saliency", "clip-text", "--segmenter", "threshold"),
        *("--clip-text.model", folder, "-o", tmp_path / "r"),
    )
    assert code == 2
    assert (
        "Error: --saliency clip-text looks for what classes are called, and neither --classes nor "
        'the data set names any; add --classes "zebra,red car"'
    ) in capsys.readouterr().err


def test_a_thousand_texts(clip):
    step = opened(clip[1])
    with pytest.raises(UsageError) as error:
        step.settle({i: f"text {i}" for i in range(1, 1001)})
    assert str(error.value) == (
        "--saliency clip-text was asked for 1000 texts, and takes 256 at most; ask for fewer by "
        "--classes"
    )


def test_an_empty_text(clip):
    with pytest.raises(UsageError, match="was asked for an empty text; give each class a name"):
        opened(clip[1]).settle({1: " "})
    with pytest.raises(UsageError, match="a background text should not be empty"):
        made(clip[1], background=("sky", ""))
    with pytest.raises(UsageError, match="each template should have"):
        made(clip[1], templates=("a photo",))


def test_emoji_and_long_texts_are_texts(clip):
    step = opened(clip[1], every=True)
    names = {1: "🦓", 2: "zebra " * 200, 3: "斑马"}
    found = step(image=noise(20, 30), classes=names)
    assert {h.name for h in found} == set(names.values())


def test_a_model_without_a_text_half(tmp_path):
    tiny_clips.vision(tmp_path)
    assert why(tmp_path) == (
        f"--clip-text.model {tmp_path} has no text half, so no text can be looked for; give a "
        "whole CLIP, such as openai/clip-vit-base-patch16"
    )


def test_a_folder_of_another_class(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert why(tmp_path) == (
        f"--clip-text.model {tmp_path} is of type bert, and a CLIP (type clip) is wanted; choose "
        "another model, such as openai/clip-vit-base-patch16"
    )
    (tmp_path / "config.json").unlink()
    assert "has no config.json; give a folder as save_pretrained writes it" in why(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path):
    tiny_clips.whole(tmp_path)
    assert why(tmp_path) == (
        f"--clip-text.model {tmp_path} has no tokenizer (tokenizer.json, vocab.json, vocab.txt); "
        "save or fetch the model again, with its tokenizer"
    )
    tiny_clips.tokenizer().save_pretrained(tmp_path)  # another model's
    assert "has a tokenizer of 514 words, but knows 50; save or fetch" in why(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    assert "has a tokenizer that cannot be loaded (" in why(tmp_path)


def test_a_model_that_was_not_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert why("nobody/no-clip") == (
        "--clip-text.model nobody/no-clip is no folder, and no model of that name was fetched from "
        "the hub; check the path, or run: segkit weights fetch hf:nobody/no-clip"
    )
