"""Judge masks by what was learned of good and bad ones: form, contrast, things, agreement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PrivateAttr

from segkit import Image, Judge, Masks, Weights, hookimpl


class Learned(Judge):
    """The IoU with the object meant, estimated from the picture and from all of its candidates.

    A forest of trees on plain figures of each mask: size, place and form, how far colours and the
    features of the bundled `nano` change across its outline, whether things or people lie inside
    and outside of it, how far the image's other candidates agree, and the segmenter's score.
    Which segmenter or recipe made a mask is not asked, nor what was prompted: the more candidates
    of unlike strategies there are, the better it judges. A mask without a pixel has the quality 0.
    """

    name = "learned"
    concurrent = True

    weights: Path | None = None
    """A file that `python -m segkit_training.judge` wrote; left out: the one that ships."""

    _layers: Any = PrivateAttr(None)
    _forest: Any = PrivateAttr(None)

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """Those that ship with segkit."""
        from segkit_plugins.shared.weights import shipped

        return (shipped("judge", "The judge of masks, for any segmenter; see its card"),)

    def weight_files(self) -> Mapping[str, Path]:
        """The judge's own, and `nano`'s."""
        from segkit_plugins.shared.weights import bundled

        return {"judge": self.weights or bundled("judge"), "nano": bundled("nano")}

    def open(self, device: str) -> None:
        """Load both. Raises `UsageError` for a file that is missing or no judge's."""
        from segkit_plugins.judge.learned.forest import Forest
        from segkit_plugins.shared.nano_objectness import DenseLayers
        from segkit_plugins.shared.weights import load_safetensors

        path = self.weight_files()["judge"]
        self._forest = Forest.of(load_safetensors(path), path)
        self._layers = DenseLayers(None, device)

    def close(self) -> None:
        """Drop both."""
        self._layers = self._forest = None

    def __call__(self, image: Image, masks: Masks) -> Masks:
        """The same masks with their quality; they are judged together."""
        from segkit_plugins.judge.learned.features import features
        from segkit_plugins.judge.learned.scene import sampled, seen

        if not len(masks):
            return masks.changed(quality=np.zeros(0, np.float32))
        scene = seen(image, self._layers)
        small = sampled(masks.held, scene.size)
        quality = self._forest.quality(features(scene, small, masks.scores))
        for place in np.flatnonzero(~small.any(axis=(1, 2))):  # too small for the grid, or empty
            quality[place] *= bool(masks.areas[place])
        return masks.changed(quality=quality)


@hookimpl
def segkit_judges() -> list[type[Judge]]:
    """The judge of this module."""
    return [Learned]
