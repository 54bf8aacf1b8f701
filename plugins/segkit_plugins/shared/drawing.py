"""Generated pictures of five shapes with their truth, for the data sets and for training.

The same seed gives the same pixels on every machine: random numbers come from numpy's PCG64
alone, angles and sizes are rounded before they are used, edges are decided by sums and
comparisons of float64, and pictures are resized in whole numbers, so that the last bit of a
machine's `cos` can never flip a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit import UsageError
from segkit_plugins.shared.reading import check_file

CLASSES = {1: "circle", 2: "square", 3: "diamond", 4: "triangle", 5: "star"}
"""Class id to name."""

RADIUS = (0.12, 0.38)
"""Least and greatest circumscribed radius, as a share of the picture's side."""

MARGIN = 0.8
"""Least distance of an object's centre from the border, in its own radii."""

ROTATION = 25.0
"""Greatest rotation to either side, in degrees."""

FLAT = 0.6
"""Share of objects filled with one colour; the others show a second background crop."""

NOISE = (2.0, 14.0)
"""Least and greatest standard deviation of the noise, in grey levels."""

_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def _normals(degrees: list[float], distance: float) -> NDArray[np.float64]:
    """Unit normals at these angles (counter-clockwise from +x, y up), as rows (nx, ny, distance).

    A point (x, y), y down, is inside a row's half-plane where x·nx + y·ny <= distance.
    """
    rows = [(math.cos(math.radians(d)), -math.sin(math.radians(d)), distance) for d in degrees]
    return np.round(np.array(rows), 6)


