"""The tests of prompt strategies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.errors import SegkitError
from segkit.plugins.steps import Step
from segkit.testing.asking import Broken, checked, digest, guarded, named, picture
from segkit.testing.values import EDGES
from segkit.testing.working import Working
from segkit.values.types import Heatmap, Image, Look, Masks, Prompt, Prompts

ROUNDS = 25
"""A second look must be content after so many rounds; `--rounds` bounds it earlier, at 3."""

AGAIN = ("refine", "admit")
"""The optional methods that see the answers."""

PEAKS = ((11, 9), (25, 12), (9, 16))
"""Where the one hot pixel of a heatmap is, x and y; far enough inside for points around it."""


class PrompterTests(Working):
    """What to ask the segmenter."""

    mirrors = True

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Heatmaps and second looks are only for those that ask for them."""
        gone = super().without(step)
        if "heatmap" not in step.inputs().all:
            # A network, or a table, need not know a mirrored picture.
            gone += ["test_a_hot_pixel_is_found", "test_any_heatmap", "test_mirrored"]
        for method in AGAIN:
            if not hasattr(step, method):
                gone += [name for name in dir(cls) if name.startswith(f"test_{method}")]
        if not getattr(step, "companion", False):
            gone.append("test_a_companion_asks_nothing_by_itself")
        return gone

    def test_no_prompt_is_empty(self, chosen: int) -> None:
        """A prompt asks something; where there is nothing to ask there is no prompt."""
        step = self.step(chosen)
        for name in ("ordinary", "no-heat", "no-classes"):
            made = self.answer(step, name)
            for index, prompt in enumerate(made):
                if prompt.empty:
                    raise Broken(
                        f"{named(step)} makes prompt {index} without point, box or mask "
                        f"{picture(self.values(name))}; leave it out, or return Prompts()"
                    )

    def test_a_hot_pixel_is_found(self, chosen: int) -> None:
        """Where one pixel alone is hot, the prompt is about that pixel, not the one beside it."""
        step = self.step(chosen)
        for x, y in PEAKS:
            values = self.values("ordinary")
            heat = np.zeros(values["image"].size, np.float32)
            heat[y, x] = 1
            values["heatmap"] = Heatmap(heat, "cat", 0.8)
            for prompt in self.answer(step, values):
                self._about(step, prompt, (x, y))

    def _about(self, step: Step, prompt: Prompt, peak: tuple[int, int]) -> None:
        """Refuse a prompt whose middle is not the hot pixel."""
        for what, (x, y) in _middles(prompt):
            away = np.hypot(x - peak[0], y - peak[1])
            if away <= 0.25:
                continue
            found = f"{what} of {named(step)} at x={x:g}, y={y:g}"
            hot = f"the one hot pixel is x={peak[0]}, y={peak[1]}"
            if abs(x - peak[1]) <= 0.25 and abs(y - peak[0]) <= 0.25:
                raise Broken(f"{found}, but {hot}: x and y are swapped; points are (column, row)")
            if max(abs(x - peak[0]), abs(y - peak[1])) <= 0.75:
                raise Broken(
                    f"{found}, but {hot}: it is off by half a pixel; whole numbers name pixel "
                    "centres, so nothing is added to a column or row"
                )
            raise Broken(f"{found}, but {hot}; the prompt should be about that one")

    def test_any_heatmap(self, chosen: int) -> None:
        """Whatever the heatmap, its prompts lie inside the picture."""
        self.asked_of_any_heatmap(self.step(chosen))

    # ---- second looks ------------------------------------------------------------------------

    def test_a_companion_asks_nothing_by_itself(self, chosen: int) -> None:
        """It only refines or admits what another prompter asked."""
        step = self.step(chosen)
        if not any(hasattr(step, method) for method in AGAIN):
            raise Broken(
                f"{named(step)} is a companion and has neither refine nor admit; define one"
            )
        if len(self.answer(step, "ordinary")):
            raise Broken(f"{named(step)} is a companion and asks by itself; return Prompts()")

    def test_refine_ends(self, chosen: int) -> None:
        """Asked again and again, it is content in the end."""
        step = self.step(chosen)
        values = self.values("ordinary")
        prompts = self.answer(step, values)
        prompts = prompts if len(prompts) else values["prompts"]
        for _ in range(ROUNDS):
            masks = _discs(prompts, values["image"].size)
            again = self._refined(step, {**values, "prompts": prompts, "masks": masks})
            if again is None:
                return
            prompts = again
        raise Broken(
            f"refine of {named(step)} still asks again after {ROUNDS} rounds; return None when "
            "nothing is to be gained"
        )

    def test_refine_copes_with_edges(self, chosen: int) -> None:
        """Empty masks, full masks, no masks, no heat: it asks again or is content."""
        step = self.step(chosen)
        for name, (about, _) in EDGES.items():
            if about & {"heatmap", "prompts", "masks"}:
                self._refined(step, self.values(name))

    def test_refine_leaves_its_inputs_alone(self, chosen: int) -> None:
        """The round before is kept as it was."""
        step = self.step(chosen)
        values = self.values("ordinary")
        before = {n: digest(v) for n, v in values.items()}
        self._refined(step, values)
        changed = [n for n, found in before.items() if digest(values[n]) != found]
        if changed:
            raise Broken(f"refine of {named(step)} changes its input '{changed[0]}'; make a copy")

    def _refined(self, step: Step, values: Mapping[str, Any]) -> Prompts | None:
        image = values["image"]
        doors = {"look": _look(image, values["heatmaps"]), "ask": partial(_discs, size=image.size)}
        made = self._asked_again(step, "refine", {**values, **doors})
        if made is None:
            return None
        found: Prompts = checked(step, made, {"image": values["image"]})
        return found

    def _asked_again(self, step: Step, method: str, values: Mapping[str, Any]) -> Any:
        names = type(step).inputs_of(method).all
        given = {n: values[n] for n in names if n in values}
        try:
            return guarded(step, method, given, picture(values))
        except SegkitError as error:
            raise Broken(f"{method} of {named(step)} fails {picture(values)}: {error}") from error

    # ---- prompts judged before they are decoded ------------------------------------------------

    def test_admit_returns_some_of_its_prompts(self, chosen: int) -> None:
        """Prompts stay as they are or are left out, whatever masks and heatmap there are."""
        step = self.step(chosen)
        for name in ("ordinary", "other", *EDGES):
            values = self._with_names(name)
            kept = self._asked_again(step, "admit", values)
            given = values["prompts"]
            found: Prompts = checked(step, kept, {"image": values["image"]})
            if not all(any(prompt is own for own in given) for prompt in found):
                raise Broken(
                    f"admit of {named(step)} returns a prompt that it was not given "
                    f"{picture(values)}; return some of its prompts as they are, and change them "
                    "in refine"
                )

    def test_admit_leaves_its_inputs_alone(self, chosen: int) -> None:
        """The masks are those of the run."""
        step = self.step(chosen)
        values = self._with_names("ordinary")
        before = {n: digest(v) for n, v in values.items()}
        self._asked_again(step, "admit", values)
        changed = [n for n, found in before.items() if digest(values[n]) != found]
        if changed:
            raise Broken(f"admit of {named(step)} changes its input '{changed[0]}'; make a copy")

    def _with_names(self, picture_name: str) -> dict[str, Any]:
        """A picture's values with masks that have the classes of their prompts."""
        values = self.values(picture_name)
        masks: Masks = values["masks"]
        names = tuple(values["prompts"][int(i)].name for i in masks.prompt)
        return {**values, "masks": replace(masks, names=names)}


