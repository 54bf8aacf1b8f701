"""What the SAM family shares: groups of prompts, and masks of low-resolution logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit import Masks, MaskStack, Prompt, Prompts
from segkit.values.waiting import RowStack

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
    stack, logits = MaskStack(size, sum(not prompt.empty for prompt in prompts)), RowStack()
    scores: list[NDArray[Any]] = []
    places: list[int] = []
    for place, masks, own_scores, low in answers:
        stack.add(masks)
        logits.add(low)
        scores.append(own_scores)
        places += [place] * len(own_scores)
    if not places:
        return Masks.none(size)
    names = tuple(prompts[place].name for place in places)
    made = Masks(stack.done(), np.concatenate(scores), places, names, logits.done())
    order = np.argsort(places, kind="stable")
    return made if (np.diff(places) >= 0).all() else made.take(order)


@dataclass(frozen=True)
class Frame:
    """How one image lies in a model's input, and where its logits lie in the image."""

    side: int
    """The model's square input in pixels, e.g. 1024."""
    low: tuple[int, int]
    """(h, w) of its logits, e.g. 256×256."""
    inside: tuple[int, int]
    """(h, w) of the resized image in the input."""
    size: tuple[int, int]
    """(H, W) of the image itself."""
    by_input: bool = True
    """Whether masks are enlarged in two steps, by way of the model's input, as Segment Anything
    does to cut its padding off; or in one, as models do that squeeze images into their input."""

    @property
    def covered(self) -> tuple[int, int]:
        """The rows and columns of the logits that the image covers, at least one each."""
        pairs = zip(self.inside, self.low, strict=True)
        rows, columns = (max(1, -(-n * m // self.side)) for n, m in pairs)
        return rows, columns

    def fitted(self, mask: NDArray[np.float32]) -> Tensor:
        """Logits (h, w) of the whole image as the model takes them: padded, (1, low, low)."""
        import torch
        import torch.nn.functional as F

        rows, columns = self.covered
        logits = torch.from_numpy(mask.copy())[None, None]
        resized = F.interpolate(logits, (rows, columns), mode="bilinear", align_corners=False)
        padding = (0, self.low[1] - columns, 0, self.low[0] - rows)
        return F.pad(resized[0], padding, value=float(mask.min()))

    def logits(self, low: Tensor) -> Tensor:
        """Logits (…, h, w) at the image's size (…, H, W).

        The reference resizes every mask to the model's input, cuts the padding off and resizes
        again to the image. Both steps are linear and go row by row and column by column, so two
        small matrices do the same to the last bit of rounding, without the large masks.
        """
        down, across = (m.to(low.device) for m in self.matrices)
        return down @ (low @ across)

    def masks(self, low: Tensor, threshold: float = 0.0) -> Tensor:
        """Masks (n, c, H, W) bool of logits (n, c, h, w): where they exceed `threshold`."""
        import torch

        # A few at a time: a large photo's masks are many numbers before the threshold.
        few = max(1, PIXELS // (low.shape[1] * self.size[0] * self.size[1]))
        return torch.cat([self.logits(part) > threshold for part in torch.split(low, few)])

    @cached_property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """(H, h) and (w, W): what enlarges logits from the left and from the right."""
        import torch
        import torch.nn.functional as F

        def resizing(known: int, kept: int, wanted: int) -> Tensor:
            """(wanted, known): one axis."""
            weights = torch.eye(known)[None, None]
            if self.by_input:
                weights = F.interpolate(
                    weights, (self.side, known), mode="bilinear", align_corners=False
                )[:, :, :kept]
            size = (wanted, known)
            return F.interpolate(weights, size, mode="bilinear", align_corners=False)[0, 0]

        down = resizing(self.low[0], self.inside[0], self.size[0])
        return down, resizing(self.low[1], self.inside[1], self.size[1]).T.contiguous()


def quick_bfloat16(kind: str) -> bool:
    """Whether a device of this kind ('cpu', 'cuda', 'mps') multiplies bfloat16 in hardware."""
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    # torch says so of a CPU only in functions of its own, which need not be there.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)
