"""The data set `webdataset`: tar archives, read as the library webdataset reads them."""

from __future__ import annotations

import pickle
import tarfile

import numpy as np
import pytest
from tar_toys import mask, photo, png, sample, two_tars, write

from segkit import BadImageError, Catalog, Recipe, SegkitWarning, UsageError, run
from segkit.running.export import export
from segkit.running.recipe import Part
from segkit_plugins.dataset import webdataset as module
from segkit_plugins.dataset._tars import members
from segkit_plugins.dataset.webdataset import WebDataset

try:
    import webdataset as wds
except ModuleNotFoundError:
    wds = None


@pytest.fixture
def tars(tmp_path):
    return two_tars(tmp_path)


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
