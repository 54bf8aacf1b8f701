"""What the pictures of plugins are made of: the cup, a scene, calls of steps, panels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from segkit import (
    Catalog,
    Heatmap,
    Image,
    Masks,
    Pipeline,
    Prompts,
    Truth,
)
from segkit.plugins.steps import Step
from segkit_plugins.shared.pictures import (
    RGB,
    Panel,
    Scale,
    heat_colours,
    heated,
    marked,
    outline,
    tinted,
)

NEEDS = {
    "prompt/detr": "it needs a detector's weights from the hub",
    "prompt/erase": "the photo shows a single object, and it asks for further ones",
    "prompt/grounding-dino": "it needs a detector's weights from the hub",
    "prompt/uncovered": "it asks for nothing, but leaves out what others ask for twice",
    "prompt/yolo": "it needs a detector in ONNX, and none comes with segkit",
    "saliency/clip-text": "it needs a CLIP's weights from the hub",
    "saliency/legrad": "it needs a vision transformer's weights, and none comes with segkit",
    "segmenter/dpt": "it needs weights from the hub",
    "saliency/reference": "it needs a DINO's weights from the hub",
    "segmenter/sam3": "it needs weights from the hub",
    "segmenter/hf-sam": "it needs weights from the hub",
}
"""Plugins that have nothing to show, most of them for want of a download, and why."""

HEIGHT = 190
"""Of a panel, in pixels."""
CATALOG = Catalog(third_party=False)


# ---- one picture, and what steps make of it ---------------------------------------------------


@cache
def sample(name: str) -> Image:
    """A photograph of scikit-image's."""
    return make("dataset", "samples", only=(name,))[0][0]


def cup() -> Image:
    """A cup of coffee: 600 x 400 pixels; it has parts, so masks of one click differ."""
    return sample("coffee")


def cat() -> Image:
    """A cat: 451 x 300 pixels."""
    return sample("cat")


@cache
def heatmap() -> Heatmap:
    """Where the default classifier sees the cup."""
    return called(make("saliency", "gradcam"), {"image": cup()})[0]


@cache
def answered(prompt: str = "distance-centers", judge: str = "none") -> Any:
    """What Grad-CAM, a prompter, `nano` and a judge make of the cup."""
    chosen = {"prompt": prompt, "transform": "none", "judge": judge}
    with Pipeline(**chosen, device="cpu", catalog=CATALOG) as pipeline:
        return pipeline(cup())


def asking(image: Image, judge: str) -> Callable[[Prompts], Masks]:
    """What a second look puts further prompts to: `nano`, and a judge unless it is "none"."""
    sam = make("segmenter", "sam")
    sam.open("cpu")
    encoding = sam.encode(image)
    verdict = None if judge == "none" else make("judge", judge)
    if verdict is not None:
        verdict.open("cpu")

    def ask(prompts: Prompts) -> Masks:
        masks = sam(image, prompts, encoding)
        return masks if verdict is None else verdict(image, masks)

    return ask


@cache
def scene() -> tuple[Image, Truth, dict[int, str], Any]:
    """A generated picture of several shapes, its truth, and what a pipeline finds in it."""
    dataset = make("dataset", "scenes", count=4, seed=10)
    image, truth = dataset[3]
    options = {"gradcam.model": "shapes", "gradcam.target": "top:2"}
    with Pipeline(
        prompt="topk", options=options, classes=[*dataset.classes.values()], catalog=CATALOG
    ) as pipeline:
        return image, truth, dict(dataset.classes), pipeline(image)


def make(kind: str, name: str, **options: Any) -> Any:
    """A bundled step."""
    return CATALOG.load(kind, name)(**options)


def called(step: Step, values: Mapping[str, Any]) -> Any:
    """What the step makes, opened and closed around it."""
    return timed(step, values)[0]


