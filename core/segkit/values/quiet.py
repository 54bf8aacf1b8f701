"""What Pillow warns of while it decodes is told to nobody: what matters, it raises."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_lock = threading.Lock()
_decoding = 0
"""How many threads decode."""
_filter: Any = None


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Nobody hears of large pictures, odd EXIF and the like; of others' warnings, all do.

    Python's filters are those of all threads. So no state of them is put back, which might be
    another thread's: one filter of Pillow's modules is there while anybody decodes, and is then
    taken out. Where another thread has saved the filters meanwhile, it stays.
    """
    global _decoding, _filter
    with _lock:
        if _filter is None or _filter not in warnings.filters:
            warnings.filterwarnings("ignore", module=r"PIL\.|pillow_")
            _filter = warnings.filters[0]
        _decoding += 1
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if not _decoding:
                with suppress(ValueError):
                    warnings.filters.remove(_filter)  # type: ignore[attr-defined]
