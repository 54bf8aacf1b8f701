"""What each stage of a trial looks like: small pictures, each with a few words."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, Heatmap, Image, Labels, Masks, Prompt, Prompts
from segkit.running.interactive import Stage, Trial
from segkit_plugins.shared.pictures import RGB, Scale, heated, marked, mask_panel, outline, tinted

HEIGHT = 480
"""The greatest height of a picture in pixels; its greatest width is 4/3 of that."""

MOST = 12
"""Pictures of one stage; the others are counted."""

QUALITY = 88
"""Of the JPEG files."""

FIRST, SECOND = (37, 139, 230), (240, 140, 30)
"""The colours of what only the first recipe has, and only the second."""


@dataclass(frozen=True)
class Shot:
    """One picture with its words."""

    words: str
    picture: RGB
    chosen: bool = False
    """Whether it is a candidate that the selector took."""

    @cached_property
    def address(self) -> str:
        """The picture as the address of an image in a page."""
        import PIL.Image

        packed = io.BytesIO()
        PIL.Image.fromarray(self.picture).save(packed, "JPEG", quality=QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"


class Artist:
    """Draws what is made of one image; its photo and each heatmap are scaled once."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.scale = Scale(image.size, HEIGHT)
        self.photo = self.scale.photo(image.pixels)
        self._heats: WeakKeyDictionary[Heatmap, Shot] = WeakKeyDictionary()
        self._dim = np.rint(self.photo.mean(axis=2, keepdims=True) * 0.45 + 20).astype(np.uint8)

    def shots(self, stage: Stage, trial: Trial) -> tuple[list[Shot], int]:
        """A stage's pictures, and how many more there would be."""
        value = stage.value
        if isinstance(value, Prompts):
            return [self.prompts(value)], 0
        if isinstance(value, Labels):
            return [self.result(trial)], 0
        if isinstance(value, Masks):
            drawn = self._masks(value, trial.masks, final=stage.kind == "selector")
            return list(islice(drawn, MOST)), max(0, len(value) - MOST)
        if isinstance(value, tuple):
            return [self._heat(heatmap) for heatmap in value[:MOST]], max(0, len(value) - MOST)
        return [], 0

    def prompts(self, prompts: Prompts) -> Shot:
        """All prompts on the photo; a coarse mask lies over it."""
        picture = self.photo
        for prompt in prompts:
            if prompt.mask is not None:
                picture = heated(picture, self.scale.heat(_share(prompt.mask)))
        return Shot(_asked(prompts), marked(picture, prompts, self.scale))

    def result(self, trial: Trial) -> Shot:
        """The end: the class map, or masks without one, with the prompts."""
        scores = trial.scores or {}
        panel = mask_panel(self.photo, trial.masks, trial.labels, self.scale, scores)
        named = ", ".join(panel.key.values()) or "nothing found"
        out = f"; {trial.left_out} too weak left out" if trial.left_out else ""
        figures = panel.title.removeprefix("mask").strip(" ()")
        words = f"{named}{f' · {figures}' if figures else ''}{out}"
        asked = trial.prompts or Prompts()
        return Shot(words, marked(panel.picture, asked, self.scale))

    def answer(self, trial: Trial, clicks: Prompt, other: Trial | None) -> Shot:
        """What a person's clicks make, and how far it agrees with a recipe's end."""
        mine = covered(trial)
        words = ["your clicks"]
        if trial.candidates is not None and len(trial.candidates):
            words.append(f"score {float(trial.candidates.scores.max()):.2f}")
        if other is not None and mine is not None and (theirs := covered(other)) is not None:
            words.append(f"IoU {overlap(mine, theirs):.2f} with the recipe's")
        ids = np.zeros(self.scale.size, np.int32)
        if mine is not None:
            ids = (self.scale.labels(mine) > 0).astype(np.int32)
        picture = tinted(self.photo, ids, outline(ids))
        return Shot(" · ".join(words), marked(picture, Prompts((clicks,)), self.scale))

    def difference(self, first: Trial, second: Trial) -> Shot | None:
        """Where the ends of two recipes differ; None where one has none."""
        one, other = covered(first), covered(second)
        if one is None or other is None:
            return None
        apart = _apart(first, second, one, other)
        picture = np.repeat(self._dim, 3, axis=2)
        sides = ((apart & one, FIRST), (apart & other & ~one, SECOND))
        picture[self.scale.labels(one & other & ~apart) > 0] = (120, 120, 120)
        for region, colour in sides:
            # A thin difference must not vanish where the photo shrinks.
            picture[_shrunk(region, self.scale.size)] = colour
        count = int(apart.sum())
        differ = "pixel differs" if count == 1 else "pixels differ"
        words = f"{count:,} {differ} ({100 * count / apart.size:.2g} %)"
        words += f" · IoU {overlap(one, other):.2f}"
        return Shot(words, picture)

    def _heat(self, heatmap: Heatmap) -> Shot:
        shot = self._heats.get(heatmap)
        if shot is None:
            shot = self._heats[heatmap] = self._heated(heatmap)
        return shot

    def _heated(self, heatmap: Heatmap) -> Shot:
        name = heatmap.name or "no class"
        score = f" · probability {heatmap.score:.2f}" if heatmap.name else ""
        empty = "" if heatmap.values.any() else " · nothing seen"
        return Shot(f"{name}{score}{empty}", heated(self.photo, self.scale.heat(heatmap.values)))

    def _masks(self, masks: Masks, taken: Masks | None, *, final: bool) -> Iterator[Shot]:
        """A picture a candidate; those that were taken are marked."""
        several = len(set(masks.prompt.tolist())) > 1
        for index, mask in enumerate(masks.masks):
            words = [f"prompt {masks.prompt[index] + 1}"] if several else []
            words += [masks.names[index] or ""] if several else []
            words.append(f"score {masks.scores[index]:.2f}")
            if masks.quality is not None:
                words.append(f"quality {masks.quality[index]:.2f}")
            ids = (self.scale.labels(mask) > 0).astype(np.int32)
            picture = tinted(self.photo, ids, outline(ids))
            chosen = not final and taken is not None and _among(masks, index, taken)
            yield Shot(" · ".join(filter(None, words)), picture, chosen)