# For each class of circumscribed radius 1: its half-planes, and in how many of them a point must
# lie to be inside. The five lines of a pentagram have a star's points inside four of them. The
# diamond is a rhombus with diagonals 2 and 1.2: a square on its tip would be a rotated square.
_SHAPES: dict[int, tuple[NDArray[np.float64], int]] = {
    1: (np.zeros((0, 3)), 0),
    2: (_normals([0, 90, 180, 270], math.sqrt(0.5)), 4),
    3: (np.array([(x / 0.6, y, 1.0) for x in (-1, 1) for y in (-1, 1)]), 4),
    4: (_normals([30, 150, 270], 0.5), 3),
    5: (_normals([90, 162, 234, 306, 18], math.cos(math.radians(72))), 4),
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """One generated picture and what is in it; S is its side."""

    pixels: NDArray[np.uint8]
    """(S, S, 3) uint8, RGB."""
    labels: NDArray[np.int32]
    """(S, S) int32: the class id of each pixel, 0 background."""
    instances: NDArray[np.int32]
    """(S, S) int32: 1 … n the objects from the lowest to the topmost, 0 background."""
    classes: tuple[int, ...]
    """(n,): the class id of each object."""

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(n, 4) int64: first x, first y, last x, last y of each object's visible pixels."""
        corners = []
        for i in range(1, len(self.classes) + 1):
            y, x = np.nonzero(self.instances == i)
            corners.append((x.min(), y.min(), x.max(), y.max()))
        return np.array(corners, np.int64).reshape(-1, 4)


class Backgrounds:
    """Where backgrounds come from: a folder of pictures, an array of them, or made-up textures."""

    def __init__(self, pictures: list[Path] | NDArray[np.uint8] | None = None) -> None:
        self._pictures = pictures

    @classmethod
    def load(cls, source: Path | None = None) -> Backgrounds:
        """Backgrounds from a folder of pictures, an .npz file, or (None) procedural textures.

        An .npz file holds `images` (n, h, w, 3) uint8, RGB. Raises `UsageError` if there is no
        such file or folder, or nothing usable in it.
        """
        if source is None:
            return cls()
        source = Path(source)
        if source.is_dir():
            files = sorted(p for p in source.iterdir() if p.suffix.lower() in _PICTURES)
            if not files:
                raise UsageError(
                    f"backgrounds should be a folder of pictures, but '{source}' holds none; "
                    "put pictures into it or name another folder"
                )
            return cls(files)
        if not source.exists():
            raise UsageError(
                f"backgrounds should be a folder or an .npz file, but there is no '{source}'; "
                "check the path"
            )
        return cls(_read_npz(source))

    def crop(self, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """A random square of a random picture, as (size, size, 3) uint8.

        The square's side is uniform between half and all of the picture's shorter side; it is
        resized bilinearly or bicubically, each half of the time. Raises `BadImageError` if a file
        of the folder cannot be read.
        """
        if self._pictures is None:
            return texture(rng, size)
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        pixels = _read_picture(picture) if isinstance(picture, Path) else picture
        height, width = pixels.shape[:2]
        shorter = min(height, width)
        side = int(rng.integers((shorter + 1) // 2, shorter + 1))
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        cubic = bool(rng.random() < 0.5)
        return resize(pixels[top : top + side, left : left + side], size, cubic)


def _read_npz(source: Path) -> NDArray[np.uint8]:
    """`images` (n, h, w, 3) uint8 of an .npz file."""
    what = "backgrounds should be an .npz file with 'images' (n, h, w, 3) uint8"
    damaged = UsageError(
        f"{what}, but '{source}' is another kind of file or damaged; save it with numpy.savez"
    )
    try:
        check_file(source)
    except OSError as error:
        raise UsageError(
            f"{what}, but '{source}' cannot be read ({error.strerror}); name another"
        ) from None
    with source.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise damaged
            with archive:
                held = ", ".join(archive.files) or "nothing"
                images = archive["images"] if "images" in archive.files else None
        except Exception:  # numpy, zipfile and zlib raise many kinds
            raise damaged from None
    if images is None:
        raise UsageError(f"{what}, but '{source}' holds {held}; rename the array to 'images'")
    fits = images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8
    if not fits or images.size == 0:
        raise UsageError(
            f"{what}, but 'images' of '{source}' is {images.shape} {images.dtype}; "
            "save RGB pictures of one size, at least one"
        )
    return images


def _read_picture(path: Path) -> NDArray[np.uint8]:
    """(h, w, 3) uint8, RGB."""
    from segkit import read_image

    return read_image(path).pixels


def resize(picture: NDArray[np.uint8], size: int, cubic: bool = False) -> NDArray[np.uint8]:
    """Return (h, w, C) uint8 as (size, size, C) uint8, in whole numbers and so alike everywhere.

    Bilinear, or bicubic by Keys' kernel with a = −0.5 (1981); weights in 1/1024. A picture of
    twice the size or more is first averaged over whole blocks. Pixel centres keep their relative
    places (a corner is a corner); beyond the border the last pixel repeats.
    """
    block = min(picture.shape[:2]) // size
    if block > 1:
        height, width = (n // block for n in picture.shape[:2])
        picture = picture[: height * block, : width * block]
        blocks = picture.reshape(height, block, width, block, -1).astype(np.uint32)
        whole = blocks.sum((1, 3))
        planes = ((whole + block * block // 2) // (block * block)).astype(np.int32)
    else:
        planes = picture.astype(np.int32)
    planes = planes.transpose(2, 0, 1)  # rows are contiguous, so taking some is fast
    for _ in range(2):
        index, weight = _taps(planes.shape[1], size, cubic)
        planes = np.ascontiguousarray(planes)
        out = planes[:, index[0]] * weight[0][:, None]
        for rows, factor in zip(index[1:], weight[1:], strict=True):
            out += planes[:, rows] * factor[:, None]
        planes = out.transpose(0, 2, 1)
    return (planes + (1 << 19) >> 20).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def _taps(length: int, size: int, cubic: bool) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which rows of `length` make each of `size` rows: (taps, size) indices, weights in 1/1024."""
    place = (np.arange(size) + 0.5) * length / size - 0.5
    first = np.floor(place)
    t = place - first
    if cubic:
        offsets = np.arange(-1, 3)
        kernel = [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    else:
        offsets = np.arange(2)
        kernel = [1.0 - t, t]
    weight = np.rint(np.array(kernel) * 1024).astype(np.int32)
    middle = len(offsets) // 2
    weight[middle] += 1024 - weight.sum(0, dtype=np.int32)  # a flat picture stays flat
    index = np.clip(first.astype(np.int64) + offsets[:, None], 0, length - 1)
    return index, weight


def texture(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A made-up background, (size, size, 3) uint8.

    Smooth noise, a gradient, stripes, checks, patches of two colours, or a mixture of two.
    """
    pixels = _plain_texture(rng, size)
    mixture = rng.random()
    if mixture < 0.5:
        return pixels
    other = _plain_texture(rng, size)
    if mixture < 0.75:
        share = int(rng.integers(64, 193))
        mixed = pixels.astype(np.int32) * share + other.astype(np.int32) * (256 - share)
        return (mixed >> 8).astype(np.uint8)
    return np.where(_patches(rng, size)[:, :, None], pixels, other)


def _plain_texture(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    kind = int(rng.integers(6))
    if kind == 0:  # a gradient between four corners
        return resize(_colours(rng, 2, 2), size)
    if kind == 1:  # smooth noise of one scale, each colour on its own
        cells = int(rng.integers(3, 17))
        return resize(_colours(rng, cells, cells), size, cubic=True)
    if kind == 2:  # smooth noise of three scales
        cells = int(rng.integers(2, 7))
        total = np.zeros((size, size, 3), np.int32)
        for scale, weight in ((1, 8), (3, 5), (9, 3)):
            noise = _colours(rng, cells * scale, cells * scale)
            total += resize(noise, size, cubic=True).astype(np.int32) * weight
        return (total >> 4).astype(np.uint8)
    pair = _colours(rng, 1, 2)[0]
    if kind == 3:
        return pair[_stripes(rng, size).astype(np.int64)]
    if kind == 4:
        return pair[(_stripes(rng, size) ^ _stripes(rng, size)).astype(np.int64)]
    return pair[_patches(rng, size).astype(np.int64)]


def _colours(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def _stripes(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """(size, size) bool: bands of equal width, 1/32 to 1/6 of the side, at any angle."""
    cos, sin = _direction(_uniform(rng, 0, 180))
    width = _uniform(rng, size / 32, size / 6)
    shift = _uniform(rng, 0, 2 * width)
    line = np.arange(size)
    across = line * cos + (line * sin)[:, None] + shift
    return np.floor(across / width) % 2 == 1


def _patches(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """(size, size) bool: rounded patches, where smooth noise is above its middle."""
    cells = int(rng.integers(3, 13))
    noise = rng.integers(0, 256, (cells, cells, 1), np.uint8)
    return resize(noise, size, cubic=True)[:, :, 0] > 127


def draw(
    rng: np.random.Generator,
    backgrounds: Backgrounds,
    size: int = 256,
    objects: tuple[int, int] = (1, 1),
) -> Drawing:
    """Draw a picture of random shapes on a random background.

    `size`: the side in pixels; `objects`: least and greatest number of objects. Class, radius,
    centre, rotation and filling as the constants above say, each uniform; later objects lie on
    top. An object that is covered altogether is dropped and another one drawn in its place (up
    to four tries an object), so that the number holds. Half of the pictures get Gaussian noise.
    """
    pixels = backgrounds.crop(rng, size).copy()
    instances = np.zeros((size, size), np.int32)
    wanted = int(rng.integers(objects[0], objects[1] + 1))
    drawn: list[int] = []
    visible: list[int] = []
    while len(visible) < wanted and len(drawn) < 4 * wanted:
        for _ in range(wanted - len(visible)):
            drawn.append(int(rng.integers(1, len(CLASSES) + 1)))
            _add(rng, backgrounds, pixels, instances, drawn[-1], len(drawn))
        visible = [i for i in np.unique(instances).tolist() if i]
    renumber = np.zeros(len(drawn) + 1, np.int32)
    renumber[visible] = np.arange(1, len(visible) + 1)
    instances = renumber[instances]
    classes = tuple(drawn[i - 1] for i in visible)
    if rng.random() < 0.5:
        sigma = np.float32(_uniform(rng, *NOISE))
        noise = rng.standard_normal(pixels.shape, np.float32) * sigma
        pixels = np.rint(pixels + noise).clip(0, 255).astype(np.uint8)
    return Drawing(pixels, np.array((0, *classes), np.int32)[instances], instances, classes)


def _add(
    rng: np.random.Generator,
    backgrounds: Backgrounds,
    pixels: NDArray[np.uint8],
    instances: NDArray[np.int32],
    shape: int,
    number: int,
) -> None:
    """Draw one object of class `shape` into both arrays, in place, as instance `number`."""
    size = len(instances)
    radius = _uniform(rng, RADIUS[0] * size, RADIUS[1] * size)
    low, high = MARGIN * radius - 0.5, size - 0.5 - MARGIN * radius  # the border lies at ±0.5
    x, y = _uniform(rng, low, high), _uniform(rng, low, high)
    cos, sin = _direction(_uniform(rng, -ROTATION, ROTATION))
    flat = rng.random() < FLAT
    filling = _colours(rng, 1, 1) if flat else backgrounds.crop(rng, size)
    top, left = (max(0, math.floor(c - radius)) for c in (y, x))
    bottom, right = (min(size, math.ceil(c + radius) + 1) for c in (y, x))
    window = np.s_[top:bottom, left:right]
    dx, dy = (np.arange(*ends, dtype=np.float64) for ends in ((left, right), (top, bottom)))
    inside = _inside(shape, dx - x, dy - y, radius, cos, sin)
    instances[window][inside] = number
    pixels[window][inside] = filling[0, 0] if flat else filling[window][inside]


def _inside(
    shape: int,
    dx: NDArray[np.float64],
    dy: NDArray[np.float64],
    radius: float,
    cos: float,
    sin: float,
) -> NDArray[np.bool_]:
    """(len(dy), len(dx)) bool: which points, relative to the centre, lie in the rotated shape."""
    if shape == 1:
        return (dx * dx) + (dy * dy)[:, None] <= radius * radius
    rows, needed = _SHAPES[shape]
    count = np.zeros((len(dy), len(dx)), np.uint8)
    for nx, ny, distance in rows.tolist():
        along = dx * (nx * cos - ny * sin)
        count += along + (dy * (nx * sin + ny * cos))[:, None] <= distance * radius
    return count >= needed


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform number, rounded so that it is the same on every machine."""
    return round(low + (high - low) * rng.random(), 6)


def _direction(degrees: float) -> tuple[float, float]:
    """(cos, sin), rounded so that they are the same on every machine."""
    angle = math.radians(degrees)
    return round(math.cos(angle), 6), round(math.sin(angle), 6)
