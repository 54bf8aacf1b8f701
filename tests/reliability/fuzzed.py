"""Image files of every format that is read, damaged in every way, the same for the same seed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import PIL.Image

EXTREMES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def originals() -> list[tuple[str, bytes]]:
    """(suffix, content): small pictures in many formats and modes."""
    rng = np.random.default_rng(0)
    colour = PIL.Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    grey = colour.convert("L")
    wide = PIL.Image.fromarray(rng.integers(0, 65536, (30, 40)).astype(np.uint16))
    real = PIL.Image.fromarray(rng.random((30, 40)).astype(np.float32))
    clear = colour.copy()
    clear.putalpha(grey)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    kinds = (
        *((picture, "PNG", {}) for picture in (colour, grey, wide, clear, colour.convert("P"))),
        (grey.convert("1"), "PNG", {}),
        (colour, "JPEG", {"exif": exif}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "GIF", {"save_all": True, "append_images": [grey.copy()]}),
        (colour, "BMP", {}),
        (colour, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (real, "TIFF", {}),
        (colour, "TIFF", {"save_all": True, "append_images": [grey.copy()]}),
        (colour, "WEBP", {"lossless": True}),
        (clear, "WEBP", {}),
        (colour, "PPM", {}),
    )
    made = []
    for picture, form, options in kinds:
        content = io.BytesIO()
        picture.copy().save(content, form, **options)
        made.append((f".{form.lower()}", content.getvalue()))
    return made


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Some bytes are others."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def in_the_head(content: bytes, rng: random.Random) -> bytes:
    """A number near the beginning is an extreme one."""
    damaged = bytearray(content)
    size = rng.choice((1, 2, 4))
    value = rng.choice(EXTREMES) & ((1 << 8 * size) - 1)
    place = rng.randrange(min(80, len(damaged) - size))
    damaged[place : place + size] = value.to_bytes(size, rng.choice(("big", "little")))
    return bytes(damaged)


def cut(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(len(content))]


def without_a_piece(content: bytes, rng: random.Random) -> bytes:
    """A piece is missing."""
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 200) :]


def with_a_piece(content: bytes, rng: random.Random) -> bytes:
    """A piece comes twice."""
    start = rng.randrange(len(content))
    return content[: start + rng.randrange(1, 400)] + content[start:]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    """From some place on there are zeros, as after a crash."""
    start = rng.randrange(len(content))
    return content[:start] + bytes(len(content) - start)


def something_else(content: bytes, rng: random.Random) -> bytes:
    """No image at all."""
    return rng.choice((b"", b"\0" * 512, b"<html></html>", content[:4], rng.randbytes(512)))


def with_another_head(content: bytes, rng: random.Random) -> bytes:
    """The beginning is another format's."""
    head = rng.choice(originals_once())[1]
    return head[: rng.randrange(4, 60)] + content[rng.randrange(60) :]


def as_it_is(content: bytes, rng: random.Random) -> bytes:
    """Not damaged, so that something is left to lose."""
    return content


DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flipped, flipped, in_the_head, in_the_head, cut, without_a_piece, with_a_piece),
    *(zeroed, something_else, with_another_head, as_it_is),
)

_originals: list[tuple[str, bytes]] = []


def originals_once() -> list[tuple[str, bytes]]:
    """The originals, made once."""
    if not _originals:
        _originals.extend(originals())
    return _originals


def fuzzed(count: int, seed: int = 0) -> dict[str, bytes]:
    """{file name: content} of so many images."""
    rng = random.Random(seed)
    files = {}
    for number in range(count):
        suffix, content = rng.choice(originals_once())
        damage = rng.choice(DAMAGE)
        files[f"{number:04}-{damage.__name__}{suffix}"] = damage(content, rng)
    return files
