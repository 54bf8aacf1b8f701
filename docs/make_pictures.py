"""Draw what each bundled plugin does: python docs/make_pictures.py [KIND/NAME …].

Without names, every plugin that has no entry in docs/images/plugins/costs.json yet; `all` means
all. Each gets docs/images/plugins/KIND/NAME.webp and its cost, or the reason why it has none. Then
run docs/make_reference.py.

The photo is scikit-image's cup of coffee, for data sets its cat; for what needs a truth, it is a
picture of the data set `scenes`. Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from picture_candidates import draw_judge, draw_selector, judged
from picture_datasets import draw_dataset
from picture_parts import (
    CATALOG,
    HEIGHT,
    NEEDS,
    Drawn,
    answered,
    asking,
    called,
    cup,
    heat_panel,
    heatmap,
    make,
    mask_panel,
    named_masks,
    numbered,
    photo_panel,
    prompt_panel,
    scene,
    segmented,
    text_panel,
    timed,
)

from segkit import Image, Labels, Prompt, Prompts, write_png
from segkit.kinds import KINDS, a
from segkit_plugins.shared.pictures import RGB, Panel, side_by_side

FOLDER = Path(__file__).parent / "images" / "plugins"
COSTS = FOLDER / "costs.json"
MACHINE = (
    "processor time on one thread of an x86-64 machine that had other work to do, so a rough figure"
)
QUALITY = 60

NEEDS_TRAINING = "it needs weights that `segkit train` makes"


# ---- one way to draw for each kind ------------------------------------------------------------


def draw_perturbation(name: str) -> Drawn:
    """The photo, or prompts on it, at rising levels."""
    step = make("perturbation", name)
    panels, times = [], []
    start = Prompts((Prompt(points=[(252, 150)], box=(158, 18, 408, 240)),))
    for level in LEVELS:
        values = {"image": cup(), "prompts": start, "level": level}
        made, taken = timed(step, {**values, "rng": np.random.default_rng(0)}, 2)
        times.append(taken)
        title = f"level {level:g}" + (": unchanged" if level == 0 else "")
        if isinstance(made, Image):
            panels.append(photo_panel(title, made))
        else:
            panels.append(photo_panel(title, cup(), made))
    what = "prompts" if "prompts" in step.inputs().all else "photo"
    return panels, max(times), f"the {what} at rising levels"


LEVELS = (0.0, 2.0, 5.0)


def draw_saliency(name: str) -> Drawn:
    """Photo and heatmap."""
    made, taken = timed(make("saliency", name), {"image": cup()}, 2)
    heat = made[0] if isinstance(made, tuple) else made
    title = f"{heat.name or 'heatmap'} {heat.score:.2f}"
    panels = [photo_panel("photo", cup()), heat_panel("heatmap", heat)]
    return (
        [*panels, heat_panel(title, heat, cup())],
        taken,
        "the photo, and where its class is seen",
    )


def draw_transform(name: str) -> Drawn:
    """Heatmap before and after."""
    values = {"heatmap": heatmap(), "image": cup()}
    made, taken = timed(make("transform", name, **TRANSFORMS.get(name, {})), values, 3)
    options = ", ".join(f"{k} {v}" for k, v in TRANSFORMS.get(name, {}).items())
    panels = [heat_panel("before", heatmap()), heat_panel(f"after {options}".strip(), made)]
    return (
        [*panels, heat_panel("after, over the photo", made, cup())],
        taken,
        ("Grad-CAM's heatmap before and after" + (f" ({options})" if options else "")),
    )


TRANSFORMS: dict[str, dict[str, Any]] = {"idw": {"radius": 20}, "gaussian": {"sigma": 20}}
"""Options with which the effect can be seen at this size."""


def draw_prompt(name: str) -> Drawn:
    """What it asks, and what SAM answers."""
    step_class = CATALOG.load("prompt", name)
    image, heat, truth = cup(), heatmap(), None
    if "truth" in step_class.inputs().all:
        image, truth, _, found = scene()
        heat = found.heatmaps[0]
    if step_class.companion:
        judge, kept_by = JUDGED.get(name, ("none", ""))
        for first in ("distance-centers", "topk", "local-maxima", "center"):
            before, after = (answered(p, judge) for p in (first, f"{first}+{name}"))
            if (before.labels.ids != after.labels.ids).mean() > 0.01:
                break  # a case in which the second look changes something
        panels = [
            mask_panel(f"{first} alone", image, before.labels.ids, before.prompts),
            mask_panel(f"{first}+{name}", image, after.labels.ids, after.prompts),
        ]
        values = {"prompts": before.prompts, "masks": before.masks}
        values |= {"heatmap": heatmap(), "image": image, "ask": asking(image, judge)}
        step = step_class()
        wanted = step.inputs_of("refine").all
        start = time.process_time()
        step.refine(**{n: values[n] for n in wanted})
        return panels, time.process_time() - start, f"the answer without it and with it{kept_by}"
    options = dict(PROMPTS.get(name, {}))
    with tempfile.TemporaryDirectory() as folder:
        if name == "boxes":
            file = Path(folder, "boxes.json")
            boxes = [[158, 18, 408, 240, "cup"], [315, 230, 395, 330, "spoon"]]
            file.write_text(json.dumps({"coffee": boxes}))
            options["file"] = file
        step = step_class(**options)
        values = {"image": image, "heatmap": heat, "classes": {}, "rng": np.random.default_rng(0)}
        made, taken = timed(step, values | ({"truth": truth} if truth else {}), 3)
    answer = segmented(made, image)
    first = heat_panel("heatmap", heat, image)
    if truth is not None:
        first = mask_panel("truth", image, truth.labels.ids)
    panels = [first, prompt_panel("prompt", image, heat, made)]
    panels.append(mask_panel("SAM's answer", image, answer, made))
    shown = ", ".join(f"{k} {v}" for k, v in PROMPTS.get(name, {}).items()).replace("_", "-")
    return (
        panels,
        taken,
        f"the {'truth' if truth else 'heatmap'}, what is asked, and the mask that `nano` draws"
        + (f" ({shown})" if shown else ""),
    )


JUDGED = {"adaptive-background": ("learned", ", kept because a judge holds it for better")}
"""Second looks that are shown with a judge."""

PROMPTS: dict[str, dict[str, Any]] = {
    "topk": {"k": 3, "min_distance": 40},
    "k-medoids": {},
}
"""Options that show more than the defaults do."""


def draw_segmenter(name: str) -> Drawn:
    """What it is given, and its mask or class map."""
    image, heat, asked = cup(), heatmap(), answered().prompts
    image = scene()[0] if name == "sam-everything" else image
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {}
        if name == "class-maps":
            ids = answered().labels.ids.astype(np.uint8)
            write_png(Path(folder, "coffee.png"), ids)
            options = {"folder": Path(folder), "names": ("cup",)}
        step = make("segmenter", name, **options)
        values = {"image": image, "heatmap": heat, "prompts": asked, "classes": {}}
        made, taken = timed(step, values, 2 if name != "sam-everything" else 1)
    inputs = step.inputs().all
    if "prompts" in inputs:
        panels, what = [photo_panel("photo and prompt", image, asked)], "a prompt"
    elif "heatmap" in inputs:
        panels, what = [heat_panel("heatmap", heat, image)], "a heatmap"
    else:
        panels, what = [photo_panel("photo", image)], "a photo"
    if isinstance(made, Labels):
        panels.append(mask_panel("class map", image, made.ids))
        return panels, taken, f"{what}, and the class map that it gives"
    if "prompts" in inputs:
        order = np.argsort(-made.scores, kind="stable")[:3]
        for i in order:
            title = f"mask, score {made.scores[i]:.2f}"
            panels.append(mask_panel(title, image, made.masks[i].astype(np.int32)))
        return panels, taken, f"{what}, and its best candidates"
    title = "mask" if len(made) == 1 else f"{len(made)} masks"
    panels.append(mask_panel(title, image, numbered(made, image.size)))
    return panels, taken, f"{what}, and what it makes of it"


def draw_fuser(name: str) -> Drawn:
    """Masks, a class map where it reads one, and the class map that it makes."""
    image, truth, classes, found = scene()
    coarse = truth.labels.ids[8::16, 8::16].repeat(16, 0).repeat(16, 1)
    coarse = coarse[: image.size[0], : image.size[1]]
    masks = called(make("segmenter", "sam-everything"), {"image": image})
    step = make("fuser", name, **FUSERS.get(name, {}))
    values: dict[str, Any] = {"image": image, "classes": classes}
    if "labels" in step.inputs().required:
        values |= {"labels": Labels(coarse, classes), "masks": masks}
        panels = [mask_panel("class map (coarse)", image, coarse)]
        panels.append(mask_panel(f"{len(masks)} masks", image, numbered(masks, image.size)))
    else:
        named = judged(image, named_masks(truth, classes))
        values |= {"masks": named, "heatmaps": found.heatmaps}
        panels = [photo_panel("photo", image)]
        if hasattr(step, "merge"):
            values["masks"] = step.merge(**{n: values[n] for n in _merging(step) if n in values})
        panels.append(mask_panel("masks, numbered", image, numbered(named, image.size)))
    made, taken = timed(step, values, 3)
    panels.append(mask_panel("labels", image, made.ids))
    options = ", ".join(f"{k} {v}" for k, v in FUSERS.get(name, {}).items())
    what = f"what it is given, and the class map that it makes{f' ({options})' if options else ''}"
    return panels, taken, what


FUSERS: dict[str, dict[str, Any]] = {"fallback": {"least": 0.95}}
"""Options with which the effect can be seen."""


def _merging(step: Any) -> Sequence[str]:
    """What a fuser asks for to say which masks are objects."""
    names: Sequence[str] = step.inputs_of("merge").all
    return names


def draw_metric(name: str) -> Drawn:
    """Truth, what was found, and the figure."""
    image, truth, classes, found = scene()
    step = make("metric", name)
    values = {
        "image": image,
        "heatmap": found.heatmaps[0],
        "heatmaps": found.heatmaps,
        "prompts": found.prompts,
        "masks": found.masks,
        "labels": found.labels,
        "classes": classes,
        "truth": truth,
    }
    counts, taken = timed(step, values, 3)
    figures = ", ".join(f"{k} {v:.3g}" for k, v in step.score(counts).items())
    inputs = step.inputs().all
    panels = [mask_panel("truth", image, truth.labels.ids)]
    if "prompts" in inputs:
        panels.append(photo_panel("prompts", image, found.prompts))
    elif "heatmap" in inputs or "heatmaps" in inputs:
        panels.append(heat_panel("heatmap", found.heatmaps[0], image))
    else:
        panels.append(mask_panel("found", image, found.labels.ids))
    return panels, taken, f"a truth and what was found; {figures}"


def draw_writer(name: str) -> Drawn:
    """The mask, and the files that are written for it."""
    result = answered()
    step = make("writer", name)
    values = {
        "image": result.image,
        "heatmap": result.heatmaps[0],
        "heatmaps": result.heatmaps,
        "prompts": result.prompts,
        "masks": result.masks,
        "labels": result.labels,
        "classes": dict(result.labels.classes),
        "scores": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        _, taken = timed(step, {**values, "directory": directory}, 2)
        step.finish(directory, [result.image.name])
        files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name[0] != ".")
        lines = [f"{p.relative_to(directory)}   {p.stat().st_size} bytes" for p in files]
        panels = [mask_panel("what was found", cup(), result.labels.ids)]
        begin = _beginning(files)
        panels.append(text_panel("files", [*lines[:6], "", *begin], 460 if begin else 300))
        if not begin:
            panels += [Panel("the file", picture) for picture in _pictures(files)]
    what = "how one of them begins" if begin else "what it looks like"
    return panels, taken, f"a mask, the files written for it, and {what}"


def _pictures(files: Sequence[Path]) -> list[RGB]:
    """The first file that is a picture, as high as a panel."""
    import PIL.Image

    for path in files:
        if path.suffix in (".png", ".jpg"):
            picture = PIL.Image.open(path).convert("RGB")
            picture.thumbnail((700, HEIGHT))
            return [np.asarray(picture)]
    return []


def _beginning(files: Sequence[Path]) -> list[str]:
    """The first lines of the first file that is text."""
    for path in files:
        if path.suffix in (".json", ".txt", ".xml", ".yaml", ".csv"):
            text = " ".join(path.read_text()[:600].split())
            return [text[i : i + 62] for i in range(0, len(text), 62)][:5]
    return []


DRAW: dict[str, Callable[[str], Drawn]] = {
    "dataset": draw_dataset,
    "perturbation": draw_perturbation,
    "saliency": draw_saliency,
    "transform": draw_transform,
    "prompt": draw_prompt,
    "segmenter": draw_segmenter,
    "judge": draw_judge,
    "selector": draw_selector,
    "fuser": draw_fuser,
    "metric": draw_metric,
    "writer": draw_writer,
}


# ---- files ------------------------------------------------------------------------------------


def why_not(kind: str, name: str) -> str | None:
    """Why there is nothing to show, or None."""
    if f"{kind}/{name}" in NEEDS:
        return NEEDS[f"{kind}/{name}"]
    if kind not in DRAW:
        return f"nothing draws {a(kind)} yet"
    weights = CATALOG.load(kind, name).model_fields.get("weights")
    trained = kind == "segmenter" and weights is not None and not weights.default
    return NEEDS_TRAINING if trained else None


def draw(kind: str, name: str) -> dict[str, Any]:
    """Draw one plugin; returns its entry of costs.json."""
    reason = why_not(kind, name)
    if reason is not None:
        return {"why": reason}
    panels, taken, shown = DRAW[kind](name)
    file = FOLDER / kind / f"{name}.webp"
    file.parent.mkdir(parents=True, exist_ok=True)
    side_by_side(panels).save(file, quality=QUALITY, method=6)
    generated = kind in ("fuser", "metric") or name == "sam-everything"
    height, width = (scene()[0] if generated else cup()).size
    entry = {"picture": file.name, "seconds": float(f"{taken:.2g}"), "shown": shown}
    if kind != "dataset":
        entry["work"] = f"one image of {width} × {height} pixels"
    return entry


def main(names: Sequence[str]) -> None:
    """Draw what is asked for, and keep the rest."""
    import torch

    torch.set_num_threads(1)
    there = [f"{kind}/{e.name}" for kind in KINDS for e in CATALOG.entries(kind)]
    known = json.loads(COSTS.read_text())["plugins"] if COSTS.exists() else {}
    wanted = there if names == ["all"] else [*names] or [n for n in there if n not in known]
    for full in wanted:
        print(full, flush=True)
        known[full] = draw(*full.split("/"))
    content = {"machine": MACHINE, "plugins": {n: known[n] for n in there if n in known}}
    FOLDER.mkdir(parents=True, exist_ok=True)
    COSTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for file in FOLDER.rglob("*.webp"):
        if content["plugins"].get(f"{file.parent.name}/{file.stem}", {}).get("picture") is None:
            file.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
