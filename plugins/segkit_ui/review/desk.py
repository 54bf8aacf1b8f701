"""What the page can ask for: photos, masks, answers to clicks, and that decisions are kept.

Every question and answer is a JSON object. What goes wrong is an answer too, `{"error": sentence}`,
and the page lives on.
"""

from __future__ import annotations

import functools
import io
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from segkit.errors import SegkitError, UsageError, did_you_mean, error_line
from segkit.plugins.catalog import Catalog
from segkit.running.kept_run import KeptRun
from segkit.running.ledger import is_run
from segkit.running.records import ResultLine
from segkit.running.review import (
    MASKS,
    Decision,
    Journal,
    Key,
    PromptAsked,
    corrected_mask,
    now,
    standing,
)
from segkit.values.types import Masks
from segkit_ui.review.correcting import Corrector
from segkit_ui.review.items import classes_of, items_of
from segkit_ui.review.lately import Lately
from segkit_ui.review.pictures import mask_url, photo_url

Asked = Mapping[str, Any]
Answer = dict[str, Any]

MOST = 12
"""The most masks in the strip of alternatives."""


def answering(work: Callable[[Any, Asked], Answer]) -> Callable[[Any, Asked], Answer]:
    """The method, with what it raises as an answer."""

    @functools.wraps(work)
    def answer(self: Any, asked: Asked) -> Answer:
        try:
            return work(self, asked)
        except SegkitError as error:
            return {"error": str(error)}
        except (KeyError, TypeError, ValidationError) as error:
            return {"error": f"the page asked for what there is not ({error_line(error)}); reload"}
        except Exception as error:
            return {"error": f"{error_line(error)}; nothing is lost, go on with another image"}

    return answer


