"""What bundled steps make of packed masks and deferred heatmaps is what they make of arrays."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from gradcams import noise, opened
from writer_toys import SIZE, blobs, content, labels, masks_of, picture

from segkit import (
    Catalog,
    Heatmap,
    Labels,
    PackedMasks,
    Prompt,
    Prompts,
    Truth,
)
from segkit.cli.main import main
from segkit.running.recipe import make_step
from segkit.values import bitmaps, waiting
from segkit_plugins.fuser._painting import same_objects
from segkit_plugins.judge.learned.scene import sampled
from segkit_plugins.saliency import _cam

CATALOG = Catalog(third_party=False)


def code_of(arguments):
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def step_of(kind, name, **options):
    return make_step(CATALOG, kind, name, options)


@pytest.fixture(scope="module")
def found():
    """Blobs with duplicates, parts of each other and an empty one, three for each prompt."""
    arrays = blobs(count=21)
    arrays = np.concatenate([arrays, arrays[:2], arrays[3:4] & arrays[:1], np.zeros((3, *SIZE))])
    n = len(arrays)
    made = masks_of(arrays, scores=np.random.default_rng(0).random(n, np.float32))
    names = tuple("cat" if i % 3 else None for i in range(n))
    return made.changed(prompt=np.arange(n) // 3, names=names, quality=made.scores[::-1])


@pytest.fixture(scope="module")
def packed(found):
    return found.changed(masks=found.packed)


def same(one, other):
    return (
        np.array_equal(one.masks, other.masks)
        and np.array_equal(one.prompt, other.prompt)
        and one.names == other.names
    )


@pytest.mark.parametrize(
    "name", ["score", "largest", "smallest", "coverage", "stability", "quality", "confident"]
)
def test_selectors(name, found, packed):
    step = step_of("selector", name)
    heat = Heatmap(np.random.default_rng(0).random(SIZE, np.float32))
    inputs = {"heatmap": heat, "prompts": Prompts([Prompt(score=0.9)] * len(found))}
    inputs = {n: v for n, v in inputs.items() if n in type(step).inputs().all}
    assert same(step(masks=found, **inputs), step(masks=packed, **inputs))


FUSERS = [
    ("paint", {}),
    ("paint", {"duplicates": 0.2, "parts": 0.5, "overlap": "order"}),
    ("best", {}),
    ("best-many", {"overlap": 0.3, "parts": 0.5}),
    *[
        ("vote", {"mode": mode, "order": order, "overlap": overlap})
        for mode, order, overlap in (
            ("original", "given", "purest"),
            ("rewriting", "area", "last"),
            ("original", "score", "first"),
        )
    ],
]


@pytest.mark.parametrize(("name", "options"), FUSERS)
def test_fusers(name, options, found, packed):
    step = step_of("fuser", name, **options)
    ids = labels(np.random.default_rng(1).integers(0, 4, SIZE), {1: "cat", 2: "dog", 3: "cow"})
    made = []
    for masks in (found, packed):
        merged = step.merge(masks=masks) if hasattr(step, "merge") else masks
        more = {"labels": ids} if name == "vote" else {}
        made.append((merged, step(image=picture(), masks=merged, **more)))
    assert len(made[0][0])
    assert same(made[0][0], made[1][0])
    assert np.array_equal(made[0][1].ids, made[1][1].ids)


def test_objects_that_are_the_same_are_found_without_looking_at_each_pair(found):
    """As IoUs of whole arrays have it."""
    for least, parts in ((0.5, None), (0.1, 0.6), (1, None)):
        for i, mask in enumerate(found.masks):
            wanted = []
            for j, other in enumerate(found.masks):
                both, either = np.count_nonzero(mask & other), np.count_nonzero(mask | other)
                part = parts is not None and both >= parts * mask.sum()
                if mask.any() and other.any() and (both >= least * either or part):
                    wanted.append(j)
            assert [*same_objects(found.packed, i, range(len(found)), least, parts)] == wanted


def test_judges(found, packed):
    assert np.array_equal(sampled(found.held, (12, 16)), sampled(packed.held, (12, 16)))
    step = step_of("judge", "score")
    assert np.array_equal(step(masks=found).quality, step(masks=packed).quality)


@pytest.mark.parametrize("name", ["instance-f1", "map"])
def test_metrics(name, found, packed):
    if name == "map":
        pytest.importorskip("pycocotools")
    ids = np.zeros(SIZE, np.int32)
    for number, mask in enumerate(found.masks[3:9], 1):
        ids[mask] = number
    ids[:9] = 255
    truth = Truth(Labels(np.where(ids == 255, 255, ids > 0), {1: "cat"}), ids)
    step = step_of("metric", name)
    counts = step.count(truth=truth, masks=found)
    assert counts
    assert step.count(truth=truth, masks=packed) == counts


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "labelme", "supervision", "overlay"])
def test_writers(tmp_path, name, found, packed):
    if name == "coco":
        pytest.importorskip("pycocotools")
    step = step_of("writer", name)
    for folder, masks in (("dense", found), ("packed", packed)):
        step.write(tmp_path / folder, image=picture(), masks=masks)
    assert content(tmp_path / "dense")
    assert content(tmp_path / "dense") == content(tmp_path / "packed")


def looked_at(step, masks, **more):
    """What a second look asks after these masks."""
    heat = Heatmap(np.linspace(0, 1, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE))
    count = int(masks.prompt.max()) + 1
    prompts = Prompts([Prompt([[5 + i, 5 + i]], name="cat") for i in range(count)])
    asked = step.refine(prompts=prompts, masks=masks, heatmap=heat, **more)
    return [p.points.tolist() for p in asked]


def test_disagreement(found, packed):
    step = step_of("prompt", "disagreement")
    assert looked_at(step, found) == looked_at(step, packed)


@pytest.mark.parametrize("evidence", ["heat", "edges"])
def test_adaptive_background(evidence, found, packed):
    step = step_of("prompt", "adaptive-background", evidence=evidence, contrast=0)
    one, other = (
        looked_at(step, masks, image=picture(), ask=lambda _, masks=masks: masks)
        for masks in (found, packed)
    )
    assert one == other


# ---- segmenters and saliency -------------------------------------------------------------------


def boxes(count, size, seed=0):
    """Boxes all over a picture of (H, W), with points and names among them."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.8, (count, 2)) * size[::-1]
    ends = corners + rng.uniform(0.05, 0.2, (count, 2)) * size[::-1]
    several = [Prompt(box=[*one, *end], name="cat") for one, end in zip(corners, ends, strict=True)]
    several[1::4] = [Prompt([one]) for one in corners[1::4]]
    return Prompts(several)


