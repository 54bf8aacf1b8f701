"""What a run's results come to in sentences: where nothing was found, and what would do better.

They are made of the lines of results.jsonl alone, so those of an earlier run take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segkit.kinds import DETECTORS, PARTS_PROMPTER, PERSON, flag_of
from segkit.plugins.figures import figure_of
from segkit.running.plan import Plan
from segkit.values.types import BACKGROUND, VOID, Heatmap, Labels, Scores

NAMED = 3
"""So many images or classes are named in a sentence."""

LISTED = 10_000
"""So many images summary.json names of a sort; results.jsonl has all."""

DOUBTFUL = 0.5
"""An image is doubtful whose masks are judged worse."""

FEW = 5
"""So many classes are listed where none of them was found."""

GRID = 64
"""About so many places along a heatmap's longer side tell its regions apart."""

WARM = 0.5
"""Warm is what has at least this share of the heatmap's maximum."""

REGION = 0.01
"""A warm region has at least this share of the image."""


@dataclass
class Findings:
    """What the finished images of one plan show, line by line."""

    empty: list[str] = field(default_factory=list)
    """The images without a mask that has a pixel; none where no step makes masks."""
    people: list[str] = field(default_factory=list)
    """Those with a mask of a person."""
    several: list[str] = field(default_factory=list)
    """Those with more separate warm regions than masks."""
    names: set[str] = field(default_factory=set)
    """The classes that the class maps show."""
    judged: int = 0
    """How many images a judge has looked at."""
    doubted: dict[str, float] = field(default_factory=dict)
    """The images that it doubts, to how good it holds their masks for."""
    left_out: int = 0
    """How many masks were judged too weak."""

    @property
    def lists(self) -> tuple[list[str], ...]:
        """Those of images, each in the order in which they were done."""
        return self.empty, self.people, self.several

    @property
    def doubtful(self) -> list[str]:
        """The images that a judge doubts, the most doubtful first."""
        return sorted(self.doubted, key=lambda name: (self.doubted[name], name))

    def told(self) -> dict[str, Any]:
        """What summary.json holds of it; of the doubts nothing where no judge takes part."""
        told = {"empty": len(self.empty), "empty_images": self.empty[:LISTED]}
        if not self.judged:
            return told
        names = {"doubtful": len(self.doubted), "doubtful_images": self.doubtful[:LISTED]}
        return told | names | ({"left_out": self.left_out} if self.left_out else {})

    def add(self, plan: Plan, line: Mapping[str, Any]) -> None:
        """Look at one line."""
        if line["status"] != "ok":
            return
        name = line["name"]
        if (quality := line.get("quality")) is not None:
            self.judged += 1
            if quality < DOUBTFUL:
                self.doubted[name] = quality
        self.left_out += line.get("left_out", 0)
        masks = [mask for mask in line.get("masks", ()) if mask.get("pixels")]
        if plan.segmenter is not None and not masks:
            self.empty.append(name)
        if any(mask.get("name") == PERSON for mask in masks):
            self.people.append(name)
        elif masks and line.get("regions", 0) > len(masks):
            self.several.append(name)
        classes = {int(i): str(known) for i, known in line.get("classes", {}).items()}
        self.names |= {classes[i] for i in line.get("shown", ()) if i in classes}

    def foreign(self, plan: Plan, known: Mapping[int, str], figures: Sequence[str]) -> list[str]:
        """Of these figures those that compare classes by name, where no name is known."""
        if not known or not self.names or self.names & {*known.values()}:
            return []
        return [name for name in figures if figure_of(plan.metrics, name).by_name]

    def notes(
        self, plan: Plan, known: Mapping[int, str], sought: Sequence[str], foreign: Sequence[str]
    ) -> list[str]:
        """The sentences. `known`: the run's classes; `sought`: those that it was limited to."""
        notes = []
        if self.empty:
            what = f"no {_listed(sought)} found" if sought else "no mask"
            notes.append(f"{what}: {_counted(self.empty)}")
        if self.left_out:
            notes.append(left_out_note(self.left_out, plan.least_quality))
        if foreign:
            notes.append(
                f"{', '.join(foreign)}: no class that was found, such as "
                f"'{min(self.names)}', has a name of the data set's, such as "
                f"'{next(iter(known.values()))}'{_advice(plan)}"
            )
        # What draws prompts from one heatmap is not made for these.
        if plan.saliencies and self.people:
            flags = " or ".join(f"--{flag_of('prompt')} {name}" for name in DETECTORS)
            notes.append(
                f"people: {_counted(self.people)}; a detector's boxes ({flags}) find each of them"
            )
        apart = any(step.name == PARTS_PROMPTER for group in plan.prompters for step in group)
        if plan.saliencies and self.several and not apart:
            notes.append(
                f"perhaps several objects: {_counted(self.several)}; --{flag_of('prompt')} "
                f"{PARTS_PROMPTER} asks for each warm region"
            )
        if doubtful := self.doubtful:
            notes.append(
                f"{len(doubtful)} of {self.judged} look doubtful (quality under "
                f"{DOUBTFUL:g}): {_first(doubtful)}"
            )
        return notes


def left_out_note(count: int, least: float) -> str:
    """How many masks were judged too weak."""
    return f"left out: {count} mask{'s' * (count != 1)} of a quality under {least:g}"


def shown_in(labels: Labels | None) -> list[int]:
    """The class ids that a class map shows, background and void left out."""
    if labels is None:
        return []
    ids = np.unique(labels.ids)
    return [int(i) for i in ids if i not in (BACKGROUND, VOID)]


def warm_regions(heatmaps: Sequence[Heatmap]) -> int:
    """How many separate warm regions the heatmaps have together, looked at coarsely."""
    if not heatmaps:
        return 0
    from scipy import ndimage

    count = 0
    for heatmap in heatmaps:
        step = max(1, max(heatmap.size) // GRID)
        coarse = heatmap.values[::step, ::step]
        warm = coarse >= WARM * max(float(coarse.max(initial=0)), 1e-6)
        labels, _ = ndimage.label(warm, np.ones((3, 3)))
        count += int((np.bincount(labels.ravel())[1:] >= REGION * labels.size).sum())
    return count


def without_foreign(scores: Scores, foreign: Sequence[str]) -> Scores:
    """The figures that say something."""
    return {name: value for name, value in scores.items() if name not in foreign}


def _counted(names: Sequence[str]) -> str:
    """`7 images (a, b, c …)`."""
    return f"{len(names)} image{'s' * (len(names) != 1)} ({_first(names)})"


def _first(names: Sequence[str]) -> str:
    """`a, b, c …`."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def _listed(names: Sequence[str]) -> str:
    """`cat, dog or person`; of many their number."""
    if len(names) > FEW:
        return f"object of the {len(names)} classes"
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _advice(plan: Plan) -> str:
    tabled = [step for step in plan.saliencies if "table" in type(step).model_fields]
    if not tabled:
        return "; name the classes alike"
    step = tabled[0]
    return f"; give --{step.name}.table, or --{step.name}.target truth with it"
