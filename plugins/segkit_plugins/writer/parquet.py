"""One Parquet table of a run, one row an image, masks as run lengths; needs the extra `parquet`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Image, Labels, Masks, MissingExtraError, Prompts, Scores, Writer, hookimpl
from segkit_plugins.writer._annotations import objects_in
from segkit_plugins.writer._files import file_for, finished_files, write_json

PARTS = "parquet/parts"

TABLE = "parquet/images.parquet"


class Parquet(Writer):
    """`parquet/images.parquet`: a table with one row an image, sorted by name.

    Columns: `name`, `width`, `height`, `quality` (how good a judge holds all masks for together),
    `figures` (a map of figure to value), and `masks`, a list with for each mask its `class`,
    `score`, `quality`, `area` in pixels, `box` (x, y, width, height) and `counts`: run lengths
    column by column, a run of background first, as COCO's uncompressed ones; with
    `[height, width]` as their `size`, pycocotools reads them. Where the result is a class map
    without masks, each of its classes is a mask of score 1. Empty masks are left out.

    Each image has a file in `parquet/parts`, from which the table is made, row group by row group,
    once all are done. pyarrow, pandas, polars, DuckDB and Hugging Face `datasets` read it.
    """

    name = "parquet"

    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"
    """How columns are packed."""

    rows: Annotated[int, Field(ge=1)] = 1000
    """Images in a row group, which is what a reader holds at once."""

    def open(self, device: str) -> None:
        """Check that pyarrow is there."""
        _pyarrow()

    def write(
        self,
        directory: Path,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
        scores: Scores | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's part. Raises `UsageError` if there are neither masks nor labels."""
        part = file_for(directory, PARTS, image.name, ".json", spread=True)
        height, width = image.size
        overall = None if masks is None else masks.overall
        row = {
            "name": _text(image.name),
            "width": width,
            "height": height,
            "quality": None if overall is None else round(overall, 6),
            "figures": {str(k): float(v) for k, v in sorted((scores or {}).items())},
            "masks": [
                {
                    "class": _text(item.name),
                    "score": item.score,
                    "quality": item.quality,
                    **_shape(item.mask),
                }
                for item in objects_in(self.name, masks, prompts, labels, classes)
            ],
        }
        return (write_json(part, row),)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write the table from the parts of all finished images."""
        arrow = _pyarrow()
        schema = _schema(arrow)
        place = directory / TABLE
        place.parent.mkdir(parents=True, exist_ok=True)
        scrap = place.with_name(".images.parquet.part")
        try:
            packed = None if self.compression == "none" else self.compression
            with arrow.parquet.ParquetWriter(scrap, schema, compression=packed) as table:
                files = finished_files(directory, PARTS, ".json", images, spread=True)
                for group in _groups(files, self.rows):
                    table.write_table(arrow.Table.from_pylist(group, schema=schema))
            scrap.replace(place)
        except BaseException:
            scrap.unlink(missing_ok=True)
            raise
        return (place,)


def _groups(files: Iterator[Path], size: int) -> Iterator[list[dict[str, Any]]]:
    """The rows that parts hold, so many at a time."""
    while rows := [json.loads(file.read_bytes()) for file in islice(files, size)]:
        yield [{**row, "figures": list(row["figures"].items())} for row in rows]


def _schema(arrow: Any) -> Any:
    mask = arrow.struct(
        [
            ("class", arrow.string()),
            ("score", arrow.float64()),
            ("quality", arrow.float64()),
            ("area", arrow.int64()),
            ("box", arrow.list_(arrow.int32())),
            ("counts", arrow.list_(arrow.int32())),
        ]
    )
    return arrow.schema(
        [
            arrow.field("name", arrow.string(), nullable=False),
            arrow.field("width", arrow.int32(), nullable=False),
            arrow.field("height", arrow.int32(), nullable=False),
            ("quality", arrow.float64()),
            ("figures", arrow.map_(arrow.string(), arrow.float64())),
            ("masks", arrow.list_(mask)),
        ]
    )


def _shape(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Area, bounding box and run lengths of a mask (H, W) bool of one pixel or more."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x, y = int(columns[0]), int(rows[0])
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]]))
    first = [0] if flat[0] else []  # a run of background comes first, of none if need be
    return {
        "area": int(np.count_nonzero(mask)),
        "box": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
        "counts": [*first, *counts.tolist()],
    }


def _text(name: str) -> str:
    """A name as UTF-8 can say it; bytes of a file's name that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError("--write parquet", "pyarrow", "parquet") from None
    return pyarrow


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `parquet`."""
    return [Parquet]
