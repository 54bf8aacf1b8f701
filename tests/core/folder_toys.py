"""Photographs that take no time, steps for them, and a look at what lies in a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from segkit import Image, Labels, Segmenter, Writer, write_png
from segkit.running.ledger import LEDGER
from segkit_plugins.dataset.files import Files


def photograph(path, level=200, size=(6, 8)):
    """A file with a bright patch on dark ground; `level` is the patch's grey."""
    path = Path(path)
    pixels = np.full((*size, 3), 20, np.uint8)
    pixels[1:4, 2:5] = level
    write_png(path, pixels)
    return path


def photographs(folder, *names, suffix=".png"):
    """Several of them, each a bit brighter; the last one's path."""
    return [photograph(folder / f"{n}{suffix}", 200 + i) for i, n in enumerate(names)][-1]


def masks(folder, *names):
    """The folder of a mask for each, of the bright patch."""
    for name in names:
        mask = np.zeros((6, 8), np.uint8)
        mask[1:4, 2:5] = 255
        write_png(folder / f"{name}.png", mask)
    return folder


def files(folder, **options):
    """The data set of a folder's images."""
    return Files(paths=(str(folder),), **options)


def snapshot(folder):
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {name: (folder / name).read_bytes() for name in snapshot(folder)}


def lines(folder):
    """Image name to its line of results.jsonl."""
    found = (json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines())
    return {line["name"]: line for line in found}


def cut(folder, count):
    """As if the run had been killed after so many images."""
    path = folder / "results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:count]))


def as_of_first_edition(folder):
    """Make a run's folder what segkit 0.1.0 would have left."""
    for run in (folder, *folder.glob("recipes/*")):
        (run / LEDGER).unlink()
        recipe = run / "recipe.toml"
        if recipe.exists():
            recipe.write_text(re.sub(r"(?m)^ledger = .*\n", "", recipe.read_text()))
            rows = [{k: v for k, v in x.items() if k != "source"} for x in lines(run).values()]
            (run / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class Light(Segmenter):
    """What is brighter than `level`, as a class map."""

    name = "light"
    level: int = 100

    def __call__(self, image: Image) -> Labels:
        return Labels((image.pixels[..., 0] > self.level).astype(np.int32), {1: "light"})


class Names(Writer):
    """`names/NAME`, with the mean of the picture in it."""

    name = "names"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "names" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{image.pixels.mean():.3f}")
        return (path,)


class Strips(Writer):
    """`strips/NAME.txt`, a file for all that is not returned, and `all.txt` in the end."""

    name = "strips"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "strips" / f"{image.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(image.name)
        with (path.parent / "names.txt").open("a") as file:
            file.write(f"{image.name}\n")
        return (path,)

    def finish(self, directory):  # as plugins do that were written before it could return paths
        (directory / "all.txt").write_text("all")
