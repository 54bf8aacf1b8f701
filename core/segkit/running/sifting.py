"""Masks of a finished run that a judge holds for too weak, left out; the others painted anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segkit.errors import UsageError
from segkit.kinds import BUNDLED, KINDS, flag_of
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed, check_output
from segkit.plugins.steps import Fuser, Step
from segkit.running.kept_run import KeptRun
from segkit.running.plan import check_least_quality
from segkit.running.recipe import Part, make_step
from segkit.running.records import ResultLine
from segkit.values.types import BACKGROUND, Labels, Masks

PAINTED = frozenset({"image", "masks", "prompts", "labels", "classes"})
"""The names of the values that masks can be painted anew of; `labels`: what lies under them."""


@dataclass(frozen=True)
class Threshold:
    """The least quality of a run's masks; 0 leaves none out."""

    least: float

    @classmethod
    def of(cls, run: KeptRun, least: float) -> Threshold:
        """Raises `UsageError` outside of 0 to 1, and where masks of the run have no quality."""
        check_least_quality(least)
        for line in run.lines.values() if least else ():
            if any(mask.quality is None for mask in line.masks):
                raise UsageError(
                    f"--least-quality {least:g} goes by what a judge says of each mask, and the "
                    f"masks of {line.name} in '{run.directory}' have no quality; run again with "
                    f"--{flag_of('judge')}"
                )
        return cls(least)

    def kept(self, line: ResultLine) -> list[int]:
        """The places of an image's masks that are good enough."""
        masks = enumerate(line.masks)
        return [i for i, mask in masks if not self.least or (mask.quality or 0) >= self.least]


class Sieve:
    """Leaves an image's weak masks out, and paints the others anew with the run's own fuser.

    A fuser that needs what a run does not keep gives way to the default one.
    """

    def __init__(self, run: KeptRun, threshold: Threshold) -> None:
        self.run, self.threshold = run, threshold
        parts = run.recipe.parts.get("fuser", ())
        painters = (p for p in parts if _paints_again(run.catalog.load("fuser", p.name)))
        part = next(painters, Part(""))
        self.fuser = make_fuser(run.catalog, part.name, part.options)

    def sift(self, line: ResultLine, values: dict[str, Any]) -> int:
        """Change the values of an image; how many masks are left out. Raises `SegkitError`."""
        kept, masks = self.threshold.kept(line), values.get("masks")
        if masks is None or len(kept) == len(masks):
            return 0
        values["labels"] = under(values["labels"], masks)
        values["masks"] = masks.take(kept)
        values["labels"] = painted(self.fuser, values, self.run.classes)
        return len(masks) - len(kept)


def make_fuser(catalog: Catalog, name: str = "", options: Mapping[str, Any] | None = None) -> Fuser:
    """A fuser, not yet open; without a name the default one. Raises what making a step raises."""
    default = f"{BUNDLED}:{KINDS['fuser'].defaults[0]}"
    fuser = make_step(catalog, "fuser", name or default, options or {})
    assert isinstance(fuser, Fuser)
    return fuser


def painted(fuser: Any, values: Mapping[str, Any], classes: Mapping[int, str]) -> Labels:
    """The class map of the values' masks. Raises `SegkitError`."""
    given = {name: values[name] for name in PAINTED & {*values}} | {"classes": dict(classes)}
    names = type(fuser).inputs().all
    with blamed(fuser):
        labels = fuser(**{name: given[name] for name in names if name in given})
    checked: Labels = check_output(fuser, labels, given)
    return checked


def under(labels: Labels, masks: Masks) -> Labels:
    """What a class map shows beside the masks that are painted on it, such as a segmenter's map."""
    ids = labels.ids.copy()
    for i in range(len(masks)):
        place, inside = masks.cut_out(i)
        ids[place][inside] = BACKGROUND
    shown = {*np.unique(ids).tolist()}
    return Labels(ids, {i: name for i, name in labels.classes.items() if i in shown})


def _paints_again(fuser: type[Step]) -> bool:
    return {*fuser.inputs().required} <= PAINTED - {"labels"}
