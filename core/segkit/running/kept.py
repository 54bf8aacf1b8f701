"""What a run has kept of an image, read back as the values that its steps made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segkit.errors import SegkitError, UsageError
from segkit.kinds import MASK_WRITER, flag_of
from segkit.running.records import ResultLine
from segkit.values.types import Masks, Prompt, Prompts


def keeps_masks(line: ResultLine) -> bool:
    """Whether the writer of masks has left a file of the image."""
    beginning, end = f"{MASK_WRITER}/", f"/{line.name}.png"  # perhaps in a subfolder
    return any(file.startswith(beginning) and file.endswith(end) for file in line.files)


def kept_values(
    reader: Any, directory: Path, line: ResultLine, *, makes_masks: bool
) -> dict[str, Any]:
    """`prompts`, `masks` and `labels` of an image, each where the run has made one.

    `reader`: the writer of masks, which reads its files; `makes_masks`: whether an image without
    masks is one in which nothing was found. Mask prompts are not kept. Raises `SegkitError` where
    the run wrote no masks, or they cannot be read.
    """
    prompts = tuple(
        Prompt(points=p.points, signs=p.signs, box=p.box, name=p.name, score=float(p.score))
        for p in line.prompts
    )
    values: dict[str, Any] = {"prompts": Prompts(prompts)} if prompts else {}
    if not keeps_masks(line):
        raise UsageError(
            f"{line.name} has no file in {MASK_WRITER}, for the run wrote none; run it again "
            f"without --{flag_of('writer')} none"
        )
    try:
        labels, masks = reader.read(directory, line.name, line.classes, len(line.masks))
    except OSError as error:
        raise SegkitError(
            f"the masks of {line.name} cannot be read: {error.strerror or error}"
        ) from None
    values["labels"] = labels
    if line.masks or makes_masks:
        values["masks"] = masks_of(line, masks)
    return values


def masks_of(line: ResultLine, masks: Any) -> Masks:
    """The masks (n, H, W) bool with what the line says of them."""
    judged = [mask.quality for mask in line.masks if mask.quality is not None]
    known = line.quality is not None and len(judged) == len(line.masks)
    return Masks(
        masks,
        [mask.score for mask in line.masks],
        [mask.prompt for mask in line.masks],
        tuple(mask.name for mask in line.masks),
        quality=judged if known else None,
    )
