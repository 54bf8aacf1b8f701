"""The data set `webdataset`: tar archives, read as the library webdataset reads them."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import warnings

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import BadImageError, Catalog, Recipe, SegkitWarning, UsageError, run
from segkit.running.export import export
from segkit.running.recipe import Part
from segkit_plugins.dataset import _tar_index
from segkit_plugins.dataset import webdataset as module
from segkit_plugins.dataset._tars import members
from segkit_plugins.dataset.webdataset import WebDataset

try:
    import webdataset as wds
except ModuleNotFoundError:
    wds = None

NOISE = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The folder that keeps indexes."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEGKIT_CACHE", str(folder))
    return folder / "archives"


def png(array):
    content = io.BytesIO()
    Picture.fromarray(np.asarray(array, np.uint8)).save(content, "PNG")
    return content.getvalue()


def photo(size=(20, 30)):
    return NOISE.integers(0, 255, (*size, 3), dtype=np.uint8)


def mask(size=(20, 30), value=1):
    ids = np.zeros(size, np.uint8)
    ids[4:10, 5:20] = value
    return ids


def write(path, files, mode="w", **how):
    with tarfile.open(path, mode, **how) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def sample(key, number=1):
    return [(f"{key}.png", png(photo())), (f"{key}.mask.png", png(mask(value=number)))]


@pytest.fixture
def tars(tmp_path):
    """Two archives of three images each."""
    for shard in (0, 1):
        files = [f for i in range(3) for f in sample(f"./dir/{shard}-{i}", 1 + i)]
        write(tmp_path / f"train-{shard:03d}.tar", [*files, ("./dir/readme.txt", b"no image")])
    return tmp_path


@pytest.mark.skipif(wds is None, reason="webdataset is not installed")
def test_the_library_reads_the_same(tars):
    data = WebDataset(shards=(f"{tars}/train-{{000..001}}.tar",), mask="mask.png")
    theirs = wds.WebDataset(
        [str(p) for p in sorted(tars.glob("*.tar"))], shardshuffle=False
    ).decode("rgb8")
    pairs = [s for s in theirs if "png" in s]
    assert len(data) == len(pairs) == 6
    for (image, truth), other in zip(data, pairs, strict=True):
        assert image.name == other["__key__"].rpartition("/")[2]
        assert np.array_equal(image.pixels, other["png"])
        assert np.array_equal(truth.labels.ids, other["mask.png"][..., 0])


@pytest.mark.skipif(wds is None, reason="webdataset is not installed")
def test_what_the_library_writes_is_read(tmp_path):
    pixels = [photo() for _ in range(5)]
    with wds.TarWriter(str(tmp_path / "a.tar")) as sink:
        for i, array in enumerate(pixels):
            sink.write({"__key__": f"sub/{i:06d}", "png": array, "cls": i})
    data = WebDataset(shards=(str(tmp_path),))
    assert list(data.names) == [f"{i:06d}" for i in range(5)]
    assert all(np.array_equal(data[i][0].pixels, pixels[i]) for i in (4, 0, 2))
    assert not data.has_truth
    assert data[0][1] is None


@pytest.mark.parametrize("how", ["{000..001}", "*", "", "each"])
def test_ways_to_name_archives(tars, how):
    shards = (str(tars),) if not how else (f"{tars}/train-{how}.tar",)
    if how == "each":
        shards = tuple(f"{tars}/train-{i:03d}.tar" for i in (0, 1))
    data = WebDataset(shards=shards)
    assert list(data.names) == [f"{s}-{i}" for s in (0, 1) for i in range(3)]
    assert [p.name for p in data.files_of(5)] == ["train-001.tar"]


def test_long_names_other_kinds_of_header_and_packed_archives(tmp_path):
    long = "d" * 90 + "/" + "n" * 120
    files = [*sample(long), *sample("ä"), *sample("last")]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        write(tmp_path / "a.tar", files, format=form)
        write(tmp_path / "a.tgz", files, "w:gz", format=form)
        with tarfile.open(tmp_path / "a.tar", "a", format=form) as tar:
            tar.addfile(tarfile.TarInfo("folder/"))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        with (tmp_path / "a.tar").open("rb") as file, tarfile.open(tmp_path / "a.tar") as tar:
            listed = [(m.name, m.start, m.size) for m in members(file, None)]
            assert listed == [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
        for name in ("a.tar", "a.tgz"):
            data = WebDataset(shards=(str(tmp_path / name),), mask="mask.png")
            assert list(data.names) == ["n" * 120, "ä", "last"]
            assert [data[i][0].size for i in (2, 0, 1)] == [(20, 30)] * 3
            data.close()


@pytest.mark.parametrize("cut", ["content", "header", "end"])
def test_a_cut_archive_is_told_and_what_is_before_the_cut_is_used(tmp_path, cut):
    path = tmp_path / "a.tar"
    files = [f for i in range(4) for f in sample(f"{i}")]
    write(path, files)
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-2]
        first_header = last.offset
    where = {"content": last.offset_data + 50, "header": first_header + 100, "end": first_header}
    path.write_bytes(path.read_bytes()[: where[cut]])
    data = WebDataset(shards=(str(path),), image="png")
    with pytest.warns(SegkitWarning) as told:
        names = list(data.names)
    assert names == ["0", "1", "2", *["3"] * (cut == "content")]
    assert str(told[0].message).startswith(f"'{path}' is cut off (")
    assert str(told[0].message).endswith(
        f"the last of which is {names[-1]}; copy it again for the others"
    )
    assert [data[i][0].name for i in range(3)] == ["0", "1", "2"]
    if cut == "content":
        with pytest.raises(
            BadImageError, match=r"a\.tar' is cut off in 3\.png \(it has 50 of \d+ bytes\); copy"
        ):
            data[3]


def test_a_packed_archive_that_is_cut(tmp_path):
    path = tmp_path / "a.tar.gz"
    write(path, [f for i in range(4) for f in sample(f"{i}")], "w:gz")
    path.write_bytes(path.read_bytes()[:-400])
    data = WebDataset(shards=(str(path),))
    with pytest.warns(SegkitWarning, match="is cut off"):
        assert list(data.names)[:3] == ["0", "1", "2"]
    assert data[1][0].name == "1"


def resized(path, name, said):
    """Give a member's header another size field, with a checksum that fits."""
    with tarfile.open(path) as tar:
        place = tar.getmember(name).offset
    content = bytearray(path.read_bytes())
    content[place + 124 : place + 136] = said.ljust(12, b"\0")
    content[place + 148 : place + 156] = b" " * 8
    content[place + 148 : place + 156] = b"%06o\0 " % sum(content[place : place + 512])
    path.write_bytes(content)
    return place


