"""Notes in the data set which image is being read, though several may be at once."""

from __future__ import annotations

import time

import numpy as np
from pydantic import PrivateAttr

from segkit import Dataset, Image, Truth, hookimpl


class SharesItsPlace(Dataset):
    """Five images, each of its own grey."""

    name = "shares-its-place"
    concurrent = True
    _place: int = PrivateAttr(0)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("abcde")

    @property
    def has_truth(self) -> bool:
        return False

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        self._place = index
        time.sleep(0.02)
        return Image(np.full((2, 3, 3), self._place, np.uint8), self.names[index]), None


@hookimpl
def segkit_datasets():
    return [SharesItsPlace]
