"""sam3: masks of what is named, against transformers' own way from picture and text to scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_clips
import tiny_sams
from gradcams import noise

from segkit import BadValueError, Catalog, Prompt, Prompts, UsageError
from segkit.running.recipe import make_step

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CATALOG = Catalog(third_party=False)
CLASSES = {1: "zebra", 2: "red car"}


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    return tiny_sams.sam3_with_texts(folder), str(folder)


def opened(model, **options):
    step = make_step(CATALOG, "segmenter", "sam3", {"model": str(model), **options})
    step.open("cpu")
    return step


def answer(step, image, classes, *prompts):
    asked = {"prompts": Prompts(prompts)} if prompts else {}
    return step(image=image, encoding=step.encode(image), classes=classes, **asked)


def why(model):
    with pytest.raises(UsageError) as error:
        opened(model)
    return str(error.value)


def by_library(model, folder, image, text, boxes=None):
    """Scores (queries,) and probabilities (queries, H, W), the picture and text as given."""
    told, _ = told_by_library(model, folder, image, text, boxes)
    scores = 1 / (1 + torch.exp(-told.pred_logits[0])) / (1 + torch.exp(-told.presence_logits[0]))
    likely = torch.nn.functional.interpolate(
        1 / (1 + torch.exp(-told.pred_masks)), image.size, mode="bilinear", align_corners=False
    )
    return scores.numpy(), likely[0].numpy()


def told_by_library(model, folder, image, text, boxes=None):
    """What the model says of picture, text and example boxes, and its own processor."""
    processor = transformers.Sam3Processor(
        transformers.Sam3ImageProcessor.from_pretrained(folder), tiny_clips.tokenizer()
    )
    examples = {} if boxes is None else {"input_boxes": [boxes]}
    inputs = processor(images=image.pixels.copy(), text=text, return_tensors="pt", **examples)
    with torch.no_grad():
        return model(**{k: v for k, v in inputs.items() if k != "original_sizes"}), processor


def instances_by_library(model, folder, image, text, boxes=None, confidence=0.0):
    """Masks (n, H, W), boxes (n, 4) and scores (n,) as the library's own processor gives them."""
    told, processor = told_by_library(model, folder, image, text, boxes)
    (seen,) = processor.post_process_instance_segmentation(
        told, threshold=confidence, mask_threshold=0.5, target_sizes=[image.size]
    )
    return seen["masks"].numpy().astype(bool), seen["boxes"].numpy(), seen["scores"].numpy()


def test_masks_and_scores_are_the_librarys(sam):
    model, folder = sam
    image = noise(50, 70, seed=2)
    wanted = []
    for name in CLASSES.values():
        scores, likely = by_library(model, folder, image, name)
        wanted += [(float(s), name, p) for s, p in zip(scores, likely, strict=True)]
    wanted.sort(key=lambda row: -row[0])
    confidence = (wanted[8][0] + wanted[9][0]) / 2
    found = answer(opened(folder, confidence=confidence, mask_threshold=0.4), image, CLASSES)
    assert len(found) == 9
    assert len(set(found.names)) == 2
    assert found.prompt.tolist() == list(range(9))
    for mask, (score, name, likely) in zip(found, wanted[:9], strict=True):
        assert mask.name == name
        assert mask.score == pytest.approx(score, abs=1e-5)
        unsure = np.abs(likely - 0.4) < 1e-4
        assert np.array_equal(mask.pixels[~unsure], (likely > 0.4)[~unsure])
    assert len(answer(opened(folder, confidence=0, most=3), image, CLASSES)) == 3


def test_boxes_are_examples_beside_the_text(sam):
    """All boxes of one text go to the model together; each is answered where it lies."""
    model, folder = sam
    image = noise(50, 70, seed=2)
    asked = [(5, 4, 29, 39), (30, 10, 60, 45)]
    edges = [[left, top, right + 1, bottom + 1] for left, top, right, bottom in asked]
    masks, boxes, scores = instances_by_library(model, folder, image, "zebra", edges)
    _, _, alone = instances_by_library(model, folder, image, "zebra")
    assert np.abs(scores - alone).max() > 1e-3  # the examples count
    prompts = [Prompt(box=box, name="Zebra") for box in asked]
    found = answer(opened(folder, confidence=0), image, CLASSES, *prompts)
    assert found.names == ("zebra", "zebra")
    assert found.prompt.tolist() == [0, 1]
    wanted = torch.tensor(edges, dtype=torch.float32)
    best = box_iou(torch.from_numpy(boxes), wanted).argmax(dim=0).tolist()
    for mask, i in zip(found, best, strict=True):
        assert mask.score == pytest.approx(float(scores[i]), abs=1e-5)
        assert (mask.pixels == masks[i]).mean() > 0.999


def box_iou(one, other):
    from torchvision.ops import box_iou

    return box_iou(one, other)


