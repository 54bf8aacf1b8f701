"""Candidate masks of many strategies with their true IoU: what the judge of masks learns from.

A *view* is a picture or a part of one. For each, all strategies that work with what ships answer,
and what the judge's features need is kept in a file of its own, so that what was cut off goes on.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from numpy.typing import NDArray

from segkit import VOID, Catalog, Image
from segkit_plugins.judge.learned.scene import Scene, sampled, seen
from segkit_plugins.shared.drawing import texture
from segkit_plugins.shared.nano_objectness import DenseLayers
from segkit_plugins.shared.weights import bundled
from segkit_training.photos import MAIN, coco_photos, light
from segkit_training.strategies import Answer, Strategies, random_file, true_iou

TEXTURES = 60
"""Pictures of nothing but a texture."""
UNSEEN = 3
"""For measuring, one picture in so many is answered by what the judge does not learn from, too."""
VIT_B = "vit_b"
"""The source of photographs of ECSSD that ViT-B with random weights answers, and nothing else."""
BARE = 9
"""The number of a part without an object."""
LEAST = 0.004
"""Objects of a smaller share of the view are none."""
KNOWN = 0.1
"""Where not all objects are annotated, masks with less of known ones are left out."""


@dataclass(frozen=True)
class View:
    """Which picture, and which part of it."""

    source: str
    index: int
    part: int = 0
    """0 is the whole."""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.source}-{self.index:04d}-{self.part}"

    def file(self, folder: Path) -> Path:
        """Where what is known of it is kept."""
        return folder / f"{self.name}.npz"


class Source(NamedTuple):
    """Pictures, and which views of them."""

    name: str
    crops: int = 0
    """Parts of each picture beside the whole."""
    bare: bool = False
    """Whether parts without an object, too."""
    most: int | None = None
    """Pictures at most; None: all."""


@dataclass(frozen=True)
class Example:
    """A picture with its objects."""

    pixels: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    """(H, W): 0 nothing, 1 … n the objects, 255 not counted."""
    complete: bool = True
    """Whether what has no number shows no object."""


@dataclass(frozen=True)
class Collected:
    """What is kept of a view; n candidates."""

    name: str
    scene: Scene
    masks: NDArray[np.bool_]
    """(n, h, w) on the scene's grid."""
    scores: NDArray[np.float32]
    origin: NDArray[np.str_]
    """(n,): the strategy."""
    prompt: NDArray[np.int64]
    """(n,): numbers of the strategy's prompts."""
    union: NDArray[np.float32]
    """(n,): IoU with all objects together."""
    best: NDArray[np.float32]
    """(n,): the greatest IoU with all objects, all main ones, or one of these."""
    known: NDArray[np.bool_]
    """(n,): whether that can be told."""
    nothing: bool
    """Whether the view shows no object."""

    @property
    def source(self) -> str:
        """Where the picture is from."""
        return self.name.rsplit("-", 2)[0]

    @property
    def photo(self) -> str:
        """What all parts of one picture have in common."""
        return self.name.rpartition("-")[0]


@lru_cache(maxsize=16)
def pictures(source: str, data: Path) -> Any:
    """A sequence of examples, or a data set with truth."""
    if source in ("coco_cc", "coco_cc2", "coco_measure"):
        photos = coco_photos(data / source, None if source == "coco_measure" else True)
        return [Example(np.array(p.pixels), np.array(p.ids), p.complete) for p in photos]
    pets, drawn = {"root": data / "oxford-iiit-pet"}, data / "cifar10_train.npz"
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "pets-even": ("pets", {**pets, "positions": "even"}),
        "pets-odd": ("pets", {**pets, "positions": "odd"}),
        VIT_B: ("folder", {"images": data / "ecssd/images", "masks": data / "ecssd/masks"}),
        "ecssd": ("folder", {"images": data / "ecssd/images", "masks": data / "ecssd/masks"}),
        "voc-train": ("voc", {"root": data / "VOCdevkit/VOC2012", "split": "train"}),
        "voc-val": ("voc", {"root": data / "VOCdevkit/VOC2012", "split": "val"}),
        "shapes": ("shapes", {"count": 200, "seed": 4000, "backgrounds": drawn}),
        "scenes": ("scenes", {"count": 200, "seed": 4001, "backgrounds": drawn}),
        "shapes-30011": (
            "shapes",
            {"count": 200, "seed": 30011, "backgrounds": data / "cifar10_test.npz"},
        ),
    }
    name, options = kinds[source]
    step: Any = Catalog(third_party=False).load("dataset", name)
    opened = step(**options)
    opened.open("cpu")
    return opened