class Desk:
    """One finished run that is being reviewed."""

    def __init__(self, directory: Path, catalog: Catalog, first: str | None = None) -> None:
        """`first`: the image to begin with.

        Raises `UsageError` where the folder is no finished run, takes no decisions, or has no such
        image.
        """
        self.run = KeptRun.open(directory, catalog)
        self.items = items_of(self.run.lines.values())
        if not self.items:
            raise UsageError(
                f"the run in '{directory}' has no finished image, so there is nothing to review"
            )
        names = {item.image: None for item in self.items}
        if first is not None and first not in names:
            hint = did_you_mean(first, [*names], "its names stand in results.jsonl")
            raise UsageError(f"--image {first}: the run has finished no image of that name; {hint}")
        self._first = first
        self.journal = Journal(directory)
        self.journal.check()
        self.corrector = Corrector(self.run.recipe, catalog, self.run.classes)
        self._catalog = catalog
        self._lock = threading.RLock()
        self._values: Lately[dict[str, Any]] = Lately(lambda values: values["labels"].ids.size)
        self._decoded: Lately[Masks] = Lately(lambda masks: masks.masks.size)
        self._undoable: dict[str, list[tuple[Key, Decision | None]]] = {}
        self._others: dict[str, KeptRun | None] | None = None

    # ---- looking -------------------------------------------------------------------------------

    @answering
    def start(self, asked: Asked) -> Answer:
        """What the page begins with: all items and what was decided about them."""
        with self._lock:
            self.journal.news()
            decided = standing(self.journal.decisions, self.run.lines)
        failed = sum(not line.ok for line in self.run.lines.values())
        return {
            "run": self.run.directory.resolve().name,
            "items": [item.to_dict() for item in self.items],
            "classes": classes_of(self.items, self.run.classes),
            "decided": [_told(decision) for decision in decided.values()],
            "failed": failed,
            "first": self._first,
            "masks": self.run.makes_masks,
            "judged": any(line.quality is not None for line in self.run.lines.values()),
        }

    @answering
    def news(self, asked: Asked) -> Answer:
        """What was decided since the last time, in whichever window: the last of each mask."""
        with self._lock:
            self.journal.news()
            since = int(asked["since"])
            keys = {(d.image, d.mask) for d in self.journal.decisions[since:]}
            return self._changed(keys)

    @answering
    def picture(self, asked: Asked) -> Answer:
        """An image's photo and its masks, as they are decided about."""
        line = self._line(asked)
        values = self._of(line)
        height, width = values["image"].size
        return {
            "url": photo_url(values["image"]),
            "width": width,
            "height": height,
            "masks": {str(place): mask_url(mask) for place, mask in self._masks(line).items()},
            "prompts": [_prompt_told(line, place) for place in range(len(line.masks))],
        }

    @answering
    def prepare(self, asked: Asked) -> Answer:
        """Encode an image that may be clicked on."""
        self.corrector.encode(self._of(self._line(asked))["image"])
        return {"note": self.corrector.note}

    @answering
    def decode(self, asked: Asked) -> Answer:
        """The candidate masks of a person's clicks, the likeliest first."""
        line = self._line(asked)
        masks = self._candidates(line, PromptAsked.model_validate(asked["prompt"]))
        told = [
            {"url": mask_url(pixels), "score": round(float(score), 3)}
            for pixels, score in zip(masks.masks, masks.scores, strict=True)
        ]
        return {"candidates": told, "note": self.corrector.note}

    @answering
    def alternatives(self, asked: Asked) -> Answer:
        """What other recipes of the same sweep made of an object: the mask that is most like it."""
        line = self._line(asked)
        place = asked["mask"]
        mine = self._masks(line).get(-1 if place is None else place)
        told: list[Answer] = []
        for name, run in self._siblings().items():
            if run is None or len(told) == MOST:
                continue
            try:
                masks = run.values(run.lines[line.name]).get("masks")
            except (SegkitError, KeyError):
                continue
            if masks is not None and len(masks):
                best = _most_alike(masks.masks, mine)
                told.append({"recipe": name, "place": best, "url": mask_url(masks.masks[best])})
        return {"alternatives": told}

    # ---- deciding ------------------------------------------------------------------------------

    @answering
    def decide(self, asked: Asked) -> Answer:
        """Keep one decision; it has reached the disk when the answer comes."""
        line = self._line(asked)
        with self._lock:
            self.journal.news()
            place = asked["mask"]
            if place == "new":
                place = self._next_place(line)
            key = (line.name, place)
            about: Answer = {"image": line.name, "mask": place, "decision": asked["decision"]}
            if asked.get("class") is not None:
                about["class"] = str(asked["class"]).strip() or None
            if asked["decision"] == "corrected":
                about |= self._correction(line, key, asked)
            elif asked["decision"] not in ("keep", "reject"):
                raise UsageError(f"'{asked['decision']}' is no decision")
            return self._keep([about])

    @answering
    def accept(self, asked: Asked) -> Answer:
        """Keep all masks of at least this quality that nobody has decided about, all at once."""
        least, only = float(asked["least"]), asked.get("class")
        with self._lock:
            self.journal.news()
            decided = standing(self.journal.decisions, self.run.lines)
            chosen = [
                {"image": item.image, "mask": item.mask, "decision": "keep"}
                | ({} if item.name is None else {"class": item.name})
                for item in self.items
                if (item.image, item.mask) not in decided
                and item.quality is not None
                and item.quality >= least
                and only in (None, item.name or "")
            ]
            return self._keep(chosen)

    @answering
    def undo(self, asked: Asked) -> Answer:
        """Make what was decided before hold again; `token` is that of the answer which decided."""
        with self._lock:
            again: list[Answer] = []
            for (image, mask), before in self._undoable.pop(asked["token"], []):
                undone = {"image": image, "mask": mask, "decision": "undone"}
                again.append(undone if before is None else _told(before))
            if not again:
                raise UsageError("there is nothing to undo; go back and decide again")
            return self._keep(again)

    def _keep(self, several: Sequence[Answer]) -> Answer:
        """Append decisions, and tell what has changed by them."""
        if not several:
            return self._changed(set())
        before = standing(self.journal.decisions, self.run.lines)
        decisions = []
        for about in several:
            line, place = self.run.lines[about["image"]], about["mask"]
            if place is not None and place < len(line.masks):
                about = about | {"pixels": line.masks[place].pixels}
            decisions.append(Decision.model_validate(about | {"when": now()}))
        self.journal.add(decisions)
        self.journal.news()
        keys = [(d.image, d.mask) for d in decisions]
        token = secrets.token_hex(8)
        self._undoable[token] = [(key, before.get(key)) for key in keys]
        return self._changed({*keys}) | {"token": token, "keys": [list(key) for key in keys]}

    def _changed(self, keys: set[Key]) -> Answer:
        decided = standing(self.journal.decisions, self.run.lines)
        return {
            "since": len(self.journal.decisions),
            "decided": [_told(decided[key]) for key in keys if key in decided],
            "open": [list(key) for key in keys if key not in decided],
        }

    def _correction(self, line: ResultLine, key: Key, asked: Asked) -> Answer:
        """What a corrected mask's line has beside: its file, which is written, and its prompt."""
        before = standing(self.journal.decisions, self.run.lines).get(key)
        if asked.get("same") and before is not None and before.file is not None:
            told = before.model_dump(by_alias=True, exclude_unset=True)
            return {name: told[name] for name in ("file", "prompt") if name in told}
        if asked.get("recipe") is not None:
            other = self._siblings()[asked["recipe"]]
            assert other is not None
            theirs = other.lines[line.name]
            mask = other.values(theirs)["masks"].masks[int(asked["place"])]
            prompt = _prompt_told(theirs, int(asked["place"]))
        else:
            prompt = asked["prompt"]
            masks = self._candidates(line, PromptAsked.model_validate(prompt))
            mask = masks.masks[int(asked.get("candidate", 0))]
        return {"file": self._write(line.name, key[1], mask), "prompt": prompt}

    def _write(self, image: str, place: int | None, mask: NDArray[np.bool_]) -> str:
        """Write a corrected mask to a file of its own, and say where. Raises `SegkitError`."""
        import PIL.Image

        content = io.BytesIO()
        PIL.Image.fromarray(mask.astype(np.uint8) * 255).save(content, "PNG")
        stem = re.sub(r"[^\w.-]", "_", image)[:120]
        name = f"{MASKS}/{stem}.{place}.{secrets.token_hex(4)}.png"
        path = self.run.directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SegkitError(
                f"the corrected mask was not kept, for '{path}' cannot be written "
                f"({error.strerror}); mend that and decide again"
            ) from None
        return name

    # ---- what there is -------------------------------------------------------------------------

    def _line(self, asked: Asked) -> ResultLine:
        line = self.run.lines.get(asked["image"])
        if line is None or not line.ok:
            raise UsageError(f"the run has no finished image '{asked['image']}'; reload the page")
        return line

    def _of(self, line: ResultLine) -> dict[str, Any]:
        """The image's photo and the run's masks of it, read once. Raises `SegkitError`."""
        return self._values.get(line.name, lambda: self.run.values(line))

    def _masks(self, line: ResultLine) -> dict[int, NDArray[np.bool_]]:
        """Place to mask, corrected ones in place of the run's; -1: an image's whole class map."""
        values = self._of(line)
        masks = values.get("masks")
        shown = dict(enumerate(masks.masks)) if masks is not None else {}
        if masks is None:
            shown[-1] = values["labels"].ids > 0
        with self._lock:
            decided = standing(self.journal.decisions, self.run.lines)
        for (image, place), decision in decided.items():
            if image == line.name and decision.file is not None:
                size = values["image"].size
                mask = corrected_mask(self.run.directory, decision, size)
                shown[-1 if place is None else place] = mask
        return shown

    def _candidates(self, line: ResultLine, asked: PromptAsked) -> Masks:
        image = self._of(line)["image"]
        key = (line.name, asked.model_dump_json())
        return self._decoded.get(key, lambda: self.corrector.decode(image, asked))

    def _next_place(self, line: ResultLine) -> int:
        used = [d.mask for d in self.journal.decisions if d.image == line.name]
        return max([len(line.masks) - 1, *(place for place in used if place is not None)]) + 1

    def _siblings(self) -> dict[str, KeptRun | None]:
        """The other recipes' runs of the same sweep; None for one that cannot be read."""
        with self._lock:
            if self._others is None:
                self._others = {}
                here = self.run.directory.resolve()
                beside = sorted(here.parent.iterdir()) if here.parent.name == "recipes" else []
                for folder in beside:
                    if folder != here and is_run(folder):
                        try:
                            self._others[folder.name] = KeptRun.open(folder, self._catalog)
                        except SegkitError:
                            self._others[folder.name] = None
            return self._others


def _told(decision: Decision) -> Answer:
    return decision.model_dump(by_alias=True, exclude_unset=True)


def _prompt_told(line: ResultLine, place: int) -> Answer | None:
    """What was asked for a mask: points, signs and box."""
    number = line.masks[place].prompt
    if number >= len(line.prompts):
        return None
    return line.prompts[number].model_dump(include={"points", "signs", "box"})


def _most_alike(masks: NDArray[np.bool_], mine: NDArray[np.bool_] | None) -> int:
    """The place of the mask (n, H, W) with the greatest IoU; the largest, if there is none."""
    areas = masks.sum(axis=(1, 2))
    if mine is None or mine.shape != masks.shape[1:]:
        return int(areas.argmax())
    both = (masks & mine).sum(axis=(1, 2))
    return int((both / np.maximum(areas + mine.sum() - both, 1)).argmax())
