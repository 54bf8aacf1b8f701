"""The browser helper stands here, the toy steps beside the core's tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "core")]
