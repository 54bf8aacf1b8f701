"""Images at addresses: fsspec's own file system in memory, and an S3 server on this machine."""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image as Picture

import segkit
from segkit import BadImageError, Catalog, MissingExtraError, Pipeline, Recipe, UsageError, run
from segkit.cli.main import main
from segkit.running.recipe import Part
from segkit_plugins.dataset import _remote, webdataset
from segkit_plugins.dataset.files import Files
from segkit_plugins.dataset.webdataset import WebDataset

try:
    import fsspec
except ModuleNotFoundError:
    fsspec = None
try:
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer
except ModuleNotFoundError:
    s3fs = None

needs_fsspec = pytest.mark.skipif(fsspec is None, reason="fsspec is not installed")
needs_s3 = pytest.mark.skipif(s3fs is None, reason="s3fs and moto are not installed")
NOISE = np.random.default_rng(0)


def png(value=None):
    content = io.BytesIO()
    array = NOISE.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    if value is not None:
        array = np.full((20, 30), value, np.uint8)
    Picture.fromarray(array).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def memory():
    """A folder with two photos, a text and a folder of one more, and its address."""
    system = fsspec.filesystem("memory")
    for name in ("b.png", "a.jpg", "more/a.png"):
        system.pipe(f"/photos/{name}", png())
    system.pipe("/photos/notes.txt", b"no image")
    yield system
    system.rm("/photos", recursive=True)


@pytest.fixture
def quick(monkeypatch):
    """Tries follow at once; the seconds that would have been waited."""
    waited = []
    monkeypatch.setattr(_remote.time, "sleep", waited.append)
    return waited


@needs_fsspec
def test_files_folders_and_patterns(memory):
    names = {
        ("memory://photos",): ["a", "b"],
        ("memory://photos/*.png",): ["b"],
        ("memory://photos/**/*.png",): ["b", "a"],
        ("memory://photos/b.png", "memory://photos/more"): ["b", "a"],
        ("memory://photos", "memory://photos/more/a.png", "memory://photos/b.png"): [
            "a",
            "b",
            "a-2",
        ],
    }
    for paths, wanted in names.items():
        data = Files(paths=paths)
        assert list(data.names) == wanted
        assert [image.name for image, _ in data] == wanted
        assert not any(data.files_of(i) for i in range(len(data)))


@needs_fsspec
def test_beside_files_of_this_machine_with_masks_and_lists(memory, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(png(255))
    paths = ("memory://photos", f"file://{tmp_path}/c.png")
    data = Files(paths=paths, masks=tmp_path)
    assert list(data.names) == ["a", "b", "c"]
    assert data.classes == {1: "object"}
    assert all(truth.labels.ids.all() for _, truth in data)
    assert [len(data.files_of(i)) for i in range(3)] == [0, 0, 2]
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("memory://photos/b.png\n")
    assert list(Files(paths=paths, list=chosen).names) == ["b"]
    assert list(Files(list=chosen).names) == ["b"]


@needs_fsspec
def test_a_million_addresses_are_asked_nothing(memory, tmp_path, monkeypatch):
    (tmp_path / "all.txt").write_text("".join(f"memory://x/{i}.jpg\n" for i in range(3000)))
    monkeypatch.setattr(_remote, "_system", lambda address: pytest.fail("asked"))
    assert len(Files(list=tmp_path / "all.txt").names) == 3000


@needs_fsspec
def test_a_store_that_fails_for_a_while(memory, quick, monkeypatch):
    data = Files(paths=("memory://photos/b.png",))
    whole, left = type(memory).cat_file, [0]

    def fails(self, *args, **kwargs):
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("slow down")
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(type(memory), "cat_file", fails)
    for failures in range(4):
        left[0] = failures
        assert data[0][0].size == (20, 30)
    assert quick == [0.5, 0.5, 1, 0.5, 1, 2]
    left[0] = 4
    with pytest.raises(BadImageError) as info:
        data[0]
    assert str(info.value) == (
        "'memory://photos/b.png' cannot be read after 4 tries (slow down); go on with --resume "
        "when the other side answers again"
    )
    assert sum(quick) == pytest.approx(0.5 * 3 + 1 * 2 + 2 + 3.5)


@needs_fsspec
def test_bad_input_is_a_sentence(memory, quick, monkeypatch):
    memory.pipe("/photos/bad.png", b"no image")
    data = Files(paths=("memory://photos/bad.png", "memory://photos/gone.png"))
    with pytest.raises(BadImageError, match=r"'memory://photos/bad\.png' is not an image that can"):
        data[0]
    with pytest.raises(BadImageError, match=r"'memory://photos/gone\.png' does not exist; check"):
        data[1]
    assert not quick  # what is not there is not asked for again
    for address, said in (
        ("memory://photos/*.gif", "holds no file with a suffix such as"),
        ("nosuch://bucket/*.png", "is of a kind that cannot be read here"),
    ):
        with pytest.raises(UsageError, match=said):
            _ = Files(paths=(address,)).names

    def fails(self, *args, **kwargs):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(type(memory), "isdir", fails)
    with pytest.raises(UsageError, match=r"cannot be looked into \(nobody there\); check the"):
        _ = Files(paths=("memory://photos",)).names
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"needs fsspec.*segkit\[remote\]"):
        _ = Files(paths=("memory://photos",)).names


