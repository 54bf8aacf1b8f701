"""One image's line of results.jsonl, and what the lines of a plan add up to in summary.json."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from segkit.errors import SegkitError, plugin_code
from segkit.plugins.contract import (
    blamed,
    check_output,
    details_of,
    scores_of,
    why_failed,
)
from segkit.plugins.figures import Figure, figure_of
from segkit.plugins.finishing import finish, finishes
from segkit.plugins.named_files import written_by
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Writer
from segkit.running.folder import UNWRITABLE, Record
from segkit.running.notes import Findings, shown_in, warm_regions, without_foreign
from segkit.running.plan import Plan
from segkit.running.protocols import Protocols, goes_on, protocols_of, reads_truth, to_dicts
from segkit.running.records import Protocol
from segkit.running.walk import Outcome
from segkit.values.heatmaps import union
from segkit.values.types import Masks, Prompts, Scores
from segkit.values.waiting import let_go

Line: TypeAlias = "dict[str, Any]"
"""An image's line of results.jsonl; its keys are those of `records.ResultLine`."""

Summary: TypeAlias = "dict[str, Any]"
"""What summary.json holds; its keys are those of `records.RunSummary`."""


def line_of(
    plan: Plan, outcome: Outcome, directory: Path, classes: Mapping[int, str], watch: Observers
) -> Line:
    """One image's line of results.jsonl, after its files are written."""
    error = outcome.error
    files: list[str] = []
    counted: dict[str, int] = {}
    seconds = dict(outcome.seconds)
    scores = outcome.scores
    for writer in plan.writers if error is None else ():
        context = {"step": writer, "image": outcome.image}
        watch.tell("segkit_before_step", **context)
        start = time.perf_counter()
        try:
            with plugin_code():
                written = write_files(writer, outcome, directory, classes, scores)
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in UNWRITABLE:
                raise  # it concerns the run, not this image
            watch.tell("segkit_step_failed", error=problem, **context)
            error = why_failed(writer, problem)
            break
        seconds[writer.name] = spent = time.perf_counter() - start
        output = tuple(directory / path for path in written)
        watch.tell("segkit_after_step", output=output, seconds=spent, method=writer.work, **context)
        files += written
        counted[writer.name] = len(written)
    failed = error is not None
    judged = {} if failed else _judged(outcome)
    return {
        "name": outcome.name,
        "status": "failed" if failed else "ok",
        "error": error,
        "scores": {} if failed else scores,
        "counts": {} if failed else {k: v for k, v in outcome.counts.items() if v},
        "seconds": {step: round(spent, 5) for step, spent in seconds.items()},
        "files": files,
        "written": counted,
        **_empty(directory, files),
        "prompts": [] if failed else prompts_record(outcome.prompts),
        "masks": [] if failed else masks_record(outcome.masks),
        "classes": dict(outcome.labels.classes) if outcome.labels and not failed else {},
        "shown": [] if failed else shown_in(outcome.labels),
        "regions": 0 if failed else warm_regions(outcome.heatmaps),
        **judged,
    }


def _empty(directory: Path, files: Iterable[str]) -> dict[str, list[str]]:
    """Those of the files that are empty, as a text of no objects may be; nothing where none is."""
    empty = []
    for name in files:
        with suppress(OSError):
            if not (directory / name).stat().st_size:
                empty.append(name)
    return {"empty": empty} if empty else {}


def _judged(outcome: Outcome) -> dict[str, Any]:
    """What a judge says of the image; nothing where none takes part."""
    quality = None if outcome.masks is None else outcome.masks.overall
    told: dict[str, Any] = {} if quality is None else {"quality": round(quality, 6)}
    return told | ({"left_out": outcome.left_out} if outcome.left_out else {})


