"""A judge that goes by area alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import PrivateAttr
from toys import Counting

from segkit import Heatmap, Image, Judge, Masks, Prompts


class Share(Judge):
    """The share of the picture that a mask covers, at most 1."""

    name = "share"
    times: float = 1.0
    _log: Counting = PrivateAttr(default_factory=Counting)

    def __call__(
        self,
        image: Image,
        masks: Masks,
        prompts: Prompts,
        heatmaps: tuple[Heatmap, ...] = (),
        encoding: Any = None,
    ) -> Masks:
        self._log.calls.append((image.name, len(masks), len(prompts), len(heatmaps), encoding))
        return replace(masks, quality=np.minimum(masks.masks.mean(axis=(1, 2)) * self.times, 1))
