"""How many images go together: batches of encodings, memory that runs out, chunks that grow."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import PrivateAttr
from runner_toys import full
from toys import Bright, Flood, Squares, walk

from segkit.memory import out_of_memory
from segkit.running.batches import MOST, Batches

GB = 1_000_000_000


class Log:
    """A mutable log that a frozen step can hold."""

    def __init__(self) -> None:
        self.sizes: list[int] = []


class Narrow(Flood):
    """Encodes many at once; more than `room` of them take memory that is not there."""

    name = "narrow"
    room: int = 3
    _sizes: Log = PrivateAttr(default_factory=Log)

    def encode_batch(self, inputs):
        import torch

        self._sizes.sizes.append(len(inputs))
        if len(inputs) > self.room:
            torch.empty(1 << 60, dtype=torch.uint8)  # the allocator's own refusal
        return super().encode_batch(inputs)


class Cramped(Bright):
    """Makes heatmaps of many at once; more than `room` of them raise what a full GPU does."""

    name = "cramped"
    room: int = 2
    _sizes: Log = PrivateAttr(default_factory=Log)

    def batch(self, inputs):
        import torch

        self._sizes.sizes.append(len(inputs))
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError
        return super().batch(inputs)


def made(outcomes):
    return [(o.name, o.error, o.masks.masks.tolist()) for o in outcomes]


def test_images_of_a_chunk_are_encoded_together():
    flood = Narrow(room=99)
    many = made(walk({"x": full(data=Squares(count=7), flood=flood)}, chunk=3))
    assert flood._sizes.sizes == [3, 3, 1]
    assert many == made(walk({"x": full(data=Squares(count=7))}, chunk=3))


def test_a_batch_without_memory_is_halved_and_nothing_is_lost():
    flood, bright = Narrow(), Cramped()
    plan = full(data=Squares(count=18), flood=flood, bright=bright)
    found = made(walk({"x": plan}, chunk=16))
    assert [error for _, error, _ in found] == [None] * 18
    assert found == made(walk({"x": full(data=Squares(count=18))}, chunk=16))
    # 16, 8 and 4 are too many; afterwards it begins with what went.
    assert flood._sizes.sizes == [16, 8, 4, *[2] * 8, 2]
    assert bright._sizes.sizes == [16, 8, 4, *[2] * 8, 2]


def test_one_image_without_memory_fails_alone():
    plan = full(data=Squares(count=3), bright=Cramped(room=0))
    assert all("cramped" in o.error for o in walk({"x": plan}, chunk=2))


def test_another_error_than_memory_tries_one_by_one():
    class Odd(Flood):
        """Encodes no batches."""

        name = "odd"

        def encode_batch(self, inputs):
            if len(inputs) > 1:
                raise KeyError("lost")
            return super().encode_batch(inputs)

    assert all(o.error is None for o in walk({"x": full(flood=Odd())}, chunk=4))


def test_too_few_encodings_are_told():
    class Loses(Flood):
        """Loses an encoding."""

        name = "loses"

        def encode_batch(self, inputs):
            return super().encode_batch(inputs)[1:]

    (error,) = {o.error for o in walk({"x": full(flood=Loses())})}
    assert error == "segmenter 'loses' should make 1 values of a batch of 1, but made 0"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("size mismatch"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_what_is_said_of_memory(error, expected):
    assert out_of_memory(error) is expected


def test_torch_says_so_by_the_errors_class():
    import torch

    assert out_of_memory(torch.OutOfMemoryError())


# ---- chunks ------------------------------------------------------------------------------------


class Card:
    """A GPU's memory of so many bytes, in which each image of a chunk takes some."""

    def __init__(self, size: int, weights: int) -> None:
        self.size, self.weights, self.peak, self.tidied = size, weights, weights, 0

    def free(self) -> int:
        return self.size - self.weights

    def begin(self) -> int:
        return self.weights

    def since(self, before: int) -> int:
        return self.peak - before

    def tidy(self) -> None:
        self.tidied += 1


def grown(card: Any, each: int, chunks: int = 5, **how: Any) -> list[int]:
    """The sizes of chunks whose images take `each` bytes."""
    batches = Batches(device="cuda:1", memory=card, **how)
    sizes = []
    for _ in range(chunks):
        sizes.append(batches.images)
        batches.begin()
        card.peak = card.weights + each * batches.images
        batches.end(batches.images)
    return sizes


def test_chunks_grow_with_the_devices_memory():
    assert grown(Card(80 * GB, 4 * GB), GB // 2) == [16, 32, 64, 64, 64]
    assert grown(Card(24 * GB, 4 * GB), GB // 2) == [16, 32, 32, 32, 32]  # 0.8 of 20 GB
    assert grown(Card(12 * GB, 4 * GB), GB // 2) == [16, 12, 12, 12, 12]
    assert grown(Card(80 * GB, 4 * GB), GB // 2, images=5) == [5] * 5  # as the user wants it


def test_a_chunk_without_memory_is_halved_and_grows_no_more():
    card = Card(80 * GB, 4 * GB)
    batches = Batches(device="cuda", memory=card)
    step = Flood()
    batches.halve(step, "encode", 16)
    assert (batches.images, batches.most(step, "encode"), batches.most(step, None)) == (8, 8, None)
    assert card.tidied == 1
    card.peak = card.weights + GB
    batches.end(8)
    assert batches.images == 8


def test_a_cpus_chunk_stays_and_a_large_one_takes_no_more_of_the_host():
    batches = Batches()
    batches.begin()
    batches.end(4)
    assert batches.images == 4
    card = Card(80 * GB, 4 * GB)
    wide = Batches(device="cuda", memory=card)
    before = wide.host_bytes
    card.peak = card.weights + 1
    wide.end(16)
    assert (wide.images, wide.host_bytes) == (32, before)
    assert MOST == 64
