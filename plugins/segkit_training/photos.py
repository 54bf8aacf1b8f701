"""Photographs with the masks of their objects, and pictures of them to train `nano` on.

A COCO folder holds `images` and `instances.json`. Where an image has an entry `annotated`, that is
`"all"` or a list of the classes that are complete there; without it all of COCO's 80 are. A fifth
of the photographs, told by the hash of the file name, is set aside for development.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from segkit_plugins.shared.drawing import Backgrounds, draw

PAD = (124, 116, 104)
"""What the network sees as zero: segment-anything pads with it."""
LIMIT = 480
"""Longer side of the photographs that are kept in memory, in pixels."""
EXAMINED = 10
"""One photograph in so many teaches no masks, but how good the answers on new photographs are."""
SINGLE = 0.4
"""How often photographs of which only one class is annotated come up, beside the others."""
PERSON = "person"
HANDS = ("saint_bernard_170",)
"""Of the pets at even positions, the photographs that show some of a person; found by looking."""
MAIN = 0.25
"""A picture is about its largest object and those of at least this share of its area."""


@dataclass(frozen=True)
class Photo:
    """One photograph with its objects."""

    pixels: Image.Image
    ids: Image.Image
    """Mode L: 0, or the number of the object, from 1, smaller objects above larger ones."""
    classes: tuple[str, ...]
    """Of the objects 1, 2 …"""
    complete: bool
    """Whether what has no number shows no object of 80 classes."""
    examined: bool = False
    """Whether no mask is learned from it."""
    all_people: bool = True
    """Whether what has no number shows no person."""


@dataclass(frozen=True)
class Picture:
    """What is trained on; S is the side."""

    pixels: NDArray[np.uint8]
    """(S, S, 3)."""
    ids: NDArray[np.uint8]
    """(S, S): 1 … n the objects, 0 none."""
    complete: bool
    examined: bool = False
    people: frozenset[int] = frozenset()
    """The numbers of persons."""
    all_people: bool = True


def set_aside(file_name: str) -> bool:
    """Whether this photograph is for development alone."""
    return int(hashlib.sha1(file_name.encode()).hexdigest(), 16) % 5 == 0


def is_examined(file_name: str) -> bool:
    """Whether it teaches only how good the answers on new photographs are."""
    return int(hashlib.sha1(file_name.encode()).hexdigest(), 16) // 5 % EXAMINED == 0


def coco_photos(
    folder: Path, development: bool | None = False, limit: int | None = LIMIT
) -> list[Photo]:
    """The photographs of a COCO folder, those set aside left out.

    `development`: those set aside alone, or None: all. `limit`: of the longer side in pixels.
    """
    listed = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in listed["categories"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for instance in listed["annotations"]:
        by_image.setdefault(instance["image_id"], []).append(instance)
    photos = []
    for entry in sorted(listed["images"], key=lambda e: str(e["file_name"])):
        name = entry["file_name"]
        if development is not None and set_aside(name) != development:
            continue
        with Image.open(folder / "images" / name) as opened:
            pixels = opened.convert("RGB")
        masks, classes = [], []
        crowded = False
        for instance in by_image.get(entry["id"], []):
            if instance.get("iscrowd") or not isinstance(instance["segmentation"], list):
                crowded = True
                continue
            mask = Image.new("L", pixels.size)
            for polygon in instance["segmentation"]:
                ImageDraw.Draw(mask).polygon([round(v) for v in polygon], fill=255)
            masks.append(mask)
            classes.append(names[instance["category_id"]])
        annotated = entry.get("annotated", "all")
        photos.append(
            _photo(
                pixels,
                masks,
                classes,
                limit,
                complete=annotated == "all" and not crowded,
                examined=is_examined(name),
                all_people=(annotated == "all" or PERSON in annotated) and not crowded,
            )
        )
    return photos


def pet_photos(folder: Path, without: Collection[str] = ()) -> list[Photo]:
    """The photographs at even positions of Oxford-IIIT Pet's sorted names, but for some names."""
    photos = []
    for path in sorted((folder / "images").glob("*.jpg"))[::2]:
        if path.stem in without:
            continue
        trimap = folder / "annotations" / "trimaps" / f"{path.stem}.png"
        with Image.open(path) as opened, Image.open(trimap) as border:
            mask = Image.fromarray((np.asarray(border) != 2).astype(np.uint8) * 255)
            kind = "cat" if path.name[0].isupper() else "dog"
            bare = path.stem not in HANDS
            photos.append(
                _photo(opened.convert("RGB"), [mask], [kind], LIMIT, complete=True, all_people=bare)
            )
    return photos


def all_photos(coco: Sequence[Path], pets: Path | None) -> list[Photo]:
    """Those of COCO folders, without the ones set aside, then the pets where there is a folder."""
    photos = [photo for folder in coco for photo in coco_photos(folder)]
    return photos + (pet_photos(pets) if pets else [])


