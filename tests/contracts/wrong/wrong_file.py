"""Says that its image comes from a file that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segkit import Dataset, Image, Truth, hookimpl


class WrongFile(Dataset):
    """One image, with a file of another name."""

    name = "wrong-file"

    @property
    def names(self) -> tuple[str, ...]:
        return ("a",)

    @property
    def has_truth(self) -> bool:
        return False

    def files_of(self, index: int) -> tuple[Path, ...]:
        return (Path(f"{self.names[index]}.nowhere"),)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        return Image(np.full((2, 3, 3), index, np.uint8), "a"), None


@hookimpl
def segkit_datasets():
    return [WrongFile]
