"""Image files: finding, reading and writing them, and the names that they get.

Pillow does the decoding. What cannot be read raises `BadImageError` with one sentence, so that a
run can go on with the next image.
"""

from __future__ import annotations

import glob
import io
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.errors import BadImageError, BadValueError, UsageError, did_you_mean
from segkit.values.files import write_file
from segkit.values.image_names import file_name
from segkit.values.quiet import pillow_is_quiet
from segkit.values.reading import check_file
from segkit.values.types import Image

if TYPE_CHECKING:
    import PIL.Image

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "tif", "tiff", "webp", "avif"),
        *("jp2", "ppm", "pgm", "pbm", "pnm"),
    )
)
"""Lower-case suffixes by which images are known in folders and patterns."""

_DRAWINGS = ("EPS", "WMF")
"""Formats that Pillow hands to another program or the system to draw; they are refused."""


# ---- finding ----------------------------------------------------------------------------------


def find_images(sources: Sequence[str | Path]) -> tuple[Path, ...]:
    """The image files that `sources` name, in that order.

    Each source is a file, a folder or a glob pattern (`**` = any depth):

    - a file is kept whatever its suffix; whether it is an image shows when it is read;
    - a folder stands for the files directly in it that have an image's suffix (`SUFFIXES`),
      sorted by name; hidden files and folders inside are left out;
    - a pattern stands for its matches that have an image's suffix, sorted by path. A file or
      folder of that very name goes first.

    A file named twice, say by itself and by its folder, is listed once.

    Raises `UsageError` where a source does not exist or holds no image.
    """
    return tuple(map(Path, find_image_files(sources)))


def find_image_files(sources: Sequence[str | Path]) -> tuple[str, ...]:
    """What `find_images` finds, as texts: of a million images these take a fifth of the memory."""
    paths: dict[str, str] = {}
    for source in sources:
        try:
            images = _images_of(Path(os.path.expanduser(source)))  # noqa: PTH111 - never raises
        except (OSError, ValueError) as error:  # a zero byte
            reason = getattr(error, "strerror", None) or "its name holds a zero byte"
            raise UsageError(
                f"'{source}' cannot be looked into ({reason}); name another file or folder"
            ) from None
        for path in images:
            whole = os.path.abspath(path)  # noqa: PTH100 - keeps symbolic links
            paths.setdefault(whole, whole if whole == path else path)
    return tuple(paths.values())


def _images_of(source: Path) -> list[str]:
    if source.is_file():
        return [str(source)]
    if source.is_dir():
        names = sorted(os.listdir(source))  # noqa: PTH208 - names are wanted
        images = [p for name in names if _looks_like_image(p := str(source / name))]
        if not images:
            deeper = any(_looks_like_image(str(p)) for p in source.glob("*/*"))
            advice = f"for those in its folders name '{source}/**'" if deeper else _SUFFIX_ADVICE
            raise UsageError(f"the folder '{source}' holds no image; {advice}")
        return images
    if glob.has_magic(str(source)):
        matches = (str(Path(p)) for p in glob.iglob(str(source), recursive=True))  # noqa: PTH207 - any root
        images = sorted((p for p in matches if _looks_like_image(p)), key=_folder_by_folder)
        if not images:
            raise UsageError(f"the pattern '{source}' matches no image; {_SUFFIX_ADVICE}")
        return images
    if source.exists():
        raise UsageError(
            f"'{source}' is neither a file nor a folder; name a photo, a folder or a pattern"
        )
    raise UsageError(f"there is no file '{source}'; {_near(source)}")


_SUFFIX_ADVICE = "images are known by suffixes such as .jpg, .png, .tif and .webp"


def _folder_by_folder(path: str) -> str:
    """Sorts paths as `Path` does: what stands in a folder stays together."""
    return os.path.normcase(path).replace(os.sep, "\0")


def _looks_like_image(path: str) -> bool:
    """Whether it is a file, not hidden (such as macOS's '._photo.jpg'), with an image's suffix."""
    name = os.path.basename(path)  # noqa: PTH119 - there may be millions
    suffix = os.path.splitext(name)[1]  # noqa: PTH122
    return suffix.lower() in SUFFIXES and not name.startswith(".") and os.path.isfile(path)  # noqa: PTH113


def _near(source: Path) -> str:
    """Advice for a name that does not exist: the nearest one in its folder."""
    try:
        there = os.listdir(source.parent)  # noqa: PTH208 - names are wanted
    except OSError:
        return f"its folder '{source.parent}' does not exist either"
    beside = {name: str(source.parent / name) for name in there}
    return did_you_mean(source.name, beside, "check the name")


# ---- reading ----------------------------------------------------------------------------------


