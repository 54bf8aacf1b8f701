"""Keep the heatmap's own region where the mask that was drawn for it is doubtful."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Fuser, Heatmap, Masks, Prompt, Prompts, hookimpl
from segkit_plugins.fuser._judged import qualities
from segkit_plugins.fuser._painting import Painting
from segkit_plugins.shared.object_names import object_names


class Fallback(Painting):
    """A class map of the good masks, and of the coarse map in place of the doubtful ones.

    As in Trident (Shi et al. 2024), which refines a coarse segmentation with SAM and keeps it where
    SAM's own estimate of the IoU is low. A mask whose quality, as a judge has it, is under `least`
    becomes the region of its heatmap that is at least `level` times as hot as the maximum: those
    connected parts that the prompt's box or a foreground point meets, or all of them where it meets
    none. Where nobody has judged, the segmenter's score counts as the quality. The heatmap of a
    mask is the one of its class, or the only one; without either, the pixelwise maximum of all.
    Where a heatmap has no heat, the mask stays.

    Metrics and files see the masks that are left, with their scores and qualities as they were. A
    better mask lies on top. Names get the data set's ids, and a class map is painted over, as
    `paint` does it.
    """

    name = "fallback"
    concurrent = True

    least: float = Field(0.5, ge=0, le=1)
    """Masks of a lower quality give way to the coarse map."""
    level: float = Field(0.5, gt=0, le=1)
    """Heat from which a pixel is on the object, as a share of the heatmap's maximum."""

    def merge(
        self, masks: Masks, heatmaps: tuple[Heatmap, ...], prompts: Prompts | None = None
    ) -> Masks:
        """The same masks; the doubtful ones cover their heatmap's region."""
        doubtful = np.flatnonzero(qualities(masks) < np.float32(self.least)).tolist()
        if not doubtful:
            return masks
        names = object_names(masks, prompts, None)
        pixels = masks.masks.copy()
        for i in doubtful:
            number = int(masks.prompt[i])
            prompt = prompts[number] if prompts and number < len(prompts) else None
            coarse = self._coarse(_heat_of(names[i], heatmaps), prompt)
            pixels[i] = coarse if coarse.any() else pixels[i]
        return masks.changed(masks=pixels, logits=None)

    def _coarse(self, heat: NDArray[np.float32], prompt: Prompt | None) -> NDArray[np.bool_]:
        """(H, W): the hot region that a prompt asks about."""
        from scipy.ndimage import label

        hot: NDArray[np.bool_] = (heat >= self.level * heat.max()) & (heat > 0)
        if prompt is None or prompt.empty:
            return hot
        parts, _ = label(hot, np.ones((3, 3)))
        met = [parts[_pixel(point, heat.shape)] for point in prompt.points[prompt.signs]]
        if prompt.box is not None:
            top, left = _pixel(prompt.box[:2], heat.shape)
            low, right = _pixel(prompt.box[2:], heat.shape)
            met += np.unique(parts[top : low + 1, left : right + 1]).tolist()
        asked = np.isin(parts, [part for part in met if part])
        return asked if asked.any() else hot

    def _order(self, masks: Masks, prompts: Prompts | None) -> NDArray[np.intp]:
        return np.argsort(qualities(masks), kind="stable")


def _heat_of(name: str | None, heatmaps: tuple[Heatmap, ...]) -> NDArray[np.float32]:
    """(H, W): the heat of a class; of all heatmaps together where none of them is the class's."""
    own = [heatmap.values for heatmap in heatmaps if name is not None and heatmap.name == name]
    several = own or [heatmap.values for heatmap in heatmaps]
    return np.maximum.reduce(several)


def _pixel(place: NDArray[np.float32], size: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of the pixel at x, y, in a picture of (H, W)."""
    x, y = np.rint(place).astype(int)
    return int(y.clip(0, size[0] - 1)), int(x.clip(0, size[1] - 1))


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `fallback`."""
    return [Fallback]