@pytest.fixture
def nothing_fits(monkeypatch):
    def patch():
        monkeypatch.setattr(bitmaps, "DENSE", 0)
        monkeypatch.setattr(waiting, "IN_MEMORY", 0)

    return patch


def test_sam_packs_block_by_block(nothing_fits):
    step = step_of("segmenter", "sam")
    step.open("cpu")
    image = picture((120, 160))
    asked = {"prompts": boxes(21, image.size), "encoding": step.encode(image)}
    dense = step(image=image, **asked)
    nothing_fits()
    packed = step(image=image, **asked)
    assert isinstance(packed.held, PackedMasks)
    assert not isinstance(dense.held, PackedMasks)
    assert same(dense, packed)
    assert np.array_equal(dense.logits, packed.logits)
    assert np.array_equal(dense.scores, packed.scores)


def test_grabcut_packs_box_by_box(nothing_fits):
    pytest.importorskip("cv2")
    step = step_of("segmenter", "grabcut")
    step.open("cpu")
    image = picture((60, 80))
    asked = {"heatmap": Heatmap(np.zeros(image.size)), "prompts": boxes(9, image.size)}
    dense = step(image=image, **asked)
    nothing_fits()
    packed = step(image=image, **asked)
    assert isinstance(packed.held, PackedMasks)
    assert same(dense, packed)
    assert np.array_equal(dense.scores, packed.scores)


def test_heatmaps_wait_at_the_layers_resolution(monkeypatch):
    image = noise(90, 120)
    step = opened(model="shapes", target="top:3", least_share=0)
    eager = step(image=image)
    monkeypatch.setattr(_cam, "PIXELS", 0)
    deferred = step(image=image)
    step.close()  # the values need no network
    for one, other in zip(eager, deferred, strict=True):
        assert other._is_deferred
        assert not one._is_deferred
        assert (one.name, one.score) == (other.name, other.score)
        assert np.array_equal(one.values, other.values)


def test_transforms_of_deferred_heatmaps_are_deferred(tmp_path, monkeypatch):
    """In a run: the masks are those of heatmaps that are held."""
    options = ["--gradcam.target", "top:3", "--gradcam.least-share", "0", "--prompt", "none"]
    steps = ["--transform", "gaussian", "--segmenter", "threshold", "--write", "masks"]
    for folder, pixels in (("eager", _cam.PIXELS), ("deferred", 0)):
        monkeypatch.setattr(_cam, "PIXELS", pixels)
        command = ["run", "--dataset", "scenes", "--scenes.count", "2", "--gradcam.model", "shapes"]
        assert code_of([*command, *options, *steps, "-o", str(tmp_path / folder)]) == 0
    one, other = (content(tmp_path / folder / "masks") for folder in ("eager", "deferred"))
    assert len(one) >= 2
    assert one == other


# ---- more classes than a byte has --------------------------------------------------------------


def test_many_classes_are_refused_by_a_format_before_the_work_begins(tmp_path, capsys):
    names = ",".join(f"class-{i}" for i in range(1, 301))
    command = ["run", "--dataset", "shapes", "--shapes.count", "1", "--classes", names]
    steps = ["--saliency", "objectness", "--segmenter", "threshold", "--prompt", "none"]
    out = tmp_path / "out"
    assert code_of([*command, *steps, "--write", "voc", "-o", str(out)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "--write voc holds class ids up to 254, but the 300 classes of this run have ids up to 301 "
        "('class-300'); choose --write masks, whose PNGs then have 16 bits, or ask for fewer by "
        "--classes"
    ) in said
    assert not out.exists()
    assert code_of([*command, *steps, "--write", "masks", "-o", str(out)]) == 0
    (file,) = (out / "masks").glob("*.png")
    with PIL.Image.open(file) as mask:
        assert mask.mode.startswith("I")
    assert code_of(["export", str(out), "--write", "voc"]) == 2
    assert "--write voc holds class ids up to 254" in " ".join(capsys.readouterr().err.split())
