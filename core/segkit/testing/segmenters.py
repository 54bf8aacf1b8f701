"""The tests of segmenters, judges, selectors and fusers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from segkit.plugins.steps import Step
from segkit.testing.asking import (
    Broken,
    difference,
    digest,
    encoded,
    encoded_together,
    named,
    picture,
)
from segkit.testing.property import holds_for_results
from segkit.testing.working import Working
from segkit.values.types import BACKGROUND, VOID, Labels, Masks, Prompts


class SegmenterTests(Working):
    """Candidate masks for prompts, or a class map."""

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Encodings and prompts are only for those that use them; class maps have ids."""
        gone = super().without(step)
        names = {n.removeprefix("test_") for n in dir(cls)}
        if not hasattr(step, "encode"):
            gone += [f"test_{n}" for n in names if n.startswith("encod")]
        if step.output() is not Labels:
            gone.append("test_class_ids_are_the_data_sets")
        if step.output() is not Masks or "prompts" not in step.inputs().all:
            gone.append("test_prompts_are_answered_apart")
        return gone

    def test_prompts_are_answered_apart(self, chosen: int) -> None:
        """What one prompt gets does not hang on the others, and is numbered by its place."""
        step = self.step(chosen)
        values = self.values("ordinary")
        together: Masks = self.answer(step, values)
        for index, prompt in enumerate(values["prompts"]):
            alone: Masks = self.answer(step, {**values, "prompts": Prompts((prompt,))})
            own = together.take(np.flatnonzero(together.prompt == index))
            if len(own) != len(alone):
                raise Broken(
                    f"{named(step)} gives prompt {index} {len(own)} masks among others, and "
                    f"{len(alone)} when it is asked alone"
                )
            wrong = difference(alone.masks, own.masks, 0.0, self.near)
            if wrong:
                raise Broken(
                    f"{named(step)} answers prompt {index} otherwise among others than alone: its "
                    f"masks{wrong}; are masks and prompts matched by their place?"
                )

    def test_class_ids_are_the_data_sets(self, chosen: int) -> None:
        """A class that the data set knows keeps its id, and ids are named where classes are."""
        step = self.step(chosen)
        values = self.values("ordinary")
        made: Labels = self.answer(step, values)
        known = {name: i for i, name in values["classes"].items()}
        for i, name in made.classes.items():
            if known.get(name, i) != i:
                raise Broken(
                    f"{named(step)} gives the class '{name}' the id {i}, and in the data set it is "
                    f"{known[name]}; take ids from the input 'classes' (segkit.add_class does)"
                )
        if made.classes:
            bare = {int(i) for i in np.unique(made.ids)} - {BACKGROUND, VOID, *made.classes}
            if bare:
                raise Broken(
                    f"{named(step)} uses the class id {min(bare)}, which has no name in its "
                    "labels' classes"
                )

    # ---- encodings ---------------------------------------------------------------------------

    def test_encodings_are_asked_for(self) -> None:
        """Whoever encodes an image uses the encoding."""
        if "encoding" not in self.step_class.inputs().all:
            raise Broken(
                f"{named(self.step_class)} defines encode, and its work does not ask for "
                "'encoding'; name that input"
            )

    def test_encodings_count(self, chosen: int) -> None:
        """Another image's encoding gives another answer, so the encoding is not made anew."""
        step = self.step(chosen)
        if "encoding" not in type(step).inputs().all:
            raise Broken(f"{named(step)} defines encode and asks for no encoding")
        values = self.values("ordinary")
        other = encoded(step, self.values("other"))
        own = self.answer(step, values)
        swapped = self.answer(step, {**values, "encoding": other})
        if difference(own, swapped) is None:
            raise Broken(
                f"{named(step)} gives the same answer with another image's encoding, so it does "
                "not use the encoding that it asks for"
            )

    def test_encodings_are_kept_apart(self, chosen: int) -> None:
        """Two images encoded first and segmented then get what each gets alone."""
        step = self.step(chosen)
        both = [self.values(name) for name in ("ordinary", "other")]
        alone = [self.answer(step, values) for values in both]
        encodings = [encoded(step, values) for values in both]
        for values, encoding, wanted in zip(both, encodings, alone, strict=True):
            made = self.answer(step, {**values, "encoding": encoding})
            wrong = difference(wanted, made, self.near, self.near)
            if wrong:
                raise Broken(
                    f"{named(step)} answers with another image's encoding {picture(values)}: its "
                    f"{type(made).__name__}{wrong}; use the input 'encoding', and keep none in "
                    "the step"
                )

    def test_encodings_of_a_batch_equal_single_ones(self, chosen: int) -> None:
        """`encode_batch` gives what `encode` gives of each image, in the same order."""
        step = self.step(chosen)
        given = [self.values(name) for name in ("ordinary", "taller", "other")]
        alone = [self.answer(step, values) for values in given]
        made = encoded_together(step, given)
        if len(made) != len(given):
            raise Broken(
                f"{named(step)} makes {len(made)} encodings of a batch of {len(given)}; make one "
                "for each"
            )
        for values, encoding, wanted in zip(given, made, alone, strict=True):
            answer = self.answer(step, {**values, "encoding": encoding})
            wrong = difference(wanted, answer, self.near, self.near)
            if wrong:
                raise Broken(
                    f"{named(step)} answers otherwise with an encoding of encode_batch than with "
                    f"that of encode {picture(values)}: its {type(answer).__name__}{wrong}"
                )

    def test_encodings_serve_many_prompts(self, chosen: int) -> None:
        """An encoding is used for many sets of prompts, so it must stay as it is."""
        step = self.step(chosen)
        values = self.values("ordinary")
        encoding = encoded(step, values)
        before = digest(encoding)
        first = self.answer(step, {**values, "encoding": encoding})
        changed = digest(encoding) != before
        again = self.answer(step, {**values, "encoding": encoding})
        if changed or difference(first, again):
            raise Broken(
                f"{named(step)} changes the encoding while it answers, and others use it too; "
                "make a copy and change that"
            )