def write_files(
    writer: Any,
    outcome: Any,
    directory: Path,
    classes: Mapping[int, str],
    scores: Scores,
) -> list[str]:
    """The files that one writer makes for one image, relative to the run's folder.

    `outcome`: an `Outcome`, or what else has its values, such as a `Result`.
    """
    values: dict[str, Any] = {"directory": directory, "classes": dict(classes), "scores": scores}
    values |= {
        name: getattr(outcome, name)
        for name in ("image", "truth", "heatmaps", "prompts", "masks", "labels")
        if getattr(outcome, name) is not None
    }
    names = type(writer).inputs().all
    if outcome.heatmaps and "heatmap" in names:
        values["heatmap"] = union(outcome.heatmaps)
    elif not outcome.heatmaps:
        values.pop("heatmaps", None)
    returned = writer.write(**{n: values[n] for n in names if n in values})
    let_go()
    paths = check_output(writer, returned, {})
    return [*written_by(writer, paths, directory, at=writer.work)]


def prompts_record(prompts: Prompts | None) -> list[dict[str, Any]]:
    """An image's prompts as its line has them."""
    return [
        {
            "points": p.points.tolist(),
            "signs": p.signs.tolist(),
            "box": None if p.box is None else p.box.tolist(),
            "mask": p.mask is not None,
            "name": p.name,
            "score": round(p.score, 5),
        }
        for p in prompts or ()
    ]


def masks_record(masks: Masks | None) -> list[dict[str, Any]]:
    """An image's masks as its line has them."""
    if masks is None:
        return []
    return [
        {
            "name": masks.names[i],
            "score": round(float(masks.scores[i]), 6),
            "prompt": int(masks.prompt[i]),
            "pixels": int(masks.areas[i]),
        }
        | ({} if masks.quality is None else {"quality": round(float(masks.quality[i]), 6)})
        for i in range(len(masks))
    ]


class Totals:
    """Counts and seconds added up over a plan's finished images."""

    def __init__(self, plan: Plan, content: Mapping[str, Any], classes: Mapping[int, str]) -> None:
        self.plan = plan
        self.content = content
        self.classes = classes
        self.sought: Sequence[str] = ()
        """The classes that the steps are limited to."""
        self.before: Protocols = {}
        """By which protocols lines were counted that an earlier run has left."""
        self.findings = Findings()
        self.finished: list[str] = []
        """The names of the images that did not fail."""
        self.images = 0
        self.failed = 0
        self._counts: dict[str, _Sums] = {}
        self.seconds: dict[str, float] = {}

    def add(self, line: Mapping[str, Any]) -> None:
        """Add one line of results.jsonl."""
        self.images += 1
        self.failed += line["status"] != "ok"
        self.finished += [line["name"]] if line["status"] == "ok" else []
        for metric, counts in line["counts"].items():
            self._counts.setdefault(metric, _Sums()).add(counts)
        _add(self.seconds, line["seconds"])
        self.findings.add(self.plan, line)

    def order(self, place: Callable[[str], int]) -> None:
        """Have images in the order of their places, whatever that was in which they were done."""
        for names in (self.finished, *self.findings.lists):
            names.sort(key=place)

    def protocols(self, figures: Mapping[str, Figure]) -> dict[str, Protocol]:
        """By which protocol each of these figures that tells classes apart is counted now."""
        listed = bool(self.content.get("run", {}).get("classes"))
        told = reads_truth(self.plan.steps)
        return protocols_of(figures, self.classes, listed=listed, told=told)

    def summary(self, faults: list[SegkitError]) -> Summary:
        """What summary.json holds; what a metric does wrong is left out, and goes to `faults`."""
        scores: Scores = {}
        figures: dict[str, Figure] = {}
        details = {}
        all_counts = {name: sums.totals for name, sums in self._counts.items()}
        for metric in self.plan.metrics:
            counts = all_counts.get(metric.name)
            if counts:
                with _collected(faults):
                    own = scores_of(metric, counts)
                    scores |= own
                    figures |= {name: figure_of([metric], name) for name in own}
                with _collected(faults):
                    if metric_details := details_of(metric, counts, self.classes):
                        details[metric.name] = metric_details
        protocols = self.protocols(figures)
        protocols |= {
            name: own
            for name, own in self.before.items()
            if name in protocols and not goes_on(own, protocols[name])
        }
        foreign = self.findings.foreign(self.plan, self.classes, [*scores])
        return {
            "images": self.images,
            "failed": self.failed,
            **self.findings.told(),
            "notes": self.findings.notes(self.plan, self.classes, self.sought, foreign),
            "scores": without_foreign(scores, foreign),
            "figures": {name: asdict(figure) for name, figure in figures.items()},
            **({"protocol": to_dicts(protocols)} if protocols else {}),
            "details": {**details, "counts": all_counts},
            "seconds": {step: round(spent, 4) for step, spent in self.seconds.items()},
            "plan": dict(self.content),
            "classes": {str(i): name for i, name in self.classes.items()},
            **({"vocabulary": [*self.sought]} if self.sought else {}),
        }


