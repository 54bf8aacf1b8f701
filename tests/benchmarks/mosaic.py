"""A mosaic of photos with truth, whole and in tiles: memory, time, and the IoU of each photo.

python tests/benchmarks/mosaic.py DATA/oxford-iiit-pet OUT --saliency objectness --prompt components

The first photos at even positions of the sorted names are cut to squares, enlarged, and laid in
rows. All flags behind the folders are those of `segkit run`, once without `--tile`, once with it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROWS, COLUMNS, SIDE = 4, 6, 1000
"""Photos in a column and in a row, and the pixels of a photo's side."""


def square(picture: Image.Image, resampling: Image.Resampling) -> np.ndarray:
    """The middle of a picture at SIDE x SIDE pixels."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((SIDE, SIDE), resampling, box))


def lay(pets: Path, out: Path) -> tuple[Path, np.ndarray]:
    """The mosaic's file, and where a pet is in it, (H, W) bool."""
    names = sorted(path.stem for path in (pets / "images").glob("*.jpg"))[::2]
    photo = np.zeros((ROWS * SIDE, COLUMNS * SIDE, 3), np.uint8)
    truth = np.zeros(photo.shape[:2], bool)
    for place, name in enumerate(names[: ROWS * COLUMNS]):
        y, x = place // COLUMNS * SIDE, place % COLUMNS * SIDE
        picture = Image.open(pets / "images" / f"{name}.jpg").convert("RGB")
        trimap = Image.open(pets / "annotations" / "trimaps" / f"{name}.png")
        photo[y : y + SIDE, x : x + SIDE] = square(picture, Image.Resampling.BICUBIC)
        truth[y : y + SIDE, x : x + SIDE] = square(trimap, Image.Resampling.NEAREST) != 2
    path = out / "mosaic.png"
    Image.fromarray(photo).save(path)
    return path, truth


def measured(flags: list[str]) -> tuple[float, float]:
    """Peak memory in MiB and processor seconds of `segkit` with these flags, by itself."""
    with subprocess.Popen(["segkit", *flags]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"segkit {' '.join(flags)} ended with {process.returncode}")
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def ious(folder: Path, truth: np.ndarray) -> np.ndarray:
    """(ROWS, COLUMNS): the IoU of pet and labels in each photo."""
    Image.MAX_IMAGE_PIXELS = None
    labels = np.asarray(Image.open(next((folder / "masks").glob("*.png")))) > 0

    def cells(mask: np.ndarray) -> np.ndarray:
        return mask.reshape(ROWS, SIDE, COLUMNS, SIDE).sum(axis=(1, 3))

    return cells(labels & truth) / np.maximum(cells(labels | truth), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiles", default="0,1024", help="the sides to try; 0: no tiles")
    own, flags = parser.parse_known_args()
    own.out.mkdir(parents=True, exist_ok=True)
    photo, truth = lay(own.pets, own.out)
    for tile in own.tiles.split(","):
        folder = own.out / f"tile-{tile}"
        run = [
            "run",
            str(photo),
            *flags,
            "--tile",
            tile,
            "-o",
            str(folder),
            "--quiet",
            "--overwrite",
        ]
        peak, seconds = measured(run)
        found = ious(folder, truth)
        (line,) = map(json.loads, (folder / "results.jsonl").read_text().splitlines())
        print(
            f"tile {tile}: {peak:,.0f} MiB, {seconds:.1f} s of processor time, "
            f"{len(line.get('masks') or ())} masks, "
            f"mean IoU {found.mean():.3f}, photos over 0.5: {(found > 0.5).sum()} of {found.size}",
            flush=True,
        )
        print(np.array2string(found, formatter={"float": "{:.2f}".format}), flush=True)


if __name__ == "__main__":
    main()
