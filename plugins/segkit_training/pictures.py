"""Pictures and prompts to train `nano` on, made on the fly; step and seed decide all of them.

Three sorts: `scenes` (two to five shapes), `shapes` (one), and real ones: crops of photographs
with all their objects, and cut-outs of real objects pasted over photographs or backgrounds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from segkit_plugins.shared.drawing import Backgrounds, draw

SIDE = 256
PAD = (124, 116, 104)
"""What the network sees as zero: segment-anything pads with it."""
LEAST = 150
"""Objects with fewer pixels are not asked for."""


@dataclass(frozen=True)
class Photo:
    """One photograph with the masks of its objects."""

    pixels: NDArray[np.uint8]
    masks: tuple[NDArray[np.bool_], ...]


def load_photos(coco: Path | None, pets: Path | None, limit: int = 480) -> list[Photo]:
    """The photographs of a COCO folder and the pets at even positions, at most `limit` px."""
    photos = []
    if coco is not None:
        found = json.loads((coco / "instances.json").read_text())
        by_image: dict[int, list[dict[str, Any]]] = {}
        for instance in found["annotations"]:
            by_image.setdefault(instance["image_id"], []).append(instance)
        for entry in sorted(found["images"], key=lambda e: e["id"]):
            with Image.open(coco / "images" / entry["file_name"]) as picture:
                picture = picture.convert("RGB")
                size = picture.size
                masks = []
                for instance in by_image.get(entry["id"], []):
                    if instance.get("iscrowd") or not isinstance(instance["segmentation"], list):
                        continue
                    canvas = Image.new("1", size)
                    for polygon in instance["segmentation"]:
                        ImageDraw.Draw(canvas).polygon([round(v) for v in polygon], fill=1)
                    masks.append(canvas)
                photos.append(_photo(picture, masks, limit))
    if pets is not None:
        for path in sorted((pets / "images").glob("*.jpg"))[::2]:
            trimap = pets / "annotations" / "trimaps" / f"{path.stem}.png"
            with Image.open(path) as picture, Image.open(trimap) as border:
                mask = Image.fromarray(np.asarray(border) != 2)
                photos.append(_photo(picture.convert("RGB"), [mask], limit))
    return photos


def _photo(picture: Image.Image, masks: list[Image.Image], limit: int) -> Photo:
    scale = min(1.0, limit / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = [np.asarray(m.convert("L").resize(size)) > 127 for m in masks]
    return Photo(np.asarray(picture.resize(size)), tuple(m for m in small if m.sum() >= 100))


class Pictures:
    """`make(rng)` → pixels (256, 256, 3) uint8 and disjoint instances (256, 256), 1 … n."""

    def __init__(self, backgrounds: list[Backgrounds], photos: list[Photo]) -> None:
        self.backgrounds = backgrounds
        self.photos = photos
        self.cuts = [
            (p, m) for p in photos for m in p.masks if 0.01 < m.mean() < 0.6 and m.sum() > 900
        ]

    def make(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """A picture of one of the sorts."""
        sort = rng.random()
        back = self.backgrounds[rng.integers(len(self.backgrounds))]
        if sort < 0.38 or not self.photos:
            drawn = draw(rng, back, SIDE, (2, 5))
        elif sort < 0.5:
            drawn = draw(rng, back, SIDE, (1, 1))
        elif sort < 0.75:
            return self.crop(rng)
        else:
            return self.paste(rng, back)
        return drawn.pixels, drawn.instances

    def crop(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """A random part of a photograph, squeezed as `segkit run` does: longer side to 256."""
        photo = self.photos[rng.integers(len(self.photos))]
        height, width = photo.pixels.shape[:2]
        share = rng.uniform(0.4, 1.0)
        h, w = int(height * share), int(width * min(1, share * rng.uniform(0.8, 1.25)))
        y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
        scale = SIDE / max(h, w)
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        pixels = np.full((SIDE, SIDE, 3), PAD, np.uint8)
        whole = Image.fromarray(photo.pixels[y : y + h, x : x + w])
        part = np.asarray(whole.resize(size, Image.Resampling.BILINEAR))
        pixels[: size[1], : size[0]] = _light(rng, part[:, flip])
        ids = np.zeros((h, w), np.int32)
        for i, mask in enumerate(sorted(photo.masks, key=lambda m: -m.sum()), 1):
            ids[mask[y : y + h, x : x + w]] = i
        small = np.zeros((SIDE, SIDE), np.int32)
        small[: size[1], : size[0]] = np.asarray(
            Image.fromarray(ids).resize(size, Image.Resampling.NEAREST)
        )[:, flip]
        return pixels, small

    def paste(
        self, rng: np.random.Generator, back: Backgrounds
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """One to four cut-outs over a photograph or a background."""
        if rng.random() < 0.5:
            pixels = back.crop(rng, SIDE).copy()
            ids = np.zeros((SIDE, SIDE), np.int32)
        else:
            pixels, ids = self.crop(rng)
            pixels = pixels.copy()
        for _ in range(int(rng.integers(1, 5))):
            photo, mask = self.cuts[rng.integers(len(self.cuts))]
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            longest = max(mask[part].shape)
            side = rng.uniform(0.2, 0.75) * SIDE / longest
            size = (
                max(4, int(mask[part].shape[1] * side)),
                max(4, int(mask[part].shape[0] * side)),
            )
            cut = np.asarray(Image.fromarray(photo.pixels[part]).resize(size))
            shape = np.asarray(Image.fromarray(mask[part]).convert("L").resize(size)) / 255
            if rng.random() < 0.5:
                cut, shape = cut[:, ::-1], shape[:, ::-1]
            h, w = shape.shape
            y, x = (int(rng.integers(-n // 4, SIDE - n + n // 4 + 1)) for n in (h, w))
            y0, x0 = max(y, 0), max(x, 0)
            y1, x1 = min(y + h, SIDE), min(x + w, SIDE)
            if y1 <= y0 or x1 <= x0:
                continue
            inside = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
            alpha = shape[inside][..., None]
            where = np.s_[y0:y1, x0:x1]
            pixels[where] = (alpha * _light(rng, cut)[inside] + (1 - alpha) * pixels[where]).astype(
                np.uint8
            )
            ids[where][shape[inside] > 0.5] = ids.max() + 1
        return pixels, ids


def _light(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, contrast, colour cast and curve; now and then grey, blurred or grainy."""
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    found = np.clip(pixels * gain + rng.uniform(-20, 20), 0, 255)
    found = 255 * (found / 255) ** rng.uniform(0.75, 1.35)
    how = rng.random()
    if how < 0.08:
        found = np.repeat(found.mean(axis=2, keepdims=True), 3, axis=2)
    elif how < 0.2:
        found = ndimage.gaussian_filter(found, (*[rng.uniform(0.4, 1.5)] * 2, 0))
    elif how < 0.35:
        found = np.clip(found + rng.normal(0, rng.uniform(2, 12), found.shape), 0, 255)
    return found.astype(np.uint8)


