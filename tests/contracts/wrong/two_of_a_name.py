"""Two images of one name."""

from __future__ import annotations

import numpy as np

from segkit import Dataset, Image, Truth, hookimpl


class TwoOfAName(Dataset):
    """Two images of one name."""

    name = "two-of-a-name"

    @property
    def names(self) -> tuple[str, ...]:
        return ("a", "a")

    @property
    def has_truth(self) -> bool:
        return False

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        return Image(np.full((2, 3, 3), index, np.uint8), "a"), None


@hookimpl
def segkit_datasets():
    return [TwoOfAName]
