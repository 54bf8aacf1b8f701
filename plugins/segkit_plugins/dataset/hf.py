"""Data sets of Hugging Face: a folder, or a name of the hub; needs the extra `datasets`."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, PrivateAttr

from segkit import (
    BadImageError,
    Dataset,
    Image,
    MissingExtraError,
    Truth,
    UsageError,
    hookimpl,
    read_image,
    read_mask,
    unique_names,
)
from segkit_plugins.dataset._decoding import decode_image, decode_mask
from segkit_plugins.dataset._hf_folder import check_near, check_tables, is_saved
from segkit_plugins.dataset._mask_files import MaskMeaning, MaskValues
from segkit_plugins.dataset._remote import fetch, is_address
from segkit_plugins.shared.name_tables import object_class_names
from segkit_plugins.shared.sentences import did_you_mean, first_line

ANSWER = 10.0
"""Seconds that the hub has to say which commit is its latest."""

_LOCK = threading.Lock()
"""Threads that read ahead take turns at a stream."""


class HuggingFace(Dataset):
    """A split of a data set as the library `datasets` loads it, with a column of images.

    `path` is a folder (of images, Parquet, Arrow, WebDataset …, or one that `save_to_disk` has
    left), or a name of the hub. Nothing is fetched unless `download` says so, which needs the
    `revision` that is meant, and no code of a data set's is run. With `streaming` rows come one
    after the other, from the folder or over the network, and nothing is copied into the cache.
    Images are called by the split and their number, from 0.
    """

    name = "hf"

    path: str
    """A folder, or OWNER/NAME in the hub."""

    config: str | None = None
    """Which of its configurations, where it has several."""

    split: str = "train"
    """Which split, such as validation, or train[:1000]; a folder that `save_to_disk` has left of a
    single data set has no other."""

    revision: str | None = None
    """Which commit, tag or branch of the hub's; needed with `download`."""

    image: str = "image"
    """The column of images."""

    mask: str = ""
    """The column of masks, images too; left out, there is no truth."""

    title: str = ""
    """The column of images' names, texts; not with `streaming`."""

    download: bool = False
    """Fetch from the hub what is not on this machine."""

    streaming: bool = False
    """Read row by row, and keep nothing."""

    count: PositiveInt | None = None
    """At most so many images; needed with `streaming` where nobody has noted how many there are."""

    class_names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, …; or one text file with a name a line. A first name
    'background' stands for id 0."""

    values: MaskValues = "auto"
    """What a mask's values mean. ids: class ids, 255 is void. object: all but 0 is one object.
    auto: object if the first 50 masks hold only 0 and 1 or only 0 and 255, else ids."""

    _stream: tuple[int, Iterator[Any]] | None = PrivateAttr(None)
    """The number of the row that comes next, and the rows from there."""

    @property
    def names(self) -> Sequence[str]:
        """The split and a number; or the texts of `title`, of which a second one gets '-2'."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The named ids; {1: 'object'} for masks of one nameless object."""
        return self._meaning.classes if self.mask else {}

    @property
    def has_truth(self) -> bool:
        """Whether a column of masks is named."""
        return bool(self.mask)

    def close(self) -> None:
        """Drop the stream."""
        self._stream = None

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read an image, and its mask; `BadImageError` if one of them cannot be."""
        index = range(len(self.names))[index]
        row = self._row(index)
        image = self._decoded(row, index, self.image, None)
        assert isinstance(image, Image)
        if not self.mask:
            return image, None
        ids = self._decoded(row, index, self.mask, image.size)
        assert isinstance(ids, np.ndarray)
        return image, self._meaning.truth_of(ids, self._where(index, self.mask))

    def _where(self, index: int, column: str) -> str:
        return f"{self.path} {self.split}[{index}].{column}"

    def _decoded(
        self, row: Mapping[str, Any], index: int, column: str, size: tuple[int, int] | None
    ) -> Image | NDArray[np.int32]:
        """The picture in a column: an image, or with a `size` a mask. Raises `BadImageError`."""
        where, cell = self._where(index, column), row.get(column)
        content = cell.get("bytes") if isinstance(cell, dict) else None
        path = cell.get("path") if isinstance(cell, dict) else None
        name = self.names[index]
        if not isinstance(content, bytes) and isinstance(path, str) and is_address(path):
            # Such as zip://photo.png::/folder/train.zip.
            if is_address(path.rpartition("::")[2]) and not self.download:
                raise BadImageError(
                    f"'{where}' is at '{path}', not on this machine; add --hf.download to fetch it"
                )
            content = fetch(path)
        if isinstance(content, bytes):
            if column == self.image:
                return decode_image(content, where, name)
            return decode_mask(content, where, size)
        if isinstance(path, str):
            return read_image(path, name) if column == self.image else read_mask(path, size)
        raise BadImageError(f"'{where}' holds no image; leave the row out")

    def _row(self, index: int) -> Mapping[str, Any]:
        """A row. Raises `BadImageError` where there is none, or the network fails."""
        try:
            if not self.streaming:
                return dict(self._rows[index])
            with _LOCK:
                place, rows = self._stream or (0, iter(()))
                if self._stream is None or index < place:
                    place, rows = index, iter(self._rows.skip(index))
                row = next(islice(rows, index - place, None))
                self._stream = index + 1, rows
                return dict(row)
        except StopIteration:
            self._stream = None
            raise BadImageError(
                f"{self.path} {self.split} has no row {index}; give a smaller --hf.count"
            ) from None
        except Exception as error:  # whatever network, disk and library raise
            self._stream = None
            raise BadImageError(
                f"row {index} of {self.path} {self.split} cannot be read ({first_line(error)}); "
                "try again later"
            ) from error

    @cached_property
    def _rows(self) -> Any:
        """The split, its pictures undecoded. Raises `UsageError`, `MissingExtraError`."""
        try:
            import datasets
        except ModuleNotFoundError:
            raise MissingExtraError("--dataset hf", "datasets", "datasets") from None
        with _quiet(datasets, offline=not self.download):
            rows = self._loaded(datasets)
        columns = rows.features or {}
        for column in (self.image, *[self.mask] * bool(self.mask)):
            pictures = [name for name, kind in columns.items() if isinstance(kind, datasets.Image)]
            if columns and column not in pictures:
                what = "is no column of images" if column in columns else "is no column"
                near = f"images are in {', '.join(pictures)}" if pictures else "it holds no images"
                raise UsageError(
                    f"--hf.{'image' if column == self.image else 'mask'} {column} {what} of "
                    f"{self.path}; {did_you_mean(column, pictures, near)}"
                )
            rows = rows.cast_column(column, datasets.Image(decode=False))
        if self.title and columns and self.title not in columns:
            near = did_you_mean(self.title, list(columns), "see the data set's page")
            raise UsageError(f"--hf.title {self.title} is no column of {self.path}; {near}")
        # Others may hold what cannot be read.
        wanted = [name for name in (self.image, self.mask, self.title) if name]
        return rows.select_columns(list(dict.fromkeys(wanted)))

    def _loaded(self, datasets: Any) -> Any:
        """What the library makes of the options. Raises `UsageError`."""
        folder = Path(self.path).expanduser()
        try:
            if is_saved(folder):
                check_tables(folder)
                saved = datasets.load_from_disk(str(folder))
                if isinstance(saved, datasets.DatasetDict):
                    saved = saved[self.split]
                else:
                    self._check_split(str(saved.split or ""))
                return saved.to_iterable_dataset() if self.streaming else saved
            if folder.is_dir() and not self.download:
                check_near(folder)
            source = str(folder) if folder.exists() else self.path
            if self.download and self.revision is None and not folder.exists():
                raise UsageError(self._unpinned())
            return datasets.load_dataset(
                source,
                self.config,
                split=self.split,
                revision=self.revision,
                streaming=self.streaming,
            )
        except UsageError:
            raise
        except Exception as error:
            if not folder.exists() and not self.download:
                advice = "check the path, or add --hf.download to fetch it from Hugging Face"
            elif not folder.exists():
                advice = "check name and network; what was fetched before works without it"
            else:
                advice = "check --hf.config, --hf.split and the folder"
            raise UsageError(
                f"--hf.path {self.path} cannot be loaded ({first_line(error)}); {advice}"
            ) from error

    def _check_split(self, own: str) -> None:
        """Raise `UsageError` where another split is asked of a folder that has one alone."""
        if self.split not in (own, type(self).model_fields["split"].default):
            which = f"the split {own} alone" if own else "one data set without splits"
            raise UsageError(
                f"--hf.split {self.split} is not in {self.path}, which holds {which}; leave it out"
            )

    def _unpinned(self) -> str:
        """Why nothing is fetched: the hub's data sets change, and a run has to keep to one."""
        commit = "COMMIT"
        with suppress(Exception):  # it only spares the user a look at the hub
            from huggingface_hub import HfApi

            commit = HfApi().dataset_info(self.path, timeout=ANSWER).sha or commit
        return (
            f"--hf.download needs the commit of {self.path} that is meant, for a run that goes on "
            f"and other machines have to fetch the same; add --hf.revision {commit}"
        )

    @cached_property
    def _length(self) -> int:
        """How many images. Raises `UsageError` where nobody knows."""
        if not self.streaming:
            return min(len(self._rows), self.count or len(self._rows))
        noted = None
        with suppress(AttributeError, KeyError, TypeError):
            noted = self._rows.info.splits[self.split].num_examples
        if self.count is not None:
            return min(self.count, noted or self.count)
        if noted:
            return int(noted)
        if Path(self.path).expanduser().exists():
            return sum(1 for _ in self._rows)
        raise UsageError(
            f"how many images {self.path} {self.split} has is not noted anywhere; give --hf.count N"
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if not self.title:
            split = re.sub(r"[^\w-]+", "_", self.split).strip("_") or "image"
            names: Sequence[str] = [f"{split}-{i:06d}" for i in range(self._length)]
        elif self.streaming:
            raise UsageError("--hf.title needs all rows at once; leave out --hf.streaming")
        else:
            texts = self._rows.select_columns([self.title])[: self._length][self.title]
            names = unique_names([f"{str(t).replace('/', '_') or 'image'}.x" for t in texts])
        if not names:
            raise UsageError(f"{self.path} {self.split} has no image; choose another --hf.split")
        return tuple(names)

    @cached_property
    def _meaning(self) -> MaskMeaning:
        return _Masks(self, object_class_names(self.class_names))


class _Masks(MaskMeaning):
    """What the masks of a column mean."""

    def __init__(self, of: HuggingFace, names: Sequence[str]) -> None:
        super().__init__(names, of.values)
        self._of = of

    def looked_at(self) -> Iterator[NDArray[np.int32]]:
        """The first masks."""
        for index in range(len(self._of.names)):
            with suppress(BadImageError):  # said when its image's turn comes
                row = self._of._row(index)
                ids = self._of._decoded(row, index, self._of.mask, None)
                assert isinstance(ids, np.ndarray)
                yield ids


@contextmanager
def _quiet(datasets: Any, *, offline: bool) -> Iterator[None]:
    """No progress bars, and if `offline` no network, while this is open."""
    from huggingface_hub import constants

    bars = datasets.is_progress_bar_enabled()
    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.disable_progress_bars()
    if offline:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
        if bars:
            datasets.enable_progress_bars()


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `hf`."""
    return [HuggingFace]
