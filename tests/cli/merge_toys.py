"""Runs of shards, and what of them is compared."""

from __future__ import annotations

from importlib.util import find_spec

from reading import results

STEPS = ("--gradcam.model", "shapes", "--gradcam.target", "top:3", "--gradcam.least-share", 0)
FLAGS = (*STEPS, "--segmenter", "threshold", "--paint.duplicates", 1, "--quiet")
FORMATS = ("masks", "overlay", "voc", "coco", "yolo", "supervision", "labelme", "label-studio")
FORMATS += ("parquet",) * (find_spec("pyarrow") is not None)
WRITE = tuple(word for name in FORMATS[2:] for word in ("--write", name))
SHAPES = ("--dataset", "shapes", "--shapes.count", 6)
FOUR = tuple(f"s{i}" for i in (1, 2, 3, 4))


TIMES = ("seconds", "modified", "images_per_second")


def content(folder, formats=FORMATS):
    """Every file of the formats, by its place; parts are only what these are made of."""
    files = [p for name in formats for p in (folder / name).rglob("*") if p.is_file()]
    files = [p for p in files if "parts" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def timeless(value):
    """Without what depends on the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def by_name(folder):
    return {line["name"]: timeless(line) for line in results(folder)}


def snapshot(folder):
    """Every file with its content and time of change."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def shards(segkit, flags, count=4, command="run"):
    for number in range(1, count + 1):
        done = segkit(command, *flags, "--shard", f"{number}/{count}", "-o", f"s{number}")
        assert (done.code, done.err) == (0, "")
