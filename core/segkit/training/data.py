"""What a network is trained on: every image read and resized once, split, and met in an order.

Which images an epoch meets, in which order and how changed, depends on the seed, the stage and the
epoch alone; so two runs of one seed agree, and so does a run that was cut off and goes on.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from segkit.errors import SegkitError, UsageError, did_you_mean
from segkit.plugins.contract import classes_of, has_truth, item_of, names_of
from segkit.plugins.steps import Dataset
from segkit.plugins.trainable import squeezed
from segkit.training.settings import Settings
from segkit.values.types import BACKGROUND, VOID, Truth

IN_MEMORY = 1 << 30
"""Bytes of images that are kept in memory; more lie in a file that nobody sees."""

Place = tuple[int, int]
"""Which example of an epoch, counted through all epochs, and which image it shows."""


@dataclass(frozen=True)
class Pool:
    """All images that can be used, at the network's size."""

    pixels: NDArray[np.uint8]
    """(n, S, S, 3)."""
    targets: NDArray[np.uint8]
    """(n, S, S): 0 background, then the classes in order, 255 void; with clicks the objects'
    numbers in place of classes."""
    names: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    """(n, K): pixels of background and of each class in each image."""
    skipped: tuple[str, ...]
    """Why images were left out, a sentence for each."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def missing(self) -> tuple[str, ...]:
        """The classes that no image shows."""
        shown = self.counts.sum(0)[1:] > 0
        return tuple(name for name, there in zip(self.classes, shown, strict=True) if not there)


def read(
    datasets: Sequence[Dataset],
    settings: Settings,
    size: int,
    folder: Path,
    *,
    clicks: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Pool:
    """Read data sets that are open, one after another. Classes of one name are one class.

    An image that cannot be read, or has no truth, is left out and named. `tell` hears images so far
    and in all; `folder` is where what does not fit into memory lies. Raises `UsageError` where data
    sets have no truth, fewer than 2 images are left, or no class is.
    """
    listed = _listed(datasets)
    total = sum(map(len, listed))
    known = [classes_of(dataset) for dataset in datasets]
    _check_classes(settings.classes, known)
    classes = list(settings.classes) or _joined(known)
    fixed = bool(settings.classes)
    pixels = _array((total, size, size, 3), folder)
    targets = _array((total, size, size), folder)
    names: list[str] = []
    counts: list[NDArray[np.int64]] = []
    skipped: list[str] = []
    for dataset, images, named in zip(datasets, listed, known, strict=True):
        for index, name in enumerate(images):
            tell(len(names) + len(skipped), total)
            try:
                image, truth = item_of(dataset, index)
            except SegkitError as error:
                skipped.append(str(error))
                continue
            if truth is None:
                skipped.append(f"'{name}' of {dataset.name} has no truth")
                continue
            ids = _classes_of(truth, named, classes, fixed, size)
            learnt = _border(ids, settings.border)
            counts.append(np.bincount(learnt.ravel(), minlength=VOID + 1))
            if clicks:
                learnt = _border(_objects_of(truth, ids, size), settings.border)
            pixels[len(names)] = squeezed(image.pixels, size)
            targets[len(names)] = learnt
            names.append(name)
    tell(total, total)
    n = len(names)
    if n < 2:
        first = f", such as: {skipped[0]}" if skipped else ""
        raise UsageError(
            f"training needs 2 images or more, but of {total} only {n} can be used{first}"
        )
    if not classes or not np.stack(counts)[:, 1 : len(classes) + 1].any():
        asked = f"of the classes {', '.join(classes)} " if classes else ""
        raise UsageError(
            f"no image shows an object {asked}to learn; check the data set's classes and "
            "--train.classes"
        )
    shares = np.stack(counts)[:, : len(classes) + 1]
    return Pool(pixels[:n], targets[:n], tuple(names), tuple(classes), shares, tuple(skipped))


def _listed(datasets: Sequence[Dataset]) -> list[list[str]]:
    """The names of the images of each. Raises `UsageError` without truth or with too few."""
    for dataset in datasets:
        if not has_truth(dataset):
            raise UsageError(
                f"the data set '{dataset.name}' has no truth to learn from; give one with class "
                "maps, such as --dataset folder with --folder.masks"
            )
    listed = [names_of(dataset) for dataset in datasets]
    total = sum(map(len, listed))
    if total < 2:
        raise UsageError(
            f"training needs 2 images or more, one to learn from and one to validate, but the data "
            f"has {total}; add some"
        )
    return listed


def _joined(known: Sequence[Mapping[int, str]]) -> list[str]:
    """The names of all data sets' classes, each once, by their ids."""
    return list(dict.fromkeys(name for of in known for _, name in sorted(of.items())))


