"""Strategies whose masks are judged: recipes of the examples, and other makers of masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from segkit import Catalog, Heatmap, Image, Masks, Prompts
from segkit.running.prompting import Asked, Span, joined
from segkit.running.recipe import Part, Recipe

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
UNFIT = {"yolo", "random-clicks"}
"""Prompters that need weights of their own, or the truth."""
GRID = 5
"""Points along each side for sam-everything."""
LEVELS = (0.15, 0.25, 0.35, 0.5, 0.7)
"""At which heatmaps are cut."""
ALTERED = 12
"""Answers that are altered, and masks that nobody asked for."""
JITTERED = 8
"""Masks that are made of the truth."""
Mask = NDArray[np.bool_]


class Answer(NamedTuple):
    """What one strategy made."""

    origin: str
    masks: Mask
    """(n, H, W)."""
    scores: NDArray[np.float32]
    prompt: NDArray[np.int64]


class Question(NamedTuple):
    """What is asked of a segmenter by one strategy."""

    origin: str
    prompts: Prompts
    group: Sequence[Any]
    """The prompters."""
    heat: Heatmap


def prompt_groups() -> list[tuple[Part, ...]]:
    """The prompters of the examples' recipes that work with what ships, each group once."""
    groups: list[tuple[Part, ...]] = []
    for path in sorted(RECIPES.glob("*.toml")):
        parts = Recipe.load(path).parts
        prompts = parts.get("prompt", ())
        if "segmenter" in parts or UNFIT & {part.name for part in prompts}:
            continue
        start: list[list[Part]] = []
        for part in prompts:
            start = [*start[:-1], [*start[-1], part]] if part.merge else [*start, [part]]
        groups += [tuple(group) for group in start if tuple(group) not in groups]
    return groups


class Strategies:
    """All of them, loaded once."""

    def __init__(self, random_weights: Path) -> None:
        """`random_weights`: a file of `nano` with random weights."""
        self.catalog = Catalog(third_party=False)
        groups = [
            tuple(self._step("prompt", part.name, **part.options) for part in group)
            for group in prompt_groups()
        ]
        self.groups = {"+".join(map(_words, group)): group for group in groups}
        self.gradcam, self.things = (self._step("saliency", n) for n in ("gradcam", "objectness"))
        self.transforms = {n: self._step("transform", n) for n in ("objectness-prior", "idw")}
        self.sam = self._step("segmenter", "sam")
        self.older = self._step("segmenter", "sam", model="nano-2")
        self.random = self._step("segmenter", "sam", checkpoint=random_weights)
        self.everything = self._step("segmenter", "sam-everything", points_per_side=GRID)
        self.grabcut = self._step("segmenter", "grabcut")
        self.selector = self._step("selector", "score")
        self._vit_b: Any = None

    def _step(self, kind: str, name: str, **options: Any) -> Any:
        step: Any = self.catalog.load(kind, name)(**options)
        step.open("cpu")
        return step

    def heatmaps(self, image: Image) -> dict[str, Heatmap]:
        """What is seen, by four ways."""
        (heat, *_) = self.gradcam(image=image, classes={})
        things = self.things(image=image)
        prior, idw = (_called(self.transforms[n], image=image, heatmap=heat) for n in HOW)
        return {"gradcam": heat, "prior": prior, "idw": idw, "objectness": things}

    def answers(self, image: Image, rng: np.random.Generator, *, turn: int | None) -> list[Answer]:
        """What the prompters of the recipes get from `nano`.

        `turn`: what else is asked, in turn: `sam-everything`, or `nano-2` and random weights; and
        second looks, and masks altered. None: nothing else.
        """
        heatmaps = self.heatmaps(image)
        asked: list[Question] = []
        second: list[Question] = []
        known: set[bytes] = set()
        for name, heat in heatmaps.items():
            for words, group in self.groups.items():
                if name in FEW and words not in FEW[name]:
                    continue
                prompts = _asked(group, image, heat, rng)
                question = Question(f"{name}/{words}", prompts, group, heat)
                if any(hasattr(step, "refine") for step in group):
                    second.append(question)
                elif question.origin == DEFAULT or _bytes(prompts) not in known:
                    known.add(_bytes(prompts))
                    asked.append(question)
        made = self._first(self.sam, "", image, asked)
        if turn is None:
            made.append(default_of(made))
        else:
            if turn % 2:
                masks = self.everything(image=image, encoding=self.everything.encode(image))
                made.append(Answer("everything", masks.masks, masks.scores, masks.prompt))
            else:
                few = [question for question in asked if question.origin in OLDER]
                made += self._first(self.older, "nano-2/", image, few)
                made += self._first(self.random, "random/", image, few)
            made += self._again(image, second)
            made.append(altered(made, image.size, rng))
        return [answer for answer in made if len(answer.masks)]

    def unseen(self, image: Image, ids: NDArray[np.uint8], rng: Any) -> list[Answer]:
        """What the judge does not learn from: heatmaps cut, GrabCut, and masks of the truth."""
        heatmaps = self.heatmaps(image)
        warm = [heatmaps[n].values for n in ("gradcam", "prior")]
        cuts = np.stack([heat >= level for heat in warm for level in LEVELS])
        means = [heat[heat >= level].mean() for heat in warm for level in LEVELS if heat.any()]
        scores = np.array(means or np.zeros(len(cuts)), np.float32)
        made = [Answer("threshold", cuts, scores, np.arange(len(cuts)))]
        masks = self.grabcut(image=image, heatmap=heatmaps["prior"])
        made.append(Answer("grabcut", masks.masks, masks.scores, masks.prompt))
        if (ids % 255).any():
            masks = jittered(ids, rng)
            even = np.full(len(masks), 0.5, np.float32)
            made.append(Answer("jitter", masks, even, np.arange(len(masks))))
        return [answer for answer in made if len(answer.masks)]

    def vit_b(self, image: Image, weights: Path, rng: Any) -> list[Answer]:
        """What ViT-B with these random weights answers; the judge does not learn from it either."""
        if self._vit_b is None:
            self._vit_b = self._step("segmenter", "sam", model="vit_b", checkpoint=weights)
        heatmaps = self.heatmaps(image)
        asked = []
        for origin in sorted(OLDER):
            name, words = origin.split("/")
            group = self.groups[words]
            prompts = _asked(group, image, heatmaps[name], rng)
            asked.append(Question(origin, prompts, group, heatmaps[name]))
        return self._first(self._vit_b, "vit_b/", image, asked)

    def _first(
        self, sam: Any, before: str, image: Image, asked: Sequence[Question]
    ) -> list[Answer]:
        """All prompts in one call, the answers apart again."""
        masks = _together(sam, image, [question.prompts for question in asked])
        return [
            Answer(before + question.origin, own.masks, own.scores, own.prompt)
            for question, own in zip(asked, masks, strict=True)
        ]

    def _again(self, image: Image, asked: Sequence[Question]) -> list[Answer]:
        """The second looks of the groups that take one, by the best-scored first answers."""
        further = []
        first = _together(self.sam, image, [question.prompts for question in asked])
        for question, masks in zip(asked, first, strict=True):
            given = {
                "prompts": question.prompts,
                "masks": self.selector(masks),
                "heatmap": question.heat,
                "image": image,
                "ask": lambda prompts: _together(self.sam, image, [prompts])[0],
            }
            for step in question.group:
                names = type(step).inputs_of("refine").all if hasattr(step, "refine") else ()
                again = step.refine(**{n: given[n] for n in names}) if names else None
                if again is not None:
                    further.append(question._replace(prompts=again))
        return self._first(self.sam, "", image, further) if further else []


