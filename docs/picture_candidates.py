"""Pictures of what works on candidate masks: judges and selectors."""

from __future__ import annotations

import numpy as np
from picture_parts import (
    Drawn,
    called,
    cup,
    heat_panel,
    heatmap,
    make,
    mask_panel,
    numbered,
    timed,
)

from segkit import Image, Masks, Prompts


def judged(image: Image, masks: Masks, judge: str = "learned") -> Masks:
    """Masks of an image with their quality."""
    made: Masks = called(make("judge", judge), {"image": image, "masks": masks})
    return made


def _candidates() -> tuple[Masks, Prompts]:
    """What `nano` gives for one click."""
    given = {"heatmap": heatmap(), "rng": np.random.default_rng(0)}
    asked = called(make("prompt", "topk"), given)
    return called(make("segmenter", "sam"), {"image": cup(), "prompts": asked}), asked


def draw_judge(name: str) -> Drawn:
    """All candidates of one prompt, and what it says of each."""
    image = cup()
    masks, asked = _candidates()
    values = {"image": image, "masks": masks, "prompts": asked, "heatmap": heatmap()}
    made, taken = timed(make("judge", name), values, 3)
    panels = [
        mask_panel(f"quality {quality:.2f} (score {score:.2f})", image, mask.astype(np.int32))
        for mask, quality, score in zip(made.masks, made.quality, made.scores, strict=True)
    ]
    return panels, taken, "the candidates that `nano` gives for one click, and how good each is"


def draw_selector(name: str) -> Drawn:
    """All candidates of one prompt, or of everything, and the one that it keeps."""
    if name == "match-heatmap":
        return _draw_match()
    image = cup()
    masks, asked = _candidates()
    by_quality = name == "quality"
    masks = judged(image, masks) if by_quality else masks
    values = {"image": image, "masks": masks, "prompts": asked, "heatmap": heatmap()}
    made, taken = timed(make("selector", name), values, 3)
    figures = masks.quality if by_quality and masks.quality is not None else masks.scores
    what = "quality" if by_quality else "score"
    panels = [
        mask_panel(f"{what} {figure:.2f}", image, mask.astype(np.int32), asked)
        for mask, figure in zip(masks.masks, figures, strict=True)
    ]
    ids = numbered(made, image.size) if len(made) else np.zeros(image.size, np.int32)
    return (
        [*panels, mask_panel("kept", image, ids)],
        taken,
        "the candidates that `nano` gives for one click, and the one that is kept",
    )


def _draw_match() -> Drawn:
    """Masks of everything, and the one that looks most like the heatmap."""
    image, heat = cup(), heatmap()
    masks = called(make("segmenter", "sam-everything"), {"image": image})
    values = {"image": image, "masks": masks, "heatmap": heat, "heatmaps": (heat,)}
    made, taken = timed(make("selector", "match-heatmap"), values, 3)
    panels = [
        mask_panel(f"{len(masks)} masks", image, numbered(masks, image.size)),
        heat_panel("heatmap", heat, image),
        mask_panel("kept", image, numbered(made, image.size)),
    ]
    return panels, taken, "masks of everything, the heatmap, and the mask that is kept"