class JudgeTests(Working):
    """A quality for each mask."""

    mirrors = True

    def test_the_masks_stay_as_they_are(self, chosen: int) -> None:
        """Each candidate comes back in its place, with nothing new but its quality."""
        step = self.step(chosen)
        for name in ("ordinary", "no-logits", "full-masks", "no-classes"):
            self._judged(step, self.values(name))

    def test_any_candidates(self, chosen: int) -> None:
        """So it does whatever the masks are, empty ones and equals included."""
        step = self.step(chosen)

        def holds(values: dict[str, Any]) -> None:
            if len(values["candidates"]):
                self._judged(step, values)

        holds_for_results(holds)

    def test_the_order_of_masks_plays_no_part(self, chosen: int) -> None:
        """A mask is judged by what it is, not by its place among the candidates."""
        step = self.step(chosen)
        values = self.values("ordinary")
        given: Masks = values["candidates"]
        order = np.arange(len(given))[::-1]
        straight: Masks = self.answer(step, values)
        turned: Masks = self.answer(step, {**values, "candidates": given.take(order)})
        wrong = difference(straight.take(order).quality, turned.quality, 1e-3)
        if wrong:
            raise Broken(
                f"{named(step)} judges the same masks otherwise when they come in reverse: its "
                f"quality{wrong}; judge each by what it shows, not by its place"
            )

    def _judged(self, step: Step, values: dict[str, Any]) -> None:
        given: Masks = values["candidates"]
        made: Masks = self.answer(step, values)
        wrong = difference(replace(given, quality=made.quality), made)
        if wrong:
            raise Broken(
                f"{named(step)} changes the masks that it judges {picture(values)}: their "
                f"Masks{wrong}; return dataclasses.replace(masks, quality=...)"
            )


