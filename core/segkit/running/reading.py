"""Reading ahead: images are read in threads of their own while those before them are worked on.

Decoding a photograph of a camera takes as long as a small network's work on it, and Pillow decodes
without Python's lock. So where a data set says that several of its images may be read at once
(`Step.concurrent`), and one takes long, several threads do. Small ones would only have threads
wait for each other's lock.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

from pydantic import PrivateAttr

from segkit.errors import SegkitError
from segkit.plugins.contract import item_of
from segkit.plugins.steps import Dataset
from segkit.running.batches import Batches
from segkit.running.calling import Failure, Task

Chunk: TypeAlias = dict[int, "Task | Failure"]
"""Images that are worked on together, by their place, or why one cannot be used."""

MOST = 4
"""So many readers at most."""

LONG = 0.03
"""Seconds that an image has to take, for several readers to be worth their meeting each other."""

SHARE = 1 << 29
"""Bytes that reading at once may take, if no image is larger than those before: 512 MiB."""

DECODING = 3
"""So many times an image's bytes its decoding takes, with what Pillow has beside it."""


class Wrapper(Dataset):
    """A data set that gives another's images in another way."""

    concurrent = True
    _of: Dataset = PrivateAttr()


def reads_at_once(dataset: Dataset) -> bool:
    """Whether several images of a data set may be read at once, by several threads."""
    while isinstance(dataset, Wrapper) and dataset.concurrent:
        dataset = dataset._of
    return type(dataset).concurrent


def readers_for(dataset: Dataset) -> int:
    """How many readers there are: one, or as many as torch has in this thread, up to four."""
    torch = sys.modules.get("torch")
    if torch is None or not reads_at_once(dataset):
        return 1
    return max(1, min(MOST, int(torch.get_num_threads())))


def read_task(dataset: Dataset, index: int, name: str) -> Task | Failure:
    """The image at `index` and its truth, or why it cannot be used."""
    try:
        image, truth = item_of(dataset, index)
    except SegkitError as error:
        return Failure(str(error))
    if truth is not None and truth.labels.ids.shape != image.size:
        return Failure(
            f"{name}: the truth should have the image's size {image.size}, but has "
            f"{truth.labels.ids.shape}"
        )
    return Task(image, truth)


def read_ahead(
    dataset: Dataset,
    names: Sequence[str],
    wanted: Sequence[int],
    batches: Batches,
    bytes_of: Callable[[Task | Failure], float],
    walkers: int,
    readers: int,
) -> Generator[Chunk, None, None]:
    """Chunks of images, read by so many threads while those before them are worked on.

    A chunk ends where its images would take more than their share (`bytes_of`), but has one in any
    case. One is read ahead for each walker, and a single one where the last took more than its
    share.
    """
    left = deque(wanted)
    with _tasks(dataset, names, wanted, readers) as tasks:
        waiting: list[Task | Failure] = []  # one at most, which the chunk before had no room for

        def next_chunk() -> Chunk:
            chunk: Chunk = {}
            taken = 0.0
            most, room = batches.images, batches.host_bytes / walkers
            while left and len(chunk) < most:
                task = waiting.pop() if waiting else next(tasks)
                taken += bytes_of(task)
                if chunk and taken > room:
                    waiting.append(task)
                    break
                chunk[left.popleft()] = task
            return chunk

        reader = ThreadPoolExecutor(1, "segkit-reader")
        try:
            ahead = deque([reader.submit(next_chunk)])
            while chunk := ahead.popleft().result():
                fits = sum(map(bytes_of, chunk.values())) <= batches.host_bytes / walkers
                while len(ahead) < (walkers if fits else 1):
                    ahead.append(reader.submit(next_chunk))
                yield chunk
        finally:
            left.clear()  # no further image is read
            reader.shutdown(cancel_futures=True)


@contextmanager
def _tasks(
    dataset: Dataset, names: Sequence[str], wanted: Sequence[int], readers: int
) -> Generator[Iterator[Task | Failure], None, None]:
    """The images in order, for one thread: read there, or by several readers if that takes long.

    The first is read there in any case, so that what a data set looks up once is there for all.
    """
    if readers == 1:
        yield (read_task(dataset, i, names[i]) for i in wanted)
        return
    pool = ThreadPoolExecutor(readers, "segkit-reader")

    def timed(index: int) -> tuple[Task | Failure, float]:
        start = time.perf_counter()
        return read_task(dataset, index, names[index]), time.perf_counter() - start

    def read() -> Iterator[Task | Failure]:
        ahead: deque[Future[tuple[Task | Failure, float]]] = deque()
        left = iter(wanted)
        at_once = largest = 1
        while True:
            while len(ahead) < at_once > 1 and (i := next(left, None)) is not None:
                ahead.append(pool.submit(timed, i))
            if ahead:
                task, seconds = ahead.popleft().result()
            elif (i := next(left, None)) is not None:
                task, seconds = timed(i)
            else:
                return
            at_once = 1
            if isinstance(task, Task) and seconds > LONG:
                largest = max(largest, DECODING * _bytes_of(task))
                at_once = min(readers, SHARE // largest)
            yield task

    try:
        yield read()
    finally:
        pool.shutdown(cancel_futures=True)


def _bytes_of(task: Task) -> int:
    """What an image takes in memory, with its truth."""
    truth = task.truth
    arrays = (task.image.pixels, *((truth.labels.ids, truth.instances) if truth else ()))
    return sum(array.nbytes for array in arrays if array is not None)