def read_image(path: str | Path, name: str | None = None) -> Image:
    """Read a file as 8-bit RGB, the way up that its EXIF orientation says.

    Transparent pixels are laid over white. 16-bit grey is divided by 257 and rounded, so that
    65535 is 255. 32-bit integer and float pictures, which state no range, are taken as they are if
    they lie in [0, 255], as shares of white if float and in [0, 1], and else stretched from their
    least to their greatest finite value; NaN is black. Palettes, 1-bit, CMYK, YCbCr and HSV are
    converted, colour profiles are not applied. Of an animation the first frame is read, of a
    multi-page file the first page.

    `name`: what to call it; left out, the file's stem.

    Raises `BadImageError`: no such file, a folder, not to be opened, not an image, cut short,
    without pixels, or with more pixels than Pillow reads safely (twice
    `PIL.Image.MAX_IMAGE_PIXELS`: 179 million).
    """
    return _image(_open(Path(path)), path, file_name(Path(path).stem) if name is None else name)


def decode_image(content: bytes, where: str, name: str) -> Image:
    """An image of a file's content, as `read_image` reads files; `where`: how sentences call it."""
    return _image(_open(where, content), where, name)


def _image(picture: PIL.Image.Image, path: str | Path, name: str) -> Image:
    try:
        pixels = _rgb(picture)
    except (ValueError, OSError, MemoryError) as error:
        raise BadImageError(
            f"'{path}' has colours of a kind that cannot be read "
            f"({picture.mode}: {_one_line(error)}); save it as an RGB image"
        ) from None
    return Image(pixels, name)


def _rgb(picture: PIL.Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of a loaded picture of any mode."""
    import PIL.Image

    if picture.mode.startswith(("I", "F")):
        grey = np.asarray(picture)
        if picture.mode == "I" and picture.format in ("PNG", "PPM"):
            grey = grey.astype(np.uint16)  # they have no 32-bit values; older Pillows widen them
        return np.repeat(_eight_bit(grey)[..., None], 3, axis=2)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _eight_bit(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) uint8 of 16-bit, 32-bit or float grey values; the rule is in `read_image`."""
    if grey.dtype.kind == "u" and grey.dtype.itemsize == 2:
        return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=np.inf))
    high = float(values.max(where=finite, initial=-np.inf))
    if grey.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0, 1
    elif low >= 0 and high <= 255:
        low, high = 0, 255
    if high > low:
        values = (values - low) / (high - low) * 255
    values = np.nan_to_num(values, nan=0, posinf=255, neginf=0)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def read_mask(path: str | Path, size: tuple[int, int] | None = None) -> NDArray[np.int32]:
    """Read a mask file: (H, W) int32 of palette indices, grey values, or 0 and 1 of 1-bit files.

    8- and 16-bit grey values are kept as they are. An RGB mask is read if it is grey, all three
    channels alike; alpha is left out. A JPEG does not keep its values, so those below 128 become
    0, others 255.

    `size`: the (H, W) of the image that it belongs to.

    Raises `BadImageError` as `read_image` does, and for a coloured mask, for values that are not
    whole numbers from 0, and for a mask of another size than its image.
    """
    return _mask(_open(Path(path)), path, size)


def decode_mask(
    content: bytes, where: str, size: tuple[int, int] | None = None
) -> NDArray[np.int32]:
    """A mask of a file's content, as `read_mask` reads files; `where`: how sentences call it."""
    return _mask(_open(where, content), where, size)


def _mask(
    picture: PIL.Image.Image, path: str | Path, size: tuple[int, int] | None
) -> NDArray[np.int32]:
    if size is not None and (picture.height, picture.width) != tuple(size):
        raise BadImageError(
            f"the mask '{path}' is {picture.width}x{picture.height}, another size than its image, "
            f"which is {size[1]}x{size[0]}; scale one of them",
            cause="size",
        )
    if picture.format == "JPEG":
        return (np.asarray(picture.convert("L")) >= 128).astype(np.int32) * 255
    if picture.mode in ("LA", "PA"):
        picture = picture.getchannel(0)
    values = np.asarray(picture)
    if values.ndim == 3:
        if picture.mode not in ("RGB", "RGBA") or np.ptp(values[..., :3], axis=2).any():
            raise BadImageError(
                f"the mask '{path}' is in colour; save it as a grey or palette PNG "
                "whose values are the class ids"
            )
        values = values[..., 0]
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise BadImageError(
            f"the mask '{path}' holds values that are not whole; save it with class ids"
        )
    if values.dtype.kind in "if" and values.min() < 0:
        raise BadImageError(
            f"the mask '{path}' holds {values.min():g}, less than 0; save it with class ids from 0"
        )
    return values.astype(np.int32)