@pytest.mark.parametrize("said", [b"-0000001000", b"-0000000100", b"no number"])
def test_a_damaged_header_is_told_and_what_is_before_it_is_used(tmp_path, said):
    path = tmp_path / "a.tar"
    write(path, [f for i in range(4) for f in sample(f"{i}")])
    place = resized(path, "2.png", said)
    data = WebDataset(shards=(str(path),))
    with pytest.warns(SegkitWarning) as told:
        assert list(data.names) == ["0", "1"]
    assert str(told[0].message) == (
        f"'{path}' is cut off (its header at byte {place} is damaged); it gives 2 images, the last "
        "of which is 1; copy it again for the others"
    )
    write(path, sample("0"))
    resized(path, "0.png", said)
    with pytest.raises(UsageError, match="is no tar archive that can be read"):
        _ = WebDataset(shards=(str(path),)).names


def test_a_packed_archive_that_is_damaged_in_the_middle(tmp_path):
    path = tmp_path / "a.tar.gz"
    # Of a size at which nothing of the third is read ahead with the first two.
    noise = np.random.default_rng(0).integers(0, 256, (4, 300, 300, 3), np.uint8)
    write(path, [(f"{i}.png", png(noise[i])) for i in range(4)], "w:gz")
    content = bytearray(path.read_bytes())
    place = len(content) * 5 // 8
    content[place : place + 80_000] = b"\xff" * 80_000
    path.write_bytes(content)
    data = WebDataset(shards=(str(path),), image="png")
    with pytest.warns(SegkitWarning, match="is cut off"):
        names = list(data.names)
    assert names[:2] == ["0", "1"]
    assert data[0][0].name == "0"
    assert data[1][0].name == "1"


