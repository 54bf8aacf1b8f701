"""The data set `hf`: what the library datasets loads, by its own reader; no network anywhere."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import BadImageError, MissingExtraError, UsageError
from segkit_plugins.dataset.hf import HuggingFace

try:
    import datasets
except ModuleNotFoundError:
    datasets = None

needs_datasets = pytest.mark.skipif(datasets is None, reason="datasets is not installed")
NOISE = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    if datasets is not None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(array):
    content = io.BytesIO()
    Picture.fromarray(array).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


@pytest.fixture
def rows():
    photos = NOISE.integers(0, 255, (5, 20, 30, 3), dtype=np.uint8)
    ids = np.zeros((5, 20, 30), np.uint8)
    for i in range(5):
        ids[i, 3:9, 4:12] = i + 1
    return photos, ids


def made(rows, **more):
    columns = {"image": list(map(png, rows[0])), "seg": list(map(png, rows[1]))}
    columns |= {"id": ["a", "b", "a", "c/d", ""], **more}
    kinds = {"image": datasets.Image(), "seg": datasets.Image(), "id": datasets.Value("string")}
    kinds |= dict.fromkeys(more, datasets.Value("int64"))
    return datasets.Dataset.from_dict(columns, datasets.Features(kinds))


@pytest.fixture
def folder(rows, tmp_path):
    made(rows, label=[0] * 5).to_parquet(tmp_path / "set/train.parquet")
    return tmp_path / "set"


@needs_datasets
@pytest.mark.parametrize("streaming", [False, True])
def test_the_library_reads_the_same(folder, streaming):
    data = HuggingFace(path=str(folder), mask="seg", streaming=streaming)
    theirs = datasets.load_dataset(str(folder), split="train")
    assert list(data.names) == [f"train-{i:06d}" for i in range(5)]
    for (image, truth), name, row in zip(data, data.names, theirs, strict=True):
        assert image.name == name
        assert np.array_equal(image.pixels, np.asarray(row["image"]))
        assert np.array_equal(truth.labels.ids, np.asarray(row["seg"]))
    assert data[3][1].labels.ids.max() == 4  # backwards, and forwards again
    assert data[1][1].labels.ids.max() == 2
    assert data[4][1].labels.ids.max() == 5
    data.close()
    assert len(pickle.loads(pickle.dumps(HuggingFace(path=str(folder)))).names) == 5


@needs_datasets
def test_saved_to_disk_and_folders_of_images(rows, tmp_path):
    datasets.DatasetDict({"val": made(rows)}).save_to_disk(tmp_path / "saved")
    made(rows).save_to_disk(tmp_path / "one")
    (tmp_path / "photos/train").mkdir(parents=True)
    for i, array in enumerate(rows[0]):
        Picture.fromarray(array).save(tmp_path / f"photos/train/{i}.png")
    for path, split in (("saved", "val"), ("one", "train"), ("photos", "train")):
        for streaming in (False, True):
            how = {"path": str(tmp_path / path), "split": split, "streaming": streaming}
            data = HuggingFace(**how)
            assert len(data) == 5
            assert np.array_equal(data[2][0].pixels, rows[0][2])
            assert data[2][1] is None
            data.close()


@needs_datasets
def test_names_parts_and_classes(folder):
    data = HuggingFace(path=str(folder), title="id", mask="seg", class_names=("a", "b"))
    assert list(data.names) == ["a", "b", "a-2", "c_d", "image"]
    assert data.classes == {1: "a", 2: "b"}
    with pytest.raises(BadImageError, match=r"train\[3\]\.seg' holds the class id 4"):
        data[3]
    assert len(HuggingFace(path=str(folder), split="train[:2]")) == 2
    assert HuggingFace(path=str(folder), split="train[1:3]").names[1] == "train_1_3-000001"
    assert len(HuggingFace(path=str(folder), count=3)) == 3
    assert len(HuggingFace(path=str(folder), count=3, streaming=True)) == 3


@needs_datasets
def test_bad_columns_and_splits_are_sentences(folder):
    cases = [
        (
            {"image": "label"},
            "--hf.image label is no column of images of .*; images are in image, seg",
        ),
        ({"image": "imag"}, "--hf.image imag is no column of .*; did you mean 'image'"),
        ({"mask": "id"}, "--hf.mask id is no column of images of"),
        ({"title": "idd"}, "--hf.title idd is no column of .*; did you mean 'id'"),
        ({"title": "id", "streaming": True}, "--hf.title needs all rows at once"),
        ({"split": "test"}, "cannot be loaded .*; check --hf.config, --hf.split and the folder"),
        ({"config": "x"}, "cannot be loaded"),
    ]
    for options, said in cases:
        with pytest.raises(UsageError, match=said) as info:
            _ = HuggingFace(path=str(folder), **options).names
        assert "\n" not in str(info.value)


@needs_datasets
def test_one_bad_row_does_not_stop_the_others(rows, tmp_path):
    columns = {"image": [png(rows[0][0]), {"bytes": b"no image", "path": None}, None]}
    kinds = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict(columns, kinds).to_parquet(tmp_path / "set/train.parquet")
    for streaming in (False, True):
        data = HuggingFace(path=str(tmp_path / "set"), streaming=streaming)
        with pytest.raises(
            BadImageError, match=r"train.1..image' is not an image that can be read"
        ):
            data[1]
        with pytest.raises(BadImageError, match=r"train.2..image' holds no image; leave the row"):
            data[2]
        assert data[0][0].size == (20, 30)
        data.close()


@needs_datasets
def test_nothing_is_fetched_unasked_and_no_network_is_a_sentence(monkeypatch):
    import socket

    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UsageError, match=r"check the path, or add --hf\.download to fetch it"):
        _ = HuggingFace(path="owner/name").names
    assert not asked
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)  # what no network looks like
    with pytest.raises(UsageError, match="check name and network; what was fetched before works"):
        _ = HuggingFace(path="owner/name", revision="main", download=True).names


@needs_datasets
def test_what_is_fetched_is_named_by_its_commit(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    sentence = (
        "--hf.download needs the commit of owner/name that is meant, for a run that goes on and "
        "other machines have to fetch the same; add --hf.revision COMMIT"
    )
    for streaming in (False, True):
        with pytest.raises(UsageError) as caught:
            _ = HuggingFace(path="owner/name", download=True, streaming=streaming).names
        assert str(caught.value) == sentence


@needs_datasets
def test_another_split_of_what_has_one_alone(rows, tmp_path):
    made(rows).save_to_disk(tmp_path / "plain")
    made(rows).to_parquet(tmp_path / "set/test.parquet")
    theirs = datasets.load_dataset(str(tmp_path / "set"), split="test")
    theirs.save_to_disk(tmp_path / "test")
    told = {"plain": "one data set without splits", "test": "the split test alone"}
    for name, which in told.items():
        path = str(tmp_path / name)
        assert len(HuggingFace(path=path)) == 5
        for split in ("val", "train[:2]"):
            with pytest.raises(UsageError) as caught:
                _ = HuggingFace(path=path, split=split).names
            assert str(caught.value) == (
                f"--hf.split {split} is not in {path}, which holds {which}; leave it out"
            )
    assert len(HuggingFace(path=str(tmp_path / "test"), split="test")) == 5


@needs_datasets
def test_a_network_that_fails_costs_one_image(folder, monkeypatch):
    data = HuggingFace(path=str(folder), streaming=True)
    assert len(data) == 5
    whole = datasets.IterableDataset.__iter__

    def fails(self):
        yield from (row for row, _ in zip(whole(self), range(1), strict=False))
        raise ConnectionError("the other side has hung up")

    monkeypatch.setattr(datasets.IterableDataset, "__iter__", fails)
    assert data[0][0].size == (20, 30)
    with pytest.raises(BadImageError, match=r"row 1 .* cannot be read \(.*hung up.*\); try again"):
        data[1]
    monkeypatch.setattr(datasets.IterableDataset, "__iter__", whole)
    assert data[2][0].name == "train-000002"
    data.close()


@needs_datasets
@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_that_nobody_asked_for_may_be_unreadable(rows, tmp_path, streaming):
    bad = {"bytes": b"no image", "path": None}
    columns = {
        "image": list(map(png, rows[0])),
        "thumb": [bad] * 5,
    }
    kinds = datasets.Features({"image": datasets.Image(), "thumb": datasets.Image()})
    datasets.Dataset.from_dict(columns, kinds).to_parquet(tmp_path / "set/train.parquet")
    data = HuggingFace(path=str(tmp_path / "set"), streaming=streaming)
    assert np.array_equal(data[3][0].pixels, rows[0][3])
    data.close()


@needs_datasets
def test_images_inside_archives_and_far_away(rows, tmp_path):
    import zipfile

    import pyarrow.parquet

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.png", png(rows[0][0])["bytes"])
    paths = [f"zip://0.png::{tmp_path}/a.zip", "zip://0.png::https://host.invalid/a.zip"]
    columns = {"image": [{"bytes": None, "path": path} for path in paths]}
    kinds = datasets.Features({"image": datasets.Image()})
    (tmp_path / "set").mkdir()
    table = datasets.Dataset.from_dict(columns, kinds).data.table
    pyarrow.parquet.write_table(table, tmp_path / "set/train.parquet")
    data = HuggingFace(path=str(tmp_path / "set"))
    assert np.array_equal(data[0][0].pixels, rows[0][0])
    with pytest.raises(BadImageError, match=r"not on this machine; add --hf\.download to fetch it"):
        data[1]


@needs_datasets
@pytest.mark.parametrize("place", ["data.arrow", "../data.arrow"])
def test_a_saved_table_that_is_a_pipe_is_not_waited_for(place, tmp_path):
    saved = tmp_path / "set"
    datasets.Dataset.from_dict({"image": [1]}).save_to_disk(str(saved))
    state = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(json.dumps({**state, "_data_files": [{"filename": place}]}))
    os.mkfifo(saved / place)
    for folder in (saved, tmp_path):  # alone, and as a split
        with pytest.raises(UsageError, match=r"cannot be loaded \(.*is a pipe, not a file"):
            _ = HuggingFace(path=str(folder)).names
        (tmp_path / "dataset_dict.json").write_text('{"splits": ["set"]}')


@needs_datasets
def test_no_settings_of_a_folder_fetch_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: 1 / 0)
    settings = "configs:\n- config_name: default\n  data_files:\n  - {split: train, path: %s}\n"
    for address in ("https://host.invalid/x.parquet", "zip://*.png::s3://bucket/x.zip"):
        for name, text in (
            ("README.md", f"---\nhomepage: https://host.invalid\n{settings % address}---\nmore"),
            (".huggingface.yaml", settings % address),
        ):
            (tmp_path / name).write_text(text)
            with pytest.raises(UsageError, match=rf"^the {name} of .* names '.*add --hf\.download"):
                _ = HuggingFace(path=str(tmp_path)).names
            (tmp_path / name).write_text(text.replace(address, "train.parquet"))
            with pytest.raises(UsageError, match="division by zero"):  # and the library is asked
                _ = HuggingFace(path=str(tmp_path)).names
    (tmp_path / "README.md").write_text("# Photos\n---\na rule: of: a page\n---\n")
    with pytest.raises(UsageError, match="division by zero"):
        _ = HuggingFace(path=str(tmp_path)).names


@needs_datasets
def test_a_row_that_is_not_there_costs_no_other(folder):
    data = HuggingFace(path=str(folder), streaming=True, count=9)
    data._length = data._rows and 9  # as a card that says too many
    assert data[0][0].name == "train-000000"
    with pytest.raises(BadImageError, match=r"has no row 7; give a smaller --hf\.count"):
        data[7]
    assert data[2][0].name == "train-000002"
    data.close()


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segkit\[datasets\]'"):
        _ = HuggingFace(path="x").names
