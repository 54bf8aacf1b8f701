"""Words and examples that cannot be looked for: one sentence each, before an image is read."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_clips
import tiny_hub
import tiny_sams
from PIL import Image as Picture

from segkit.cli.main import main

pytest.importorskip("torch")
pytest.importorskip("transformers")

WORDS = {
    "clip-text": ("--saliency", "clip-text"),
    "sam3": ("--segmenter", "sam3"),
    "grounding-dino": ("--prompt", "grounding-dino"),
}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run over a torn photo, which would fail were it read; what is said in place of that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nothing-fetched"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing-fetched"))
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")

    def run(*flags):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(f) for f in ("run", "torn.jpg", *flags, "-o", "out")])
        assert stop.value.code == 2
        assert not (tmp_path / "out").exists()
        said = capsys.readouterr().err.strip()
        assert said.startswith("Error: ")
        assert "\n" not in said
        return said.removeprefix("Error: ")

    return run


@pytest.mark.parametrize("name", WORDS)
def test_words_are_looked_at_before_the_model_is(name, refused):
    step = WORDS[name]
    asked = " ".join(step)
    assert refused(*step) == (
        f"{asked} looks for what classes are called, and neither --classes nor the data set names "
        'any; add --classes "zebra,red car"'
    )
    many = ",".join(f"cat {i}" for i in range(1000))
    assert refused(*step, "--classes", many) == (
        f"{asked} was asked for 1000 texts, and takes 256 at most; ask for fewer by --classes"
    )
    assert refused(*step, "--classes", "cat,,dog") == (
        "--classes has an empty name; drop a comma, or name the class"
    )
    said = refused(*step, "--classes", "cat")
    assert "is no folder, and no model of that name was fetched from the hub" in said
    assert "run: segkit weights fetch hf:" in said


def test_a_model_without_a_text_half_or_of_another_class(refused, tmp_path):
    tiny_clips.vision(tmp_path / "half")
    tiny_sams.save("sam3_tracker", tmp_path / "tracker")
    tiny_hub.save(tiny_hub.dinov2, tmp_path / "dino")
    cat = ("--classes", "cat")
    half = refused(*WORDS["clip-text"], "--clip-text.model", "half", *cat)
    assert half.startswith("--clip-text.model half has no text half, so no text can be looked for")
    tracker = refused(*WORDS["sam3"], "--sam3.model", "tracker", *cat)
    assert tracker.startswith("--sam3.model tracker has no text half")
    for name, step in WORDS.items():
        said = refused(*step, f"--{name}.model", "dino", *cat)
        assert said.startswith(f"--{name}.model dino is of type dinov2, and ")
        assert "choose another model" in said


def test_an_emoji_is_a_word_where_the_tokenizer_knows_bytes(refused, tmp_path):
    """CLIP's and SAM 3's do (tried in their own tests); Grounding DINO's has a list of words."""
    tiny_hub.save(tiny_hub.grounding_dino, tmp_path / "dino")
    said = refused(
        *WORDS["grounding-dino"], "--grounding-dino.model", "dino", "--classes", "cat,🦓"
    )
    assert said == "--prompt grounding-dino: dino knows no word of '🦓'; say it in other words"


def test_references_are_looked_at_before_the_model_is(refused, tmp_path):
    flags = ("--saliency", "reference", "--reference.examples", "refs")
    assert refused(*flags) == (
        "--reference.examples refs is no folder; give one with a sub-folder a class"
    )
    (tmp_path / "refs" / "cat").mkdir(parents=True)
    assert refused(*flags) == (
        "--reference.examples: refs/cat holds no photo; add some, or drop the folder"
    )
    Picture.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "refs/cat/1.png")
    assert "refs/cat/1.png has no mask; add 1.mask.png beside it" in refused(*flags)
    mask = np.zeros((20, 30), np.uint8)
    Picture.fromarray(mask).save(tmp_path / "refs/cat/1.mask.png")
    assert refused(*flags) == (
        "--reference.examples: the mask refs/cat/1.mask.png is empty; mark the object in it, or "
        "drop the photo"
    )
    Picture.fromarray(mask[:10] + 1).save(tmp_path / "refs/cat/1.mask.png")
    assert refused(*flags) == (
        "--reference.examples: the mask refs/cat/1.mask.png is 30x10, but its photo 30x20; give "
        "one of the photo's size"
    )
    Picture.fromarray(mask + 1).save(tmp_path / "refs/cat/1.mask.png")
    assert "run: segkit weights fetch hf:facebook/dinov2-small" in refused(*flags)
