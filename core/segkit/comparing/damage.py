"""Damaged images as a data set, and how far damage moves the values along the chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit.comparing.losses import foreground, iou_of
from segkit.errors import BadImageError, BadValueError, plugin_code
from segkit.kinds import BUNDLED, KINDS
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import check_output, named, names_of, why_failed
from segkit.plugins.steps import Dataset, Perturbation
from segkit.running.calling import Failure, Task, randomness
from segkit.running.reading import Wrapper, read_task
from segkit.running.walk import Outcome
from segkit.values.types import BACKGROUND, VOID, Heatmap, Image, Prompts, Truth


@dataclass(frozen=True)
class Place:
    """One picture to look at: an image of the data set, as it is or damaged."""

    image: int
    """Its index in the data set."""
    name: str
    damage: Perturbation | None = None
    level: int = 0

    @property
    def label(self) -> str:
        """What tells it from all others."""
        damage = f" @ {self.damage.name} {self.level}" if self.damage else ""
        return f"{self.name}{damage}"


class Damaged(Wrapper):
    """Each image as it is, then under every perturbation and level; the truth stays the same.

    Damage is done while the images before it are worked on, and its randomness is that of the
    image and the perturbation: all levels of one damage have the same, and so has every recipe.
    """

    name = "damaged"
    concurrent = False  # it keeps the image that it has read last
    _places: tuple[Place, ...] = PrivateAttr()
    _seed: int = PrivateAttr()
    _last: tuple[int, Task | Failure] | None = PrivateAttr(None)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        damages: Sequence[Perturbation],
        levels: int,
        seed: int,
        names: Sequence[str] | None = None,
    ) -> Damaged:
        """The images of `dataset`, each with all of its damaged forms behind it.

        `names`: what to call them in place of its own names.
        """
        damaged = cls()
        damaged._of, damaged._seed = dataset, seed
        damaged._places = tuple(
            place
            for index, name in enumerate(names_of(dataset) if names is None else names)
            for place in (
                Place(index, name),
                *(Place(index, name, d, k) for d in damages for k in range(1, levels + 1)),
            )
        )
        return damaged

    @property
    def places(self) -> Sequence[Place]:
        """What lies at each index."""
        return self._places

    @property
    def names(self) -> Sequence[str]:
        """A label for each place."""
        return [place.label for place in self._places]

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The damaged image, under its own name, and its truth.

        Raises `BadImageError` where it cannot be read or damaged.
        """
        place = self._places[index]
        if self._last is None or self._last[0] != place.image:  # all its forms in one reading
            self._last = place.image, read_task(self._of, place.image, place.name)
        task = self._last[1]
        if isinstance(task, Failure):
            raise BadImageError(task.error)
        image = replace(task.image, name=place.name)
        if place.damage is None:
            return image, task.truth
        try:
            with plugin_code():
                return _damaged(place.damage, place.level, image, self._seed), task.truth
        except Exception as error:
            raise BadImageError(why_failed(place.damage, error)) from error


def _damaged(step: Perturbation, level: int, image: Image, seed: int) -> Image:
    rng = randomness(seed, step, image.name)
    there = {"image": image, "level": float(level), "rng": rng}
    work = getattr(step, step.work)
    damaged = work(**{name: there[name] for name in type(step).inputs().all if name in there})
    check_output(step, damaged, there)
    if damaged.size != image.size:
        raise BadValueError(
            f"{named(step)} should keep the image's size {image.size}, but made {damaged.size}"
        )
    return replace(damaged, name=image.name)


def perturbations_named(names: Sequence[str], catalog: Catalog) -> list[str]:
    """The perturbations that names mean: `all` are the bundled ones, none the default ones."""
    if "all" in names:
        entries = catalog.entries("perturbation")
        own = [e.full_name for e in entries if e.distribution == BUNDLED]
        return [*own, *(name for name in names if name != "all")]
    return [*names] or [f"{BUNDLED}:{name}" for name in KINDS["perturbation"].defaults]


# ---- along the chain ---------------------------------------------------------------------------


def heatmap_drift(before: Sequence[Heatmap], after: Sequence[Heatmap]) -> float | None:
    """1 − Pearson's correlation of the heatmaps' values, the mean over the heatmaps before.

    0: the same up to scale, 1: unrelated, up to 2: opposite. The correlation is the measure CC of
    Bylinskii et al. ("What do different evaluation metrics tell us about saliency models?", 2019).
    Heatmaps of one class are compared, or else those of one place; one that has no counterpart, or
    is flat while its counterpart is not, has drifted by 1. None if there were none.
    """
    if not before:
        return None
    named = {h.name: h for h in after if h.name is not None}
    correlations = []
    for place, heatmap in enumerate(before):
        other = named.get(heatmap.name or "") or (after[place] if place < len(after) else None)
        correlations.append(0.0 if other is None else _correlation(heatmap.values, other.values))
    return float(1 - np.mean(correlations))


def _correlation(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    flat = [float(np.ptp(values)) == 0 for values in (before, after)]
    if any(flat):
        return float(all(flat))
    return float(np.corrcoef(before.ravel().astype(float), after.ravel().astype(float))[0, 1])


def prompts_moved(before: Prompts, after: Prompts, size: tuple[int, int]) -> float | None:
    """How far the points and boxes have moved, in pixels, in the mean.

    Points are matched so that the sum of their ways is least, foreground and background apart;
    of a box, the way is the mean of its two corners'. A point or box too many or too few counts as
    one that moved by the image's diagonal. That is the OSPA distance of order 1 (Schuhmacher, Vo
    and Vo, "A consistent metric for performance evaluation of multi-object filters", 2008), with
    the diagonal for its cutoff. None if there are neither points nor boxes, before and after.
    """
    from scipy.optimize import linear_sum_assignment

    diagonal = math.hypot(*size)
    total = count = 0.0
    for old, new in zip(_corners(before), _corners(after), strict=True):
        ways = np.linalg.norm(old[:, None] - new[None], axis=-1).mean(axis=-1)
        rows, columns = linear_sum_assignment(ways)
        total += ways[rows, columns].sum() + diagonal * abs(len(old) - len(new))
        count += max(len(old), len(new))
    return float(total / count) if count else None


def _corners(prompts: Prompts) -> list[NDArray[np.float32]]:
    """(n, corners, 2) each: foreground points, background points, boxes."""
    points = [prompt.points[prompt.signs == sign] for sign in (True, False) for prompt in prompts]
    half = len(prompts)
    groups = (points[:half], points[half:])
    boxes = [prompt.box for prompt in prompts if prompt.box is not None]
    return [
        *(np.concatenate([np.zeros((0, 2), np.float32), *g])[:, None] for g in groups),
        np.array(boxes, np.float32).reshape(-1, 2, 2),
    ]


def mask_lost(before: Outcome, after: Outcome) -> float | None:
    """1 − IoU of the foreground, of any class, with that before; None if there are no masks."""
    if before.labels is None and before.masks is None:
        return None
    old, new = (foreground(o.labels, o.masks) for o in (before, after))
    union = int(np.count_nonzero(old | new))
    return 1 - int(np.count_nonzero(old & new)) / union if union else 0.0


def true_iou(outcome: Outcome) -> float | None:
    """The IoU of the foreground with the truth; None without masks or without a true object."""
    truth = outcome.truth
    if truth is None or (outcome.labels is None and outcome.masks is None):
        return None
    if not ((truth.labels.ids != BACKGROUND) & (truth.labels.ids != VOID)).any():
        return None
    return iou_of(foreground(outcome.labels, outcome.masks), truth)
