"""How many images are worked on together: in a chunk, and in one call of a step."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol, cast

from segkit.memory import memory_of
from segkit.plugins.step import Step

FIRST = {"cpu": 4}
"""Images in the first chunk, by the kind of device …"""
FIRST_ON_GPU = 16
"""… and on any that is not named there."""

MOST = 64
"""A chunk that grows has no more images: a GPU has enough to do, and the host's memory pays."""

SHARE = 1 << 27
"""Bytes of the host that each of a chunk's images may take on average: 128 MiB."""

USED = 0.8
"""Share of the device's free memory that a chunk may take; what libraries take is not foreseen."""


class DeviceMemory(Protocol):
    """What of a device's memory decides on a chunk's size; in bytes."""

    def free(self) -> int | None:
        """How much this process may still take."""

    def begin(self) -> int:
        """What is taken now; the peak begins anew."""

    def since(self, before: int) -> int:
        """The peak since then, less what was taken at that time."""

    def tidy(self) -> None:
        """Give back what is kept for later."""


class Batches:
    """How many images a chunk has, and how many calls of a step go into one batch.

    On a CUDA device a chunk begins with 16 images and grows while what the last one took there, for
    each image, leaves room: at most twofold at a time, and to no more than 64. On a CPU it has 4:
    more drive each other out of the processor's cache. A number that the user has given stays.
    Where a batch finds no memory, it is halved, and so is a chunk that may change.
    """

    def __init__(
        self, images: int | None = None, device: str = "cpu", memory: DeviceMemory | None = None
    ) -> None:
        """`images`: as many in each chunk; None: the device's. `memory`: by default its own."""
        kind = device.partition(":")[0]
        self.images = images or FIRST.get(kind, FIRST_ON_GPU)
        """Images of the next chunk."""
        self._device, self._given = device, memory
        self._changes = images is None
        self._grows = self._changes and kind == "cuda"
        self._most = MOST
        self._before = 0
        self._fitting: dict[tuple[object, str | None], int] = {}

    @property
    def host_bytes(self) -> int:
        """What a chunk may take of the host's memory; one that has grown gets no more."""
        counted = min(self.images, FIRST_ON_GPU) if self._grows else self.images
        return counted * SHARE

    def begin(self) -> None:
        """Note that a chunk begins."""
        if self._grows:
            self._before = self._memory.begin()

    def end(self, images: int) -> None:
        """Note that a chunk of so many images is done; the next may have more."""
        if not self._grows or not images:
            return
        taken = self._memory.since(self._before) / images
        free = self._memory.free()
        if free is not None and taken > 0:
            room = int(USED * free / taken)
            self.images = max(1, min(2 * self.images, room, self._most))

    def most(self, step: Step, method: str | None) -> int | None:
        """How many calls of a step's method go together; None: as many as there are."""
        return self._fitting.get((step.key(), method))

    def halve(self, step: Step, method: str | None, calls: int) -> None:
        """Note that so many calls found no memory, and give back what is kept for later."""
        self._fitting[step.key(), method] = max(1, calls // 2)
        if self._changes:
            self.images = self._most = max(1, self.images // 2)
        self._memory.tidy()

    @cached_property
    def _memory(self) -> DeviceMemory:
        return self._given or cast(DeviceMemory, memory_of(self._device))
