"""Pictures for people: colours for heat and classes, outlines, marks, and panels side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Labels, Masks, Prompts, palette

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageFont

RGB = NDArray[np.uint8]
"""(H, W, 3) uint8."""

_TURBO = (
    *((48, 18, 59), (67, 78, 186), (70, 133, 250), (40, 188, 235), (26, 228, 182)),
    *((85, 250, 118), (164, 252, 60), (217, 228, 54), (250, 186, 57), (251, 129, 34)),
    *((229, 71, 11), (185, 30, 2), (122, 4, 3)),
)
"""Every twelfth part of the colour map Turbo (A. Mikhailov, Google AI Blog, 2019)."""

_INK, _PAPER = (32, 32, 32), (255, 255, 255)
_GREEN, _RED, _GREY = (0, 200, 60), (230, 20, 40), (128, 128, 128)
_TINT = 0.5
_SMALL = 240
_FONT = 15


# ---- colours ----------------------------------------------------------------------------------


def heat_colours(values: NDArray[np.floating]) -> RGB:
    """(H, W, 3) uint8: the colour map Turbo, from dark blue (0) to dark red (1), of (H, W)."""
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return _turbo_table().take(levels, axis=0)


@cache
def _turbo_table() -> RGB:
    """(256, 3) uint8: the colour of each level."""
    steps = np.linspace(0, 1, len(_TURBO))
    table = [np.interp(np.linspace(0, 1, 256), steps, c) for c in zip(*_TURBO, strict=True)]
    return np.rint(np.stack(table, axis=-1)).astype(np.uint8)


def heated(photo: RGB, values: NDArray[np.floating]) -> RGB:
    """The photo under a heatmap (H, W) in [0, 1]: the hotter, the less is seen of the photo."""
    share = (0.15 + 0.5 * np.clip(values, 0, 1))[..., None]
    return np.rint(photo * (1 - share) + heat_colours(values) * share).astype(np.uint8)


def class_colour(i: int) -> tuple[int, int, int]:
    """The colour of a class id: that of `palette`, as in the files of `masks`; void is grey."""
    if i == VOID:
        return _GREY
    red, green, blue = palette()[i % 256].tolist()
    return red, green, blue


def tinted(photo: RGB, ids: NDArray[np.integer], edges: NDArray[np.bool_]) -> RGB:
    """The photo with every object of (H, W) `ids` in its class's colour, and these edges solid.

    A white line around the objects sets them off, for some colours are as dark as a photo.
    """
    picture = photo.copy()
    for i in _present(ids):
        colour = np.array(class_colour(i), np.float32)
        inside = ids == i
        picture[inside] = np.rint(photo[inside] * np.float32(1 - _TINT) + colour * _TINT)
        if i != VOID:
            picture[inside & edges] = colour
    beside = outline((ids == BACKGROUND) | (ids == VOID), 1)
    picture[(edges | beside) & (ids == BACKGROUND)] = _PAPER
    return picture


def _present(ids: NDArray[np.integer]) -> list[int]:
    """The ids of a class map but for the background's, in their order."""
    # Counting is quicker than sorting, and takes 8 bytes for each id below the largest.
    few = ids.max() < 1 << 16
    found = np.flatnonzero(np.bincount(ids.ravel())) if few else np.unique(ids)
    present: list[int] = found.tolist()
    return [i for i in present if i != BACKGROUND]


def outline(ids: NDArray[np.generic], width: int = 2) -> NDArray[np.bool_]:
    """(H, W) bool: pixels of an object within `width` of another value; the border is none."""
    apart = np.zeros(ids.shape, bool)
    for step in range(1, width + 1):
        down, right = ids[step:] != ids[:-step], ids[:, step:] != ids[:, :-step]
        apart[step:] |= down
        apart[:-step] |= down
        apart[:, step:] |= right
        apart[:, :-step] |= right
    return apart & (ids != 0)


# ---- panels -----------------------------------------------------------------------------------