def _photo(
    pixels: Image.Image,
    masks: Sequence[Image.Image],
    classes: Sequence[str],
    limit: int | None,
    **known: bool,
) -> Photo:
    scale = min(1.0, limit / max(pixels.size)) if limit else 1.0
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    small = [np.asarray(m.resize(size)) > 127 for m in masks]
    order = sorted(range(len(small)), key=lambda i: -int(small[i].sum()))[:255]
    ids = np.zeros((size[1], size[0]), np.uint8)
    for number, i in enumerate(order, 1):
        ids[small[i]] = number
    kinds = tuple(classes[i] for i in order)
    return Photo(pixels.resize(size), Image.fromarray(ids), kinds, **known)


class Pictures:
    """`make(rng)`: generated pictures, parts of photographs, and cut-outs pasted over either.

    `varied`: smaller parts and stretched ones, cut-outs that are turned, stretched and softened at
    their borders, and colours that run into each other.
    """

    def __init__(
        self, backgrounds: list[Backgrounds], photos: list[Photo], side: int, varied: bool = False
    ) -> None:
        self.backgrounds, self.side, self.varied = backgrounds, side, varied
        self.photos = [p for p in photos if not p.examined]
        self.examined = [p for p in photos if p.examined]
        self.shares = _shares([1.0 if p.complete else SINGLE for p in self.photos])
        self.cuts = [cut for p in self.photos for cut in _cuts(p)]
        kinds = Counter(kind for _, _, kind in self.cuts)
        self.cut_shares = _shares([kinds[kind] ** -0.5 for _, _, kind in self.cuts])

    def make(self, rng: np.random.Generator) -> Picture:
        """A picture of one of the sorts."""
        sort = rng.random()
        back = self.backgrounds[rng.integers(len(self.backgrounds))]
        if sort < 0.17 or not self.photos:
            return self.drawn(rng, back, (2, 5))
        if sort < 0.24:
            return self.drawn(rng, back, (1, 1))
        if sort < 0.32 and self.examined:
            return self.crop(rng, self.examined[rng.integers(len(self.examined))])
        if sort < 0.7:
            return self.crop(rng, self._any(rng))
        return self.paste(rng, back)

    def drawn(self, rng: np.random.Generator, back: Backgrounds, count: tuple[int, int]) -> Picture:
        """Shapes, drawn at the full side or a smaller one."""
        side = self.side if rng.random() < 0.5 else int(rng.integers(self.side // 2, self.side))
        drawing = draw(rng, back, side, count)
        pixels, ids = drawing.pixels, drawing.instances.astype(np.uint8)
        if side != self.side:
            whole = (self.side, self.side)
            pixels = np.asarray(Image.fromarray(pixels).resize(whole, Image.Resampling.BILINEAR))
            ids = np.asarray(Image.fromarray(ids).resize(whole, Image.Resampling.NEAREST))
        return Picture(pixels, ids, True)

    def crop(self, rng: np.random.Generator, photo: Photo) -> Picture:
        """A photograph or a part of it, turned a little at times; longer side to `side`."""
        width, height = photo.pixels.size
        share = 1.0 if rng.random() < 0.35 else rng.uniform(0.3 if self.varied else 0.45, 1.0)
        w, h = (n * min(1.0, share * rng.uniform(0.85, 1.15)) for n in (width, height))
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        scale = self.side / max(w, h)
        size = (max(8, round(w * scale)), max(8, round(h * scale)))
        pixels, ids = photo.pixels, photo.ids
        if rng.random() < 0.2:
            angle = rng.uniform(-20, 20)
            pixels = pixels.rotate(angle, Image.Resampling.BILINEAR, fillcolor=PAD)
            ids = ids.rotate(angle, Image.Resampling.NEAREST)
        box = (x, y, x + w, y + h)
        part = np.asarray(pixels.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0))
        numbers = np.asarray(ids.resize(size, Image.Resampling.NEAREST, box))
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        canvas = np.full((self.side, self.side, 3), PAD, np.uint8)
        canvas[: size[1], : size[0]] = self._lit(rng, part[:, flip])
        placed = np.zeros((self.side, self.side), np.uint8)
        placed[: size[1], : size[0]] = numbers[:, flip]
        people = frozenset(i for i, kind in enumerate(photo.classes, 1) if kind == PERSON)
        return Picture(canvas, placed, photo.complete, photo.examined, people, photo.all_people)

    def paste(self, rng: np.random.Generator, back: Backgrounds) -> Picture:
        """One to four cut-outs over a photograph or a background."""
        if rng.random() < 0.4:
            pixels = back.crop(rng, self.side).copy()
            below = Picture(pixels, np.zeros((self.side, self.side), np.uint8), True)
        else:
            below = self.crop(rng, self._any(rng))
            pixels = below.pixels
        ids, people = below.ids.copy(), below.people
        for number in range(int(rng.integers(1, 5))):
            cut, alpha, kind = self.cuts[rng.choice(len(self.cuts), p=self.cut_shares)]
            scale = rng.uniform(0.15, 0.85) * self.side / max(cut.size)
            stretch = np.exp(rng.uniform(-0.3, 0.3, 2) / 2) if self.varied else (1.0, 1.0)
            wide, high = (n * scale * f for n, f in zip(cut.size, stretch, strict=True))
            size = (max(6, int(wide)), max(6, int(high)))
            small, border = (i.resize(size, Image.Resampling.BILINEAR) for i in (cut, alpha))
            if self.varied and rng.random() < 0.5:
                angle = rng.uniform(-45, 45)
                small, border = (
                    i.rotate(angle, Image.Resampling.BILINEAR, expand=True) for i in (small, border)
                )
            over, shape = self._lit(rng, np.asarray(small)), np.asarray(border)
            if self.varied and rng.random() < 0.5:
                shape = ndimage.gaussian_filter(shape, rng.uniform(0.3, 1.5))
            if rng.random() < 0.5:
                over, shape = over[:, ::-1], shape[:, ::-1]
            h, w = shape.shape
            y, x = (int(rng.integers(-n // 4, self.side - n + n // 4 + 1)) for n in (h, w))
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + h, self.side), min(x + w, self.side)
            inside, where = np.s_[y0 - y : y1 - y, x0 - x : x1 - x], np.s_[y0:y1, x0:x1]
            share = shape[inside][..., None] / np.float32(255)
            pixels[where] = share * over[inside] + (1 - share) * pixels[where]
            ids[where][shape[inside] > 127] = 250 - number
            if kind == PERSON:
                people |= {250 - number}
        return replace(below, pixels=pixels, ids=ids, people=people)

    def _lit(self, rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = light(rng, pixels)
        if self.varied and rng.random() < 0.25:
            mix = np.eye(3) + rng.normal(0, 0.15, (3, 3))
            mix /= mix.sum(axis=1, keepdims=True)  # grey stays grey
            found = np.clip(found @ mix.T.astype(np.float32), 0, 255).astype(np.uint8)
        return found

    def _any(self, rng: np.random.Generator) -> Photo:
        return self.photos[rng.choice(len(self.photos), p=self.shares)]


def _shares(weights: list[float]) -> NDArray[np.float64]:
    found = np.array(weights)
    return found / max(found.sum(), 1e-9)


def _cuts(photo: Photo) -> list[tuple[Image.Image, Image.Image, str]]:
    """The objects worth cutting out: pixels and mask (mode L) of their boxes, and the class."""
    ids = np.asarray(photo.ids)
    cuts = []
    for number, kind in enumerate(photo.classes, 1):
        mask = ids == number
        if mask.sum() < 900 or mask.mean() > 0.6:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        alpha = Image.fromarray(mask.astype(np.uint8) * 255).crop(box)
        cuts.append((photo.pixels.crop(box), alpha, kind))
    return cuts


def light(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, contrast, colour cast and curve; now and then paler, grey, blurred, grainy."""
    levels = np.arange(256)[:, None] * rng.uniform(0.65, 1.35) * rng.uniform(0.88, 1.12, 3)
    levels = np.clip(levels + rng.uniform(-25, 25), 0, 255) / 255
    table = (255 * levels ** rng.uniform(0.7, 1.4)).astype(np.uint8)
    found: NDArray[Any] = np.stack([table[pixels[..., i], i] for i in range(3)], axis=2)
    how = rng.random()
    if how < 0.25:
        grey = found.mean(axis=2, keepdims=True)
        colour = 0.0 if how < 0.07 else rng.uniform(0.3, 1.6)
        found = np.clip(grey + colour * (found - grey), 0, 255)
    elif how < 0.35:
        found = ndimage.gaussian_filter(found, (*[rng.uniform(0.4, 1.6)] * 2, 0))
    elif how < 0.47:
        grain = rng.integers(-64, 64, found.shape, np.int16) * rng.uniform(0.05, 0.3)
        found = np.clip(found + grain, 0, 255)
    return found.astype(np.uint8)


def about(picture: Picture) -> NDArray[np.float32]:
    """(S, S): 1 where the things lie that the picture is about, 0 where no object does, −1 else.

    Where not all objects are known, there is no 0.
    """
    sizes = np.bincount(picture.ids.ravel(), minlength=256)
    sizes[0] = 0
    worth = np.where(sizes >= max(1, MAIN * sizes.max()), 1, -1).astype(np.float32)
    worth[0] = 0 if picture.complete else -1
    found: NDArray[np.float32] = worth[picture.ids]
    return found


def humans(picture: Picture) -> NDArray[np.float32]:
    """(S, S): 1 on persons, 0 where none is, −1 where that is not known."""
    told = np.zeros(256, np.float32)
    told[0] = 0 if picture.all_people else -1
    told[list(picture.people)] = 1
    found: NDArray[np.float32] = told[picture.ids]
    return found
