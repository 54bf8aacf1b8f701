"""One picture an image: photo, heatmap, overlay, mask with its prompts, truth, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from segkit import (
    Heatmap,
    Image,
    Labels,
    Masks,
    Prompts,
    Scores,
    Truth,
    Writer,
    hookimpl,
)
from segkit_plugins.shared.pictures import (
    RGB,
    Panel,
    Scale,
    heat_colours,
    heated,
    label_panel,
    marked,
    mask_panel,
    side_by_side,
)
from segkit_plugins.writer._files import file_for, write_jpeg


class Overlay(Writer):
    """`overlay/NAME.jpg`: what each step made of the image, in panels side by side.

    A panel whose value nothing makes is left out. Of several heatmaps the first three have a panel
    each, and the overlay shows the greatest value at each pixel. Classes have the colours of
    PASCAL VOC's palette, as in `masks`; masks without a class map have those of their numbers, and
    void is grey. Foreground points are green dots, background points red crosses, boxes green.
    """

    name = "overlay"

    height: Annotated[int, Field(ge=32, le=4096)] = 480
    """The greatest height of a panel in pixels; its greatest width is 4/3 of that."""

    def write(
        self,
        directory: Path,
        image: Image,
        heatmaps: tuple[Heatmap, ...] = (),
        prompts: Prompts | None = None,
        masks: Masks | None = None,
        labels: Labels | None = None,
        truth: Truth | None = None,
        scores: Scores | None = None,
    ) -> tuple[Path, ...]:
        """Write one file. `scores`: those of this image; its 'iou' stands above the mask.

        So does a judge's quality; above a heatmap stands how probable its class is.
        """
        path = file_for(directory, "overlay", image.name, ".jpg", spread=True)
        scale = Scale(image.size, self.height)
        photo = scale.photo(image.pixels)
        panels = [Panel(f"image {image.size[1]}x{image.size[0]}", photo, role="photo")]
        panels += _heat_panels(photo, heatmaps, scale)
        if masks is not None or labels is not None:
            panels.append(mask_panel(photo, masks, labels, scale, scores or {}))
            if prompts is not None:
                panels[-1].picture = marked(panels[-1].picture, prompts, scale)
        elif prompts is not None:
            panels.append(Panel("prompts", marked(photo, prompts, scale)))
        if truth is not None:
            panels.append(label_panel("truth", photo, truth.labels, scale, truth.instances))
        write_jpeg(path, side_by_side(panels))
        return (path,)


def _heat_panels(photo: RGB, heatmaps: Sequence[Heatmap], scale: Scale) -> list[Panel]:
    """The first three heatmaps, and all of them over the photo."""
    if not heatmaps:
        return []
    panels = []
    for number, heatmap in enumerate(heatmaps[:3], 1):
        of = f" {number} of {len(heatmaps)}" if len(heatmaps) > 1 else ""
        what = f": {heatmap.name}, probability {heatmap.score:.2f}" if heatmap.name else ""
        panels.append(Panel(f"heatmap{of}{what}", heat_colours(scale.heat(heatmap.values))))
    greatest = heatmaps[0].values
    for heatmap in heatmaps[1:]:
        greatest = np.maximum(greatest, heatmap.values)
    return [*panels, Panel("overlay", heated(photo, scale.heat(greatest)))]


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `overlay`."""
    return [Overlay]
