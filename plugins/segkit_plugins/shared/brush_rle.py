"""Label Studio's run lengths of brush masks, written and read.

The format is that of thi.ng's `rle-pack`, in which Label Studio keeps the RGBA pixels of a brush
(https://github.com/HumanSignal/label-studio-sdk, `converter/brush.py`). It is a stream of bits, the
highest first: 32 bits the number of values, 5 bits the bits of a value less 1, four times 4 bits
the bits of a run's length less 1. Then follow runs: a bit that says whether one value is repeated,
2 bits which of the four sizes the length has, the length less 1, and the value once or, where it is
not repeated, each of the values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit import BadImageError

CHANNELS = 4
"""Red, green, blue and alpha of each pixel; the mask is the alpha."""

_LENGTH_BITS = np.array((3, 4, 8, 16))
_VALUE_BITS = 8
_HEAD_BITS = 32 + 5 + 4 * 4


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes, each 0 to 255, for a mask (H, W) bool: pixels of 0 or 255 in all four channels.

    They are those of `encode_rle` in Label Studio's converter, bit for bit.
    """
    pixels = mask.ravel()
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, len(pixels))
    lengths = np.diff(ends, prepend=0) * CHANNELS
    values = np.where(pixels[ends - 1], 255, 0)
    longest = 1 << int(_LENGTH_BITS[-1])
    pieces = -(-lengths // longest)
    values = np.repeat(values, pieces)
    rest = lengths - (pieces - 1) * longest
    lengths = np.full(int(pieces.sum()), longest)
    lengths[np.cumsum(pieces) - 1] = rest
    size = np.searchsorted(1 << _LENGTH_BITS, lengths)
    length_bits = _LENGTH_BITS[size]
    codes = ((4 | size) << length_bits | lengths - 1) << _VALUE_BITS | values
    bits = np.concatenate([_head(pixels.size), _bits(codes, 3 + length_bits + _VALUE_BITS)])
    padding = np.zeros(8 - len(bits) % 8, np.uint8)  # a whole byte where none is needed
    packed: list[int] = np.packbits(np.concatenate([bits, padding])).tolist()
    return packed


def decode(rle: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: where the alpha of the pixels is not 0.

    Raises `BadImageError` with what is wrong, to follow the words 'the region': bytes that are
    none, an image of another size, a stream that is cut off.
    """
    if not isinstance(rle, list) or not all(type(v) is int and 0 <= v <= 255 for v in rle):
        raise BadImageError("has an rle that is no list of bytes; export it again")
    height, width = size
    wanted = height * width * CHANNELS
    bits = np.unpackbits(np.array(rle, np.uint8))
    text = (bits + ord("0")).tobytes().decode("ascii")
    if len(text) < _HEAD_BITS:
        raise BadImageError("has an rle that is cut off; export it again")
    count = int(text[:32], 2)
    if count != wanted:
        raise BadImageError(
            f"has an rle of {count // CHANNELS} pixels, but its image is {width}x{height}; it "
            "needs the photo that it was drawn on"
        )
    value_bits = int(text[32:37], 2) + 1
    length_bits = [int(text[i : i + 4], 2) + 1 for i in range(37, _HEAD_BITS, 4)]
    try:
        pixels = _values(text, bits, wanted, value_bits, length_bits)
    except (ValueError, OverflowError):  # int("") and slices that are too short
        raise BadImageError("has an rle that is cut off; export it again") from None
    return np.asarray(pixels.reshape(height, width, CHANNELS)[..., CHANNELS - 1] > 0)


def _values(
    text: str, bits: NDArray[np.uint8], count: int, value_bits: int, length_bits: Sequence[int]
) -> NDArray[np.uint32]:
    """(count,) the values of the stream. Raises `ValueError` where it is cut off."""
    values = np.zeros(count, np.uint32)
    weights = 1 << np.arange(value_bits, dtype=np.uint32)[::-1]
    place, done = _HEAD_BITS, 0
    while done < count:
        repeated = text[place] == "1" if place < len(text) else None
        if repeated is None:
            raise ValueError
        length_size = length_bits[int(text[place + 1 : place + 3], 2)]
        length = int(text[place + 3 : place + 3 + length_size], 2) + 1
        place += 3 + length_size
        many = 1 if repeated else min(length, count - done)
        stop = place + many * value_bits
        if stop > len(bits):
            raise ValueError
        values[done : done + length] = bits[place:stop].reshape(many, value_bits) @ weights
        place, done = stop, done + length
    return values


def _head(pixels: int) -> NDArray[np.uint8]:
    """The bits before the runs."""
    fields = [pixels * CHANNELS, _VALUE_BITS - 1, *(_LENGTH_BITS - 1)]
    return _bits(np.array(fields), np.array([32, 5, 4, 4, 4, 4]))


def _bits(codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each code in so many bits, the highest first, one after the other."""
    ends = np.cumsum(counts)
    place = np.repeat(ends, counts) - 1 - np.arange(ends[-1])
    return (np.repeat(codes, counts) >> place & 1).astype(np.uint8)
