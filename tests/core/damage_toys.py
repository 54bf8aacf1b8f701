"""Damage of several kinds, and toys under it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares

from segkit import Image, Perturbation, Prompts, plan
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.sweep import Shown
from segkit.running.options import RunOptions


class Dark(Perturbation):
    """Darker by 40 grey levels a level: at the third, `Flood` finds nothing any more."""

    name = "dark"
    step: int = 40

    def __call__(self, image: Image, level: float) -> Image:
        values = image.pixels.astype(float) - self.step * level
        return Image(values.clip(0, 255).astype(np.uint8), image.name)


class Push(Perturbation):
    """Every point one pixel to the right a level, as far as there is room."""

    name = "push"
    keep: bool = True

    def __call__(self, prompts: Prompts, image: Image, level: float) -> Prompts:
        last = np.array(image.size[::-1], np.float32) - 1
        moved = [
            replace(p, points=np.minimum(p.points + np.array([level, 0]), last)) for p in prompts
        ]
        return Prompts(tuple(moved if self.keep else moved[1:]))


def recipe(*steps, data=None, metrics=True):
    chosen = steps or (Bright(), Peak())
    dataset = data or Squares()
    last = [Flood(), Best(), Paint()]
    return plan([dataset, *chosen, *last, *([Right()] if metrics else [])])


def examine(tmp_path, plans, *steps, **how):
    damage = {"perturbations": steps or (Dark(),), "levels": how.pop("levels", 3)}
    shown = Shown(how.pop("sort_by", None))
    return examine_plans(plans, tmp_path / "out", RunOptions(**how), shown, **damage)


def curve(found, name="r", damage="dark"):
    return next(c for c in found.curves if (c.recipe, c.perturbation) == (name, damage))


def results(folder):
    text = (folder / "results.jsonl").read_text()
    return {line["name"]: line for line in map(json.loads, text.splitlines())}
