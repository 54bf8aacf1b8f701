"""Steps for several walkers, which tell what they do, and walks without a graph."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from toys import Best, Bright, Counting, Flood, Paint, Peak, Right, Squares

from segkit import Heatmap, Image, plan
from segkit.plugins.observers import Observers
from segkit.running.batches import Batches
from segkit.running.graph import Graph
from segkit.running.walk import Walk
from segkit.running.work import Work


class Seen(Counting):
    """Counts, and says at which image Ctrl-C is pressed."""

    interrupts = ""


SEEN = Seen()
"""What steps of all threads have done, as no copy of a step could tell: the test's own."""


@contextmanager
def two_cores():
    """As on a machine with two cores; what a test has seen begins anew."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    SEEN.__init__()
    SEEN.interrupts = ""
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert not walking()


def walking():
    return [t for t in threading.enumerate() if t.name.startswith("segkit-walker")]


class Weighed(Bright):
    """Has weights; notes in which thread and with how many of torch's it works."""

    name = "weighed"
    concurrent = True
    raises: str = ""
    weights: str = __file__

    def open(self, device):
        SEEN.opened += 1

    def close(self):
        SEEN.closed += 1

    def weight_files(self):
        return {"own": Path(self.weights)}

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        SEEN.calls.append((image.name, threading.current_thread().name, torch.get_num_threads()))
        if image.name == SEEN.interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        if image.name == self.raises:
            raise ValueError("no light")
        time.sleep(0.002 * (int(image.name.rpartition("-")[2]) % 3))
        return super().__call__(image)


class FewOpen(Weighed):
    """Can be opened once."""

    name = "few-open"

    def open(self, device):
        super().open(device)
        if SEEN.opened > 1:
            raise MemoryError


class Peaks(Peak):
    concurrent = True


class Floods(Flood):
    concurrent = True


class Bests(Best):
    concurrent = True


class Paints(Paint):
    concurrent = True


class Rights(Right):
    concurrent = True


class Made(Walk):
    """Makes outcomes as it is told to, in the place of a graph."""

    def __init__(self, count, outcomes):
        super().__init__(Squares(count=count), Squares(count=count).names, {}, {"a": EMPTY}, ONE)
        self._made = outcomes

    def outcomes(self, chunk, branches, work):
        yield from self._made(*chunk)


EMPTY = Graph().branch(plan([Squares(), Bright()]))
ONE = Batches(1)
HERE = [nullcontext, nullcontext]
WORK = Work({}, 0, Observers())
