"""What the SAM family shares: groups of prompts, and masks of low-resolution logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit import Masks, MaskStack, Prompt, Prompts
from segkit.values.waiting import RowStack

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PIXELS = 1 << 26
"""Masks' pixels that are worked on as floats at a time: 256 MiB."""

Answer = tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]
"""A prompt's place, and its masks (c, H, W), scores (c,) and logits (c, h, w)."""


def ambiguous(prompt: Prompt) -> bool:
    """Whether it is a single point and nothing else, which may mean a part or the whole."""
    return len(prompt.points) == 1 and prompt.box is None and prompt.mask is None


def _looks(prompt: Prompt, several: Callable[[Prompt], bool]) -> tuple[object, ...]:
    """What prompts have in common that are decoded together."""
    has = (prompt.box is not None, prompt.mask is not None)
    return (len(prompt.points), *has, several(prompt))


def alike(
    prompts: Iterable[Prompt], several: Callable[[Prompt], bool], most: int
) -> Iterator[tuple[list[int], list[Prompt]]]:
    """Prompts that can be decoded together, at most `most` at a time, with their places.

    Together go those with as many points, boxes, masks and candidates; those that ask nothing are
    left out.
    """
    asked = [*prompts]
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, prompt in enumerate(asked):
        if not prompt.empty:
            groups.setdefault(_looks(prompt, several), []).append(place)
    for places in groups.values():
        for start in range(0, len(places), most):
            some = places[start : start + most]
            yield some, [asked[i] for i in some]


def rows_of(
    several_prompts: Sequence[Prompts], several: Callable[[Prompt], bool], most: int
) -> Iterator[list[tuple[int, list[int], list[Prompt]]]]:
    """Rows of prompts of several images that can be decoded together, with image and places.

    A row has the prompts of one image that look alike, at most `most`; rows that are as long and
    look alike go together as long as they have no more prompts than that, or are a single one.
    """
    groups: dict[tuple[object, ...], list[tuple[int, list[int], list[Prompt]]]] = {}
    for image, prompts in enumerate(several_prompts):
        for places, some in alike(prompts, several, most):
            key = (len(some), *_looks(some[0], several))
            groups.setdefault(key, []).append((image, places, some))
    for rows in groups.values():
        step = max(1, most // len(rows[0][1]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def gathered(answers: Iterable[Answer], prompts: Prompts, size: tuple[int, int]) -> Masks:
    """All answers in the order of the prompts, for an image of (H, W)."""
    all_of_it = Gathering(prompts, size)
    for answer in answers:
        all_of_it.add(*answer)
    return all_of_it.done()


class Gathering:
    """The answers to an image's prompts, as they come; packed where they are many or large."""

    def __init__(self, prompts: Prompts, size: tuple[int, int]) -> None:
        """`size`: (H, W) of the image."""
        self.prompts, self.size = prompts, size
        expected = sum(not prompt.empty for prompt in prompts)
        self._masks = MaskStack(size, expected)
        self._logits = RowStack(expected)
        # As numbers: small arrays that stay where large ones come and go leave holes in the memory
        # that no other large one fits into, a quarter of a MiB a prompt.
        self._scores: list[float] = []
        self._places: list[int] = []

    def add(self, place: int, masks: NDArray[Any], scores: NDArray[Any], low: NDArray[Any]) -> None:
        """A prompt's place, and its masks (c, H, W), scores (c,) and logits (c, h, w)."""
        self._masks.add(masks)
        self._logits.add(low)
        self._scores += scores.tolist()
        self._places += [place] * len(scores)

    def done(self) -> Masks:
        """All in the order of the prompts."""
        places = self._places
        if not places:
            return Masks.none(self.size)
        names = tuple(self.prompts[place].name for place in places)
        made = Masks(self._masks.done(), self._scores, places, names, self._logits.done())
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

    def placed(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (…, 2) of the image, x before y, in the pixels of the model's input."""
        (rows, columns), (height, width) = self.inside, self.size
        return points.astype(np.float64) * (columns / width, rows / height)

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
        down, across = self.matrices(low.device)
        return down @ (low @ across)

    def matrices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(H, h) and (w, W): what enlarges logits from the left and from the right."""
        side = self.side if self.by_input else None
        rows, columns = zip(self.low, self.inside, self.size, strict=True)
        return (
            enlarging(*rows, side, device),
            enlarging(*columns, side, device, turned=True),
        )

    def masks(self, low: Tensor, threshold: float = 0.0) -> Tensor:
        """Masks (n, c, H, W) bool of logits (n, c, h, w): where they exceed `threshold`."""
        import torch

        # A few at a time: a large photo's masks are many numbers before the threshold.
        few = max(1, PIXELS // (low.shape[1] * self.size[0] * self.size[1]))
        return torch.cat([self.logits(part) > threshold for part in torch.split(low, few)])


def answers_of(
    frames: Sequence[Frame], low: Tensor, scores: Tensor, threshold: float = 0.0
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Of each prompt its masks (c, H, W), scores (c,) and logits (c, h, w) of what it covers.

    `frames`: how the image of each prompt lies in the model; `low` (n, c, low, low) logits and
    `scores` (n, c), on any device, from which all is copied at once.
    """
    import torch

    from segkit_plugins.shared.devices import to_host

    runs = [(frame, len([*run])) for frame, run in groupby(frames)]
    parts = [scores]
    for (frame, _), logits in zip(runs, torch.split(low, [n for _, n in runs]), strict=True):
        rows, columns = frame.covered
        parts += [frame.masks(logits, threshold), logits[..., :rows, :columns]]
    own_scores, *drawn = to_host(*parts)
    masks = (mask for part in drawn[::2] for mask in part)
    covered = (part_low for part in drawn[1::2] for part_low in part)
    return zip(masks, own_scores, covered, strict=True)


@lru_cache(maxsize=8)  # photos of one camera have one size, and a GPU should not wait for this
def enlarging(
    known: int,
    inside: int,
    wanted: int,
    side: int | None,
    device: torch.device,
    *,
    turned: bool = False,
) -> Tensor:
    """The matrix (wanted, known) that resizes one axis of logits to the image's.

    `side`: by way of the model's input of that side, of which `inside` pixels are the image; None:
    in one step. `turned`: the transpose, contiguous.
    """
    import torch
    import torch.nn.functional as F

    with torch.inference_mode(False), torch.no_grad():  # whoever comes next may want gradients
        weights = torch.eye(known)[None, None]
        if side is not None:
            weights = F.interpolate(weights, (side, known), mode="bilinear", align_corners=False)
            weights = weights[:, :, :inside]
        size = (wanted, known)
        matrix = F.interpolate(weights, size, mode="bilinear", align_corners=False)[0, 0]
        return (matrix.T.contiguous() if turned else matrix).to(device)
