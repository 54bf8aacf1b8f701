"""What segmenters of the SAM family share: groups of prompts, and masks of low-resolution logits.

A model's input is a square of `side` pixels, of which the resized image covers `inside` (h, w) from
the top left; the rest is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit import Masks, Prompt, Prompts

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 1 << 26
"""Masks' pixels that are worked on as floats at a time: 256 MiB."""

Answer = tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]
"""A prompt's place, and its masks (c, H, W), scores (c,) and logits (c, h, w)."""


def ambiguous(prompt: Prompt) -> bool:
    """Whether it is a single point and nothing else, which may mean a part or the whole."""
    return len(prompt.points) == 1 and prompt.box is None and prompt.mask is None


def alike(
    prompts: Prompts, several: Callable[[Prompt], bool], most: int
) -> Iterator[tuple[list[int], list[Prompt]]]:
    """Prompts that can be decoded together, at most `most` at a time, with their places.

    Together go those with as many points, boxes, masks and candidates; those that ask nothing are
    left out.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        if not prompt.empty:
            has = (prompt.box is not None, prompt.mask is not None)
            groups.setdefault((len(prompt.points), *has, several(prompt)), []).append(place)
    for places in groups.values():
        for start in range(0, len(places), most):
            some = places[start : start + most]
            yield some, [prompts[i] for i in some]


def gathered(answers: Iterable[Answer], prompts: Prompts, size: tuple[int, int]) -> Masks:
    """All answers in the order of the prompts, for an image of (H, W)."""
    made = sorted(answers, key=lambda answer: answer[0])
    if not made:
        return Masks.none(size)
    return Masks(
        np.concatenate([masks for _, masks, _, _ in made]),
        np.concatenate([scores for _, _, scores, _ in made]),
        np.repeat([i for i, _, _, _ in made], [len(scores) for _, _, scores, _ in made]),
        tuple(prompts[i].name for i, _, scores, _ in made for _ in scores),
        np.concatenate([low for _, _, _, low in made]),
    )


def covered(inside: tuple[int, int], side: int, whole: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns of logits (h, w) = `whole` that the image covers, at least one each."""
    rows, columns = (max(1, -(-n * m // side)) for n, m in zip(inside, whole, strict=True))
    return rows, columns


def fitted(
    mask: NDArray[np.float32], inside: tuple[int, int], side: int, whole: tuple[int, int]
) -> Tensor:
    """Logits over the whole image as a model takes them: (1, h, w), padded as background."""
    import torch
    import torch.nn.functional as F

    rows, columns = covered(inside, side, whole)
    given = torch.from_numpy(mask.copy())[None, None]
    resized = F.interpolate(given, (rows, columns), mode="bilinear", align_corners=False)
    padding = (0, whole[1] - columns, 0, whole[0] - rows)
    return F.pad(resized[0], padding, value=float(mask.min()))


def upscaled(low: Tensor, inside: tuple[int, int], side: int, size: tuple[int, int]) -> Tensor:
    """Masks (n, c, H, W) bool, where the logits (n, c, h, w) are positive at the image's size.

    Without padding that is one bilinear resizing. With it, the reference resizes every mask to the
    model's input, cuts the padding off and resizes again to the image. Both steps are linear and go
    row by row and column by column, so two small matrices do the same to the last bit of rounding,
    without the large masks.
    """
    import torch
    import torch.nn.functional as F

    # A few at a time: a large photo's masks are many numbers before the threshold.
    parts = torch.split(low, max(1, PIXELS // (low.shape[1] * size[0] * size[1])))
    if inside == (side, side):
        resized = (F.interpolate(p, size, mode="bilinear", align_corners=False) for p in parts)
        return torch.cat([part > 0 for part in resized])

    def resizing(known: int, kept: int, wanted: int) -> Tensor:
        """(wanted, known): both steps along one axis."""
        unit = torch.eye(known, device=low.device)[None, None]
        large = F.interpolate(unit, (side, known), mode="bilinear", align_corners=False)
        return F.interpolate(
            large[:, :, :kept], (wanted, known), mode="bilinear", align_corners=False
        )[0, 0]

    down = resizing(low.shape[-2], inside[0], size[0])
    across = resizing(low.shape[-1], inside[1], size[1]).T.contiguous()
    return torch.cat([down @ (part @ across) > 0 for part in parts])


def quick_bfloat16(kind: str) -> bool:
    """Whether a device of this kind ('cpu', 'cuda', 'mps') multiplies bfloat16 in hardware."""
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    # torch says so of a CPU only in functions of its own, which need not be there.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)
