"""Makes a mask of all candidates together."""

from __future__ import annotations

import numpy as np

from segkit import Masks, Selector, hookimpl


class Inventive(Selector):
    """Makes a mask of all candidates together."""

    name = "inventive"

    def __call__(self, masks: Masks) -> Masks:
        found = masks.take(np.unique(masks.prompt, return_index=True)[1])
        whole = [masks.masks[masks.prompt == p].any(axis=0) for p in found.prompt]
        return Masks(np.array(whole), found.scores, found.prompt, found.names)


@hookimpl
def segkit_selectors():
    return [Inventive]
