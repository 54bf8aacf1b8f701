"""How `Masks` hold their arrays: as they are, or packed and in a file where they are large."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError
from segkit.values.bitmaps import PackedMasks, large
from segkit.values.checking import check_finite, checked_array
from segkit.values.waiting import Rows, at_hand, owner_of


class HeldMasks:
    """The arrays `masks` and `logits` of `Masks`, and what needs no array of all masks.

    Where the masks are packed, or the logits lie in a file, an array of all is made when it is
    read, and kept until another is.
    """

    if TYPE_CHECKING:
        masks: NDArray[np.bool_]
        logits: NDArray[np.float32] | None
    else:

        def __getattr__(self, name: str) -> Any:
            """An array that is held in another form."""
            own = self.__dict__.get({"masks": "packed", "logits": "_rows"}.get(name, ""))
            if own is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return at_hand(own, own.unpacked if name == "masks" else own.read)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: no file."""
        state = dict(self.__dict__)
        if "_rows" in state:
            state["logits"] = state.pop("_rows").read()
        return state

    def _hold_masks(self) -> int:
        """Check the masks that were given, and return how many they are."""
        given: Any = self.masks
        packed = given if isinstance(given, PackedMasks) else owner_of(given)
        if isinstance(packed, PackedMasks):
            self.__dict__["packed"] = packed
            del self.__dict__["masks"]
            return len(packed)
        masks = checked_array("Masks", "masks", given, np.bool_, ("n", "H", "W"))
        self.__dict__["masks"] = masks
        return len(masks)

    def _hold_logits(self, count: int) -> None:
        """Check the logits that were given."""
        given: Any = self.logits
        rows = given if isinstance(given, Rows) else owner_of(given)
        if isinstance(rows, Rows):
            if len(rows) != count:
                raise BadValueError(f"Masks.logits should be {count}, but are {len(rows)}")
            self.__dict__["_rows"] = rows
            del self.__dict__["logits"]
        elif given is not None:
            logits = checked_array("Masks", "logits", given, np.float32, (count, "h", "w"))
            check_finite("Masks", "logits", logits)
            self.__dict__["logits"] = logits

    @property
    def held(self) -> NDArray[np.bool_] | PackedMasks:
        """The masks as they are held: (n, H, W) bool, or packed."""
        masks: NDArray[np.bool_] | None = self.__dict__.get("masks")
        return self.packed if masks is None else masks

    @property
    def _held_logits(self) -> NDArray[np.float32] | Rows | None:
        """The logits as they are held: (n, h, w) float32, in a file, or None."""
        rows: Rows | None = self.__dict__.get("_rows")
        return self.logits if rows is None else rows

    def _logits_at(self, index: int) -> NDArray[np.float32] | None:
        """The logits (h, w) of one mask, or None, without reading those of all."""
        logits = self._held_logits
        if isinstance(logits, Rows):
            return logits.take([index]).read()[0]
        return None if logits is None else np.asarray(logits[index])

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        held = self.held
        return held.size if isinstance(held, PackedMasks) else (held.shape[1], held.shape[2])

    @cached_property
    def packed(self) -> PackedMasks:
        """The masks, each cut to its bounding box and eight pixels a byte."""
        return PackedMasks.of(self.masks)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """(n,): how many pixels each mask has."""
        held = self.held
        if isinstance(held, PackedMasks):
            return held.areas
        return np.array([np.count_nonzero(mask) for mask in held], np.int64)

    def at(self, index: int) -> NDArray[np.bool_]:
        """One mask, (H, W) bool, without an array of all."""
        mask: NDArray[np.bool_] = self.held[index]
        return mask

    def arrays(self) -> Iterator[NDArray[np.bool_]]:
        """The masks one after another, each (H, W) bool, without an array of all."""
        return (self.at(index) for index in range(len(self.held)))

    def cut_out(self, index: int) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """Rows and columns outside of which a mask has no pixel, and its pixels in them.

        A packed mask is cut to its bounding box; of another, all rows and columns are given.
        """
        held = self.held
        if isinstance(held, PackedMasks):
            return held.bitmaps[index].place, held.bitmaps[index].inside
        return (slice(None), slice(None)), held[index]

    def covered(self, chosen: ArrayLike | None = None) -> NDArray[np.bool_]:
        """(H, W) bool: pixels of at least one mask, or of one of those in `chosen` (n,) bool."""
        held = self.held
        places = np.arange(len(held)) if chosen is None else np.flatnonzero(chosen)
        if isinstance(held, PackedMasks):
            return held.covered(places.tolist())
        return np.asarray((held if chosen is None else held[places]).any(axis=0))

    @property
    def _waiting_bytes(self) -> int:
        """The bytes that the masks and their logits take while they wait for the next step."""
        logits = self._held_logits
        return self.held.nbytes + (logits.nbytes if isinstance(logits, np.ndarray) else 0)


def masks_joined(
    size: tuple[int, int], parts: list[NDArray[np.bool_] | PackedMasks]
) -> NDArray[np.bool_] | PackedMasks:
    """The masks of several, all of the size (H, W), one after another."""
    arrays = [part for part in parts if not isinstance(part, PackedMasks)]
    if len(arrays) == len(parts) and not large(sum(part.nbytes for part in arrays)):
        masks = np.concatenate(arrays)
        masks.flags.writeable = False  # it is nobody else's, and need not be copied
        return masks
    return PackedMasks.joined(
        size, [p if isinstance(p, PackedMasks) else PackedMasks.of(p) for p in parts]
    )
