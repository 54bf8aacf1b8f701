"""A million images through the driver: its speed and memory, `--resume`, the report, Parquet.

    IMAGES=1000000 pytest -m benchmark -s tests/benchmarks/bench_million.py

$IMAGES photographs (100,000), named by `--files.list`; workers that cost nothing but a mask and a
part of the table for each, which are written and read as any run's are. Each stage is a process of
its own, whose peak of memory is told: the run; `--resume` when all is done, but for 100 masks that
are lost; the report; the table of Parquet once more. The folder needs 10 kB an image. With
SYNC=no nothing waits for the disk, where that is what a machine is slow at.

docs/scale.md has the figures of a million.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
import zlib
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from bench_engines import Instant, Nothing, line_of

from segkit import Catalog, plan, write_file
from segkit.reporting import write_report
from segkit.running import keeping
from segkit.running.engines.dispatched import TOGETHER, Dispatched
from segkit.running.engines.parcel import sameness, with_plugins
from segkit.running.job import Job
from segkit.running.options import RunOptions
from segkit.running.session import Session
from segkit.values.spreading import levels_in, subfolder

pytestmark = pytest.mark.benchmark

IMAGES = int(os.environ.get("IMAGES", "100000"))
LOST = 100
GIB = 2**30


def mask_file() -> bytes:
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 20:40] = 255
    content = io.BytesIO()
    PIL.Image.fromarray(ids).save(content, "PNG")
    return content.getvalue()


def row_of(name: str) -> dict[str, object]:
    """What the writer `parquet` notes of an image."""
    mask = {"class": "tabby", "score": 0.912345, "quality": None, "area": 400}
    mask |= {"box": [20, 10, 20, 20], "counts": [970, *[20, 28] * 19, 20, 1142]}
    return {
        "name": name,
        "width": 64,
        "height": 48,
        "quality": None,
        "figures": {},
        "masks": [mask],
    }


class Writers(Instant):
    """Workers that only write."""

    def __init__(self, same, directory: Path) -> None:
        super().__init__(same)
        self.directory = directory
        self.mask = mask_file()
        self.images = 0
        self.spent = 0.0
        """Seconds of processor time that are the workers', not the driver's."""

    def line(self, name):
        start = time.thread_time()
        below = subfolder(name, levels_in(self.directory))
        files = [f"masks/{below}{name}.png", f"parquet/parts/{below}{name}.json"]
        write_file(self.directory / files[0], self.mask)
        write_file(self.directory / files[1], json.dumps(row_of(name)))
        line = line_of(name) | {"files": files, "written": {"masks": 1, "parquet": 1}}
        # Each of its own score, so that the report has something to sort by.
        line["masks"] = [line["masks"][0] | {"score": zlib.crc32(name.encode()) % 10**6 / 10**6}]
        self.images += 1
        self.spent += time.thread_time() - start
        return line


# ---- the stages, each in a process of its own --------------------------------------------------


def photographs(folder: Path) -> dict[str, float]:
    """Empty files, a thousand in a folder: nobody opens them."""
    names = []
    for i in range(IMAGES):
        path = folder / "photos" / f"{i // 1000:04}" / f"photograph-{i:07}.jpg"
        if not i % 1000:
            path.parent.mkdir(parents=True)
        path.touch()
        names.append(f"{path}\n")
    (folder / "list.txt").write_text("".join(names))
    return {}


def session(folder: Path, **how) -> tuple[Session, Instant]:
    catalog = Catalog(third_party=False)
    data = catalog.load("dataset", "files")(list=folder / "list.txt")
    writers = [catalog.load("writer", name)() for name in ("masks", "parquet")]
    job = Job({"run": plan([data, Nothing(), *writers])}, folder / "out", nested=False)
    options = RunOptions(catalog=with_plugins(job, catalog), **how)
    pool = Writers(sameness(job, options), folder / "out")
    return Session(job, options, Dispatched(lambda: pool, TOGETHER)), pool


def run(folder: Path, **how) -> dict[str, float]:
    start = time.perf_counter(), time.process_time()
    walk, pool = session(folder, **how)
    summary = walk.run()["run"]
    assert summary["images"] == IMAGES
    busy = time.process_time() - start[1] - pool.spent
    told = {"of workers": pool.spent, "driver": busy, "images": pool.images}
    chunks = {"ms a chunk": 1000 * busy / pool.chunks} if not how else {}
    return told | chunks | {"lines a second": summary["images_per_second"]}


def resume(folder: Path) -> dict[str, float]:
    lost = [*islice((folder / "out/masks").rglob("*.png"), LOST)]
    for path in lost:
        path.unlink()
    told = run(folder, resume=True)
    assert told["images"] == LOST
    return told


def report(folder: Path) -> dict[str, float]:
    page = write_report(folder / "out", Catalog(third_party=False))
    return {"MB": page.stat().st_size / 10**6}


def parquet(folder: Path) -> dict[str, float]:
    import pyarrow.parquet

    writer = Catalog(third_party=False).load("writer", "parquet")()
    with (folder / "out/results.jsonl").open() as file:
        names = [json.loads(text)["name"] for text in file]
    (table,) = writer.finish(folder / "out", names)
    assert pyarrow.parquet.read_metadata(table).num_rows == IMAGES
    return {"MB": table.stat().st_size / 10**6}


STAGES = {f.__name__: f for f in (photographs, run, resume, report, parquet)}


def test_a_million_images(tmp_path):
    for name in STAGES:
        words = [sys.executable, __file__, name, str(tmp_path)]
        told = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        print(name, {key: round(value, 3) for key, value in told.items()}, flush=True)
        assert told["peak GiB"] <= 1
        assert name != "report" or told["MB"] < 15


def main(stage: str, folder: str) -> None:
    if os.environ.get("SYNC") == "no":
        keeping.sync_files = lambda *files: None
    start = time.perf_counter(), time.process_time()
    told = STAGES[stage](Path(folder))
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(json.dumps({"seconds": spent[0], "processor": spent[1], "peak GiB": peak} | told))


if __name__ == "__main__":
    main(*sys.argv[1:])