class Target:
    """What a prompt may ask for; what prompts share is worked out once."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """Of each pixel of the mask the distance to its border, or to the picture's."""
        found: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(self.mask, 1))
        return found[1:-1, 1:-1]

    @cached_property
    def near(self) -> NDArray[np.bool_]:
        """The pixels around the mask, up to 12 away."""
        away = ndimage.distance_transform_edt(~self.mask)
        return (away > 0) & (away <= 12)

    @cached_property
    def box(self) -> NDArray[np.float32]:
        """Its tight box."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return np.array([xs[0], ys[0], xs[-1], ys[-1]], np.float32)

    def interior(self, rng: np.random.Generator) -> tuple[float, float]:
        """A point (x, y): a random one, the most interior one, or one in between."""
        how = rng.random()
        if how < 0.35:
            return _one_of(rng, self.mask)
        floor = self.depth.max() * (rng.uniform(0.3, 1.0) if how < 0.8 else 1.0)
        return _one_of(rng, self.depth >= floor)


def _one_of(rng: np.random.Generator, where: NDArray[np.bool_]) -> tuple[float, float]:
    """A random pixel (x, y) of those that are True."""
    places = np.flatnonzero(where)
    y, x = divmod(int(places[rng.integers(len(places))]), where.shape[1])
    return float(x), float(y)


@dataclass(frozen=True)
class Asked:
    """Prompts on one picture, in rows as `nano`'s prompt encoder takes them."""

    coords: NDArray[np.float32]
    """(n, 8, 2) x and y: six points, then the box's corners."""
    labels: NDArray[np.float32]
    """(n, 8): 1 on the object, 0 background, 2 and 3 the box's corners, −1 nothing."""
    truth: NDArray[np.bool_]
    """(n, 256, 256): the mask asked for."""


def sample_prompts(
    rng: np.random.Generator, ids: NDArray[np.int32], count: int, points: int = 6
) -> Asked | None:
    """`count` prompts on the objects of a picture, in turn; now and then on its background.

    None where there is nothing to ask for.
    """
    sizes = np.bincount(ids.ravel())
    objects = [Target(ids == i) for i in range(1, len(sizes)) if sizes[i] >= LEAST]
    background = Target(ids == 0)
    at = np.zeros((count, points, 2), np.float32)
    labels = -np.ones((count, points), np.float32)
    boxes = np.zeros((count, 4), np.float32)
    has_box = np.zeros(count, bool)
    truth = np.zeros((count, SIDE, SIDE), bool)
    nothing = False
    for k in range(count):
        if not objects or (rng.random() < 0.05 and sizes[0] > 2000):
            if sizes[0] < LEAST:
                nothing = True  # the rest is drawn all the same: one stream for one picture
                continue
            target = background
        else:
            target = objects[k % len(objects)]
        truth[k] = target.mask
        how = rng.random()
        if how >= 0.6 and target is not background:  # a box, mostly alone
            box = target.box
            size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            noisy = box + rng.normal(0, 0.04, 4) * size * (rng.random() < 0.5)
            x0, x1 = sorted(noisy[[0, 2]])
            y0, y1 = sorted(noisy[[1, 3]])
            boxes[k] = np.clip([x0, y0, x1, y1], 0, SIDE - 1)
            has_box[k] = True
            if how < 0.9:
                continue
        n = 1 if how < 0.4 else int(rng.integers(1, 5))
        for j in range(n):
            at[k, j], labels[k, j] = target.interior(rng), 1
        if how >= 0.45 and rng.random() < 0.5:  # background points, near or anywhere
            where = target.near if rng.random() < 0.5 and target.near.any() else ~target.mask
            for j in range(n, min(points, n + int(rng.integers(1, 3)))):
                if where.any():
                    at[k, j], labels[k, j] = _one_of(rng, where), 0
    if nothing:
        return None
    ends = np.where(has_box[:, None], [2.0, 3.0], [-1.0, -1.0])
    return Asked(
        np.concatenate([at, boxes.reshape(-1, 2, 2)], axis=1),
        np.concatenate([labels, ends], axis=1).astype(np.float32),
        truth,
    )