def plan(paths):
    parts = {"dataset": (Part("files", {"paths": paths}),), "prompt": ()}
    steps = {"saliency": (Part("gradcam", {"model": "shapes"}),), "segmenter": (Part("threshold"),)}
    return Recipe({**parts, **steps}).build(Catalog(third_party=False))


@needs_fsspec
def test_an_address_leads_into_archives_alone(tmp_path, monkeypatch):
    """Other ways lead to what is run, such as templates; other places are read without end."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.png", png())
    data = Files(paths=(f"zip://*.png::file://{tmp_path}/b.zip", f"zip://a.png::{tmp_path}/b.zip"))
    assert data.names == ("a", "a-2")
    assert [image.size for image, _ in data] == [(20, 30)] * 2
    monkeypatch.setattr(_remote, "LARGEST", 100)
    with pytest.raises(BadImageError, match=r"has more than 0 MiB; leave it out"):
        data[0]
    os.mkfifo(tmp_path / "pipe.zip")
    for address, said in (
        (f"zip://a.png::{tmp_path}/pipe.zip", "cannot be read (it is a pipe, not a file); check"),
        ("tar://a.png::file:///dev/zero", "cannot be read (it is a device, not a file); check"),
        ("zip://a.png::tar://b.zip::/dev/zero", "cannot be read (it is a device, not a file)"),
        (f"zip://a.png::{tmp_path}/gone.zip", "cannot be read (No such file or directory); check"),
        ("reference://a.png::https://host.invalid/a.json", "by way of 'reference', and only"),
        ("zip://a.png::filecache::/dev/zero", "by way of 'filecache', and only archives are"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            _ = Files(paths=(address,)).names
        with pytest.raises(UsageError, match=re.escape(said)):
            _remote.fetch(address)
        with pytest.raises(UsageError, match=re.escape(said)):
            _ = WebDataset(shards=(address.replace("a.png", "a.tar"),)).names


@needs_fsspec
def test_a_run_over_addresses_goes_on_and_sees_what_has_changed(memory, quick, tmp_path):
    memory.pipe("/photos/bad.png", b"no image")
    summary = run({"run": plan(("memory://photos",))}, tmp_path / "out")["run"]
    assert (summary["images"], summary["failed"]) == (3, 1)
    memory.pipe("/photos/bad.png", png())
    memory.pipe("/photos/a.jpg", png())
    before = (tmp_path / "out/masks/b.png").stat().st_mtime_ns
    with pytest.warns(UserWarning, match=r"1 image \(a\) has changed and is done again"):
        summary = run({"run": plan(("memory://photos",))}, tmp_path / "out", resume=True)["run"]
    assert (summary["images"], summary["failed"]) == (3, 0)
    assert (tmp_path / "out/masks/b.png").stat().st_mtime_ns == before


@needs_fsspec
def test_archives_at_addresses(memory):
    for name, mode in (("a.tar", "w"), ("b.tar.gz", "w:gz")):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode=mode) as tar:
            for i in range(3):
                data = png()
                info = tarfile.TarInfo(f"{name[0]}{i}.png")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        memory.pipe(f"/photos/tars/{name}", content.getvalue())
    data = WebDataset(shards=("memory://photos/tars",))
    assert list(data.names) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert [image.name for image, _ in data] == list(data.names)
    assert not data.files_of(0)
    data.close()
    with pytest.raises(UsageError, match=r"gone\.tar' is no tar archive that can be read"):
        _ = WebDataset(shards=("memory://photos/gone.tar",)).names


@needs_fsspec
@pytest.mark.parametrize("packed", [False, True])
def test_archives_at_a_store_that_fails_for_a_while(memory, quick, monkeypatch, packed):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz" if packed else "w") as tar:
        for i in range(3):
            info, photo = tarfile.TarInfo(f"{i}.png"), png()
            info.size = len(photo)
            tar.addfile(info, io.BytesIO(photo))
    name = "a.tar.gz" if packed else "a.tar"
    memory.pipe(f"/photos/{name}", content.getvalue())
    kind = type(memory.open(f"/photos/{name}"))
    whole, left = kind.read, [0]

    def fails(self, *args):
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("slow down")
        return whole(self, *args)

    monkeypatch.setattr(kind, "read", fails)
    data = WebDataset(shards=(f"memory://photos/{name}",))
    left[0] = 3
    assert list(data.names) == ["0", "1", "2"]
    left[0] = 3
    assert data[1][0].name == "1"
    assert quick == [0.5, 1, 2] * 2
    data.close()
    left[0] = 4
    with pytest.raises(BadImageError, match=r"cannot be read \(slow down\)"):
        data[0]
    assert data[0][0].name == "0"


@pytest.fixture(scope="module")
def s3():
    """The address of a bucket on a server of this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    for name in ("one/a.png", "one/b.png", "two/c.jpg"):
        client.put_object(Bucket="photos", Key=name, Body=png())
    yield "s3://photos", client
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@needs_s3
@pytest.mark.filterwarnings("ignore")
def test_a_bucket(s3, tmp_path, quick):
    address, client = s3
    assert list(Files(paths=(f"{address}/one",)).names) == ["a", "b"]
    data = Files(paths=(f"{address}/**/*.png", f"{address}/two/c.jpg", f"{address}/two/gone.jpg"))
    assert list(data.names) == ["a", "b", "c", "gone"]
    body = client.get_object(Bucket="photos", Key="two/c.jpg")["Body"].read()
    with Picture.open(io.BytesIO(body)) as picture:
        assert np.array_equal(data[2][0].pixels, np.asarray(picture.convert("RGB")))
    with pytest.raises(BadImageError, match="does not exist; check the name"):
        data[3]
    with pytest.raises(UsageError, match=r"cannot be looked into|holds no file"):
        _ = Files(paths=("s3://no-such-bucket/*.png",)).names
    summary = run({"run": plan((f"{address}/one",))}, tmp_path / "out")["run"]
    assert (summary["images"], summary["failed"]) == (2, 0)


