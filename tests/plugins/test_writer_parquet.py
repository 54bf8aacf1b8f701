"""The writer `parquet`, read back by pyarrow, and its masks by pycocotools."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from writer_toys import SIZE, blobs, labels, masks_of, picture

from segkit import MissingExtraError
from segkit_plugins.writer.parquet import Parquet

try:
    import pyarrow.parquet as pq
except ModuleNotFoundError:
    pq = None

needs_pyarrow = pytest.mark.skipif(pq is None, reason="pyarrow is not installed")
CLASSES = {1: "cat", 2: "dog"}


def decoded(mask, size=SIZE):
    """(H, W) bool of a row's mask, as the docstring says."""
    counts = mask["counts"]
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


@needs_pyarrow
def test_all_comes_back_equal(tmp_path):
    arrays = blobs(6)
    arrays[0, :, :3] = True  # a mask that begins with the first pixel
    made = replace(masks_of(arrays, ["cat", "dog", "fox"] * 2), quality=np.linspace(0, 1, 6))
    writer = Parquet()
    scores = {"iou": 0.5, "dice": np.float32(0.25)}
    writer.write(tmp_path, picture(name="b"), masks=made, classes=CLASSES, scores=scores)
    writer.write(tmp_path, picture(name="a"), masks=made.take([]))
    (path,) = writer.finish(tmp_path, ["b", "a"])
    first, second = pq.read_table(path).to_pylist()
    assert (first["name"], first["masks"], first["figures"]) == ("a", [], [])
    assert (second["name"], second["width"], second["height"]) == ("b", SIZE[1], SIZE[0])
    assert second["figures"] == [("dice", 0.25), ("iou", 0.5)]
    assert second["quality"] == pytest.approx(made.overall, abs=1e-6)
    assert np.array_equal([decoded(mask) for mask in second["masks"]], arrays)
    assert [mask["class"] for mask in second["masks"]] == ["cat", "dog", "fox"] * 2
    assert [mask["area"] for mask in second["masks"]] == arrays.sum((1, 2)).tolist()
    assert [mask["score"] for mask in second["masks"]] == pytest.approx(made.scores, abs=1e-6)
    assert [mask["quality"] for mask in second["masks"]] == pytest.approx(made.quality, abs=1e-6)


@needs_pyarrow
def test_pycocotools_reads_the_run_lengths(tmp_path):
    coco = pytest.importorskip("pycocotools.mask")
    writer = Parquet()
    writer.write(tmp_path, picture(), masks=masks_of(blobs(5)))
    row = pq.read_table(writer.finish(tmp_path, ["a"])[0]).to_pylist()[0]
    for mask, array in zip(row["masks"], blobs(5), strict=True):
        rle = coco.frPyObjects({"size": list(SIZE), "counts": mask["counts"]}, *SIZE)
        assert np.array_equal(np.asarray(coco.decode(rle), bool), array)
        assert mask["box"] == coco.toBbox(rle).tolist()


@needs_pyarrow
def test_row_groups_are_bounded_and_order_does_not_matter(tmp_path):
    names = [f"image-{i}" for i in range(7)] + ["b\udce4d"]
    contents = []
    for turn, order in enumerate((names, names[::-1])):
        writer = Parquet(rows=3, compression="none")
        for name in order:
            writer.write(tmp_path / str(turn), picture(name=name), masks=masks_of(blobs(2)))
        (path,) = writer.finish(tmp_path / str(turn), order)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    table = pq.ParquetFile(path)
    assert [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)] == [3, 3, 2]
    assert table.read(["name"]).to_pylist()[0] == {"name": "b\\udce4d"}
    # Images that failed later, or are gone, are none of the result; nothing half written is left.
    (path,) = writer.finish(tmp_path / "1", names[:2])
    assert pq.ParquetFile(path).metadata.num_rows == 2
    assert [p.name for p in path.parent.iterdir() if p.is_file()] == ["images.parquet"]
    assert pq.ParquetFile(writer.finish(tmp_path / "none", [])[0]).metadata.num_rows == 0


@needs_pyarrow
def test_a_class_map_is_a_mask_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60], ids[100:150], ids[5] = 2, 40, 255
    writer = Parquet()
    writer.write(tmp_path, picture(), labels=labels(ids, {2: "dog"}), classes=CLASSES)
    (row,) = pq.read_table(writer.finish(tmp_path, ["a"])[0]).to_pylist()
    assert [mask["class"] for mask in row["masks"]] == ["dog", "class 40"]
    assert np.array_equal([decoded(mask) for mask in row["masks"]], [ids == 2, ids == 40])
    assert row["quality"] is None


def test_without_pyarrow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow.*pip install 'segkit\[parquet\]'"):
        Parquet().open("cpu")
