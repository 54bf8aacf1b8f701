"""The data set `webdataset`: ways to list archives without reading every header."""

from __future__ import annotations

import os
import tarfile
import warnings

import numpy as np
import pytest
from tar_toys import sample, two_tars, write

from segkit import SegkitWarning
from segkit_plugins.dataset import _tar_index
from segkit_plugins.dataset import webdataset as module
from segkit_plugins.dataset.webdataset import WebDataset


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The folder that keeps indexes."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEGKIT_CACHE", str(folder))
    return folder / "archives"


@pytest.fixture
def tars(tmp_path):
    return two_tars(tmp_path)


def opened(folder, **how):
    return WebDataset(shards=(f"{folder}/*.tar",), mask="mask.png", **how)


def same(one, other):
    """Whether two data sets have the same images and truths under the same names."""
    return list(one.names) == list(other.names) and all(
        np.array_equal(a.pixels, b.pixels) and np.array_equal(t.labels.ids, u.labels.ids)
        for (a, t), (b, u) in zip(one, other, strict=True)
    )


def test_what_took_long_to_list_is_kept_until_an_archive_changes(tars, cache, monkeypatch):
    first = opened(tars)
    assert len(first.names) == 6
    assert not cache.exists()  # it was quick
    monkeypatch.setattr(module, "LONG", -1)
    assert len(opened(tars).names) == 6
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_opened", lambda path: pytest.fail("read"))
        again = opened(tars)
        assert list(again.names) == list(first.names)
    assert same(again, first)
    assert len(opened(tars, image="png").names) == 6  # other options, another index
    assert len([*cache.iterdir()]) == 2
    kept.write_bytes(kept.read_bytes()[:200])
    assert same(opened(tars), first)
    write(tars / "train-000.tar", sample("new"))
    assert list(opened(tars).names) == ["new", "1-0", "1-1", "1-2"]


def test_a_cut_archive_is_not_kept_for_it_is_told_each_time(tars, cache, monkeypatch):
    monkeypatch.setattr(module, "LONG", -1)
    path = tars / "train-001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    for _ in range(2):
        with pytest.warns(SegkitWarning, match="is cut off"):
            assert len(opened(tars).names) >= 3
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_costs_nothing(tars, monkeypatch):
    monkeypatch.setattr(module, "LONG", -1)
    monkeypatch.setenv("SEGKIT_CACHE", str(tars / "train-000.tar"))
    assert len(opened(tars).names) == 6


def index_beside(path):
    """Writes the index that wds2idx makes of an archive."""
    samples = {}
    with tarfile.open(path) as tar:
        for info in tar:
            stem, _, suffix = info.name.rpartition("/")[2].partition(".")
            row = f"{suffix} {info.offset_data} {info.size} {info.name}"
            samples.setdefault(stem, []).append(row)
    text = "".join(" ".join(rows) + "\n" for rows in samples.values())
    path.with_suffix(".idx").write_text(f"v1.2 {len(samples)}\n{text}")
    return path.with_suffix(".idx")


def test_an_index_beside_an_archive_is_read_in_place_of_its_headers(tars, monkeypatch):
    first = opened(tars)
    assert len(first.names) == 6
    for path in tars.glob("*.tar"):
        index_beside(path)
    with monkeypatch.context() as patch:
        patch.setattr(_tar_index, "members", lambda *_: pytest.fail("read"))
        assert same(opened(tars), first)


@pytest.mark.parametrize("wrong", ["older", "cut", "moved", "larger", "no index", "version"])
def test_an_index_that_is_not_the_archives_is_not_taken(tars, wrong):
    path = tars / "train-000.tar"
    index = index_beside(path)
    text = index.read_text()
    if wrong == "older":
        write(path, sample("new"))
        os.utime(path, (index.stat().st_mtime + 5,) * 2)
    elif wrong == "cut":
        index.write_text(text[: len(text) // 2])
    elif wrong == "moved":
        write(path, [("x.txt", b"in front"), *(f for i in range(3) for f in sample(f"b{i}"))])
        os.utime(path, (1, 1))
    elif wrong == "larger":
        path.write_bytes(path.read_bytes()[:3000])
        os.utime(path, (1, 1))
    elif wrong == "no index":
        index.write_bytes(bytes(range(256)))
    else:
        index.write_text(text.replace("v1.2", "v1.1"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SegkitWarning)
        names = list(opened(tars).names)
        index.unlink()
        assert names == list(opened(tars).names)
        assert len(names) >= 3
