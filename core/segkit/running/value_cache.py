"""Values that stay from one piece of work to the next, as far as they have room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


class ValueCache:
    """Values by what decided them, the last used ones as far as they have room."""

    def __init__(self, room: int) -> None:
        """`room`: in bytes."""
        self.room = room
        self.bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value; `shrink` makes room for it."""
        size = bytes_of(value)
        self._values[key] = value, size
        self.bytes += size

    def shrink(self, needed: Iterable[Hashable]) -> None:
        """Drop what was not used for longest and is not needed, until the rest has room."""
        stays = set(needed)
        for key in [key for key in self._values if key not in stays]:
            if self.bytes <= self.room:
                break
            self.bytes -= self._values.pop(key)[1]

    def clear(self) -> None:
        """Drop all."""
        self._values.clear()
        self.bytes = 0


def bytes_of(value: Any) -> int:
    """How much memory a value's arrays and tensors take, whatever they are wrapped in."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if is_dataclass(value) and not isinstance(value, type):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(bytes_of, value))
    return 0
