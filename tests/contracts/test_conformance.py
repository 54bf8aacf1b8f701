"""Every bundled plugin keeps the contract of its kind: the kit for authors of plugins, on ours."""

from __future__ import annotations

import small

from segkit import Catalog
from segkit.testing import Conformance

SMALL = {"model": "shapes", "target": "top:2", "size": 64}

OPTIONS = {
    "dataset:files": [{"make": small.files}, {"make": small.no_masks}],
    "dataset:folder": [{"make": small.folder}],
    "dataset:coco": [{"make": small.coco}],
    "dataset:hf": [{"make": small.hf}, {"make": small.hf, "streaming": True}],
    "dataset:label-studio": [{"make": small.label_studio}],
    "dataset:labelme": [{"make": small.labelme}],
    "dataset:pets": [{"make": small.pets}, {"make": small.pets, "label": "breeds"}],
    "dataset:voc": [{"make": small.voc}],
    "dataset:samples": [{"only": ("cat", "coffee")}],
    "dataset:scenes": [{"count": 2, "size": 48}],
    "dataset:shapes": [{"count": 2, "size": 48}],
    "dataset:webdataset": [{"make": small.webdataset}],
    "saliency:clip-text": [
        {"make": small.clip_with_texts, "every": True, "side": 32},
        {"make": small.clip_with_texts, "attention": "sclip", "side": 48, "stride": 8},
    ],
    "saliency:gradcam": [{"size": 96}, SMALL],
    "saliency:legrad": [{"make": small.vit, "target": "top:2"}],
    "saliency:objectness": [{}, {"target": "person"}],
    "saliency:reference": [{"make": small.references, "side": 112}],
    "saliency:scorecam": [{"model": "shapes", "size": 32}],
    "prompt:boxes": [{"make": small.boxes}],
    "prompt:centroid-grid": [{}, {"offset": 3}],
    "prompt:components": [{}, {"ask": "both"}, {"ask": "box", "level": 0.2}],
    "prompt:detr": [{"make": small.detr}],
    "prompt:erase": [{}, {"fill": "blur", "ask": "point"}],
    "prompt:grounding-dino": [{"make": small.grounding_dino}],
    "prompt:k-medoids": [{}, {"k": 1}],
    "prompt:local-maxima": [{}, {"separate": True, "min_distance": 4}],
    "prompt:mask": [{}, {"soft": True}],
    "prompt:maxmin": [{}, {"background": True}],
    "prompt:random-clicks": [{"on": "object"}, {"on": "object", "each": True, "place": "interior"}],
    "prompt:topk": [{}, {"k": 5, "min_distance": 3, "background": 2}],
    "prompt:yolo": [{"make": small.yolo}],
    "segmenter:autoencoder": [{"make": small.trained("autoencoder")}],
    "segmenter:class-maps": [{"make": small.class_maps}],
    "segmenter:clip-decoder": [{"make": small.trained("clip-decoder", bottom=16, levels=2)}],
    "segmenter:dpt": [{"make": small.dpt}],
    "segmenter:hf-sam": [{"make": small.hf_sam}],
    "segmenter:lite0-decoder": [{"make": small.trained("lite0-decoder")}],
    "segmenter:point-clip": [{"make": small.trained("point-clip", levels=2)}],
    "segmenter:sam-everything": [
        {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    ],
    "segmenter:sam3": [{"make": small.sam3}],
    "segmenter:unet": [
        {"make": small.trained("unet", width=2)},
        {"make": small.trained("unet", width=2, attention=True, pyramid=True)},
    ],
    "fuser:fallback": [{}, {"least": 1.0}],
    "fuser:paint": [{}, {"parts": 0.8}],
    "metric:map": [{}, {"by_class": False}],
    "selector:coverage": [{}, {"power": 0}, {"power": 1}],
    "selector:match-heatmap": [{}, {"most": 3}],
    "transform:pamr": [{}, {"iterations": 2, "side": 16}],
    "transform:threshold": [{}, {"level": 1.0}],
}
"""Sets of options; `make` makes the files that a plugin needs, and gives the options for them."""

NEEDS = {
    "dataset:coco": ("pycocotools",),
    "dataset:hf": ("datasets",),
    "metric:map": ("pycocotools",),
    "prompt:detr": ("transformers",),
    "prompt:grounding-dino": ("transformers",),
    "prompt:yolo": ("onnxruntime", "onnx"),
    "saliency:clip-text": ("transformers",),
    "saliency:legrad": ("timm",),
    "saliency:reference": ("transformers",),
    "segmenter:clip-decoder": ("transformers",),
    "segmenter:dpt": ("transformers",),
    "segmenter:grabcut": ("cv2",),
    "segmenter:hf-sam": ("transformers", "timm"),
    "segmenter:point-clip": ("transformers",),
    "segmenter:sam3": ("transformers",),
    "writer:coco": ("pycocotools",),
    "writer:parquet": ("pyarrow",),
}
"""The libraries of extras."""


SKIPS = {
    "judge:learned": {"mirrored": "a network sees a mirrored picture differently"},
    "transform:objectness-prior": {"mirrored": "a network sees a mirrored picture differently"},
}
"""Tests that do not apply."""


class Bundled(Conformance):
    """One of our plugins; its tests are the kit's and nothing else."""

    huge = (240, 320)
    test_every_option_is_tried = None  # a hint; our options are tried in tests/plugins

    def prepare(self, options, folder):
        made = {name: value for name, value in options.items() if name != "make"}
        return {**options["make"](folder), **made} if "make" in options else made


for entry in Catalog(third_party=False).entries():
    key = f"{entry.kind}:{entry.name}"
    cheap = [SMALL] if entry.kind == "saliency" else [{}]
    of_ours = {
        "plugin": f"segkit:{entry.name}",
        "kind": entry.kind,
        "options": OPTIONS.get(key, cheap),
        "needs": NEEDS.get(key, ()),
        "skips": SKIPS.get(key, {}),
        "__module__": __name__,
    }
    title = f"Test_{entry.kind}_{entry.name.replace('-', '_')}"
    globals()[title] = type(title, (Bundled,), of_ours)


class Test_prompt_centroid_grid_background(Bundled):
    plugin = "centroid-grid"
    options = [{"background": True}, {"background": True, "cold": 0.5}]
    skips = {"mirrored": "of an even number of outermost pixels the one before the middle counts"}
