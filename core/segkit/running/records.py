"""The keys of results.jsonl and summary.json, as models; what reads and writes them goes by these.

Each key stands here once. What is written goes through these models, and what is read does; a key
that this version does not know is kept, so that going on with a newer run's folder loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from segkit.plugins.figures import Figure

Number = int | float
"""A number as it was given: 1 and 1.0 are written differently."""


class FileModel(BaseModel):
    """A JSON object in a file of ours. Keys that are not known are left out."""

    model_config = ConfigDict(frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """What the file holds: the keys that were given, in the order of their declaration."""
        return self.model_dump(exclude_unset=True)

    def text(self) -> str:
        """The file's text. ASCII: a name may hold bytes that are no text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


class RewrittenModel(FileModel):
    """The same of a file that is written again; keys that are not known stay behind the others."""

    model_config = ConfigDict(extra="allow")


# ---- results.jsonl ----------------------------------------------------------------------------


class PromptRecord(RewrittenModel):
    """A prompt of an image."""

    points: list[list[Number]] = []
    """(x, y) in pixels."""
    signs: list[bool] = []
    """Whether the point lies on the object, for each point."""
    box: list[Number] | None = None
    """Left, top, right, bottom in pixels, all inside."""
    mask: bool = False
    """Whether a mask was part of it."""
    name: str | None = None
    score: Number = 0


class MaskRecord(RewrittenModel):
    """A mask of an image."""

    name: str | None = None
    score: Number = 0
    """The segmenter's own."""
    prompt: int = 0
    """The place of the prompt that it answers."""
    pixels: int = 0
    quality: Number | None = None
    """How good a judge holds it for, from 0 to 1; not there where none has judged."""


class LossNotes(RewrittenModel):
    """What a diagnosis notes of an image: the IoUs that its losses are made of.

    See `comparing.losses`.
    """

    iou: Number
    best_candidate: Number
    true_point: Number
    true_box: Number
    cause: str
    """What the prompt's part is called: `saliency` or `placement`."""
    quality: Number | None = None
    """How good the judge holds the result for; None without one."""
    score: Number | None = None
    """The segmenter's own score, as the quality a mean over the masks' pixels."""
    probability: Number | None = None
    """How sure the prompts are of their class, likewise; None where none is asked for."""


class DamageRecord(RewrittenModel):
    """What came of an image under one kind of damage at one level; see `comparing.robustness`."""

    perturbation: str
    level: int
    error: str | None = None
    """Why it failed; then nothing below is there."""
    heatmap_drift: Number | None = None
    prompt_moved: Number | None = None
    prompt_moved_share: Number | None = None
    mask_lost: Number | None = None
    true_iou: Number | None = None
    counts: dict[str, dict[str, Number]] = {}
    """Metric to its counts."""
    picture: str | None = None
    """The example picture's file, relative to the folder of the robustness test."""


def _source(source: dict[str, Any]) -> dict[str, Any]:
    """What is known of an image's files, if it is of the right types; it may be of any newer form.

    Raises `ValueError`, so that a line that is none of ours is not taken for one.
    """
    truth = source.get("truth", ())
    for one in (source, *(truth if isinstance(truth, list) else ())):
        if not isinstance(one, dict) or not isinstance(one.get("path", ""), str):
            raise ValueError("an image's source should be a file with its path, or hashes")
        for key in ("size", "modified"):
            if not isinstance(one.get(key, 0), (int, float, type(None))):
                raise ValueError(f"the {key} of an image's file should be a number")
    if not isinstance(truth, (list, tuple, str)):
        raise ValueError("the truth's source should be a list of files, or a hash")
    return source


class ResultLine(RewrittenModel):
    """A line of results.jsonl: what one recipe made of one image."""

    name: str
    """The image's name."""
    status: Literal["ok", "failed"]
    error: str | None = None
    """Why it failed, in a sentence."""
    scores: dict[str, Number] = {}
    """Figure to its value for this image."""
    counts: dict[str, dict[str, Number]] = {}
    """Metric to its counts, which add up over images."""
    seconds: dict[str, Number] = {}
    """Step to seconds."""
    files: list[str] = []
    """What the writers made, relative to the run's folder."""
    written: dict[str, int] = {}
    """Writer to how many of `files` it made, in their order; those behind them an export made."""
    empty: list[str] = []
    """Those of `files` that had nothing in them when they were written; not there where none."""
    prompts: list[PromptRecord] = []
    masks: list[MaskRecord] = []
    classes: dict[int, str] = {}
    """Id in the labels to class name."""
    shown: list[int] = []
    """The ids that the class map shows, background and void left out."""
    regions: int = 0
    """How many separate warm regions its heatmaps have."""
    quality: Number | None = None
    """How good a judge holds its masks for together, from 0 to 1: the mean over their pixels, 0
    without any; not there where none has judged."""
    left_out: int = 0
    """How many masks were judged too weak for `least_quality`; not there where none was."""
    source: Annotated[dict[str, Any], AfterValidator(_source)] | None = None
    """Where the image came from: its file's path, size and time of change, or its pixels' hash."""
    notes: LossNotes | None = None
    """Of a diagnosis; None where the image takes no part in it."""
    true_iou: Number | None = None
    """Of a robustness test: the IoU of the foreground with the truth."""
    robustness: list[DamageRecord] = []
    """Of a robustness test: what came of the damaged image."""
    picture: str | None = None
    """Of a robustness test: the example picture's file."""

    @property
    def ok(self) -> bool:
        """Whether the image was finished."""
        return self.status == "ok"

    def text(self) -> str:
        """The line with its end."""
        return json.dumps(self.to_dict()) + "\n"