DEFAULT = "prior/components"
"""What the default recipe asks."""
HOW = ("objectness-prior", "idw")
OLDER = {"gradcam/distance-centers", "prior/components", "objectness/mask"}
"""What `nano-2` and random weights are asked."""
FEW = {
    "prior": ("components", "box+topk", "mask", "centroid-grid", "topk+disagreement"),
    "idw": ("topk", "topk:k=5:background=2"),
    "objectness": ("components", "box+topk", "mask+topk", "distance-centers"),
}
"""The prompters that read these heatmaps; all read Grad-CAM's."""


def _together(sam: Any, image: Image, asked: Sequence[Prompts]) -> list[Masks]:
    """The answers to several, in one call."""
    prompts = Prompts(tuple(prompt for several in asked for prompt in several))
    masks: Masks = sam(image=image, prompts=prompts, encoding=sam.encode(image))
    answers, start = [], 0
    for several in asked:
        own = masks.take(
            np.flatnonzero((masks.prompt >= start) & (masks.prompt < start + len(several)))
        )
        answers.append(replace(own, prompt=own.prompt - start))
        start += len(several)
    return answers


def _bytes(prompts: Prompts) -> bytes:
    """Equal for prompts that ask the same."""
    parts = [v for p in prompts for v in (p.points, p.signs, p.box, p.mask) if v is not None]
    return b"|".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _called(step: Any, **given: Any) -> Any:
    return step(**{name: given[name] for name in type(step).inputs().all if name in given})


def _asked(group: Sequence[Any], image: Image, heat: Heatmap, rng: Any) -> Prompts:
    """What a group asks of one heatmap."""
    several = [
        Asked((Span(_called(step, image=image, heatmap=heat, rng=rng, classes={})),))
        for step in group
    ]
    return joined(several, tuple(group)).prompts