@needs_fsspec
def test_archives_far_away_are_listed_once_until_they_change(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory")

    def put(*names):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name in names:
                info, picture = tarfile.TarInfo(f"{name}.png"), png()
                info.size = len(picture)
                tar.addfile(info, io.BytesIO(picture))
        system.pipe("/tars/t.tar", content.getvalue())

    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(webdataset, "LONG", -1)
    put("a", "b")
    try:
        assert list(WebDataset(shards=("memory://tars/t.tar",)).names) == ["a", "b"]
        with monkeypatch.context() as patch:
            patch.setattr(webdataset, "open_address", lambda _: pytest.fail("read"))
            assert list(WebDataset(shards=("memory://tars/t.tar",)).names) == ["a", "b"]
        put("c")
        assert list(WebDataset(shards=("memory://tars/t.tar",)).names) == ["c"]
    finally:
        system.rm("/tars", recursive=True)


# ---- a run's folder ----------------------------------------------------------------------------

SENTENCE = (
    "s3://bucket/run is an address, and a run's folder has to be on a disk, where lines are "
    "appended and the folder is locked; give a folder, and copy it there and back by the store's "
    "own tool, such as aws s3 sync"
)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: Pipeline(segmenter="threshold").run(data, "s3://bucket/run"),
        lambda data: segkit.sweep(Pipeline(segmenter="threshold"), data, "s3://bucket/run"),
        lambda data: segkit.diagnose(Pipeline(), data, "s3://bucket/run"),
        lambda data: segkit.robustness(Pipeline(), data, "s3://bucket/run"),
        lambda data: segkit.merge(["part"], "s3://bucket/run"),
        lambda data: segkit.merge(["s3://bucket/run"], "out"),
    ],
)
def test_a_folder_at_an_address_is_refused(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        make(segkit.dataset("shapes", count=2))
    assert str(caught.value) == SENTENCE
    assert not [*tmp_path.iterdir()]


def test_commands_refuse_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("run", "sweep", "diagnose", "robustness"):
        with pytest.raises(SystemExit, match="2"):
            main([command, "--dataset", "shapes", "-o", "s3://bucket/run"])
        assert SENTENCE in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit, match="2"):
        main(["export", "s3://bucket/run", "--write", "coco"])
    assert SENTENCE in " ".join(capsys.readouterr().err.split())
    assert not [*tmp_path.iterdir()]


@needs_fsspec
def test_a_run_goes_on_where_it_has_been_copied_to(tmp_path):
    data, system = segkit.dataset("shapes", count=4, size=64), fsspec.filesystem("memory")
    pipeline = Pipeline(segmenter="threshold", options={"gradcam.model": "shapes"})
    for part in ("1/2", "2/2"):
        pipeline.run(data, tmp_path / part[0], shard=part)
        system.put(str(tmp_path / part[0]), f"/parts/{part[0]}", recursive=True)
    try:
        system.get("/parts", str(tmp_path / "back"), recursive=True)
    finally:
        system.rm("/parts", recursive=True)
    before = (tmp_path / "back/1/results.jsonl").read_bytes()
    pipeline.run(data, tmp_path / "back/1", shard="1/2", resume=True)
    assert (tmp_path / "back/1/results.jsonl").read_bytes() == before  # nothing is done again
    assert segkit.merge([tmp_path / "back/1", tmp_path / "back/2"], tmp_path / "all").whole
