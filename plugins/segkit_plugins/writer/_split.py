"""The images of an export divided into train and val, whatever order they come in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Annotated, TypeAlias

from pydantic import Field

TrainShare: TypeAlias = Annotated[float, Field(gt=0, lt=1)] | None
"""The option `train_share` of a format that keeps train and val apart; `--split` sets it."""


def divided(names: Iterable[str], share: float) -> dict[str, list[str]]:
    """{"train": names, "val": names}, each sorted; `share` of them, rounded, are in train.

    Images are drawn by the SHA-256 of their names, so neither their order nor the machine matters,
    and few change sides when others are added. Of two or more each side has one at least.
    """
    drawn = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    first = round(share * len(drawn))
    if len(drawn) > 1:
        first = min(max(first, 1), len(drawn) - 1)
    return {"train": sorted(drawn[:first]), "val": sorted(drawn[first:])}