def _check_classes(asked: Sequence[str], known: Sequence[Mapping[int, str]]) -> None:
    """Refuse a class that no data set has; one without names may show any."""
    if not all(known):
        return
    names = _joined(known)
    for name in asked:
        if name not in names:
            hint = did_you_mean(name, names, f"there is {', '.join(names)}")
            raise UsageError(f"--train.classes {name}: the data has no such class; {hint}")


def _array(shape: tuple[int, ...], folder: Path) -> NDArray[np.uint8]:
    """Room for images: in memory, or in a file without a name, gone when this process is."""
    count = int(np.prod(shape, dtype=np.int64))
    if count <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # the array keeps what is mapped
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, count)
            else:
                file.truncate(count)
            return np.memmap(file, np.uint8, "r+", 0, shape)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SegkitError(
            f"the resized images need {count / 1e9:.1f} GB beside the weights in {folder}, and "
            f"{'the disk is full' if full else error.strerror}; make room, or lower --train.size"
        ) from None


def _classes_of(
    truth: Truth, named: Mapping[int, str], classes: list[str], fixed: bool, size: int
) -> NDArray[np.uint8]:
    """(S, S): the place in `classes` plus 1 of what each pixel shows, 0 background, 255 void.

    What a data set does not name is named by its number. New names are added unless `fixed`; then
    they are background.
    """
    ids = _shrunk(truth.labels.ids, size)
    present, where = np.unique(ids, return_inverse=True)
    places = []
    for i in present.tolist():
        if i in (BACKGROUND, VOID):
            places.append(i)
            continue
        name = named.get(i) or truth.labels.classes.get(i) or str(i)
        if name not in classes and not fixed:
            classes.append(name)
        places.append(classes.index(name) + 1 if name in classes else BACKGROUND)
    if len(classes) >= VOID:
        raise UsageError(
            f"the data has {len(classes)} classes or more, and 254 can be learnt; name some by "
            "--train.classes"
        )
    return np.array(places, np.uint8)[where.reshape(ids.shape)]


