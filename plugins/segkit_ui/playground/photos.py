"""The photos that the page offers: those of the data set, and what is uploaded."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from segkit import BadImageError, Dataset, Image, SegkitError, Truth, UsageError, read_image
from segkit.kinds import FILES_DATASET
from segkit.plugins.contract import item_of, names_of

LOADED = 512 << 20
"""Bytes of pixels that stay loaded; the photo at hand and the one before it stay in any case."""

UPLOADS = 50
"""How many uploaded photos are offered; the oldest give way."""

LISTED = 2000
"""How many photos of a data set the menu holds."""


class Photo(NamedTuple):
    """A loaded photo."""

    image: Image
    truth: Truth | None
    words: tuple[str, ...]
    """What names it in a command."""


class Photos:
    """Known to the page by keys alone, never by paths."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._names = names_of(dataset)[:LISTED]
        self._uploads: OrderedDict[str, Path] = OrderedDict()
        self._loaded: OrderedDict[str, Photo] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def menu(self) -> Sequence[tuple[str, str]]:
        """Key and name of each, what was uploaded last first."""
        with self._turn:
            uploads = [(key, path.stem) for key, path in reversed(self._uploads.items())]
        return [*uploads, *((str(index), name) for index, name in enumerate(self._names))]

    def add(self, path: str | Path) -> str:
        """Offer an uploaded file; its key. Raises `BadImageError` if it is no photo."""
        path, key = Path(path), f"upload-{secrets.token_hex(8)}"
        photo = _uploaded(path)
        with self._turn:
            self._uploads[key] = path
            while len(self._uploads) > UPLOADS:
                self._loaded.pop(self._uploads.popitem(last=False)[0], None)
            self._keep(key, photo)
        return key

    def load(self, key: str) -> Photo:
        """The photo, the same object as long as it stays loaded.

        Raises `UsageError` for a key that is not on the menu, `BadImageError` for a file that
        cannot be read.
        """
        with self._turn:
            if key not in self._loaded:
                self._keep(key, self._read(key))
            self._loaded.move_to_end(key)
            return self._loaded[key]

    def _read(self, key: str) -> Photo:
        if key in self._uploads:
            return _uploaded(self._uploads[key])
        if not key.isdecimal() or int(key) >= len(self._names):
            raise UsageError("the photo is not on the menu any more; load the page again")
        index = int(key)
        image, truth = item_of(self.dataset, index)
        if truth is not None and truth.labels.ids.shape != image.size:
            raise SegkitError(
                f"{image.name}: the truth should have the image's size {image.size}, but has "
                f"{truth.labels.ids.shape}"
            )
        files = self.dataset.files_of(index) if self.dataset.name == FILES_DATASET else ()
        return Photo(image, truth, tuple(str(path) for path in files[:1]))

    def _keep(self, key: str, photo: Photo) -> None:
        self._loaded[key] = photo
        while len(self._loaded) > 2 and self._bytes() > LOADED:
            self._loaded.popitem(last=False)

    def _bytes(self) -> int:
        return sum(photo.image.pixels.nbytes for photo in self._loaded.values())


def _uploaded(path: Path) -> Photo:
    try:
        return Photo(read_image(path), None, (path.name,))
    except BadImageError as error:  # who uploads knows the file by its name
        raise BadImageError(str(error).replace(str(path), path.name), error.cause) from None