class SelectorTests(Working):
    """One mask for each prompt."""

    mirrors = True

    def test_it_chooses_among_the_candidates(self, chosen: int) -> None:
        """Each mask is one of its prompt's candidates, with that one's score, quality and name.

        One without a name may get one.
        """
        step = self.step(chosen)
        for name in ("ordinary", "no-logits", "full-masks", "no-classes", "judged"):
            self._among(step, self.values(name))

    def test_a_single_candidate_passes(self, chosen: int) -> None:
        """Where there is no choice, the mask stays as it is."""
        step = self.step(chosen)
        values = self.values("ordinary")
        values["candidates"] = values["masks"]
        self._among(step, values)

    def test_any_candidates(self, chosen: int) -> None:
        """So it does whatever the masks are, empty ones and equals included."""
        step = self.step(chosen)

        def holds(values: dict[str, Any]) -> None:
            if len(values["candidates"]):  # it is not asked where there is nothing to choose
                self._among(step, values)

        holds_for_results(holds)

    def _among(self, step: Step, values: dict[str, Any]) -> None:
        given: Masks = values["candidates"]
        made: Masks = self.answer(step, values)
        if made.masks.shape[1:] != given.masks.shape[1:]:
            raise Broken(f"{named(step)} makes masks of another size than the candidates'")
        for i in range(len(made)):
            hits = [
                j
                for j in np.flatnonzero(given.prompt == made.prompt[i])
                if np.array_equal(given.masks[j], made.masks[i])
                and given.scores[j] == made.scores[i]
                and _quality(given, int(j)) == _quality(made, i)
                and given.names[j] in (None, made.names[i])
            ]
            if not hits:
                raise Broken(
                    f"{named(step)} gives prompt {made.prompt[i]} a mask that is none of its "
                    f"candidates {picture(values)}; choose one with masks.take(indices), which "
                    "keeps score, quality, name and prompt"
                )


def _quality(masks: Masks, place: int) -> float | None:
    return None if masks.quality is None else float(masks.quality[place])


class FuserTests(Working):
    """Masks painted into one class map."""

    mirrors = True

    def test_class_ids_are_the_data_sets(self, chosen: int) -> None:
        """A class that the data set knows keeps its id; a new one gets another id."""
        step = self.step(chosen)
        for name in ("ordinary", "some-void", "no-logits"):
            self._named(step, self.values(name))

    def test_nothing_found_is_background(self, chosen: int) -> None:
        """Without masks and class map there is no object."""
        step = self.step(chosen)
        values = self.values("no-prompts")
        if "labels" in type(step).inputs().required:
            values["labels"] = Labels(np.zeros(values["image"].size, np.int32), {})
        else:
            del values["labels"]
        made: Labels = self.answer(step, values)
        if (made.ids != BACKGROUND).any():
            raise Broken(
                f"{named(step)} finds the class id {made.ids.max()} where there is neither a mask "
                "nor a class map; all of it should be 0, background"
            )

    def test_any_masks(self, chosen: int) -> None:
        """Whatever the masks, it makes a class map of the image's size with the right ids."""
        step = self.step(chosen)
        holds_for_results(lambda values: self._named(step, values))

    def _named(self, step: Step, values: dict[str, Any]) -> None:
        made: Labels = self.answer(step, values)
        for i, name in values["classes"].items():
            if made.classes.get(i, name) != name:
                raise Broken(
                    f"{named(step)} calls the class id {i} '{made.classes[i]}', and the data set "
                    f"calls it '{name}'; take ids from the input 'classes' (segkit.add_class does)"
                )
        bare = {int(i) for i in np.unique(made.ids)} - {BACKGROUND, VOID, *made.classes}
        if bare:
            raise Broken(
                f"{named(step)} uses the class id {min(bare)}, which has no name in its labels' "
                "classes; segkit.add_class adds one"
            )