def test_points_choose_among_the_instances_of_a_text(sam):
    model, folder = sam
    image = noise(50, 70, seed=2)
    masks, _, scores = instances_by_library(model, folder, image, "red car")
    flat = masks.reshape(len(masks), -1)
    first = int(flat.sum(axis=0).argmax())
    on = flat[:, first]
    dropped = (flat & on[:, None]).sum(axis=0)
    second = int(np.flatnonzero((dropped > 0) & (dropped < on.sum()))[0])
    beside = flat[:, second]
    points = [divmod(place, 70)[::-1] for place in (first, second)]
    prompt = Prompt(points=points, signs=[True, False], name="red car")
    found = answer(opened(folder, confidence=0), image, CLASSES, prompt)
    wanted = sorted(scores[on & ~beside].tolist(), reverse=True)
    assert found.scores.tolist() == pytest.approx(wanted, abs=1e-5)
    assert {*found.prompt.tolist()} == {0}
    # One without a name asks for each class; one whose name is no class asks for that.
    nameless = answer(opened(folder, confidence=0), image, CLASSES, Prompt(points=points[:1]))
    assert {*nameless.names} <= {*CLASSES.values()}
    assert len(nameless) >= on.sum()
    other = answer(opened(folder, confidence=0), image, CLASSES, Prompt(points[:1], name="dog"))
    assert {*other.names} == {"dog"}


def test_a_prompt_that_means_no_instance_has_no_mask_and_a_mask_is_no_prompt(sam):
    _, folder = sam
    image = noise(50, 70, seed=2)
    step = opened(folder, confidence=1)
    assert len(answer(step, image, CLASSES, Prompt(box=(0, 0, 9, 9), name="zebra"))) == 0
    empty = step(image=image, encoding=step.encode(image), prompts=Prompts(), classes=CLASSES)
    assert len(empty) == 0
    low = np.zeros((256, 256), np.float32)
    with pytest.raises(BadValueError) as error:
        answer(step, image, CLASSES, Prompt(points=[(3, 3)], mask=low))
    assert str(error.value) == (
        "sam3 takes points and boxes beside a text, and no mask; choose another prompter, such as "
        "--prompt box, or --segmenter hf-sam, which takes masks"
    )


def test_nothing_is_found_where_nothing_is_sure_or_asked(sam):
    _, folder = sam
    image = noise(30, 20)
    assert len(answer(opened(folder, confidence=1), image, CLASSES)) == 0
    found = answer(opened(folder, confidence=0), image, {})
    assert len(found) == 0
    assert found.size == (30, 20)


def test_texts_that_cannot_be_asked(sam):
    step = opened(sam[1], confidence=0)
    with pytest.raises(UsageError) as error:
        step.settle({})
    assert str(error.value) == (
        "--segmenter sam3 looks for what classes are called, and neither --classes nor the data "
        'set names any; add --classes "zebra,red car"'
    )
    with pytest.raises(UsageError, match="was asked for 300 texts, and takes 256 at most"):
        step.settle({i: f"cat {i}" for i in range(1, 301)})
    with pytest.raises(UsageError, match="was asked for an empty text"):
        step.settle({1: "  "})
    names = {1: "🦓", 2: "zebra " * 200}
    assert set(answer(step, noise(20, 30), names).names) == set(names.values())


def test_folders_that_hold_something_else(tmp_path):
    tiny_sams.save("sam3_tracker", tmp_path / "tracker")
    assert why(tmp_path / "tracker") == (
        f"--sam3.model {tmp_path / 'tracker'} has no text half, so no text can be looked for; ask "
        "it by points and boxes, --segmenter hf-sam, or give a whole SAM 3"
    )
    tiny_clips.with_texts(tmp_path / "clip")
    assert why(tmp_path / "clip") == (
        f"--sam3.model {tmp_path / 'clip'} is of type clip, and sam3 or sam3_video is wanted; "
        "choose another model, such as facebook/sam3"
    )
    (tmp_path / "clip" / "config.json").unlink()
    assert "has no config.json; give a folder" in why(tmp_path / "clip")
    assert "run: segkit weights fetch hf:nobody/no-sam" in why("nobody/no-sam")


def test_in_a_run_classes_have_ids_in_the_order_asked(sam, tmp_path, capsys):
    from segkit.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("run", "--dataset", "shapes", "--shapes.count", "1", "--shapes.size", "48"),
                *("--segmenter", "sam3", "--sam3.model", sam[1], "--sam3.confidence", "0"),
                *("--classes", "zebra,red car", "--quiet", "-o", str(tmp_path / "r")),
            ]
        )
    assert stop.value.code == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert summary["classes"] == {"1": "zebra", "2": "red car"}
    (line,) = (tmp_path / "r" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert {mask["name"] for mask in json.loads(line)["masks"]} == {"zebra", "red car"}


def test_in_a_run_a_prompters_boxes_are_examples(sam, tmp_path, capsys):
    from segkit.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("run", "--dataset", "shapes", "--shapes.count", "1", "--shapes.size", "48"),
                *("--gradcam.model", "shapes", "--prompt", "box", "--prompt", "topk"),
                *("--segmenter", "sam3", "--sam3.model", sam[1], "--sam3.confidence", "0"),
                *("--quiet", "-o", str(tmp_path / "r")),
            ]
        )
    assert stop.value.code == 0, capsys.readouterr().err
    (line,) = (tmp_path / "r" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(line)
    assert len(told["prompts"]) == 2
    assert 1 <= len(told["masks"]) <= 2
    assert {mask["prompt"] for mask in told["masks"]} <= {0, 1}
    assert {mask["name"] for mask in told["masks"]} <= {
        prompt["name"] for prompt in told["prompts"]
    }