def count_of(source: str, data: Path) -> int:
    """How many pictures a source has."""
    return TEXTURES if source.startswith("textures") else len(pictures(source, data))


def example(view: View, data: Path) -> Example | None:
    """The picture of a view; None where it has no such part."""
    source, index, part = view.source, view.index, view.part
    rng = np.random.default_rng([*source.encode(), index, part])
    if source.startswith("textures"):
        height, width = rng.integers(200, 400, 2)
        whole = texture(rng, int(max(height, width)))[:height, :width]
        return Example(whole, np.zeros(whole.shape[:2], np.uint8))
    entry = pictures(source, data)[index]
    if not isinstance(entry, Example):
        image, truth = entry
        ids = truth.labels.ids if truth.instances is None else truth.instances
        void = truth.labels.ids == VOID
        numbers = ids if truth.instances is not None else ids > 0
        entry = Example(image.pixels, np.where(void, VOID, numbers).astype(np.uint8))
    if not part:
        return entry
    return bare(entry, rng) if part == BARE else cropped(entry, rng)


def cropped(entry: Example, rng: np.random.Generator, least: float = 0.4) -> Example:
    """A part of a picture in another light, mirrored half of the time."""
    height, width = entry.ids.shape
    tall, broad = (max(16, int(n * rng.uniform(least, 0.95))) for n in (height, width))
    y, x = rng.integers(0, max(1, height - tall)), rng.integers(0, max(1, width - broad))
    where = np.s_[y : y + tall, x : x + broad]
    pixels, ids = light(rng, entry.pixels[where]), entry.ids[where]
    if rng.random() < 0.5:
        pixels, ids = pixels[:, ::-1], ids[:, ::-1]
    return replace(entry, pixels=np.ascontiguousarray(pixels), ids=np.ascontiguousarray(ids))


def bare(entry: Example, rng: np.random.Generator) -> Example | None:
    """A part that shows no object; None where there is none of a fifth of each side."""
    height, width = entry.ids.shape
    for share in (0.6, 0.5, 0.4, 0.3):
        tall, broad = int(share * height), int(share * width)
        for _ in range(30):
            y, x = rng.integers(0, height - tall), rng.integers(0, width - broad)
            where = np.s_[y : y + tall, x : x + broad]
            if not entry.ids[where].any():
                return replace(entry, pixels=entry.pixels[where].copy(), ids=entry.ids[where])
    return None


def views_of(source: Source, data: Path) -> list[View]:
    """All views of a source: wholes, parts of each, and parts without an object."""
    views = [View(source.name, i) for i in range(count_of(source.name, data))][: source.most]
    parts = [View(source.name, v.index, p) for p in range(1, source.crops + 1) for v in views]
    empty = [View(source.name, v.index, BARE) for v in views] if source.bare else []
    return [*views, *parts, *empty]


def truths(entry: Example, masks: NDArray[np.bool_]) -> tuple[Any, Any, Any]:
    """`union`, `best` and `known` of masks (n, H, W), as `Collected` has them."""
    ids, void = entry.ids, entry.ids == VOID
    sizes = np.bincount(ids.ravel(), minlength=256)
    sizes[0] = sizes[VOID] = 0
    objects = (ids > 0) & ~void
    union = true_iou(masks, objects, void)
    main = np.flatnonzero(sizes >= max(LEAST * ids.size, MAIN * sizes.max()))
    several = [true_iou(masks, np.isin(ids, main), void)]
    if len(main) > 1:
        several += [true_iou(masks, ids == number, void) for number in main[:20]]
    best = np.maximum.reduce([union, *several])
    known = np.ones(len(masks), bool)
    if not entry.complete:
        held = (masks & objects).sum((1, 2)) / np.maximum(masks.sum((1, 2)), 1)
        known = held >= KNOWN
    return union, best, known