def _middles(prompt: Prompt) -> list[tuple[str, NDArray[np.float64]]]:
    """The middle of a prompt's foreground points, of its box, of its mask: x and y each."""
    found = []
    on = prompt.points[prompt.signs].astype(np.float64)
    if len(on):
        what = "the point" if len(on) == 1 else f"the middle of the {len(on)} points"
        found.append((what, on.mean(axis=0)))
    if prompt.box is not None:
        found.append(("the middle of the box", prompt.box.reshape(2, 2).mean(axis=0)))
    if prompt.mask is not None and (prompt.mask > 0).any():
        y, x = np.nonzero(prompt.mask > 0)
        found.append(("the middle of the mask", np.array([x.mean(), y.mean()])))
    return found


def _look(image: Image, heatmaps: tuple[Heatmap, ...]) -> Look:
    """What a picture's classifier says of changed ones: no heat where pixels differ, less score."""

    def look(changed: Image) -> tuple[Heatmap, ...]:
        if changed.size != image.size:
            raise Broken(
                f"refine looks at a picture of {changed.size}, but it should be {image.size}"
            )
        same = (changed.pixels == image.pixels).all(axis=2)
        return tuple(
            Heatmap(np.where(same, h.values, np.float32(0)), h.name, h.score * float(same.mean()))
            for h in heatmaps
        )

    return look


def _discs(prompts: Prompts, size: tuple[int, int]) -> Masks:
    """Masks as a simple segmenter gives them: discs around points, without background points."""
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.zeros((len(prompts), *size), bool)
    for mask, prompt in zip(masks, prompts, strict=True):
        for point, sign in zip(prompt.points, prompt.signs, strict=True):
            if sign:
                mask |= np.hypot(x - point[0], y - point[1]) <= 6
        for point, sign in zip(prompt.points, prompt.signs, strict=True):
            if not sign:
                mask &= np.hypot(x - point[0], y - point[1]) > 3
    scores = np.full(len(prompts), 0.9, np.float32)
    logits = np.where(masks, 4, -4).astype(np.float32)
    return Masks(masks, scores, np.arange(len(prompts)), logits=logits)
