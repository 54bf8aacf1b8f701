"""What a vision transformer made of pictures, as far as methods look into it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segkit_plugins.saliency._maps import MOST_OTHER_TOKENS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Attended:
    """What a vision transformer made of pictures, block by block.

    B pictures, n tokens (first those that are no patches, such as the class token, then the patches
    row by row), C channels, K classes.
    """

    weights: list[Tensor]
    """Each block's attention (B, heads, n, n): a row for each token that looks, its softmax over
    those that it looks at. Part of the graph that leads to `scores` and the later blocks."""
    keys: list[Tensor]
    """Each block's keys (B, heads, n, C / heads)."""
    tokens: list[Tensor]
    """What each block leaves, (B, n, C)."""
    scores: Tensor
    """Class scores (B, K); of a network without a head its features (B, C)."""
    classify: Callable[[Tensor], Tensor]
    """Class scores (B, K) of one token for each picture, (B, C), as a block leaves it."""
    read: slice
    """The tokens that the scores are made of: the class token, or the patches."""

    @property
    def others(self) -> int:
        """How many tokens are no patches. Raises `LookupError` as `as_map` does."""
        count = self.tokens[-1].shape[1]
        side = math.isqrt(count)
        if side < 2 or count - side**2 > MOST_OTHER_TOKENS:
            raise LookupError("its tokens are no square of patches")
        return count - side**2

    def as_map(self, values: Tensor) -> Tensor:
        """A value for each token, (B, n), as the map (B, h, w) of the picture's patches.

        Raises `LookupError` where the tokens are no square picture and a few others before it.
        """
        patches = values[:, self.others :]
        side = math.isqrt(patches.shape[1])
        return patches.reshape(len(values), side, side)
