"""The pictures inside a page: panels made small, each kept once an image, within a budget.

An overlay is a row of panels. Where its JPEG comment says which (`segkit {"panels": [[title, left,
top, right, bottom], …], "roles": {"photo": 0, "mask": 3}}`, in pixels, right and bottom left out,
and places among the panels), it is cut into them, so that the photo and the truth, which every
recipe of a sweep shares, are in the page once, and photo and mask can take each other's place.
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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.errors import BadImageError
from segkit.values.images import palette, read_image

if TYPE_CHECKING:
    import PIL.Image

ROOM = 14_300_000
"""Characters for the pictures and what is said of each image; the page stays under 15 MB."""

WIDTHS = ((300, 480), (900, 320), (1600, 240), (2400, 192))
"""Up to so many panels: pixels across a panel."""

SHARP, SOFT = 4 / 3, 2 / 3
"""Photo and mask, which are looked at large, get more of them than the panels beside them."""

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
    role: str = ""
    """`photo` or `mask`, where the file says so."""


class Panel(NamedTuple):
    """A part of a picture's file."""

    title: str
    picture: PIL.Image.Image
    role: str = ""
    """`photo` or `mask`, where the file says so."""


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

MARKUP = 220
"""Characters that a tile needs in the page beside its picture, its title twice and a name."""


@dataclass
class _Bundle:
    """One image's pictures, before it is known whether they have room."""

    name: str
    tiles: dict[int, list[tuple[str, bytes, str]]] = field(default_factory=dict)
    """Place of the run to titles, digests and roles."""
    pictures: dict[bytes, _Small] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)


def make_album(files: Mapping[str, Mapping[int, Path]], taken: int = 0) -> Album:
    """The pictures of each image (name to place of the run to file), the first ones first.

    Images are taken whole until the next one would exceed `ROOM`, of which `taken` characters are
    used already; the others are left out. An image's same picture is kept once.
    """
    album = Album()
    room = ROOM - taken
    runs = len({place for by in files.values() for place in by})
    width = panel_width(len(files) * (4 + runs))
    for done, bundle in enumerate(_bundles(files, width)):
        tiles = [tile for own in bundle.tiles.values() for tile in own]
        room -= sum(len(data) for data, _, _ in bundle.pictures.values())
        room -= sum(MARKUP + len(bundle.name) + 2 * len(title) for title, _, _ in tiles)
        if room < 0:
            album.left_out = len(files) - done
            break
        places = {}
        for digest, picture in bundle.pictures.items():
            places[digest] = len(album.pictures)
            album.pictures.append(picture)
        for place, own in bundle.tiles.items():
            album.tiles[bundle.name, place] = [
                Tile(title, places[digest], role) for title, digest, role in own
            ]
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
            cut = panels(file, round(SHARP * width))
        except BadImageError:
            bundle.damaged.append(file)
            continue
        bundle.tiles[place] = []
        known = any(panel.role for panel in cut)
        for title, picture, role in cut:
            digest = hashlib.blake2b(repr(picture.size).encode() + picture.tobytes()).digest()
            if digest not in bundle.pictures:
                share = SHARP if role else SOFT if known else 1
                bundle.pictures[digest] = small(picture, round(share * width))
            bundle.tiles[place].append((title, digest, role))
    return bundle


def panels(file: Path, width: int) -> list[Panel]:
    """The panels of a file, at least `width` across where they are; one that names none is one.

    Raises `BadImageError`.
    """
    import PIL.Image

    try:
        with PIL.Image.open(file) as strip:
            if strip.mode.startswith("I"):  # a mask of 16 bits, which has no palette of its own
                return [Panel("", PIL.Image.fromarray(palette()[np.asarray(strip) % 256]))]
            boxes = _boxes(strip.info.get("comment"), strip.size)
            if boxes:
                full = strip.width
                across = max(right - left for _, (left, _, right, _), _ in boxes)
                # A JPEG is decoded at half the size in half the time. Blocks of 8 pixels hold
                # one panel alone, so a shared panel comes out the same whatever is beside it.
                scale = next((s for s in (4, 2) if across >= width * s), 1)
                strip.draft("RGB", (-(-strip.width // scale), -(-strip.height // scale)))
                factor = strip.width / full
                picture = strip.convert("RGB")
                cut = []
                for title, box, role in boxes:
                    left, top, right, bottom = (round(edge * factor) for edge in box)
                    cut.append(Panel(title, picture.crop((left, top, right, bottom)), role))
                return cut
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        pass  # read_image says what is wrong
    return [Panel("", PIL.Image.fromarray(read_image(file).pixels))]


def _boxes(comment: Any, size: tuple[int, int]) -> Sequence[tuple[str, tuple[int, ...], str]]:
    """Title, box and role of the panels that a comment names.

    None if it is not ours or does not fit the picture.
    """
    if not isinstance(comment, bytes) or not comment.startswith(MARK):
        return []
    boxes = []
    try:
        content = json.loads(comment[len(MARK) :])
        roles = {int(place): str(role) for role, place in content.get("roles", {}).items()}
        for place, (title, *box) in enumerate(content["panels"]):
            left, top, right, bottom = map(int, box)
            if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
                return []
            boxes.append((str(title), (left, top, right, bottom), roles.get(place, "")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
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
