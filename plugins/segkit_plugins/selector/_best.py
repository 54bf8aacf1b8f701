"""The best mask of each prompt, by any figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit import Masks


def best_by(masks: Masks, figure: ArrayLike) -> Masks:
    """For each prompt the mask with the highest figure (n,).

    Of equals the one with the higher score, then the first. The masks come in the order of their
    prompts; a prompt without candidates stays without a mask.
    """
    return masks.take(best_places(masks, figure))


def best_places(masks: Masks, figure: ArrayLike) -> NDArray[np.intp]:
    """The places of the masks that `best_by` keeps, in the order of their prompts."""
    order = np.lexsort((-masks.scores, -np.asarray(figure, np.float64), masks.prompt))
    return order[np.unique(masks.prompt[order], return_index=True)[1]]
