"""The tests of metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from segkit.errors import SegkitError, error_line, plugin_code
from segkit.plugins.contract import details_of, numbers
from segkit.plugins.figures import declared_figures, figure_of, metric_of
from segkit.plugins.steps import Metric, Step
from segkit.testing.asking import Broken, named, picture
from segkit.testing.property import holds_for_results
from segkit.testing.working import Working
from segkit.values.types import Counts, Heatmap, Labels, Masks, Prompt, Prompts, Scores

PICTURES = ("ordinary", "no-object", "all-void", "some-void", "no-prompts", "one-pixel")
"""The pictures of the kit whose counts and scores are looked at."""


class MetricTests(Working):
    """A figure for how good the result is: counts of one image, and scores of added counts."""

    mirrors = True

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Figures are only held to what a metric declares."""
        gone = super().without(step)
        if issubclass(step, Metric) and not declared_figures(step):
            gone.append("test_figures_are_those_that_it_declares")
        return gone

    def test_counts_are_numbers(self, chosen: int) -> None:
        """Text to finite number, so that they can be added and written down."""
        step = self.step(chosen)
        for name in PICTURES:
            self.answer(step, name)

    def test_scores_are_numbers(self, chosen: int) -> None:
        """Text to finite number; a figure that nothing was counted for is left out."""
        step = self.step(chosen)
        for name in PICTURES:
            self._score(step, self.answer(step, name), name)

    def test_an_ordinary_picture_has_a_score(self, chosen: int) -> None:
        """Where everything is there, there is a figure."""
        step = self.step(chosen)
        if not self._score(step, self.answer(step, "ordinary"), "ordinary"):
            raise Broken(
                f"{named(step)} gives no figure for the picture 'ordinary', which has masks, "
                "labels and truth; score should make figures of counts"
            )

    def test_counts_add(self, chosen: int) -> None:
        """The same picture twice scores as it does once, for its counts are added key by key."""
        step = self.step(chosen)
        for name in ("ordinary", "other", "some-void"):
            counts = self.answer(step, name)
            once = self._score(step, counts, name)
            twice = self._score(step, {k: 2 * v for k, v in counts.items()}, name)
            for key, value in once.items():
                if not math.isclose(value, twice.get(key, math.nan), rel_tol=1e-9, abs_tol=1e-12):
                    raise Broken(
                        f"the counts of {named(step)} do not add: '{key}' is {value:.6g} for a "
                        f"picture, and {twice.get(key, math.nan):.6g} for the same picture twice; "
                        "count sums, and divide in score by how many were counted"
                    )

    def test_scoring_leaves_the_counts_alone(self, chosen: int) -> None:
        """They are added to further ones."""
        step = self.step(chosen)
        counts = self.answer(step, "ordinary")
        before = dict(counts)
        self._score(step, counts, "ordinary")
        if counts != before:
            raise Broken(f"score of {named(step)} changes the counts that it is given; copy them")

    def test_a_right_result_beats_a_wrong_one(self, chosen: int) -> None:
        """A perfect result scores better than a wrong one, as `lower_is_better` says."""
        step = self.step(chosen)
        assert isinstance(step, Metric)
        values = self.values("ordinary")
        best = self._score(step, self.answer(step, values | _result(values, True)), "ordinary")
        worst = self._score(step, self.answer(step, values | _result(values, False)), "ordinary")
        keys = [k for k in (step.name, *best) if k in best and k in worst][:1]
        for key in keys:
            gain = best[key] - worst[key]
            lower_is_better = figure_of([step], key).lower_is_better
            if (gain < 0) != lower_is_better or gain == 0:
                wanted = "lower" if lower_is_better else "higher"
                raise Broken(
                    f"'{key}' of {named(step)} is {best[key]:.4g} for a perfect result and "
                    f"{worst[key]:.4g} for a wrong one; {wanted} should be better, as its "
                    f"lower_is_better = {lower_is_better} says"
                )

    def test_figures_are_those_that_it_declares(self) -> None:
        """`figures` names what score gives, and nothing that no set of options ever gives."""
        given: dict[str, None] = {}
        for chosen in range(len(self.options)):
            given |= dict.fromkeys(self._given_figures(self.step(chosen)))
        cls = self.step_class
        assert issubclass(cls, Metric)
        declared = declared_figures(cls)
        for name in given:
            if metric_of([cls], name) is None:
                raise Broken(
                    f"{named(cls)} gives '{name}', and its figures do not tell of it; they tell "
                    f"of {', '.join(declared)}"
                )
        for key in declared:
            fits = str.startswith if key.endswith("*") else str.__eq__
            if not any(fits(name, key.removesuffix("*")) for name in given):
                raise Broken(
                    f"{named(cls)} declares the figure '{key}', and gives none like that for any "
                    f"of the kit's pictures; it gives {', '.join(given) or 'none'}"
                )

    def _given_figures(self, step: Step) -> Iterator[str]:
        """The names of its figures for the kit's pictures, and for right and wrong results."""
        pictures = {name: self.values(name) for name in PICTURES}
        for right in (True, False):
            values = self.values("ordinary")
            pictures[f"ordinary, {right}"] = values | _result(values, right)
        for name, values in pictures.items():
            yield from self._score(step, self.answer(step, values), name)

    def test_details_can_be_written_down(self, chosen: int) -> None:
        """What `details` gives fits into summary.json."""
        step = self.step(chosen)
        assert isinstance(step, Metric)
        for name in ("ordinary", "all-void"):
            values = self.values(name)
            counts = self.answer(step, name)
            try:
                details_of(step, counts, values["classes"])
            except SegkitError as error:
                raise Broken(f"{error} (for the picture '{name}')") from error

    def test_any_result(self, chosen: int) -> None:
        """Whatever the result and the truth, counts and scores are finite numbers."""
        step = self.step(chosen)

        def holds(values: dict[str, Any]) -> None:
            what = values["image"].name
            try:
                counts = self.asked(step, values)
            except SegkitError as error:
                raise Broken(f"{named(step)} fails {picture(values)}: {error}") from error
            self._score(step, counts, what)

        holds_for_results(holds)

    def _score(self, step: Step, counts: Counts, name: str) -> Scores:
        assert isinstance(step, Metric)
        if not counts:
            return {}
        try:
            with plugin_code():
                made = step.score(counts)
        except Exception as error:
            kind, _, text = error_line(error).partition(": ")
            raise Broken(
                f"score of {named(step)} raises {kind} for the counts {counts!r} of the picture "
                f"'{name}': {text}"
            ) from error
        try:
            return numbers(step, "scores", made)
        except SegkitError as error:
            raise Broken(f"{error} (for the picture '{name}')") from error


def _result(values: dict[str, Any], right: bool) -> dict[str, Any]:
    """A result as the truth has it, or one that has nothing in common with it."""
    truth = values["truth"].labels
    ids = truth.ids if right else np.where(truth.ids == 0, 1, 0).astype(np.int32)
    size = ids.shape
    prompts, masks, heatmaps = [], [], []
    for i, name in ((1, "cat"), (2, "dog")):
        mask = ids == i if right or i == 1 else np.zeros(size, bool)
        true = truth.ids == i
        y, x = np.nonzero(true)
        middle = (round(x.mean()), round(y.mean()))
        point = middle if right else (0, 0)
        off = (0, size[0] - 1) if right else middle
        prompts.append(Prompt([point, off], [True, False], name=name))
        masks.append(mask)
        heat = (np.asarray(true) if right else truth.ids == 0).astype(np.float32)
        heatmaps.append(Heatmap(heat, name))
    return {
        "labels": Labels(ids, truth.classes),
        "masks": Masks(np.stack(masks), [0.9, 0.9], [0, 1], ("cat", "dog")),
        "prompts": Prompts(tuple(prompts)),
        "heatmap": heatmaps[0],
        "heatmaps": tuple(heatmaps),
    }