def timed(step: Step, values: Mapping[str, Any], repeats: int = 1) -> tuple[Any, float]:
    """What it makes of those values that it names, and the least processor time of some calls.

    An image's encoding is made, and counted, each time.
    """
    work = getattr(step, step.work)
    times = []
    step.open("cpu")
    try:
        for _ in range(repeats):
            start = time.process_time()
            given = dict(values)
            if isinstance(image := given.get("image"), Image):
                given["image"] = replace(image)  # a new one, of which no step has an embedding
            if "encode" in step.extras and hasattr(step, "encode"):
                wanted = step.inputs_of("encode").all
                given["encoding"] = step.encode(**{n: given[n] for n in wanted if n in given})
            made = work(**{n: given[n] for n in step.inputs().all if n in given})
            times.append(time.process_time() - start)
    finally:
        step.close()
    return made, min(times)


def segmented(prompts: Prompts, image: Image) -> np.ndarray:
    """(H, W): what SAM answers, the best mask for each prompt."""
    masks = called(make("segmenter", "sam"), {"image": image, "prompts": prompts})
    chosen = called(make("selector", "score"), {"image": image, "masks": masks})
    return numbered(chosen, image.size)


# ---- panels -----------------------------------------------------------------------------------


def scaled(image: Image) -> tuple[RGB, Scale]:
    """The photo as it stands in a panel."""
    scale = Scale(image.size, HEIGHT)
    return scale.photo(image.pixels), scale


def photo_panel(title: str, image: Image, prompts: Prompts | None = None) -> Panel:
    """The photo, with prompts where there are some."""
    photo, scale = scaled(image)
    return Panel(title, photo if prompts is None else marked(photo, prompts, scale))


def heat_panel(title: str, heat: Heatmap, image: Image | None = None) -> Panel:
    """The heatmap in colours, or over its photo."""
    scale = Scale(heat.values.shape, HEIGHT)
    values = scale.heat(heat.values)
    shown = heat_colours(values) if image is None else heated(scale.photo(image.pixels), values)
    return Panel(title, shown)


def prompt_panel(title: str, image: Image, heat: Heatmap, prompts: Prompts) -> Panel:
    """Prompts over heatmap and photo; a mask prompt as an outline."""
    panel = heat_panel(title, heat, image)
    scale = Scale(image.size, HEIGHT)
    picture = panel.picture.copy()
    for prompt in prompts:
        if prompt.mask is not None:
            mask = _resized(prompt.mask, scale.size) > 0
            picture[outline(mask)] = (255, 255, 255)
    panel.picture = marked(picture, prompts, scale)
    return panel


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import PIL.Image

    picture = PIL.Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize(size[::-1], PIL.Image.Resampling.BILINEAR))


def mask_panel(title: str, image: Image, ids: np.ndarray, prompts: Prompts | None = None) -> Panel:
    """A class map, or masks numbered from 1, over the photo."""
    photo, scale = scaled(image)
    small = scale.labels(ids)
    picture = tinted(photo, small, outline(small))
    return Panel(title, picture if prompts is None else marked(picture, prompts, scale))


def numbered(masks: Masks, size: tuple[int, int]) -> np.ndarray:
    """(H, W) int32: 1 for the first mask, and so on; small ones on top."""
    ids = np.zeros(size, np.int32)
    for i in np.argsort([-m.sum() for m in masks.masks], kind="stable"):
        ids[masks.masks[i]] = i + 1
    return ids


def named_masks(truth: Truth, classes: Mapping[int, str]) -> Masks:
    """The objects of a truth as masks with their classes' names."""
    assert truth.instances is not None
    objects = [truth.instances == i for i in range(1, int(truth.instances.max()) + 1)]
    names = tuple(classes[int(truth.labels.ids[m].max())] for m in objects)
    places = np.arange(len(objects))
    return Masks(np.array(objects), np.ones(len(objects), np.float32), places, names)


def text_panel(title: str, lines: Sequence[str], width: int = 330) -> Panel:
    """Text as a file has it."""
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    picture = PIL.Image.new("RGB", (width, HEIGHT), (246, 246, 246))
    draw = PIL.ImageDraw.Draw(picture)
    font = PIL.ImageFont.load_default(12)
    for i, line in enumerate(lines[: HEIGHT // 17]):
        while draw.textlength(line, font) > width - 12:
            line = line[:-1]
        draw.text((6, 5 + 17 * i), line, (32, 32, 32), font)
    return Panel(title, np.asarray(picture))


Drawn = tuple[list[Panel], float, str]
"""Panels, seconds, and what is seen."""
