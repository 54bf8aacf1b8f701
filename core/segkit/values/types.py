"""The values that flow from step to step: images, heatmaps, prompts, masks, labels, counts.

Coordinates are pixels of the image, x to the right and y down, and whole numbers name pixel
centres: the top-left pixel is (0, 0). A box names its first and its last pixel. H and W are the
image's height and width throughout.

Each value checks itself once when it is made, copies nothing that it may keep, and is read-only
from then on, so the steps can trust what they get. What does not fit raises `BadValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError
from segkit.values.checking import (
    check_finite,
    check_name,
    checked_array,
    checked_items,
    checked_names,
    checked_score,
    short_repr,
)

BACKGROUND = 0
"""The class id of everything that is no object."""

VOID = 255
"""The class id of pixels that every metric leaves out."""

Counts = dict[str, float]
"""What a metric counts on one image. Counts of several images are added key by key."""

Scores = dict[str, float]
"""What a metric prints, made from added counts."""


@dataclass(frozen=True, eq=False)
class Image:
    """One picture."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) uint8, RGB; H and W at least 1."""
    name: str
    """The file's stem; unique within a data set. Files of a run are named after it."""

    def __post_init__(self) -> None:
        pixels = checked_array("Image", "pixels", self.pixels, np.uint8, ("H", "W", 3))
        if 0 in pixels.shape:
            raise BadValueError(f"Image.pixels should not be empty, but has shape {pixels.shape}")
        object.__setattr__(self, "pixels", pixels)
        if not isinstance(self.name, str) or not self.name:
            raise BadValueError(f"Image.name should be a non-empty string, but is {self.name!r}")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Where in the image one class is seen."""

    values: NDArray[np.float32]
    """(H, W) float32 in [0, 1]. All zero means: nothing seen."""
    name: str | None = None
    """The class it shows, or None."""
    score: float = 1.0
    """How sure the model is of that class, e.g. its softmax probability."""

    def __post_init__(self) -> None:
        values = checked_array("Heatmap", "values", self.values, np.float32, ("H", "W"))
        check_finite("Heatmap", "values", values)
        if values.size and (values.min() < 0 or values.max() > 1):
            raise BadValueError(
                "Heatmap.values should lie in [0, 1], but reach from "
                f"{values.min():.4g} to {values.max():.4g}"
            )
        object.__setattr__(self, "values", values)
        check_name("Heatmap", self.name)
        object.__setattr__(self, "score", checked_score("Heatmap", self.score))


Look: TypeAlias = Callable[[Image], tuple[Heatmap, ...]]
"""What a second look asks again with: the heatmaps of another picture of the image's size."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is asked of a segmenter about one object: points, a box, a coarse mask, or several."""

    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """(n, 2) float32, x and y in pixels of the image."""
    signs: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    """(n,) bool: True = on the object, False = background. Left out, all points are True."""
    box: NDArray[np.float32] | None = None
    """(4,) float32: x and y of the first pixel, x and y of the last; or None."""
    mask: NDArray[np.float32] | None = None
    """(h, w) float32 logits over the whole image at any resolution, positive = object; or None."""
    name: str | None = None
    """The class of the object, or None."""
    score: float = 1.0
    """How sure the prompter is that the object is there."""

    if TYPE_CHECKING:  # lists and tuples are welcome; the fields themselves are arrays

        def __init__(
            self,
            points: ArrayLike = ...,
            signs: ArrayLike = ...,
            box: ArrayLike | None = None,
            mask: ArrayLike | None = None,
            name: str | None = None,
            score: float = 1.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        points = self.points if _filled(self.points) else np.zeros((0, 2), np.float32)
        points = checked_array("Prompt", "points", points, np.float32, ("n", 2))
        check_finite("Prompt", "points", points)
        object.__setattr__(self, "points", points)
        signs = self.signs
        if len(points) and not _filled(signs):
            signs = np.ones(len(points), bool)
        signs = signs if _filled(signs) else np.zeros(0, bool)
        object.__setattr__(
            self, "signs", checked_array("Prompt", "signs", signs, np.bool_, (len(points),))
        )
        if self.box is not None:
            box = checked_array("Prompt", "box", self.box, np.float32, (4,))
            check_finite("Prompt", "box", box)
            if box[0] > box[2] or box[1] > box[3]:
                raise BadValueError(
                    "Prompt.box should be first x, first y, last x, last y, but is "
                    f"{[round(float(v), 2) for v in box]}"
                )
            object.__setattr__(self, "box", box)
        if self.mask is not None:
            mask = checked_array("Prompt", "mask", self.mask, np.float32, ("h", "w"))
            check_finite("Prompt", "mask", mask)
            object.__setattr__(self, "mask", mask)
        check_name("Prompt", self.name)
        object.__setattr__(self, "score", checked_score("Prompt", self.score))

    @property
    def empty(self) -> bool:
        """Whether it asks nothing: no point, no box, no mask."""
        return not len(self.points) and self.box is None and self.mask is None

    def merged(self, other: Prompt) -> Prompt:
        """Both as one prompt about one object: all points; the box, mask and name that either has.

        Raises `BadValueError` if both have a box, or both have a mask.
        """
        if self.box is not None and other.box is not None:
            raise BadValueError("two prompts with a box each cannot be merged into one prompt")
        if self.mask is not None and other.mask is not None:
            raise BadValueError("two prompts with a mask each cannot be merged into one prompt")
        return Prompt(
            points=np.concatenate([self.points, other.points]),
            signs=np.concatenate([self.signs, other.signs]),
            box=self.box if self.box is not None else other.box,
            mask=self.mask if self.mask is not None else other.mask,
            name=self.name if self.name is not None else other.name,
            score=min(self.score, other.score),
        )


@dataclass(frozen=True, eq=False)
class Prompts:
    """All prompts of one image: one prompt is one object.

    Several points of one object are one prompt; several objects are several prompts.
    """

    items: tuple[Prompt, ...] = ()

    def __post_init__(self) -> None:
        items = checked_items(
            "Prompts.items", (self.items,) if isinstance(self.items, Prompt) else self.items
        )
        for item in items:
            if not isinstance(item, Prompt):
                raise BadValueError(
                    f"Prompts.items should be Prompt values, but has a {type(item).__name__}"
                )
        object.__setattr__(self, "items", items)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Prompt:
        return self.items[index]

    def named(self, name: str | None, score: float) -> Prompts:
        """The same prompts; those without a class get this one and its score."""
        return Prompts(
            tuple(p if p.name is not None else replace(p, name=name, score=score) for p in self)
        )


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of one image: several candidates per prompt before selection, one after."""

    masks: NDArray[np.bool_]
    """(n, H, W) bool."""
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
            masks: ArrayLike,
            scores: ArrayLike,
            prompt: ArrayLike,
            names: tuple[str | None, ...] = (),
            logits: ArrayLike | None = None,
            quality: ArrayLike | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        masks = checked_array("Masks", "masks", self.masks, np.bool_, ("n", "H", "W"))
        n = len(masks)
        object.__setattr__(self, "masks", masks)
        scores = checked_array("Masks", "scores", self.scores, np.float32, (n,))
        check_finite("Masks", "scores", scores)
        object.__setattr__(self, "scores", scores)
        prompt = checked_array("Masks", "prompt", self.prompt, np.int64, (n,))
        if n and prompt.min() < 0:
            raise BadValueError("Masks.prompt should hold indices from 0, but has a negative one")
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "names", checked_names("Masks", self.names, n))
        if self.logits is not None:
            logits = checked_array("Masks", "logits", self.logits, np.float32, (n, "h", "w"))
            check_finite("Masks", "logits", logits)
            object.__setattr__(self, "logits", logits)
        if self.quality is not None:
            quality = checked_array("Masks", "quality", self.quality, np.float32, (n,))
            if not ((quality >= 0) & (quality <= 1)).all():
                ends = f"{quality.min():.4g} to {quality.max():.4g}"  # NaN, if there is one
                raise BadValueError(
                    f"Masks.quality should lie from 0 to 1, but reaches from {ends}"
                )
            object.__setattr__(self, "quality", quality)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def overall(self) -> float | None:
        """How good a judge holds them for together: the mean quality over their pixels.

        None where nobody has judged, 0 without a pixel.
        """
        if self.quality is None:
            return None
        areas = self.masks.sum(axis=(1, 2), dtype=np.float64)
        return float((self.quality * areas).sum() / areas.sum()) if areas.any() else 0.0

    @classmethod
    def none(cls, size: tuple[int, int]) -> Masks:
        """No mask at all, for an image of (H, W)."""
        return cls(np.zeros((0, *size), bool), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def take(self, indices: ArrayLike) -> Masks:
        """The masks at these indices, in this order."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        return Masks(
            self.masks[chosen],
            self.scores[chosen],
            self.prompt[chosen],
            tuple(self.names[i] for i in chosen),
            None if self.logits is None else self.logits[chosen],
            None if self.quality is None else self.quality[chosen],
        )


