"""Figures of the masks that a run has kept: nothing is segmented again.

A run keeps masks, class maps and prompts, not heatmaps and candidates, so only metrics that need no
more can be worked out. The truth may have arrived after the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segkit.errors import BadValueError, PlanError, SegkitError, UsageError, plugin_code
from segkit.kinds import BUNDLED, MASK_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import (
    check_output,
    classes_of,
    details_of,
    has_truth,
    item_of,
    named,
    scores_of,
    why_failed,
)
from segkit.plugins.figures import figure_of
from segkit.plugins.measuring import renumbered
from segkit.plugins.steps import Dataset, Metric
from segkit.running.asked import AskedTruth, classes_for
from segkit.running.folder import disk_error
from segkit.running.kept import keeps_masks, kept_values
from segkit.running.lock import owned
from segkit.running.plan import ENDS
from segkit.running.protocols import protocols_of, reads_truth, to_dicts
from segkit.running.recipe import Recipe, make_step
from segkit.running.records import Protocol, ResultLine, RunSummary, read_summary
from segkit.running.result_lines import ResultLines
from segkit.running.sources import RunImages
from segkit.running.walk import opened
from segkit.values.files import write_file

KEPT = frozenset({"image", "prompts", "masks", "labels", "classes", "truth"})
"""What is there of a run for a metric to ask for."""


@dataclass
class Scored:
    """What came of scoring a run."""

    images: int = 0
    """Those that have figures now."""
    scores: dict[str, float] = field(default_factory=dict)
    """Figure to its value over these images; those of the metrics at hand."""
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Figure to how it is to be read."""
    protocol: dict[str, Protocol] = field(default_factory=dict)
    """Figure that tells classes apart to how it was counted."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Image to why it has none."""
    notes: list[str] = field(default_factory=list)


def runs_in(directory: Path) -> list[Path]:
    """The folders of a run, or of a sweep's recipes, that have results.

    Raises `UsageError` where there are none.
    """
    inside = sorted(path.parent for path in directory.glob("recipes/*/results.jsonl"))
    runs = [directory] if (directory / "results.jsonl").is_file() else inside
    if not runs:
        raise UsageError(
            f"'{directory}' holds no results.jsonl, so there are no masks to score; name the "
            "folder that segkit run or segkit sweep has written"
        )
    return runs


def fits(metric: Metric) -> bool:
    """Whether a metric needs no more than a run keeps."""
    return {*type(metric).inputs().required} <= KEPT


def score_run(
    directory: Path,
    dataset: Dataset,
    metrics: Sequence[Metric],
    asked: Sequence[str] = (),
    catalog: Catalog | None = None,
) -> Scored:
    """Work out metrics of a run's kept masks, and put their figures into its folder.

    Lines of results.jsonl get the figures and counts beside those that they have, summary.json the
    figures over all images; `asked` are the run's class names. Images that the data set lacks, or
    has no truth for, or whose mask is gone, are left out.

    Raises `PlanError` for a metric that needs what a run does not keep, and for a data set without
    truth; `UsageError` for a run that has not finished or keeps no masks, and if no image is left;
    `SegkitError` if the folder cannot be written, or is in use.
    """
    with owned(directory):
        return _score_run(directory, dataset, metrics, asked, catalog)


def _score_run(
    directory: Path,
    dataset: Dataset,
    metrics: Sequence[Metric],
    asked: Sequence[str],
    catalog: Catalog | None,
) -> Scored:
    for metric in metrics:
        if not fits(metric):
            name = next(n for n in type(metric).inputs().required if n not in KEPT)
            raise PlanError(
                f"{metric.name} needs '{name}', which a run does not keep; run it again with "
                f"--metric {metric.name}"
            )
    if not has_truth(dataset):
        raise PlanError(
            f"figures need a truth, and the data set {dataset.name} has none; choose one with "
            "truth, or name its masks"
        )
    lines, summary = ResultLines(directory / "results.jsonl"), read_summary(directory)
    if summary is None:
        raise UsageError(
            f"the run in '{directory}' has not finished (no summary.json that can be read); go on "
            "with it by --resume first"
        )
    if not any(map(keeps_masks, lines.values())):
        raise UsageError(
            f"'{directory}' keeps no masks, as after --write none; run it again with --write "
            f"{MASK_WRITER}"
        )
    scored = _Scoring(directory, dataset, metrics, asked, catalog).of(lines)
    if not scored.images:
        first = next(iter(scored.left_out.values()))
        raise UsageError(f"none of the images in '{directory}' could be scored: {first}")
    _write(directory, lines, summary, scored)
    return scored