class Scale:
    """From the pixels of an image to those of its panel.

    A large image shrinks to at most `height` and 4/3 of that in width; one whose longer side is
    less than 240 is blown up by a whole number, so that its pixels show.
    """

    def __init__(self, size: tuple[int, int], height: int) -> None:
        """`size`: (H, W) of the image."""
        longest = max(size)
        factor = min(height / size[0], height * 4 / 3 / size[1], 1)
        if longest < min(_SMALL, height):
            factor = -(-min(_SMALL, height) // longest)
        self.size = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        self.factors = np.array([self.size[1] / size[1], self.size[0] / size[0]])
        self.larger = factor > 1

    def photo(self, pixels: RGB) -> RGB:
        """(h, w, 3) uint8 of (H, W, 3): smooth when shrunk, blocks when blown up."""
        import PIL.Image

        how = PIL.Image.Resampling.NEAREST if self.larger else PIL.Image.Resampling.LANCZOS
        return np.asarray(PIL.Image.fromarray(pixels).resize(self.size[::-1], how))

    def heat(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """(h, w) float32 in [0, 1] of (H, W)."""
        import PIL.Image

        how = PIL.Image.Resampling.NEAREST if self.larger else PIL.Image.Resampling.BILINEAR
        values = np.ascontiguousarray(values, np.float32)
        return np.clip(np.asarray(PIL.Image.fromarray(values).resize(self.size[::-1], how)), 0, 1)

    def labels(self, ids: NDArray[np.generic]) -> NDArray[np.int32]:
        """(h, w) int32 of (H, W) ids or bool: the value in the middle of each new pixel."""
        row, column = (
            ((np.arange(new) + 0.5) * old / new).astype(np.intp)
            for new, old in zip(self.size, ids.shape, strict=True)
        )
        return ids[row[:, None], column].astype(np.int32)

    def points(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, 2) x, y in the panel of (n, 2) x, y in the image; whole numbers are pixel centres."""
        return (np.asarray(points, np.float64) + 0.5) * self.factors - 0.5


def marked(photo: RGB, prompts: Prompts, scale: Scale) -> RGB:
    """The panel with boxes, foreground points (green dots) and background points (red crosses).

    A mark that would stick out of the panel is moved to its edge.
    """
    import PIL.Image
    import PIL.ImageDraw

    picture = PIL.Image.fromarray(photo)
    draw = PIL.ImageDraw.Draw(picture)
    for prompt in prompts:
        if prompt.box is not None:
            half = np.array([[-0.5, -0.5], [0.5, 0.5]])  # from pixel centres to the box's edges
            first, last = np.rint(scale.points(prompt.box.reshape(2, 2) + half) - half)
            last = np.maximum(first, last)
            draw.rectangle([*(first - 1), *(last + 1)], outline=_PAPER)
            draw.rectangle([*first, *last], outline=_GREEN, width=3)
    radius = int(np.clip(max(scale.size) / 64, 5, 9))
    stamps = {True: _dot(radius), False: _cross(radius)}
    for sign in (False, True):  # foreground on top
        for prompt in prompts:
            for x, y in scale.points(prompt.points[prompt.signs == sign]):
                stamp = stamps[sign]
                room = picture.width - stamp.width, picture.height - stamp.height
                corner = np.rint([x - radius, y - radius]).clip(0, np.maximum(room, 0))
                picture.paste(stamp, (int(corner[0]), int(corner[1])), stamp)
    return np.asarray(picture)


def _dot(radius: int) -> PIL.Image.Image:
    """A green dot with a white ring, RGBA, smooth at its edge."""
    import PIL.Image
    import PIL.ImageDraw

    side = 2 * radius + 1
    stamp = PIL.Image.new("RGBA", (side * 4, side * 4), (*_PAPER, 0))
    draw = PIL.ImageDraw.Draw(stamp)
    draw.ellipse([0, 0, side * 4 - 1, side * 4 - 1], fill=(*_INK, 255))
    draw.ellipse([3, 3, side * 4 - 4, side * 4 - 4], fill=(*_PAPER, 255))
    draw.ellipse([9, 9, side * 4 - 10, side * 4 - 10], fill=(*_GREEN, 255))
    return stamp.resize((side, side), PIL.Image.Resampling.BOX)


def _cross(radius: int) -> PIL.Image.Image:
    """A red cross with a white edge, RGBA, smooth at its edge."""
    import PIL.Image
    import PIL.ImageDraw

    side = 2 * radius + 1
    end = side * 4 - 1
    stamp = PIL.Image.new("RGBA", (side * 4, side * 4), (*_PAPER, 0))
    draw = PIL.ImageDraw.Draw(stamp)
    for colour, width, inset in ((_INK, 19, 4), (_PAPER, 15, 6), (_RED, 9, 8)):
        draw.line([inset, inset, end - inset, end - inset], fill=(*colour, 255), width=width)
        draw.line([inset, end - inset, end - inset, inset], fill=(*colour, 255), width=width)
    return stamp.resize((side, side), PIL.Image.Resampling.BOX)


class Panel:
    """One picture with a caption: a title, and a key of class ids to names."""

    def __init__(
        self, title: str, picture: RGB, key: Mapping[int, str] | None = None, role: str = ""
    ) -> None:
        """`picture`: (h, w, 3) uint8; `role`: `photo` or `mask`, which differ by the mask alone."""
        self.title = title
        self.picture = picture
        self.key = dict(key or {})
        self.role = role


def mask_panel(
    photo: RGB,
    masks: Masks | None,
    labels: Labels | None,
    scale: Scale,
    scores: Mapping[str, float],
) -> Panel:
    """The class map, or without one the masks in a colour each; every mask has its outline."""
    quality = None if masks is None else masks.overall
    figures = [] if quality is None else [f"quality {quality:.2f}"]
    figures += [f"IoU {scores['iou']:.2f}"] if "iou" in scores else []
    said = f" ({', '.join(figures)})" if figures else ""
    if labels is None:
        assert masks is not None
        ids = np.zeros(scale.size, np.int32)
        for number, mask in enumerate(masks.arrays(), 1):
            ids[scale.labels(mask) > 0] = number + (number >= VOID)
        names = {}
    else:
        ids = scale.labels(labels.ids)
        names = _named(ids, labels)
    edges = outline(ids)
    for mask in () if masks is None else masks.arrays():
        edges |= outline(scale.labels(mask))
    return Panel(f"mask{said}", tinted(photo, ids, edges), names, role="mask")


def label_panel(
    title: str, photo: RGB, labels: Labels, scale: Scale, instances: NDArray[np.int32] | None
) -> Panel:
    """A class map, with the outlines of its objects where they are known."""
    ids = scale.labels(labels.ids)
    edges = outline(ids) if instances is None else outline(scale.labels(instances)) | outline(ids)
    return Panel(title, tinted(photo, ids, edges), _named(ids, labels))


def _named(ids: NDArray[np.int32], labels: Labels) -> dict[int, str]:
    """The classes that are in the picture, by name where they have one."""
    return {i: labels.classes.get(i, f"class {i}") for i in _present(ids) if i != VOID}


def side_by_side(panels: Sequence[Panel]) -> PIL.Image.Image:
    """The panels in a row on white, each under its caption, as an RGB picture.

    Its comment says what each panel shows and where, so that the report can take it apart.
    """
    import PIL.Image
    import PIL.ImageDraw

    gap, caption = 10, 24
    font = _font()
    widths = [max(panel.picture.shape[1], 200) for panel in panels]
    height = max(panel.picture.shape[0] for panel in panels)
    size = sum(widths) + gap * (len(panels) + 1), height + caption + 2 * gap
    strip = PIL.Image.new("RGB", size, _PAPER)
    draw = PIL.ImageDraw.Draw(strip)
    left, top = gap, gap + caption
    boxes = []
    for panel, width in zip(panels, widths, strict=True):
        strip.paste(PIL.Image.fromarray(panel.picture), (left, top))
        h, w = panel.picture.shape[:2]
        title = ": ".join(filter(None, [panel.title, ", ".join(panel.key.values())]))[:200]
        boxes.append([title, left, top, left + w, top + h])
        _caption(draw, panel, left, left + width, gap, font)
        left += width + gap
    roles = {panel.role: place for place, panel in enumerate(panels) if panel.role}
    said = json.dumps({"panels": boxes, "roles": roles})
    strip.info["comment"] = b"segkit " + said.encode()
    return strip


@cache
def _font() -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    import PIL.ImageFont

    return PIL.ImageFont.load_default(_FONT)


def _caption(
    draw: PIL.ImageDraw.ImageDraw,
    panel: Panel,
    left: int,
    right: int,
    top: int,
    font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont,
) -> None:
    """Title and key, cut where the panel ends."""

    def write(text: str, x: float) -> float:
        text = " ".join(text.split())  # in one line
        room = right - x
        if draw.textlength(text, font) > room:
            while text and draw.textlength(f"{text}...", font) > room:
                text = text[:-1]
            text = f"{text}..." if text else ""
        draw.text((x, top), text, _INK, font)
        return x + draw.textlength(text, font)

    x = write(panel.title, left)
    for i, name in panel.key.items():
        if right - x < 60:
            write("...", x + 6)
            break
        draw.rectangle([x + 12, top + 4, x + 23, top + 15], class_colour(i))
        x = write(name, x + 29)