def _open(where: str | Path, content: bytes | None = None) -> PIL.Image.Image:
    """Decode a file, or its content, with Pillow, the right way up, or raise `BadImageError`."""
    import PIL.Image
    import PIL.ImageOps

    path = Path(where)
    try:
        if content is None:
            check_file(path)
        file = path if content is None else io.BytesIO(content)
        with pillow_is_quiet(), PIL.Image.open(file) as picture:
            if picture.format in _DRAWINGS:
                raise BadImageError(
                    f"'{where}' is a drawing ({picture.format}), not pixels; save it as PNG"
                )
            picture.load()
            PIL.ImageOps.exif_transpose(picture, in_place=True)
            return picture
    except BadImageError:
        raise
    except FileNotFoundError:
        problem = "does not exist; check the name"
    except IsADirectoryError:
        problem = "is a folder, not an image; name a file in it"
    except PermissionError:
        problem = (
            "is a folder, not an image; name a file in it"  # so says Windows
            if path.is_dir()
            else "may not be read (permission denied); change its permissions or leave it out"
        )
    except PIL.Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        problem = (
            f"has {int(count[0]) if count else 0:,} pixels, more than the "
            f"{2 * (PIL.Image.MAX_IMAGE_PIXELS or 0):,} that are read safely; make it smaller"
        )
    except PIL.UnidentifiedImageError:
        problem = _not_an_image(path.open("rb") if content is None else io.BytesIO(content))
    except Exception as error:  # decoders raise many kinds on damaged data
        if isinstance(error, OSError) and error.errno is not None:
            problem = f"could not be read ({error.strerror}); check the disk or leave it out"
        else:
            problem = f"is damaged or cut short ({_one_line(error)}); save or copy it again"
    raise BadImageError(f"'{where}' {problem}")


def _not_an_image(content: IO[bytes]) -> str:
    """What is wrong with a file that Pillow does not know."""
    with content as file:
        head = file.read(32)
    if not head:
        return "is an empty file; save or copy it again"
    if _says_no_pixels(head):
        return "is an image without pixels (width or height 0); leave it out"
    return "is not an image that can be read; name a JPEG, PNG, TIFF, WebP, BMP or GIF file"


def _says_no_pixels(head: bytes) -> bool:
    """Whether a PNG, GIF, BMP or PNM header states a width or height of 0.

    Pillow takes such files as no image at all, which would be a misleading sentence.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return 0 in struct.unpack(">II", head[16:24])
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return 0 in struct.unpack("<HH", head[6:10])
    if head.startswith(b"BM") and len(head) >= 26:
        return 0 in struct.unpack("<ii", head[18:26])
    pnm = re.match(rb"P[1-6]\s+(\d+)\s+(\d+)\s", head)
    return pnm is not None and 0 in (int(pnm[1]), int(pnm[2]))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# ---- writing ----------------------------------------------------------------------------------


def palette() -> NDArray[np.uint8]:
    """(256, 3) uint8: the colour of each class id, RGB; 0 is black.

    The colour map of the PASCAL VOC development kit: bits 0, 3, 6 … of the id are the high bits of
    red, bits 1, 4, 7 … those of green, bits 2, 5 … those of blue, most significant first.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def write_png(
    path: str | Path,
    array: NDArray[Any],
    colours: NDArray[np.uint8] | None = None,
) -> None:
    """Write a PNG that is either whole or not there: a file beside it is renamed when complete.

    `array`: uint8, (H, W) grey or (H, W, 3) RGB; or uint16, (H, W) grey of 16 bits. `colours`:
    (n, 3) uint8, n up to 256; then (H, W) uint8 values are written as indices into this palette.
    Missing folders are made.

    Raises `BadValueError` for other arrays, `OSError` where the file cannot be written (disk
    full); then nothing is left behind.
    """
    import PIL.Image

    array = np.asarray(array)
    deep = array.dtype == np.uint16 and array.ndim == 2 and colours is None
    if not deep and (array.dtype != np.uint8 or (array.ndim != 2 and array.shape[2:] != (3,))):
        raise BadValueError(
            "a PNG should be written from uint8 of shape (H, W) or (H, W, 3), or from uint16 of "
            f"shape (H, W) without colours, but the array is {array.dtype} of shape {array.shape}"
        )
    if 0 in array.shape:
        raise BadValueError(f"a PNG should have pixels, but the array has shape {array.shape}")
    picture = PIL.Image.fromarray(np.ascontiguousarray(array))
    if colours is not None:
        colours = np.asarray(colours)
        if array.ndim != 2 or colours.ndim != 2 or colours.shape[1] != 3 or len(colours) > 256:
            raise BadValueError(
                "a palette PNG should be written from (H, W) indices and up to 256 RGB colours, "
                f"but the arrays have shapes {array.shape} and {colours.shape}"
            )
        picture.putpalette(colours.astype(np.uint8).tobytes())
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_file(path, content.getvalue())
