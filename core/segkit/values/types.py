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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError
from segkit.values.checking import (
    check_finite,
    check_name,
    checked_array,
    checked_items,
    checked_score,
)
from segkit.values.classes import BACKGROUND as BACKGROUND
from segkit.values.classes import VOID as VOID
from segkit.values.classes import checked_classes
from segkit.values.masks import Mask as Mask
from segkit.values.masks import Masks as Masks
from segkit.values.showing import counted, listed, pixels_of, scored
from segkit.values.waiting import at_hand

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

    def __repr__(self) -> str:
        return f"Image({self.name!r}, {pixels_of(self.size)})"


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
        self._check_class()

    def _check_class(self) -> None:
        check_name("Heatmap", self.name)
        object.__setattr__(self, "score", checked_score("Heatmap", self.score))

    @classmethod
    def deferred(
        cls,
        make: Callable[[], NDArray[np.float32]],
        size: tuple[int, int],
        name: str | None = None,
        score: float = 1.0,
    ) -> Heatmap:
        """A heatmap whose values are made when they are read, and kept until others are.

        For methods that may make many large ones: these wait without their pixels. `make` returns
        (H, W) float32 in [0, 1], each time the same; `size` is (H, W).
        """
        heatmap = cls.__new__(cls)
        heatmap.__dict__.update(_make=make, _size=size, name=name, score=score)
        heatmap._check_class()
        return heatmap

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The values of a deferred one."""
            if name != "values" or "_make" not in self.__dict__:
                raise AttributeError(f"'Heatmap' object has no attribute {name!r}")
            return at_hand(self, lambda: Heatmap(self._make()).values)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the values, not what makes them."""
        return {"values": self.values, "name": self.name, "score": self.score}

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.__dict__["_size"] if self._is_deferred else self.values.shape
        return height, width

    @property
    def _is_deferred(self) -> bool:
        """Whether its values are made when they are read."""
        return "_make" in self.__dict__

    @property
    def _waiting_bytes(self) -> int:
        """The bytes that its values take while it waits for the next step."""
        return 0 if self._is_deferred else self.values.nbytes

    def __repr__(self) -> str:
        return f"Heatmap({pixels_of(self.size)}: {scored(self.name, self.score)})"


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

    def __repr__(self) -> str:
        asked = [counted(len(self.points), "point")] if len(self.points) else []
        asked += [name for name in ("box", "mask") if getattr(self, name) is not None]
        return f"Prompt({' + '.join(asked) or 'nothing'}: {scored(self.name, self.score)})"

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

    def __repr__(self) -> str:
        names = [f"{i} {name}" for i, name in self.classes.items()]
        return f"Labels({pixels_of(self.ids.shape)}: {listed(names) or 'no class is named'})"


def _filled(array: ArrayLike) -> bool:
    """Whether it holds anything, be it no array at all, which is told later."""
    try:
        return bool(np.size(array))
    except ValueError:
        return True


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

    def __repr__(self) -> str:
        if self.instances is None:
            return f"Truth({self.labels})"
        objects = {*np.unique(self.instances).tolist()} - {BACKGROUND, VOID}
        return f"Truth({self.labels}, {counted(len(objects), 'instance')})"
