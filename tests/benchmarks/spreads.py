"""How the benchmarks print what several turns gave."""

from __future__ import annotations

import statistics
from collections.abc import Iterable


def spread(values: Iterable[float], target: str = "") -> str:
    """`1.02 / 1.05 / 1.11 (minimum, median, maximum)`, with the target where there is one."""
    values = sorted(values)
    said = " / ".join(f"{v:.2f}" for v in (values[0], statistics.median(values), values[-1]))
    return f"{said} (minimum, median, maximum{f'; target {target}' if target else ''})"
