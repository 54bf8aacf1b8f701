"""The reports' recipes with real weights, and each model beside the library that it is from.

pytest -m hub tests/hub
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segkit import Image, Prompt, dataset, read_image
from segkit.cli.main import main
from segkit.running.protocols import in_words
from segkit.running.records import Protocol

pytestmark = [pytest.mark.hub, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "recipes"
sys.path.append(str(ROOT / "tests" / "plugins"))

REPORTS = {
    "max": 0.726,
    "max-min": 0.719,
    "idw-topk": 0.769,
    "idw-topk-background": 0.725,
    "centroid-grid": 0.860,
    "centroid-grid-background": 0.831,
    "dpt": 0.692,
    "dpt-sam": 0.743,
    "yolo-sam": 0.851,
}
"""The reports' mean IoU; the first six of other pictures, the others of all of VOC's val."""

BOXES = {"yolo-sam"}
MAPS = {"dpt", "dpt-sam"}


@pytest.fixture(scope="module")
def photos(voc):
    names = (voc / "ImageSets/Segmentation/fifty.txt").read_text().split()
    return [read_image(voc / "JPEGImages" / f"{name}.jpg") for name in names]


def segkit(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert not stop.value.code


def commit(folder):
    return folder.name[:12]


@pytest.fixture(scope="module")
def vit_b(network):
    segkit("weights", "fetch", "vit_b")
    from segkit.plugins.weights import cache_folder

    (path,) = cache_folder().rglob("*vit_b*.pth")
    return path


@pytest.mark.parametrize("stem", REPORTS)
def test_a_reports_recipe(stem, voc, vit_b, model, request, row, tmp_path):
    own = ["--gradcam.target", "top:1"]
    if stem in MAPS:
        own = ["--dpt.model", model("dpt")]
        own += ["--sam-everything.model", "vit_b"] if stem == "dpt-sam" else []
    elif stem in BOXES:
        own = ["--yolo.weights", request.getfixturevalue("detector")]
    if stem not in ("dpt", "dpt-sam"):
        own += ["--sam.model", "vit_b"]
    data = ("--dataset", "voc", "--voc.root", voc, "--voc.split", "fifty")
    recipe = ("--recipe", RECIPES / f"{stem}.toml")
    segkit("run", *recipe, *data, *own, "--metric", "iou", "--quiet", "-o", tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text(encoding="utf-8"))
    assert (summary["images"], summary["failed"]) == (50, 0)
    figure = summary["scores"]["iou"]
    row(f"`{stem}.toml`, mean IoU", 50, f"{figure:.3f}", f"{REPORTS[stem]:.3f} in the report")
    assert 0.2 < figure < 1


@pytest.fixture(scope="module")
def references(voc, tmp_path_factory):
    """Of each of VOC's classes the first photo of train that shows it, with its mask."""
    folder = tmp_path_factory.mktemp("references")
    names = (voc / "ImageSets/Segmentation/train.txt").read_text().split()
    known = dataset("voc", root=voc, split="train").classes
    for name in names:
        ids = np.asarray(PIL.Image.open(voc / "SegmentationClass" / f"{name}.png"))
        for i in set(np.unique(ids).tolist()) & {*known}:
            place = folder / known[i]
            if not place.exists():
                place.mkdir()
                shutil.copy(voc / "JPEGImages" / f"{name}.jpg", place)
                PIL.Image.fromarray((ids == i).astype(np.uint8)).save(place / f"{name}.mask.png")
        if len([*folder.iterdir()]) == len(known):
            break
    return folder


WORDS = ("text-points-sam", "text-sam3", "grounding-dino-sam2", "reference-sam")


@pytest.mark.parametrize("chain", WORDS)
def test_words_and_examples(chain, voc, model, request, row, tmp_path):
    """The chains of docs/how-to/words.md on VOC's twenty classes, none of them given."""
    sam = ["--sam.model", "vit_b"]
    if chain in ("text-points-sam", "reference-sam"):
        request.getfixturevalue("vit_b")
    if chain == "text-points-sam":
        places = [model("clip-text")]
        own = ["--saliency", "clip-text", "--clip-text.model", *places, "--prompt", "topk", *sam]
    elif chain == "text-sam3":
        places = [model("sam3")]
        own = ["--segmenter", "sam3", "--sam3.model", *places]
    elif chain == "grounding-dino-sam2":
        places = [model("grounding-dino"), model("sam2")]
        own = ["--prompt", "grounding-dino", "--grounding-dino.model", places[0]]
        own += ["--segmenter", "hf-sam", "--hf-sam.model", places[1]]
    else:
        places = [model("dino")]
        own = ["--saliency", "reference", "--reference.model", *places, *sam]
        own += ["--reference.examples", request.getfixturevalue("references")]
    data = ("--dataset", "voc", "--voc.root", voc, "--voc.split", "fifty")
    figures = ("--metric", "iou", "--metric", "voc-miou")
    segkit("run", *data, *own, *figures, "--quiet", "-o", tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text(encoding="utf-8"))
    assert (summary["images"], summary["failed"]) == (50, 0)
    commits = ", ".join(f"{place.parents[1].name} {commit(place)}" for place in places)
    words = in_words(Protocol.model_validate(summary["protocol"]["voc-miou"]))
    row(f"{chain} ({commits}), IoU", 50, f"{summary['scores']['iou']:.3f}", "")
    row(f"{chain}, `voc-miou`", 50, f"{summary['scores']['voc-miou']:.3f}", words)
    assert 0.1 < summary["scores"]["iou"] < 1


