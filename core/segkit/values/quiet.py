"""What Pillow warns of while it decodes is told to nobody: what matters, it raises."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_reading = 0
"""How many threads decode."""
_caught: Any = None


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Nobody hears of large pictures, odd EXIF and the like; of others' warnings, all do.

    Python's filters are those of all threads, and are put back as they were by whichever thread
    ends; so the first that decodes changes them, and the last one puts them back.
    """
    global _reading, _caught
    with _lock:
        if not _reading:
            _caught = warnings.catch_warnings()
            _caught.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.|pillow_")
        _reading += 1
    try:
        yield
    finally:
        with _lock:
            _reading -= 1
            if not _reading:
                _caught.__exit__(None, None, None)
