"""Masks of one image, and one of them; the other values are in `segkit.values.types`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError
from segkit.values.bitmaps import PackedMasks, large
from segkit.values.checking import check_finite, checked_array, checked_names
from segkit.values.held import HeldMasks
from segkit.values.showing import counted, listed, pixels_of, scored
from segkit.values.waiting import Rows


@dataclass(frozen=True, eq=False)
class Mask:
    """One of an image's masks: an item of `Masks`. As an array it is its pixels."""

    pixels: NDArray[np.bool_]
    """(H, W) bool."""
    score: float
    """The quality that the segmenter expects, for SAM the predicted IoU."""
    prompt: int
    """The index of the prompt that it answers."""
    name: str | None = None
    """Its class, or None."""
    logits: NDArray[np.float32] | None = None
    """(h, w) float32 at the segmenter's own low resolution, positive = object; or None."""
    quality: float | None = None
    """From 0 to 1, how good a judge holds it for; or None."""

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return int(self.pixels.sum())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.pixels, dtype) if copy else np.asarray(self.pixels, dtype)

    def __repr__(self) -> str:
        said = scored(self.name, self.score, self.quality)
        return f"Mask({pixels_of(self.pixels.shape)}: {said}, {counted(self.area, 'pixel')})"


@dataclass(frozen=True, eq=False)
class Masks(HeldMasks):
    """Masks of one image: several candidates per prompt before selection, one after.

    `masks[0]` is a `Mask`, and so is each of `for mask in masks`; `masks[1:]`,
    `masks[masks.scores > 0.9]` and `masks[[2, 0]]` are `Masks`.

    Many masks of a large image are held packed (`PackedMasks`), and `masks` is made when it is
    read. A step that takes them one by one (`arrays`, `at`) needs no room for all.
    """

    masks: NDArray[np.bool_]
    """(n, H, W) bool; `PackedMasks` may be given."""
    scores: NDArray[np.float32]
    """(n,) float32: the quality that the segmenter expects, for SAM the predicted IoU."""
    prompt: NDArray[np.int64]
    """(n,) int: the index of the prompt that each mask answers."""
    names: tuple[str | None, ...] = ()
    """(n,): the class of each mask, or None. Left out, None for each."""
    logits: NDArray[np.float32] | None = None
    """(n, h, w) float32 over the whole image at the segmenter's own low resolution, positive =
    object; or None."""
    quality: NDArray[np.float32] | None = None
    """(n,) float32 from 0 to 1: how good a judge holds each mask for; or None."""

    if TYPE_CHECKING:

        def __init__(
            self,
            masks: ArrayLike | PackedMasks,
            scores: ArrayLike,
            prompt: ArrayLike,
            names: tuple[str | None, ...] = (),
            logits: ArrayLike | Rows | None = None,
            quality: ArrayLike | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        n = self._hold_masks()
        scores = checked_array("Masks", "scores", self.scores, np.float32, (n,))
        check_finite("Masks", "scores", scores)
        object.__setattr__(self, "scores", scores)
        prompt = checked_array("Masks", "prompt", self.prompt, np.int64, (n,))
        if n and prompt.min() < 0:
            raise BadValueError("Masks.prompt should hold indices from 0, but has a negative one")
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "names", checked_names("Masks", self.names, n))
        self._hold_logits(n)
        if self.quality is not None:
            quality = checked_array("Masks", "quality", self.quality, np.float32, (n,))
            if not ((quality >= 0) & (quality <= 1)).all():
                ends = f"{quality.min():.4g} to {quality.max():.4g}"  # NaN, if there is one
                raise BadValueError(
                    f"Masks.quality should lie from 0 to 1, but reaches from {ends}"
                )
            object.__setattr__(self, "quality", quality)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Mask]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Mask: ...

    @overload
    def __getitem__(self, index: slice | ArrayLike) -> Masks: ...

    def __getitem__(self, index: int | slice | ArrayLike) -> Mask | Masks:
        """One mask, or those of a slice, of a list of indices or of (n,) bool, as numpy does it.

        Raises `IndexError` for what there is not.
        """
        places = np.arange(len(self))
        wanted = index if isinstance(index, (int, slice)) else np.asarray(index)
        if isinstance(wanted, np.ndarray) and not wanted.size:
            wanted = wanted.astype(np.int64)  # an empty list has no type of its own
        chosen = places[wanted]
        if np.ndim(chosen):
            return self.take(chosen)
        i = int(chosen)
        return Mask(
            self.at(i),
            float(self.scores[i]),
            int(self.prompt[i]),
            self.names[i],
            self._logits_at(i),
            None if self.quality is None else float(self.quality[i]),
        )

    def __repr__(self) -> str:
        quality = repeat(None) if self.quality is None else self.quality.tolist()
        said = [*map(scored, self.names, self.scores.tolist(), quality)]
        of = f" of {pixels_of(self.size)}"
        return f"Masks({len(self)}{of}{': ' if said else ''}{listed(said)})"

    @property
    def overall(self) -> float | None:
        """How good a judge holds them for together: the mean quality over their pixels.

        None where nobody has judged, 0 without a pixel.
        """
        if self.quality is None:
            return None
        areas = self.areas.astype(np.float64)
        return float((self.quality * areas).sum() / areas.sum()) if areas.any() else 0.0

    @classmethod
    def none(cls, size: tuple[int, int]) -> Masks:
        """No mask at all, for an image of (H, W)."""
        return cls(np.zeros((0, *size), bool), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def take(self, indices: ArrayLike) -> Masks:
        """The masks at these indices, in this order."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        masks, logits = self.held, self._held_logits
        return Masks(
            masks.take(chosen) if isinstance(masks, PackedMasks) else _own(masks[chosen]),
            self.scores[chosen],
            self.prompt[chosen],
            tuple(self.names[i] for i in chosen),
            logits.take(chosen)
            if isinstance(logits, Rows)
            else None
            if logits is None
            else _own(logits[chosen]),
            None if self.quality is None else self.quality[chosen],
        )

    def changed(self, **parts: Any) -> Masks:
        """The same masks with other scores, prompts, names, logits or qualities.

        `dataclasses.replace` does the same, but reads an array of all masks for it.
        """
        own = {name: getattr(self, name) for name in ("scores", "prompt", "names", "quality")}
        return Masks(**{"masks": self.held, "logits": self._held_logits, **own, **parts})

    def _as_it_waits(self) -> Masks:
        """These masks as they wait for the next step: packed where they are large."""
        masks = self.held
        dense = not isinstance(masks, PackedMasks)
        return self.changed(masks=self.packed) if dense and large(masks.nbytes) else self


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """A new array, which is nobody else's and need not be copied."""
    array.flags.writeable = False
    return array


# A field's default stays in its class, where it would hide that logits may be held in a file.
del Masks.logits
