"""Those masks of a finished run that people have kept or corrected, as a run of their own.

The folder `reviewed` in the run's folder holds it, so that nothing of the run is written over. It
is read as any other: it can be scored, exported and reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segkit.errors import SegkitError, UsageError
from segkit.kinds import MASK_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.finishing import finish, finishes
from segkit.plugins.steps import Writer
from segkit.running.export import Exported, check_inputs, open_steps
from segkit.running.folder import Record
from segkit.running.kept_run import KeptRun, written
from segkit.running.lines import masks_record, prompts_record
from segkit.running.notes import shown_in
from segkit.running.recipe import read_toml
from segkit.running.records import ResultLine
from segkit.running.review import Decision, Key, corrected_mask, read_decisions, standing
from segkit.running.sifting import Threshold, make_fuser, painted
from segkit.running.walk import Outcome
from segkit.values.spreading import levels_in
from segkit.values.types import VOID, Masks, Prompt, Prompts

FOLDER = "reviewed"
"""Where it goes, in the run's folder."""


def export_reviewed(
    directory: Path,
    writers: Sequence[Writer],
    catalog: Catalog,
    wanted: Collection[str],
    *,
    least_quality: float = 0.0,
) -> Exported:
    """Write the masks that were decided about as `wanted` says, such as {'keep', 'corrected'}.

    An image takes part if one of its masks does, or if it was kept as one that shows nothing; its
    other masks are left out, also those of the run's own that its judge holds for worse than
    `least_quality`. What an earlier call left in the folder goes first.

    Raises `UsageError` where the folder is no finished run of one recipe, nobody has decided so
    about any mask, or none of those is good enough, `PlanError` for writers that need what a run
    does not keep, and what opening a step raises.
    """
    run = KeptRun.open(directory, catalog)
    check_inputs(writers)
    threshold = Threshold.of(run, least_quality)
    decided = standing(read_decisions(directory), run.lines)
    chosen = {key: d for key, d in decided.items() if d.decision in wanted}
    if not chosen:
        asked = ",".join(sorted(wanted))
        raise UsageError(
            f"--reviewed {asked}: of the masks in '{directory}' {len(decided)} are decided about, "
            f"and none so; look through them by segkit review {directory}"
        )
    good = {name: {*threshold.kept(run.lines[name])} for name, _ in chosen}
    strong = {
        (name, place): decision
        for (name, place), decision in chosen.items()
        # What a person has drawn no judge has seen.
        if decision.file or place is None or place in good[name]
    }
    if not strong:
        raise UsageError(
            f"--least-quality {least_quality:g}: of the {len(chosen)} masks asked for in "
            f"'{directory}' all have a lower quality; lower it"
        )
    done = _Export(run, strong, writers).all(directory / FOLDER)
    done.left_out = len(chosen) - len(strong)
    return done


class _Export:
    """One export."""

    def __init__(
        self, run: KeptRun, chosen: Mapping[Key, Decision], writers: Sequence[Writer]
    ) -> None:
        self.run, self.chosen = run, chosen
        self.fuser = make_fuser(run.catalog)
        own = () if any(w.name == MASK_WRITER for w in writers) else (run.reader,)
        self.writers = [*own, *writers]
        self.classes = dict(run.classes)
        for decision in chosen.values():
            names = {*self.classes.values()}
            if self.classes and decision.name and decision.name not in names:
                number = max(self.classes) + 1
                self.classes[number + (number == VOID)] = decision.name

    def all(self, target: Path) -> Exported:
        """Write every image and what there is of all together."""
        done, exported = Exported(), list[str]()
        recipe = read_toml(self.run.directory / "recipe.toml")
        record = Record(target, recipe, levels_in(self.run.directory))
        names = list(dict.fromkeys(image for image, _ in self.chosen))
        with ExitStack() as stack:
            open_steps(stack, (self.fuser, *self.writers))
            record.start(overwrite=target.exists())
            for name in names:
                try:
                    outcome = self._outcome(self.run.lines[name])
                    record.begin(name)
                    files = written(self.writers, outcome, target, self.classes, {})
                except SegkitError as error:
                    done.failed[name] = str(error)
                    continue
                record.append([self._line(outcome, files)])
                exported.append(name)
                done.images += 1
            for writer in self.writers:
                if finishes(writer):
                    with blamed(writer, let=(OSError,)):
                        record.note_finish(partial(finish, writer, images=exported))
            classes = {str(i): name for i, name in self.classes.items()}
            record.finish({"images": done.images, "failed": 0, "scores": {}, "classes": classes})
        return done

    def _outcome(self, line: ResultLine) -> Outcome:
        """The image with the masks that were chosen, painted anew. Raises `SegkitError`."""
        values = self.run.values(line)
        if "masks" in values:
            self._choose(line, values)
        return Outcome("", line.name, **values)

    def _choose(self, line: ResultLine, values: dict[str, Any]) -> None:
        """Put the chosen masks, their prompts and the class map of them in place of the run's."""
        masks: Masks = values["masks"]
        size = values["image"].size
        places = sorted(
            place for name, place in self.chosen if name == line.name and place is not None
        )
        pixels, scores, names, quality, prompts = [], [], [], [], []
        for place in places:
            decision = self.chosen[line.name, place]
            theirs = place < len(masks)
            pixels.append(
                corrected_mask(self.run.directory, decision, size)
                if decision.file
                else masks.masks[place]
            )
            # A person is sure of it, also where the segmenter was not.
            scores.append(float(masks.scores[place]) if theirs and not decision.file else 1.0)
            quality.append(1.0)
            name = decision.name or (masks.names[place] if theirs else None)
            names.append(name)
            prompts.append(_prompt(decision, values, masks, place, name))
        values["masks"] = Masks(
            np.stack(pixels) if pixels else np.zeros((0, *size), bool),
            scores,
            range(len(places)),
            tuple(names),
            quality=quality,
        )
        values["prompts"] = Prompts(tuple(prompts))
        del values["labels"]
        values["labels"] = painted(self.fuser, values, self.classes)

    def _line(self, outcome: Outcome, files: Sequence[str]) -> dict[str, Any]:
        earlier = self.run.lines[outcome.name]
        source = {} if earlier.source is None else {"source": earlier.source}
        overall = outcome.masks.overall if outcome.masks is not None else None
        return {
            "name": outcome.name,
            "status": "ok",
            "error": None,
            "files": list(files),
            "prompts": prompts_record(outcome.prompts),
            "masks": masks_record(outcome.masks),
            "classes": dict(outcome.labels.classes) if outcome.labels else {},
            "shown": shown_in(outcome.labels),
            **({} if overall is None else {"quality": overall}),
            **source,
        }


def _prompt(
    decision: Decision, values: Mapping[str, Any], masks: Masks, place: int, name: str | None
) -> Prompt:
    """What the mask answers: a person's question, or the run's."""
    if decision.prompt is not None:
        asked = decision.prompt
        return Prompt(asked.points, asked.signs, asked.box, name=name)
    prompts = values.get("prompts", ())
    if place < len(masks) and int(masks.prompt[place]) < len(prompts):
        return replace(prompts[int(masks.prompt[place])], name=name)
    return Prompt(name=name)