class Collector:
    """Makes the files; one a process."""

    def __init__(self, data: Path, folder: Path, measuring: bool) -> None:
        self.data, self.folder, self.measuring = data, folder, measuring
        self.strategies = Strategies(folder / "random.safetensors")
        self.layers = DenseLayers(None, "cpu")

    def collect(self, view: View) -> None:
        """Answer for one view and keep what is needed."""
        path = view.file(self.folder)
        entry = example(view, self.data)
        objects = np.zeros(0) if entry is None else (entry.ids > 0) & (entry.ids < VOID)
        share = objects.mean() if objects.size else 0.0
        # A part with hardly any of an object is neither one of nothing nor one of something.
        whole = view.part == 0 and not view.source.startswith("textures")
        if (
            entry is None
            or (not whole and 0 < share < 2 * LEAST)
            or (not share and not entry.complete)
        ):
            np.savez(path, none=True)
            return
        image = Image(entry.pixels, view.name)
        answers = self._answers(view, entry, image)
        if not answers:
            np.savez(path, none=True)
            return
        masks = np.concatenate([a.masks for a in answers])
        union, best, known = truths(entry, masks)
        scene = seen(image, self.layers)
        grid = scene.size
        written = path.with_suffix(".part.npz")
        np.savez_compressed(
            written,
            pixels=scene.pixels,
            things=scene.things.astype(np.float16),
            people=scene.people.astype(np.float16),
            embedding=scene.embedding.astype(np.float16),
            masks=np.packbits(sampled(masks, grid).reshape(len(masks), -1), axis=1),
            scores=np.concatenate([a.scores for a in answers]),
            origin=np.repeat([a.origin for a in answers], [len(a.masks) for a in answers]),
            prompt=np.concatenate([a.prompt for a in answers]),
            union=union,
            best=best,
            known=known,
            nothing=not share,
        )
        written.replace(path)

    def _answers(self, view: View, entry: Example, image: Image) -> list[Answer]:
        rng = np.random.default_rng([*view.name.encode()])
        if view.source == VIT_B:
            weights = random_file(self.folder / "vit_b.safetensors", "vit_b")
            return self.strategies.vit_b(image, weights, rng)
        turn = None if self.measuring else view.index + view.part
        answers = self.strategies.answers(image, rng, turn=turn)
        if self.measuring and view.index % UNSEEN == 0:
            answers += self.strategies.unseen(image, entry.ids, rng)
        return answers


def read(path: Path) -> Collected | None:
    """What was kept of a view; None where it was of no use."""
    with np.load(path) as kept:
        if "none" in kept.files:
            return None
        values = {name: kept[name] for name in kept.files}
    maps = {n: values.pop(n).astype(np.float32) for n in ("things", "people", "embedding")}
    scene = Scene(values.pop("pixels"), **maps)
    count = scene.size[0] * scene.size[1]
    bits = np.unpackbits(values.pop("masks"), axis=1, count=count)
    masks = bits.reshape(-1, *scene.size).astype(bool)
    nothing = bool(values.pop("nothing"))
    return Collected(path.stem, scene, masks, nothing=nothing, **values)


_OWN: dict[str, Collector] = {}


def _started(data: Path, folder: Path, measuring: bool) -> None:
    torch.set_num_threads(1)
    _OWN["collector"] = Collector(data, folder, measuring)


def _collected(view: View) -> str:
    _OWN["collector"].collect(view)
    return view.name


def cache_of(folder: Path) -> Path:
    """The folder for what the shipped `nano` answers; another `nano` has another."""
    digest = hashlib.sha256(bundled("nano").read_bytes()).hexdigest()[:8]
    (folder / digest).mkdir(parents=True, exist_ok=True)
    return folder / digest


def gathered(
    views: Sequence[View], data: Path, folder: Path, processes: int, measuring: bool = False
) -> Iterator[Collected]:
    """What is known of the views; those that are not yet in the folder are collected first.

    `measuring`: only answers of the recipes, and those that the judge does not learn from.
    """
    missing = [view for view in views if not view.file(folder).is_file()]
    if missing:
        random_file(folder / "random.safetensors")
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, _started, (data, folder, measuring)) as pool:
            for number, name in enumerate(pool.imap_unordered(_collected, missing), 1):
                if number % 20 == 0 or number == len(missing):
                    click.echo(f"{number} of {len(missing)} views collected ({name})", err=True)
    for view in views:
        known = read(view.file(folder))
        if known is not None:
            yield known
