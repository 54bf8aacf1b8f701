"""What a pipeline made of one picture: values, figures, files, and what other libraries want."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.errors import MissingExtraError, UsageError
from segkit.kinds import BUNDLED, DETECTIONS_WRITER, MASK_WRITER, PICTURE_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.finishing import finish, finishes
from segkit.plugins.measuring import predicted_values
from segkit.plugins.steps import Writer
from segkit.running.lines import write_files
from segkit.running.plan import missing_input
from segkit.running.recipe import joining_metrics, make_step
from segkit.values.showing import pixels_of
from segkit.values.types import Heatmap, Image, Labels, Masks, Prompts, Scores, Truth

if TYPE_CHECKING:
    from supervision import Detections


@dataclass(frozen=True)
class Result:
    """What a pipeline made of one picture. A notebook shows it as the picture of all steps."""

    image: Image
    heatmaps: tuple[Heatmap, ...] = ()
    prompts: Prompts | None = None
    masks: Masks | None = None
    labels: Labels | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step to seconds."""
    left_out: int = 0
    """How many masks were judged too weak for `least_quality`."""
    truth: Truth | None = None
    """What is really in the image, where that is known."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """{id: name} that the steps were given: those asked for, or the data set's."""
    _catalog: Catalog = field(default_factory=Catalog, repr=False, compare=False)

    @property
    def quality(self) -> float | None:
        """How good a judge holds the masks for together (`Masks.overall`); None without one."""
        return None if self.masks is None else self.masks.overall

    @cached_property
    def scores(self) -> Scores:
        """Figure to value, of all bundled metrics that fit; empty where there is no truth.

        They are those that a run with this truth has for the image. A single metric can be called:
        `segkit.step("iou")(truth, result)`.
        """
        scores: Scores = {}
        if self.truth is not None:
            for metric in joining_metrics(self._catalog, self._there):
                scores |= metric(self.truth, self, classes=self.classes)
        return scores

    def save(
        self,
        folder: str | Path,
        *,
        write: str | Writer | Sequence[str | Writer] | None = None,
        overwrite: bool = False,
    ) -> tuple[Path, ...]:
        """Write its files into a folder, as a run does, and return their paths.

        By default these are `masks/NAME.png` and `overlay/NAME.jpg`, NAME being the image's name.
        `write`: the writers, by name or as steps, in place of these two; none that makes a file of
        all images, such as coco. The folder is made where it is missing.

        Raises `UsageError` for such a writer, where a file is there already (unless `overwrite`)
        and where the folder cannot be written; then nothing is written.
        """
        if write is None:
            write = [MASK_WRITER] if self.labels is not None else []
            write = [f"{BUNDLED}:{name}" for name in (*write, PICTURE_WRITER)]
        several = [write] if isinstance(write, str) or not isinstance(write, Sequence) else write
        writers = [self._writer(one) for one in several]
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".segkit-") as scratch:
                names = [name for writer in writers for name in self._write(writer, Path(scratch))]
                there = [folder / name for name in names if (folder / name).exists()]
                if there and not overwrite:
                    raise UsageError(
                        f"'{there[0]}' is there already; choose another folder, give the picture "
                        "another name (segkit.Image(pixels, name)), or add overwrite=True"
                    )
                for name in names:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(scratch) / name).replace(folder / name)
        except OSError as error:
            raise UsageError(
                f"'{folder}' cannot be written: {error.strerror or error}; choose another folder"
            ) from None
        return tuple(folder / name for name in names)

    def to_supervision(self) -> Detections:
        """The masks as `Detections` of the library supervision; ids are those of `classes`.

        `data` has `class_name`, and `quality` where a judge took part. Without masks, each class of
        the class map is one. Raises `MissingExtraError` where supervision is not installed.
        """
        try:
            from supervision import Detections
        except ModuleNotFoundError:
            raise MissingExtraError("Result.to_supervision", "supervision", "notebook") from None
        writer = self._writer(f"{BUNDLED}:{DETECTIONS_WRITER}", alone=False)
        with tempfile.TemporaryDirectory() as folder:
            file, *_ = self._write(writer, Path(folder))
            finish(writer, Path(folder), [self.image.name])
            with np.load(Path(folder) / file) as arrays:
                fields = dict(arrays)
        data = {name: fields.pop(name) for name in ("class_name", "quality") if name in fields}
        return Detections(**fields, data=data)

    def picture(self) -> bytes:
        """A JPEG of image, heatmap, overlay and mask with its prompts, side by side."""
        writer = self._writer(f"{BUNDLED}:{PICTURE_WRITER}")
        with tempfile.TemporaryDirectory() as folder:
            (file,) = self._write(writer, Path(folder))
            return Path(folder, file).read_bytes()

    def _repr_jpeg_(self) -> bytes:
        return self.picture()

    def __repr__(self) -> str:
        made = [value for value in (self.masks, self.labels, self.prompts) if value is not None]
        shown = repr(made[0]) if made else f"{len(self.heatmaps)} heatmaps"
        return f"Result({self.image.name!r}, {pixels_of(self.image.size)}: {shown})"

    def _writer(self, wanted: str | Writer, *, alone: bool = True) -> Writer:
        """A writer that has what it needs; `alone`: of images one by one."""
        writer: Any = wanted
        if isinstance(wanted, str):
            writer = make_step(self._catalog, "writer", wanted, {})
        if not isinstance(writer, Writer):
            raise UsageError(f"write should name writers, or be some, but has {wanted!r}")
        if alone and finishes(writer):
            raise UsageError(
                f"{writer.name} makes a file of all images, and a result is one of them; use "
                "Pipeline.run with a recipe that has it, or another writer"
            )
        there = self._there | {"directory", "scores"}
        if (missing := missing_input(writer, there)) is not None:
            raise UsageError(f"{writer.name} needs '{missing}', which the result has not")
        return writer

    @property
    def _there(self) -> frozenset[str]:
        """The inputs of metrics and writers that there are, by name."""
        known = () if self.truth is None else ("truth",)
        return frozenset({*predicted_values(self), "image", "classes", *known})

    def _write(self, writer: Writer, folder: Path) -> list[str]:
        """Write one writer's files into an empty folder; their names in it."""
        with blamed(writer):
            writer.open("cpu")
            try:
                return write_files(writer, self, folder, self.classes, self.scores)
            finally:
                writer.close()