def _objects_of(truth: Truth, ids: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(S, S): the number of the object that each pixel shows, 0 background, 255 void.

    Without instances each class is one object. Of more than 254 objects the others are void.
    """
    if truth.instances is None:
        return ids
    found = np.minimum(_shrunk(truth.instances, size), VOID).astype(np.uint8)
    found[(ids == BACKGROUND) & (found != VOID)] = BACKGROUND  # classes that are not learnt
    return found


def _shrunk(ids: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """(H, W) to (S, S): the value at the middle of each new pixel."""
    rows, columns = (
        np.minimum(((np.arange(size) + 0.5) * side / size).astype(np.intp), side - 1)
        for side in ids.shape
    )
    return ids[rows[:, None], columns]


def _border(ids: NDArray[np.uint8], border: str) -> NDArray[np.uint8]:
    """What `--train.border` makes of void pixels."""
    void = ids == VOID
    if border == "void" or not void.any():
        return ids
    objects = ~void & (ids != BACKGROUND)
    if border == "background" or not objects.any():
        return np.where(void, np.uint8(BACKGROUND), ids)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~objects, return_distances=False, return_indices=True)
    return np.where(void, ids[tuple(nearest)], ids)


# ---- split and order --------------------------------------------------------------------------


def split(count: int, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which images train and which validate, in order of place; at least one of each."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    held = min(max(round(count * share), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])


class Order(Sampler[Place]):
    """Which image comes when. Lightning calls `set_epoch` before each epoch.

    Balanced, each class has as many images as the commonest: all of its own, as often as they go
    into that number, and a random part of them once more. An image belongs to the class that covers
    the most of it; images without objects come once.
    """

    def __init__(
        self,
        images: NDArray[np.intp],
        counts: NDArray[np.int64],
        seed: Sequence[int],
        balance: bool,
    ) -> None:
        self.images, self.seed, self.epoch = images, seed, 0
        objects = counts[images, 1:]
        kinds = np.where(objects.any(1), objects.argmax(1), -1)
        self.empty = images[kinds < 0]
        self.groups = [images[kinds == kind] for kind in np.unique(kinds[kinds >= 0])]
        self.most = max((len(group) for group in self.groups), default=0)
        self.balance = balance and len(self.groups) > 1

    def __len__(self) -> int:
        return len(self.empty) + len(self.groups) * self.most if self.balance else len(self.images)

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this one, from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Place]:
        rng = np.random.default_rng([*self.seed, self.epoch])
        chosen = self.images
        if self.balance:
            copies = [self.empty]
            for group in self.groups:
                whole, rest = divmod(self.most, len(group))
                copies += [np.tile(group, whole), rng.permutation(group)[:rest]]
            chosen = np.concatenate(copies)
        first = self.epoch * len(self)
        for place, image in enumerate(rng.permutation(chosen).tolist()):
            yield first + place, image


class Lessons(TorchDataset[tuple[Tensor, ...]]):
    """Examples by `Place`: pixels (3, S, S) uint8 and target (S, S) uint8.

    With `clicks` the target is (2, S, S), 1 what lies under the click, and points (2, 2) follow: x
    and y of a click on a random object and of one on the background; where there is no such place,
    of another one.
    """

    def __init__(
        self, pool: Pool, seed: Sequence[int], change: Any = None, clicks: bool = False
    ) -> None:
        self.pool, self.seed, self.change, self.clicks = pool, list(seed), change, clicks

    def __getitem__(self, place: Place) -> tuple[Tensor, ...]:
        number, image = place
        pixels = torch.from_numpy(np.array(self.pool.pixels[image])).permute(2, 0, 1)
        target = torch.from_numpy(np.array(self.pool.targets[image]))
        if self.change is not None:
            with torch.random.fork_rng(devices=[]):
                # torch.manual_seed would queue a call for every kind of device, each time.
                torch.default_generator.manual_seed(_one_number([*self.seed, number]))
                pixels, target = self.change(pixels, target)
        if not self.clicks:
            return pixels, target
        rng = np.random.default_rng([*self.seed, number, 1])
        masks, points = clicked(target.numpy(), rng)
        return pixels, torch.from_numpy(masks), torch.from_numpy(points)


def clicked(
    objects: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(2, S, S) what lies under two clicks, 255 void, and (2, 2) the clicks, x and y.

    The first click is on a random object, the second on the background, each as likely on every
    pixel of it.
    """
    present = np.setdiff1d(objects, (BACKGROUND, VOID))
    wanted = [rng.choice(present)] if len(present) else []
    wanted += [BACKGROUND] if (objects == BACKGROUND).any() else []
    wanted = (wanted * 2)[:2] or [VOID, VOID]
    masks = np.empty((2, *objects.shape), np.uint8)
    points = np.empty((2, 2), np.float32)
    for index, one in enumerate(wanted):
        rows, columns = np.nonzero(objects == one)
        at = rng.integers(len(rows))
        points[index] = columns[at], rows[at]
        masks[index] = np.where(objects == VOID, VOID, objects == one)
    return masks, points


def _one_number(seed: Sequence[int]) -> int:
    """A seed for torch of several numbers."""
    return int(np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0] >> np.uint64(1))
