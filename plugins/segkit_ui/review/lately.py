"""What was read or worked out last, kept for as long as it is small enough."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

PIXELS = 100_000_000
"""As many pixels as the images of what is kept have together."""


class Lately(Generic[V]):
    """The values that were asked for last, the very last in any case. For several threads."""

    def __init__(self, size: Callable[[V], int], pixels: int = PIXELS) -> None:
        """`size`: how many pixels a value takes."""
        self._size, self._pixels = size, pixels
        self._lock = threading.RLock()
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value, made if it is not there."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            self._values.move_to_end(key)
            while len(self._values) > 1 and self._pixels < sum(
                map(self._size, self._values.values())
            ):
                self._values.popitem(last=False)
            return self._values[key]

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._values.clear()