class _Scoring(Scored):
    """A run that is being scored."""

    def __init__(
        self,
        directory: Path,
        dataset: Dataset,
        metrics: Sequence[Metric],
        asked: Sequence[str],
        catalog: Catalog | None,
    ) -> None:
        super().__init__()
        self.reader = make_step(catalog or Catalog(), "writer", f"{BUNDLED}:{MASK_WRITER}", {})
        self.makes_masks = False
        self.directory = directory
        self.metrics = metrics
        self.images_of = RunImages(dataset)
        self.classes = classes_for(dataset, asked)
        self.truth = AskedTruth.of(dataset, asked, classes_of(dataset))
        self.counts: dict[str, Counter[str]] = {}
        self.details: dict[str, Any] = {}
        self.changed: dict[str, ResultLine] = {}
        self.names: set[str] = set()
        self.dataset = dataset
        self.listed = bool(asked)
        self.told = _was_told(directory, catalog or Catalog())

    def of(self, lines: Mapping[str, ResultLine]) -> _Scoring:
        """Score each finished image."""
        self.makes_masks = any(line.masks for line in lines.values())
        self.images_of.rename([lines])
        places = {name: place for place, name in enumerate(self.images_of.names)}
        with opened([self.dataset, *self.metrics], "cpu"):
            for name, line in lines.items():
                if not line.ok:
                    continue
                try:
                    if name not in places:
                        raise UsageError(f"the data set has no image '{name}'")
                    self._score(line, places[name])
                except SegkitError as error:
                    self.left_out[name] = str(error)
            self._add_up()
        return self

    def _score(self, line: ResultLine, place: int) -> None:
        image, truth = item_of(self.truth, place)
        if truth is None:
            raise UsageError(f"{line.name} has no truth")
        values = self._kept(line)
        if values["labels"].ids.shape != image.size:
            raise UsageError(f"the image {line.name} has another size than its masks; run it again")
        labels = values["labels"] = renumbered(values["labels"], self.classes)
        there = {**values, "image": image, "truth": truth, "classes": dict(self.classes)}
        scores, counts = dict(line.scores), dict(line.counts)
        for metric in self.metrics:
            names = type(metric).inputs()
            given = {name: there[name] for name in names.all if name in there}
            if lacking := [name for name in names.required if name not in there]:
                raise UsageError(
                    f"{named(metric)} needs '{lacking[0]}', which this run has not kept; choose "
                    "others by --metric"
                )
            try:
                with plugin_code():
                    made = getattr(metric, metric.work)(**given)
            except Exception as error:
                raise SegkitError(why_failed(metric, error)) from error
            counted = check_output(metric, made, {**given, "image": image})
            if counted:
                counts[metric.name] = counted
                scores |= scores_of(metric, counted)
                self.counts.setdefault(metric.name, Counter()).update(counted)
        self.names |= {labels.classes[i] for i in np.unique(labels.ids) if i in labels.classes}
        self.changed[line.name] = line.model_copy(update={"scores": scores, "counts": counts})
        self.images += 1

    def _kept(self, line: ResultLine) -> dict[str, Any]:
        """What the run has kept of an image; masks one by one only where a metric needs them.

        Older runs kept a class map alone.
        """
        try:
            return kept_values(self.reader, self.directory, line, makes_masks=self.makes_masks)
        except BadValueError:
            if any("masks" in type(metric).inputs().required for metric in self.metrics):
                raise
            return kept_values(
                self.reader,
                self.directory,
                line.model_copy(update={"masks": []}),
                makes_masks=False,
            )

    def _add_up(self) -> None:
        """The figures over all images; without those that go by names where no name is known."""
        foreign = self.classes and self.names and not self.names & {*self.classes.values()}
        left: list[str] = []
        for metric in self.metrics:
            counts = dict(self.counts.get(metric.name, {}))
            if not counts:
                continue
            for name, value in scores_of(metric, counts).items():
                figure = figure_of([metric], name)
                self.figures[name] = asdict(figure)
                self.protocol |= protocols_of(
                    {name: figure}, self.classes, listed=self.listed, told=self.told
                )
                if figure.by_name and foreign:
                    left.append(name)
                else:
                    self.scores[name] = value
            if details := details_of(metric, counts, self.classes):
                self.details[metric.name] = details
        if left:
            self.notes.append(
                f"{', '.join(left)}: no class that was found, such as '{min(self.names)}', has a "
                f"name of the data set's, such as '{next(iter(self.classes.values()))}'"
            )


def _was_told(directory: Path, catalog: Catalog) -> bool:
    """Whether a step of the run was told the classes of each image; no where its plugin is gone."""
    with suppress(SegkitError):
        recipe = Recipe.load(directory / "recipe.toml")
        parts = [(kind, p) for kind, several in recipe.parts.items() for p in several]
        for kind, part in parts:
            if kind not in ("dataset", *ENDS) and reads_truth(
                [make_step(catalog, kind, part.name, part.options)]
            ):
                return True
    return False


def _write(
    directory: Path, lines: Mapping[str, ResultLine], summary: RunSummary, scored: _Scoring
) -> None:
    """Put the figures into results.jsonl and summary.json."""
    content = summary.to_dict()
    details = dict(content.get("details", {}))
    counts = {name: dict(counted) for name, counted in scored.counts.items()}
    details |= {**scored.details, "counts": {**details.get("counts", {}), **counts}}
    content["scores"] = {**content.get("scores", {}), **scored.scores}
    content["figures"] = {**content.get("figures", {}), **scored.figures}
    if scored.protocol:
        content["protocol"] = {**content.get("protocol", {}), **to_dicts(scored.protocol)}
    content["details"] = details
    now = {**lines, **scored.changed}
    try:
        text = "".join(line.text() for line in now.values())
        write_file(directory / "results.jsonl", text, sync=True)
        text = RunSummary.model_validate(content).text()
        write_file(directory / "summary.json", text, sync=True)
    except OSError as error:
        raise disk_error(error, directory, len(lines)) from error