def _words(step: Any) -> str:
    changed = {k: v for k, v in step.model_dump().items() if v != type(step)().model_dump()[k]}
    return "".join([step.name, *(f":{k}={v}" for k, v in changed.items())])


def default_of(made: Sequence[Answer]) -> Answer:
    """What the default recipe draws: the masks of all warm regions together."""
    regions = next(answer for answer in made if answer.origin == DEFAULT)
    several = np.asarray(regions.masks.any(axis=0))[None][: len(regions.masks)]
    return Answer("default", several, regions.scores[: len(several)], regions.prompt[:1])


def altered(made: Sequence[Answer], size: tuple[int, int], rng: Any) -> Answer:
    """Answers grown, shrunk, moved, cut or joined; ellipses, boxes, all and nothing."""
    pool = np.concatenate([answer.masks for answer in made if len(answer.masks)])
    masks = []
    for _ in range(ALTERED):
        mask = pool[rng.integers(len(pool))]
        if rng.random() < 0.2:
            mask = mask | pool[rng.integers(len(pool))]
        masks.append(changed(mask, rng))
    masks += [blob(size, rng) for _ in range(3)]
    masks += [np.ones(size, bool)]
    scores = rng.uniform(0, 1, len(masks)).astype(np.float32)
    return Answer("altered", np.stack(masks), scores, np.arange(len(masks)))


def changed(mask: Any, rng: Any) -> Mask:
    """The mask grown or shrunk, moved, or with a part cut off or put on."""
    reach = max(2, round(np.sqrt(mask.sum()) * rng.uniform(0.02, 0.25)))
    how = rng.integers(5)
    if how < 2:
        away = ndimage.distance_transform_edt(mask if how else ~mask)
        return np.asarray(away > reach if how else away <= reach)
    if how == 2:
        steps = rng.integers(-2 * reach, 2 * reach + 1, 2)
        rows, columns = (
            np.clip(np.arange(n) - s, 0, n - 1) for n, s in zip(mask.shape, steps, strict=True)
        )
        return np.asarray(mask[np.ix_(rows, columns)])
    other = blob(mask.shape, rng)
    if how == 3:
        return np.asarray(mask & ~other)
    return np.asarray(mask | other)


def blob(size: tuple[int, ...], rng: Any) -> Mask:
    """An ellipse or a box somewhere."""
    height, width = size
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    tall, broad = rng.uniform(0.05, 0.45, 2) * size
    rows = np.abs(np.arange(height)[:, None] - y) / tall
    columns = np.abs(np.arange(width) - x) / broad
    power = 2 if rng.random() < 0.6 else 20
    return np.asarray(rows**power + columns**power <= 1)


def jittered(ids: NDArray[np.uint8], rng: Any) -> Mask:
    """Masks (n, H, W) of the objects and of all of them: as they are, and spoiled bit by bit."""
    objects = (ids > 0) & (ids < 255)
    numbers = [n for n in np.unique(ids) if 0 < n < 255]
    masks = [objects]
    while len(masks) < JITTERED:
        pick = objects if rng.random() < 0.6 else ids == numbers[rng.integers(len(numbers))]
        mask = _coarse(pick, int(rng.integers(1, 16))) if rng.random() < 0.4 else pick
        for _ in range(int(rng.integers(1, 4))):
            mask = changed(mask, rng) if mask.any() else mask
        masks.append(mask)
    return np.stack(masks)


def _coarse(mask: Mask, cell: int) -> Mask:
    """The mask as it looks on cells of so many pixels."""
    rows, columns = (np.arange(n) // cell * cell for n in mask.shape)
    return np.asarray(mask[np.ix_(rows, columns)])


def random_file(path: Path, model: str = "nano", seed: int = 1) -> Path:
    """Write a SAM with random weights, if it is not there."""
    if not path.is_file():
        from segment_anything import sam_model_registry

        from segkit_plugins.segmenter.sam.nano import build
        from segkit_training.loop import save_half

        torch.manual_seed(seed)
        network = build() if model == "nano" else sam_model_registry[model](checkpoint=None)
        for parameter in network.parameters():
            if parameter.dim() > 1 and model == "nano":
                torch.nn.init.kaiming_uniform_(parameter, a=1)
        save_half(network, path)
    return path


def true_iou(masks: Mask, truth: Mask, void: Mask) -> NDArray[np.float32]:
    """(n,): IoU of masks (n, H, W) with the truth, void left out."""
    counted = ~void.ravel()
    flat = masks.reshape(len(masks), -1)[:, counted].astype(np.float32)
    other = truth.ravel()[counted].astype(np.float32)
    shared = flat @ other
    union = flat.sum(1) + other.sum() - shared
    return np.asarray(shared / np.maximum(union, 1), np.float32)
