"""grounding-dino: boxes of what is named, against transformers' own reading of them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_hub
from gradcams import noise

from segkit import Catalog, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CATALOG = Catalog(third_party=False)
CLASSES = {1: "zebra", 2: "red car", 3: "person"}


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    tiny_hub.save(tiny_hub.grounding_dino, folder)
    return str(folder)


def made(model, **options):
    return make_step(CATALOG, "prompt", "grounding-dino", {"model": str(model), **options})


def opened(model, **options):
    step = made(model, **options)
    step.open("cpu")
    return step


def why(model):
    with pytest.raises(UsageError) as error:
        opened(model)
    return str(error.value)


def by_library(folder, image, text):
    """Probabilities of each token (queries, tokens), and boxes by transformers' processor."""
    network = transformers.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    words = tiny_hub.word_pieces()
    processor = transformers.GroundingDinoProcessor(
        transformers.GroundingDinoImageProcessor.from_pretrained(folder), words
    )
    inputs = processor(images=image.pixels.copy(), text=text, return_tensors="pt")
    with torch.no_grad():
        told = network(**inputs)
    (found,) = processor.post_process_grounded_object_detection(
        told, inputs["input_ids"], threshold=0, target_sizes=[image.size]
    )
    tokens = words.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    return told.logits[0].sigmoid().numpy(), found["boxes"].numpy(), tokens


def test_boxes_and_scores_are_the_librarys(dino):
    image = noise(70, 90, seed=2)
    likely, edges, tokens = by_library(dino, image, "zebra. red car. person.")
    assert tokens == ["[CLS]", "zebra", ".", "red", "car", ".", "person", ".", "[SEP]"]
    by_class = np.stack([likely[:, 1], likely[:, 3:5].max(axis=1), likely[:, 6]], axis=1)
    confidence = float(np.median(by_class.max(axis=1)))
    prompts = opened(dino, confidence=confidence)(image=image, classes=CLASSES)
    wanted = [i for i in np.argsort(-by_class.max(axis=1)) if by_class[i].max() > confidence]
    assert 0 < len(prompts) <= len(wanted)
    names = list(CLASSES.values())
    seen = {(names[by_class[i].argmax()], round(float(by_class[i].max()), 4)): i for i in wanted}
    for prompt in prompts:
        left, top, right, bottom = edges[seen[prompt.name, round(prompt.score, 4)]]
        cut = [max(left, 0), max(top, 0), min(right, 90) - 1, min(bottom, 70) - 1]
        assert np.abs(prompt.box - cut).max() < 1.01  # boxes thinner than a pixel get one
    scores = [prompt.score for prompt in prompts]
    assert scores == sorted(scores, reverse=True)
    assert len(opened(dino, confidence=confidence, most=1)(image=image, classes=CLASSES)) == 1


def test_many_classes_are_asked_for_in_parts(dino):
    """Its text may have 24 tokens: seven classes of three tokens with its ends are more."""
    step = opened(dino, confidence=0)
    names = ("zebra", "red car", "person", "blue cars", "cat", "dog", "red elk", "fox", "blue fox")
    parts = step._phrases(names)
    assert " ".join(p.text for p in parts) == " ".join(f"{name}." for name in names)
    assert all(len(step._tokenizer(p.text)["input_ids"]) <= 24 for p in parts)
    assert len(parts) > 1
    assert [p.first for p in parts] == list(np.cumsum([0, *(len(p.tokens) for p in parts)])[:-1])
    image = noise(40, 50)
    found = step(image=image, classes=dict(enumerate(names, 1)))
    assert {prompt.name for prompt in found} <= set(names)
    alone = opened(dino, confidence=0)(
        image=image, classes=dict(enumerate(names[: len(parts[0].tokens)], 1))
    )
    shared = {(p.name, round(p.score, 5)) for p in found}
    assert {(p.name, round(p.score, 5)) for p in alone} <= shared


def test_a_full_stop_ends_no_class(dino):
    step = opened(dino)
    (phrases,) = step._phrases(("Red. car?", "DOGS"))
    assert phrases.text == "red car. dogs."
    assert phrases.tokens == ((1, 2), (4, 5))


def test_nothing_asked_is_nothing_found(dino):
    assert len(opened(dino, confidence=0)(image=noise(30, 30), classes={})) == 0
    with pytest.raises(UsageError) as error:
        opened(dino).settle({})
    assert str(error.value) == (
        "--prompt grounding-dino looks for what classes are called, and neither --classes nor the "
        'data set names any; add --classes "zebra,red car"'
    )


def test_texts_that_it_cannot_read(dino):
    step = opened(dino)
    with pytest.raises(UsageError) as error:
        step.settle({1: "cat", 2: "🦓"})
    assert str(error.value) == (
        f"--prompt grounding-dino: {dino} knows no word of '🦓'; say it in other words"
    )
    with pytest.raises(UsageError, match=r"cannot read a text of 43 tokens \('red red red"):
        step.settle({1: "red " * 40})
    with pytest.raises(UsageError, match="was asked for 1000 texts, and takes 256 at most"):
        step.settle({i: f"cat {i}" for i in range(1, 1001)})
    with pytest.raises(UsageError, match="was asked for an empty text"):
        step.settle({1: ""})


def test_folders_that_hold_something_else(tmp_path):
    tiny_hub.save(tiny_hub.yolos, tmp_path)
    assert why(tmp_path) == (
        f"--grounding-dino.model {tmp_path} is of type yolos, and grounding-dino or "
        "mm-grounding-dino is wanted; choose another model, such as "
        "IDEA-Research/grounding-dino-tiny"
    )
    (tmp_path / "config.json").unlink()
    assert "has no config.json; give a folder" in why(tmp_path)


def test_a_model_that_was_not_fetched():
    assert "run: segkit weights fetch hf:nobody/no-dino" in why("nobody/no-dino")