def covered(trial: Trial) -> NDArray[np.bool_] | None:
    """(H, W) bool: the pixels that a trial calls an object; None where it has no end."""
    if trial.labels is not None:
        return np.asarray(trial.labels.ids != BACKGROUND)
    return None if trial.masks is None else np.asarray(trial.masks.masks.any(axis=0))


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def _apart(
    first: Trial, second: Trial, one: NDArray[np.bool_], other: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where the class maps differ by name; without class maps, where the masks do."""
    if first.labels is None or second.labels is None:
        return one ^ other
    names = [*dict.fromkeys([*first.labels.classes.values(), *second.labels.classes.values()])]

    def common(labels: Labels) -> NDArray[np.int64]:
        table = {i: names.index(name) + 1_000 for i, name in labels.classes.items()}
        ids, where = np.unique(labels.ids, return_inverse=True)
        shared = np.array([table.get(int(i), int(i)) for i in ids], np.int64)
        return shared[where].reshape(labels.ids.shape)

    return np.asarray(common(first.labels) != common(second.labels))


def _among(masks: Masks, index: int, taken: Masks) -> bool:
    """Whether a candidate is one of the masks that were taken."""
    same = np.flatnonzero(taken.prompt == masks.prompt[index])
    return any(
        taken.scores[i] == masks.scores[index]
        and np.array_equal(taken.masks[i], masks.masks[index])
        for i in same
    )


def _shrunk(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) bool: the new pixels in which any old pixel of the region lies."""
    small = np.zeros(size, bool)
    y, x = np.nonzero(region)
    small[y * size[0] // region.shape[0], x * size[1] // region.shape[1]] = True
    if region.shape[0] < size[0]:  # blown up: every new pixel has its old one
        rows = np.arange(size[0]) * region.shape[0] // size[0]
        columns = np.arange(size[1]) * region.shape[1] // size[1]
        small = region[rows[:, None], columns]
    return small


def _share(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits as shares from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)


def _asked(prompts: Prompts) -> str:
    """How much is asked, in words."""
    counts: Sequence[tuple[int, str]] = (
        (sum(int(p.signs.sum()) for p in prompts), "point"),
        (sum(int((~p.signs).sum()) for p in prompts), "background point"),
        (sum(p.box is not None for p in prompts), "box"),
        (sum(p.mask is not None for p in prompts), "coarse mask"),
    )
    words = [f"{n} {what}{_plural(what, n)}" for n, what in counts if n]
    objects = f"{len(prompts)} prompts: " if len(prompts) > 1 else ""
    return f"{objects}{', '.join(words)}" if words else "nothing is asked"


def _plural(word: str, count: int) -> str:
    return "" if count == 1 else "es" if word.endswith("x") else "s"