class Pace:
    """How fast images are done, by all who walk them together."""

    def __init__(self, recipes: int) -> None:
        """`recipes`: how many lines an image has."""
        self._recipes = recipes
        self._lines = 0
        self._start = time.perf_counter()

    def add(self) -> None:
        """Count a line."""
        self._lines += 1

    def told(self, workers: Sequence[Mapping[str, Any]]) -> Summary:
        """What summary.json says of it; `workers`: see `records.WorkerRecord`.

        Nothing of a speed where nothing was left to do.
        """
        spent = max(time.perf_counter() - self._start, 1e-6)
        rate = {"images_per_second": round(self._lines / self._recipes / spent, 3)}
        return (rate if self._lines else {}) | ({"workers": [*workers]} if workers else {})


def end(
    records: Mapping[str, Record], totals: Mapping[str, Totals], pace: Summary
) -> dict[str, Summary]:
    """Write the writers' last files and summary.json of each recipe; its summary by its name.

    `pace`: what each summary says of the whole run's speed.
    What a plugin does wrong in it is raised in the end: the first such `SegkitError`, when all that
    the others have to write is written.
    """
    faults: list[SegkitError] = []
    summaries = {}
    for name, total in totals.items():
        record = records[name]
        summaries[name] = total.summary(faults) | pace
        try:
            for writer in total.plan.writers:
                if not finishes(writer):
                    continue  # it has nothing to do, and no files to look for
                with _collected(faults), blamed(writer, let=(OSError,)):
                    record.note_finish(partial(_finished, writer, total.finished))
            record.finish(summaries[name])
        except OSError as error:
            raise record.unwritable(error, total.images) from error
    if faults:
        raise faults[0]
    return summaries


def _finished(writer: Writer, images: Sequence[str], directory: Path) -> tuple[str, ...] | None:
    """The paths that a writer's `finish` gives back, checked; None where it gives none."""
    returned = finish(writer, directory, images)
    if returned is None:
        return None
    names = written_by(writer, check_output(writer, returned, {}), directory, at="finish")
    return tuple(str(directory / name) for name in names)


def notes_of(summaries: Iterable[Summary]) -> list[str]:
    """What metrics have to say of the data as a whole (`note` in their details), each once."""
    told = [details for s in summaries for key, details in s["details"].items() if key != "counts"]
    return list(dict.fromkeys(str(details["note"]) for details in told if "note" in details))


@contextmanager
def _collected(faults: list[SegkitError]) -> Iterator[None]:
    """Keep a fault for later."""
    try:
        yield
    except SegkitError as error:
        faults.append(error)


def _add(total: dict[str, float], more: Mapping[str, float]) -> None:
    """Add figures key by key."""
    for key, value in more.items():
        total[key] = total.get(key, 0) + value


class _Sums:
    """Sums of counts by key, the same whatever the order in which they come.

    What rounding leaves out is kept beside each sum, as exactly as floats can say it (Shewchuk,
    "Adaptive precision floating-point arithmetic", 1997; Python's `math.fsum` does so at once).
    """

    def __init__(self) -> None:
        self._partials: dict[str, list[float]] = {}

    def add(self, counts: Mapping[str, float]) -> None:
        """Add figures key by key."""
        for key, value in counts.items():
            partials = self._partials.setdefault(key, [])
            kept = 0
            for other in partials:
                large, small = (value, other) if abs(value) >= abs(other) else (other, value)
                value = large + small
                if rest := small - (value - large):
                    partials[kept] = rest
                    kept += 1
            partials[kept:] = [value]

    @property
    def totals(self) -> dict[str, float]:
        """The sums; whole numbers stay whole."""
        return {
            key: sum(some) if all(isinstance(v, int) for v in some) else math.fsum(some)
            for key, some in self._partials.items()
        }
