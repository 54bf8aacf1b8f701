"""The engine `workers`: processes on this machine walk the images."""

from __future__ import annotations

import os
from functools import partial

from segkit.running.engines.dispatched import Dispatched
from segkit.running.engines.processes import Processes


def workers_engine(count: int | None = None) -> Dispatched:
    """So many processes; None: as many as there are processors for this one."""
    return Dispatched(partial(Processes, count or processors()), apart=True)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
