"""The pictures inside a page: panels made small, each kept once, within a budget.

An overlay is a row of panels. Where its JPEG comment says which (`segkit {"panels": [[title, left,
top, right, bottom], …]}`, in pixels, right and bottom left out), it is cut into them, so that the
photo and the truth, which every recipe of a sweep shares, are in the page once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import BadImageError
from segkit.values.images import read_image

if TYPE_CHECKING:
    import PIL.Image

ROOM = 14_300_000
"""Characters for the pictures and what is said of each image; the page stays under 15 MB."""

WIDTHS = ((300, 480), (900, 320), (1600, 240), (2400, 192))
"""Up to so many panels: pixels across a panel."""

LEAST_WIDTH = 176
"""Pixels across a panel where there are more."""

STRIP = 2
"""A picture wider than this many times its height, not cut into panels, keeps twice the width."""

MARK = b"segkit "
"""What a JPEG comment with panels begins with."""


@dataclass(frozen=True)
class Tile:
    """A picture in the page."""

    title: str
    """What it shows: `photo`, `mask (IoU 0.91)`."""
    picture: int
    """Its place in `Album.pictures`."""


@dataclass
class Album:
    """The pictures of a page."""

    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    """JPEG as base64, width, height."""
    tiles: dict[tuple[str, int], list[Tile]] = field(default_factory=dict)
    """Image name and place of the run to its tiles; of images left out there are none."""
    left_out: int = 0
    """How many images had no room."""
    damaged: list[Path] = field(default_factory=list)
    """Files that could not be read."""


_Small = tuple[str, int, int]


@dataclass
class _Bundle:
    """One image's pictures, before it is known whether they have room."""

    name: str
    tiles: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)
    """Place of the run to titles and digests."""
    pictures: dict[bytes, _Small] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)


def make_album(files: Mapping[str, Mapping[int, Path]], taken: int = 0) -> Album:
    """The pictures of each image (name to place of the run to file), the first ones first.

    Images are taken whole until the next one would exceed `ROOM`, of which `taken` characters are
    used already; the others are left out. The same picture is kept once.
    """
    album = Album()
    known: dict[bytes, int] = {}
    room = ROOM - taken
    runs = len({place for by in files.values() for place in by})
    width = panel_width(len(files) * (4 + runs))
    for done, bundle in enumerate(_bundles(files, width)):
        new = {digest: p for digest, p in bundle.pictures.items() if digest not in known}
        room -= sum(len(data) + 12 for data, _, _ in new.values())
        room -= sum(len(title) + 12 for tiles in bundle.tiles.values() for title, _ in tiles)
        if room < 0:
            album.left_out = len(files) - done
            break
        for digest, picture in new.items():
            known[digest] = len(album.pictures)
            album.pictures.append(picture)
        for place, tiles in bundle.tiles.items():
            album.tiles[bundle.name, place] = [Tile(title, known[d]) for title, d in tiles]
        album.damaged += bundle.damaged
    return album


def panel_width(panels: int) -> int:
    """Pixels across a panel where there are so many: more pictures, smaller pictures."""
    return next((width for most, width in WIDTHS if panels <= most), LEAST_WIDTH)


def _bundles(files: Mapping[str, Mapping[int, Path]], width: int) -> Iterator[_Bundle]:
    """One image after the other; a few are made at a time, for there may be no room for more."""
    waiting = iter(files.items())
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        while some := list(islice(waiting, 32)):
            yield from pool.map(lambda item: _bundle(item[0], item[1], width), some)


def _bundle(name: str, files: Mapping[int, Path], width: int) -> _Bundle:
    bundle = _Bundle(name)
    for place, file in files.items():
        try:
            titled = panels(file, width)
        except BadImageError:
            bundle.damaged.append(file)
            continue
        bundle.tiles[place] = []
        for title, panel in titled:
            digest = hashlib.blake2b(repr(panel.size).encode() + panel.tobytes()).digest()
            if digest not in bundle.pictures:
                bundle.pictures[digest] = small(panel, width)
            bundle.tiles[place].append((title, digest))
    return bundle


def panels(file: Path, width: int) -> list[tuple[str, PIL.Image.Image]]:
    """Title and picture of each panel of a file; a file that names none is one panel.

    Raises `BadImageError`.
    """
    import PIL.Image

    try:
        with PIL.Image.open(file) as strip:
            boxes = _boxes(strip.info.get("comment"), strip.size)
            if boxes:
                full = strip.width
                across = max(right - left for _, (left, _, right, _) in boxes)
                # A JPEG is decoded at half the size in half the time. Blocks of 8 pixels hold
                # one panel alone, so a shared panel comes out the same whatever is beside it.
                scale = next((s for s in (4, 2) if across >= width * s), 1)
                strip.draft("RGB", (-(-strip.width // scale), -(-strip.height // scale)))
                factor = strip.width / full
                picture = strip.convert("RGB")
                cut = []
                for title, box in boxes:
                    left, top, right, bottom = (round(edge * factor) for edge in box)
                    cut.append((title, picture.crop((left, top, right, bottom))))
                return cut
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        pass  # read_image says what is wrong
    return [("", PIL.Image.fromarray(read_image(file).pixels))]


def _boxes(comment: Any, size: tuple[int, int]) -> Sequence[tuple[str, tuple[int, ...]]]:
    """The panels that a comment names; none if it is not ours or does not fit the picture."""
    if not isinstance(comment, bytes) or not comment.startswith(MARK):
        return []
    boxes = []
    try:
        for title, *box in json.loads(comment[len(MARK) :])["panels"]:
            left, top, right, bottom = map(int, box)
            if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
                return []
            boxes.append((str(title), (left, top, right, bottom)))
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return boxes[:16]


def small(picture: PIL.Image.Image, width: int) -> _Small:
    """A JPEG of at most this width and twice that height, as base64, with its size."""
    import PIL.Image

    if picture.width > STRIP * picture.height:
        width *= 2
    picture = picture.copy()
    picture.thumbnail((width, 2 * width), PIL.Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=75, optimize=True)
    return base64.b64encode(packed.getvalue()).decode("ascii"), picture.width, picture.height