@dataclass(frozen=True, eq=False)
class Labels:
    """A class map: which class each pixel shows."""

    ids: NDArray[np.int32]
    """(H, W) int32: 0 background, 255 void (left out by every metric), others as in `classes`."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """Id to name, background and void left out."""

    def __post_init__(self) -> None:
        ids = checked_array("Labels", "ids", self.ids, np.int32, ("H", "W"))
        if ids.size and ids.min() < 0:
            raise BadValueError(f"Labels.ids should be 0 or more, but reach down to {ids.min()}")
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "classes", checked_classes("Labels.classes", self.classes))


def _filled(array: ArrayLike) -> bool:
    """Whether it holds anything, be it no array at all, which is told later."""
    try:
        return bool(np.size(array))
    except ValueError:
        return True


def checked_classes(owner: str, classes: Mapping[int, str]) -> dict[int, str]:
    """Return a checked copy of {id: name}; background and void may not be named, names differ."""
    if not isinstance(classes, Mapping):
        raise BadValueError(f"{owner} should be a dict of id to name, but is {short_repr(classes)}")
    for i, name in classes.items():
        if not isinstance(i, (int, np.integer)) or not isinstance(name, str):
            raise BadValueError(
                f"{owner} should have whole numbers for ids and texts for names, but has "
                f"{short_repr(i)}: {short_repr(name)}"
            )
    checked = {int(i): str(name) for i, name in classes.items()}
    if any(i <= BACKGROUND or i == VOID for i in checked):
        raise BadValueError(
            f"{owner} should have ids from 1, without 255 (void), but has {sorted(checked)}"
        )
    if len(set(checked.values())) != len(checked):
        raise BadValueError(f"{owner} should have a different name for each id, but repeats one")
    return checked


def id_of(name: str, classes: dict[int, str]) -> int:
    """The id of a class name; a name that `classes` lacks is added under the next free id."""
    for i, known in classes.items():
        if known == name:
            return i
    new = max(classes, default=BACKGROUND) + 1
    new += new == VOID
    classes[new] = name
    return new


@dataclass(frozen=True, eq=False)
class Truth:
    """What is really in the image."""

    labels: Labels
    """The true class map."""
    instances: NDArray[np.int32] | None = None
    """(H, W) int32: 0 background, 1 … n the objects, 255 void; or None."""

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Labels):
            raise BadValueError(
                f"Truth.labels should be Labels, but is a {type(self.labels).__name__}"
            )
        if self.instances is not None:
            size = self.labels.ids.shape
            instances = checked_array("Truth", "instances", self.instances, np.int32, size)
            object.__setattr__(self, "instances", instances)
