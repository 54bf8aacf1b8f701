"""Each mask takes the class that most of the class map's pixels inside it have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segkit import BACKGROUND, VOID, Fuser, Image, Labels, Masks, hookimpl, id_of

BLOCK = 2048
"""Pixels that are looked at together to find out where a mask begins and ends."""

SAMPLE = 16
"""Of so many pixels one is looked at to guess a mask's majority."""


class Vote(Fuser):
    """Majority vote of a class map inside masks: the map says what, the masks say where.

    All pixels of a mask get the class that most of them have in the class map, background being a
    class like any other. Of classes with equally many pixels the one met first wins, reading the
    mask row by row. Void pixels (255) have no vote. What no mask covers keeps its class, and so
    does a mask without votes or with too small a majority (`--vote.purity`). Masks that have names
    do not keep them.

    The classes of the map get the data set's ids by name, as `paint` does it.
    """

    name = "vote"

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "none": {},
        "sequential": {"mode": "rewriting", "order": "given", "overlap": "last", "purity": 0.0},
    }

    preset: Literal["none", "sequential"] = "none"
    """sequential: mode rewriting, order given, overlap last, purity 0, as in a plain loop over the
    masks of an automatic mask generator that rewrites the class map mask by mask."""

    mode: Literal["original", "rewriting"] = "original"
    """original: every mask votes on the class map as it was. rewriting: on the map as the masks
    before have left it."""

    order: Literal["given", "area", "score"] = "area"
    """In which order masks are painted. given: as they come. area: the largest first. score: the
    lowest first. Equal ones stay as they come."""

    overlap: Literal["last", "first", "purest"] = "last"
    """Which mask gets a pixel that several cover: the one painted last, the one painted first, or
    the one with the largest share of its own majority (of equal ones the first)."""

    purity: float = Field(0.0, ge=0, le=1)
    """Least share that the majority must have of a mask's voting pixels; a mask with less is left
    out."""

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, options: Any) -> Any:
        """Options that are not given come from the preset."""
        if not isinstance(options, dict):
            return options
        return {**cls.PRESETS.get(str(options.get("preset")), {}), **options}

    @model_validator(mode="after")
    def _keep_preset(self) -> Vote:
        for option, value in self.PRESETS[self.preset].items():
            if (own := getattr(self, option)) != value:
                raise ValueError(
                    f"preset {self.preset} means {option} {value}, but {option} is {own}; leave "
                    "one of the two out"
                )
        return self

    def __call__(
        self,
        image: Image,
        labels: Labels,
        masks: Masks,
        classes: Mapping[int, str] | None = None,
    ) -> Labels:
        """The class map (H, W) after the vote, with the data set's classes and those of the map."""
        ids, names = _renumbered(labels, classes)
        return Labels(self._voted(ids, masks), names)

    def _voted(self, ids: NDArray[np.int32], masks: Masks) -> NDArray[np.int32]:
        """(H, W) ids after the vote. Time grows with the masks' own pixels."""
        # The vote counts places in a list of values: bytes if possible, for they are quickest.
        values = None if ids.max(initial=0) < 256 else np.unique(ids)
        codes = ids if values is None else np.searchsorted(values, ids)
        small = values is None or len(values) <= 256
        made: NDArray[Any] = codes.astype(np.uint8 if small else np.intp).ravel()
        void = VOID if values is None else _place(values, VOID)

        pixels = masks.masks.reshape(len(masks), -1)
        seen = made if self.mode == "rewriting" else made.copy()
        free = np.ones(made.shape, bool) if self.overlap == "first" else None
        best = np.zeros(made.shape, np.float32) if self.overlap == "purest" else None
        for i, first, end in self._spans(pixels, masks.scores):
            inside = pixels[i, first:end]
            code, share = _majority(seen[first:end][inside], void)
            if code is None or share < self.purity:
                continue
            if free is not None:
                inside = inside & free[first:end]
                free[first:end][inside] = False
            elif best is not None:
                inside = inside & (best[first:end] < share)
                best[first:end][inside] = share
            np.copyto(made[first:end], made.dtype.type(code), where=inside)
        voted = made if values is None else values[made]
        return voted.astype(np.int32).reshape(ids.shape)

    def _spans(
        self, pixels: NDArray[np.bool_], scores: NDArray[np.float32]
    ) -> list[tuple[int, int, int]]:
        """The masks that are not empty, in painting order.

        Each as its index and a range of pixels, row by row, that it lies in.
        """
        blocks = np.logical_or.reduceat(pixels, np.arange(0, pixels.shape[1], BLOCK), axis=1)
        first = blocks.argmax(axis=1) * BLOCK
        end = (blocks.shape[1] - blocks[:, ::-1].argmax(axis=1)) * BLOCK
        order = np.arange(len(pixels))
        if self.order == "area":
            areas = [np.count_nonzero(pixels[i, first[i] : end[i]]) for i in order]
            order = np.argsort(-np.array(areas, np.int64), kind="stable")
        elif self.order == "score":
            order = np.argsort(scores, kind="stable")
        some = blocks.any(axis=1)
        return [(int(i), int(first[i]), int(end[i])) for i in order if some[i]]


def _majority(votes: NDArray[Any], void: int | None) -> tuple[int | None, float]:
    """The code that most votes have, of equal ones the first, and its share; None without votes."""
    if void is not None and (votes == void).any():
        votes = votes[votes != void]
    if not len(votes):
        return None, 0.0
    # Mostly one class has more than half of a mask, and counting one is quick.
    guess = int(np.bincount(votes[::SAMPLE]).argmax())
    count = np.count_nonzero(votes == guess)
    if 2 * count <= len(votes):
        counts = np.bincount(votes)
        count = int(counts.max())
        (equal,) = np.nonzero(counts == count)
        guess = int(equal[0] if len(equal) == 1 else votes[np.isin(votes, equal).argmax()])
    return guess, count / len(votes)


def _place(values: NDArray[np.int32], value: int) -> int | None:
    """Where a value stands in sorted values, or None."""
    (places,) = np.nonzero(values == value)
    return int(places[0]) if len(places) else None


def _renumbered(
    labels: Labels, classes: Mapping[int, str] | None
) -> tuple[NDArray[np.int32], dict[int, str]]:
    """The class map's ids (H, W) under the data set's ids by name, and all names.

    A class of the map without a name keeps its id, and is called 'class 7' if nobody named it.
    """
    names = dict(classes or {})
    present = (
        np.flatnonzero(np.bincount(labels.ids.ravel()))
        if labels.ids.max(initial=0) < 1 << 16
        else np.unique(labels.ids)
    )
    for i in present.tolist():
        if i not in (BACKGROUND, VOID) and i not in labels.classes:
            names.setdefault(i, f"class {i}")
    moved = {i: id_of(name, names) for i, name in labels.classes.items()}
    targets = np.array([moved.get(i, i) for i in present.tolist()], np.int32)
    if np.array_equal(targets, present):
        return labels.ids, names
    return targets[np.searchsorted(present, labels.ids)], names


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `vote`."""
    return [Vote]