Lines = Mapping[str, ResultLine]
"""Image name to its line."""


# ---- summary.json -----------------------------------------------------------------------------


def _object(value: Any) -> Any:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


class ClassRow(FileModel):
    """How well one class was found."""

    name: str
    iou: float | None = None
    dice: float | None = None
    pixels: float | None = None
    """Of the truth."""
    found: float | None = None
    """Pixels that were found to be of it."""


class Confusion(FileModel):
    """Pixels by true class (down) and found class (across)."""

    names: list[str] = []
    """Of the columns; the rows have the first of them."""
    pixels: list[list[float]] = []


class ClassDetails(FileModel):
    """What a metric may tell of each class, among the details in summary.json."""

    classes: list[ClassRow] = []
    confusion: Confusion = Confusion()

    @property
    def fits(self) -> bool:
        """Whether it holds a table, and each row of the matrix has a name and all its cells."""
        width, rows = len(self.confusion.names), self.confusion.pixels
        whole = len(rows) <= width and all(len(row) == width for row in rows)
        return whole and bool(self.classes or rows)


class WorkerRecord(RewrittenModel):
    """What one worker did, with those that took its place when it died."""

    worker: int
    """Its number, from 1."""
    host: str = ""
    """The machine that it, or the last one in its place, was on."""
    images: int = 0
    deaths: int = 0
    busy_seconds: Number = 0
    idle_seconds: Number = 0
    """Seconds that it was ready and had nothing to do."""


class Protocol(RewrittenModel):
    """How a figure that tells classes apart was counted; see `running.protocols`."""

    asked: str
    """Whose classes the steps were asked for: `data set`, `list` (`--classes`), `image` (they were
    told the classes of each image's truth), or `unnamed` (no class has a name)."""
    classes: list[str] = []
    """The classes of the run, in the order of their ids."""
    background: bool
    """Whether background is a class of the figure."""
    resolution: str = "truth"
    """At which size pixels are counted: `truth`, its own, or as the metric says."""


class RunSummary(RewrittenModel):
    """summary.json: a recipe's figures over all images."""

    images: int = 0
    """Those that were done, with those that failed."""
    failed: int = 0
    empty: int = 0
    """Those that were finished and have no mask, where a step makes masks."""
    empty_images: list[str] = []
    """Their names; of many the first 10,000 in the data set's order."""
    doubtful: int = 0
    """Those that a judge doubts, where there is one; those without a mask are among them."""
    doubtful_images: list[str] = []
    """Their names, the most doubtful first; of many the first 10,000."""
    left_out: int = 0
    """How many masks were judged too weak for `least_quality`."""
    notes: list[str] = []
    """What the results come to, in sentences."""
    scores: dict[str, Number]
    """Figure to its value; without those by name where no name that was found is known."""
    figures: dict[str, Figure] = {}
    """Figure to whether less is better, and its unit, as its metric declares."""
    protocol: dict[str, Protocol] = {}
    """Figure that tells classes apart to how it was counted; not there where there is none, and in
    summaries before 0.2."""
    details: Annotated[dict[str, Any], BeforeValidator(_object)] = {}
    """Metric to what it tells beside its figures; under `counts` the counts of all metrics."""
    seconds: dict[str, Number] = {}
    """Step to seconds over all images."""
    images_per_second: Number | None = None
    """Of the images that the last call did, of all recipes; not there where it did none."""
    workers: list[WorkerRecord] = []
    """Who walked the images then; not there where the command's own process did."""
    plan: dict[str, Any] = {}
    """What recipe.toml holds."""
    classes: dict[int, str] = {}
    """Id to name of the classes that the run was about."""
    vocabulary: list[str] = []
    """The only classes that its steps could find; not there where they were not limited to few."""

    @property
    def class_details(self) -> dict[str, ClassDetails]:
        """Metric to its tables of classes, where it has any that can be read."""
        tables = {}
        for metric, told in self.details.items():
            try:
                details = ClassDetails.model_validate(told)
            except ValidationError:
                continue
            if details.fits:
                tables[metric] = details
        return tables


def read_summary(directory: Path) -> RunSummary | None:
    """The summary.json of a run's folder; None where it is missing or makes no sense."""
    try:
        text = (directory / "summary.json").read_text(encoding="utf-8")
        return RunSummary.model_validate(json.loads(text))
    except (OSError, ValueError, RecursionError):
        return None