def test_sam_beside_segment_anything(photos, vit_b, row):
    """Its own predictor, asked the same: the middle of each photo, and a box around it."""
    from segment_anything import sam_model_registry
    from test_sam import check_equal, sam

    step = sam(model="vit_b", checkpoint=str(vit_b), precision="float32")
    step.open("cpu")
    network = sam_model_registry["vit_b"](str(vit_b)).eval()
    for photo in photos[:10]:
        h, w = photo.size
        point, box = (w // 2, h // 2), (w // 4, h // 4, 3 * w // 4, 3 * h // 4)
        asked = {"point_coords": np.array([point]), "point_labels": np.array([1])}
        check_equal(step, photo, Prompt(points=[point]), network, **asked)
        asked |= {"box": np.array(box), "multimask_output": False}
        check_equal(step, photo, Prompt(points=[point], box=box), network, **asked)
    row("SAM ViT-B, equal masks of a click and a box", 10, "all", "segment-anything")


def test_dpt_beside_transformers(photos, model, row):
    import torch
    import transformers

    from segkit_plugins.segmenter.dpt import Dpt

    where = model("dpt")
    step = Dpt(model=str(where))
    step.open("cpu")
    processor = transformers.AutoImageProcessor.from_pretrained(where)
    network = transformers.AutoModelForSemanticSegmentation.from_pretrained(where).eval()
    shares = []
    for photo in photos:
        with torch.no_grad():
            made = network(**processor(PIL.Image.fromarray(photo.pixels), return_tensors="pt"))
        (ids,) = processor.post_process_semantic_segmentation(made, target_sizes=[photo.size])
        shares.append(float((step(image=photo).ids == ids.numpy() + 1).mean()))
    row(f"DPT ({commit(where)}), equal pixels", 50, f"{np.mean(shares):.5f}", "transformers")
    assert min(shares) > 0.99


def test_clip_beside_transformers(photos, model, row):
    import torch
    import transformers

    from segkit_plugins.segmenter.clip_decoder import ClipDecoder

    where = model("clip")
    tokens = ClipDecoder(model=str(where)).network(2).tokens.eval()
    theirs = transformers.CLIPVisionModel.from_pretrained(where).eval()
    worst = 0.0
    for photo in photos[:10]:
        picture = PIL.Image.fromarray(photo.pixels).resize((224, 224))
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255
        processor = transformers.CLIPImageProcessor()
        mean, std = (
            torch.tensor(x)[:, None, None] for x in (processor.image_mean, processor.image_std)
        )
        with torch.no_grad():
            wanted = theirs(pixel_values=(pixels - mean) / std).last_hidden_state[0, 1:]
            found = tokens(pixels)[0].flatten(1).T
        worst = max(worst, float((found - wanted).abs().max()))
    row(f"CLIP ViT-B/32 ({commit(where)}), largest difference", 10, f"{worst:.1e}", "transformers")
    assert worst < 1e-3


def test_yolo_beside_ultralytics(photos, detector, row):
    from test_yolo_peers import compare
    from ultralytics import YOLO

    from segkit_plugins.prompt.yolo import Yolo

    peer = YOLO(str(detector), task="detect")
    step = Yolo(weights=detector, confidence=0.3, iou=0.7)
    step.open("cpu")
    compared = 0
    for photo in photos:
        bgr = np.ascontiguousarray(photo.pixels[..., ::-1])
        (found,) = peer.predict(bgr, conf=0.3, iou=0.7, imgsz=640, verbose=False)
        names = [peer.names[int(c)] for c in found.boxes.cls]
        boxes, scores = found.boxes.xyxy.numpy(), found.boxes.conf.numpy()
        compared += compare(step(Image(photo.pixels, "p")), boxes, scores, names, photo, least=0.95)
    row("YOLO11n, equal boxes", 50, compared, "ultralytics")
    assert compared > 20