def test_a_run_over_a_cut_archive_keeps_the_images_before_it(tmp_path):
    path = tmp_path / "a.tar"
    write(path, [f for i in range(3) for f in sample(f"{i}")])
    with tarfile.open(path) as tar:
        place = tar.getmember("2.png").offset_data
    path.write_bytes(path.read_bytes()[: place + 30])
    parts = {"dataset": (Part("webdataset", {"shards": (str(path),)}),), "prompt": ()}
    steps = {"saliency": (Part("gradcam", {"model": "shapes"}),), "segmenter": (Part("threshold"),)}
    plan = Recipe({**parts, **steps}).build(Catalog(third_party=False))
    with pytest.warns(SegkitWarning, match="is cut off"):
        summary = run({"run": plan}, tmp_path / "out")["run"]
    assert (summary["images"], summary["failed"]) == (3, 1)
    assert (tmp_path / "out/masks/1.png").is_file()
    # What was kept is exported with the photos out of the archive.
    writer = Catalog(third_party=False).load("writer", "labelme")()
    with pytest.warns(SegkitWarning, match="is cut off"):
        done = export(tmp_path / "out", [writer], Catalog(third_party=False))
    assert (done.images, done.failed) == (2, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "'{path}' is no tar archive that can be read (it is empty)"),
        (b"no archive" * 100, "'{path}' is no tar archive that can be read ("),
        (b"x" * 100, "'{path}' is no tar archive that can be read (no header)"),
        (b"\x1f\x8bnot packed", "'{path}' is no tar archive that can be read ("),
    ],
)
def test_what_is_no_archive_is_a_sentence(tmp_path, content, said):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(UsageError) as info:
        _ = WebDataset(shards=(str(path),)).names
    assert str(info.value).startswith(said.format(path=path))


def test_other_bad_input_is_a_sentence(tmp_path, tars):
    cases = [
        ((), "the data set 'webdataset' has no archives"),
        ((f"{tars}/none.tar",), "means no archive that is there"),
        ((f"{tars}/*.zip",), "means no archive that is there"),
        ((f"{tars}/x-{{0..99999999}}.tar",), "means too many archives"),
    ]
    for shards, said in cases:
        with pytest.raises(UsageError, match=said.replace("(", r"\(")):
            _ = WebDataset(shards=shards).names
    write(tmp_path / "none.tar", [("a.txt", b"x")])
    with pytest.raises(UsageError, match="holds no file that is an image by its suffix"):
        _ = WebDataset(shards=(str(tmp_path / "none.tar"),)).names
    with pytest.raises(UsageError, match="holds no file with the suffix jpg"):
        _ = WebDataset(shards=(f"{tars}/train-000.tar",), image="jpg").names
    write(tmp_path / "bad.tar", [("a.png", b"no image"), *sample("b"), ("c.png", png(photo()))])
    data = WebDataset(shards=(str(tmp_path / "bad.tar"),), mask="mask.png")
    with pytest.raises(BadImageError, match=r"'a\.png' is not an image that can be read"):
        data[0]
    with pytest.raises(BadImageError, match=r"'c\.png' has no mask\.png beside it"):
        data[2]
    assert data[1][0].name == "b"


def test_masks_are_ids_or_one_object(tmp_path, tars):
    data = WebDataset(shards=(f"{tars}/*.tar",), mask="mask.png")
    assert data.has_truth
    assert data.classes == {}  # ids that nobody has named
    assert np.array_equal(data[2][1].labels.ids, mask(value=3))
    named = WebDataset(shards=(f"{tars}/*.tar",), mask="mask.png", class_names=("a", "b", "c"))
    assert named.classes == {1: "a", 2: "b", 3: "c"}
    write(tmp_path / "one.tar", [f for i in range(3) for f in sample(f"{i}", 255)])
    one = WebDataset(shards=(str(tmp_path / "one.tar"),), mask="mask.png")
    assert one.classes == {1: "object"}
    assert np.array_equal(one[0][1].labels.ids, mask())


def test_no_image_is_read_to_start_and_it_can_be_pickled(tars, monkeypatch):
    def read(*_):
        raise AssertionError("an image was read")

    monkeypatch.setattr(module.Reader, "read", read)
    data = WebDataset(shards=(f"{tars}/*.tar",))
    assert len(data.names) == 6
    assert len(pickle.loads(pickle.dumps(data)).names) == 6


def test_it_can_be_pickled_once_an_image_was_read(tars):
    data = WebDataset(shards=(f"{tars}/*.tar",))
    wanted = data[4][0]
    other = pickle.loads(pickle.dumps(data))
    assert np.array_equal(other[4][0].pixels, wanted.pixels)
    assert np.array_equal(data[4][0].pixels, wanted.pixels)


def test_reading_in_order_opens_each_archive_once(tars, monkeypatch):
    opened = []
    whole = module._opened
    data = WebDataset(shards=(f"{tars}/*.tar",))
    assert len(data.names) == 6
    monkeypatch.setattr(module, "_opened", lambda path: (opened.append(path.name), whole(path))[1])
    assert [image.name for image, _ in data] == list(data.names)
    assert opened == ["train-000.tar", "train-001.tar"]


# ---- listing without reading -------------------------------------------------------------------


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
