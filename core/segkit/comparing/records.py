"""The columns and keys of leaderboard.json and diagnosis.json, as models.

Those of robustness.json stand in `comparing.robustness_records`.

Each key stands here once: what is found out is put into these, written and read through them. A
figure that there is not is NaN here and null in the file. Reading takes files that lack almost
everything, of older versions or by other hands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from segkit.kinds import MAIN_FIGURE
from segkit.running.records import FileModel, Number, Protocol
from segkit.values.showing import counted


def _nan(value: Any) -> Any:
    return math.nan if value is None else value


NumberOrNaN = Annotated[Number, BeforeValidator(_nan)]
"""A number, or NaN where there is none."""


class ComparisonModel(FileModel):
    """A JSON object of a comparison."""

    def to_dict(self) -> dict[str, Any]:
        """What the file holds, with None for NaN and infinity, which JSON does not have."""
        return dict(finite_json(super().to_dict()))


def finite_json(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Estimate(ComparisonModel):
    """A figure with its 95 % interval, whose ends are NaN where there is none."""

    mean: NumberOrNaN = math.nan
    low: NumberOrNaN = math.nan
    high: NumberOrNaN = math.nan

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "–"
        if not math.isfinite(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Spread(ComparisonModel):
    """How a figure differs between seeds."""

    deviation: NumberOrNaN = math.nan
    """The sample's standard deviation over seeds (n − 1 below the sum); NaN for fewer than two."""
    figures: dict[str, NumberOrNaN] = {}
    """Seed to the figure under it."""


class Skipped(ComparisonModel):
    """A recipe that could not be run."""

    recipe: str
    reason: str = ""


# ---- leaderboard.json -------------------------------------------------------------------------


class Row(ComparisonModel):
    """One recipe on the leaderboard."""

    recipe: str
    options: dict[str, Any] = {}
    """What tells it from the others: axis, such as `prompt` or `topk.k`, to value."""
    words: str = ""
    """Its steps in a row."""
    scores: dict[str, Estimate] = {}
    """Figure to its value with its interval over images; over several seeds their mean."""
    seeds: dict[str, Spread] = {}
    """Figure to how it differs between seeds; empty for one seed."""
    seconds: dict[str, Number] = {}
    """Step to seconds an image; work that recipes share counts for each of them."""
    images: int = 0
    """Images that every recipe finished."""
    failed: int = 0
    """Images that failed for this one."""
    verdict: str = ""
    """This recipe against the next one, in words; the last one has none."""


class Pair(ComparisonModel):
    """Two recipes compared on the same images."""

    better: str
    worse: str
    metric: str = ""
    difference: NumberOrNaN = math.nan
    """How much better, in the metric's unit; at least 0."""
    low: NumberOrNaN = math.nan
    high: NumberOrNaN = math.nan
    p: Number | None = None
    """How often a difference as large comes about by swapping the two at random on each image;
    None where the interval holds zero, so that nothing is claimed anyway."""
    images: int = 0
    seeds: dict[str, NumberOrNaN] = {}
    """Seed to how much better under it; empty for one seed."""
    distinguishable: bool = False
    """Whether the interval of the difference leaves out zero and chance is ruled out."""
    sentence: str = ""
    """The verdict in words."""


class LeaderboardFile(ComparisonModel):
    """leaderboard.json."""

    metric: str = MAIN_FIGURE
    """What it is sorted by."""
    higher_is_better: bool = True
    images: int = 0
    """Images that every recipe finished; the figures are those of these images."""
    seeds: tuple[int, ...] = ()
    """The figures are means over these; empty: of one seed."""
    rows: tuple[Row, ...]
    """Best first."""
    pairs: tuple[Pair, ...] = ()
    """Every pair, the better recipe's place first, then the worse one's."""
    caution: str = ""
    """What to keep in mind; mostly empty."""
    protocol: dict[str, Protocol] = {}
    """Figure that tells classes apart to how all rows were counted; not there where there is none,
    or no row says."""
    notes: tuple[str, ...] = ()
    """Which figures are not compared, for rows were counted differently, and which rows do not
    say how; not there where there is nothing to tell."""
    failed: dict[str, list[str]] = {}
    """Image to the recipes that failed on it."""
    skipped: tuple[Skipped, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Every figure, the one that it is sorted by first."""
        figures = dict.fromkeys(name for row in self.rows for name in row.scores)
        return sorted(figures, key=lambda name: name != self.metric)


# ---- diagnosis.json ---------------------------------------------------------------------------


class RecipeLosses(ComparisonModel):
    """One recipe: means over images, and 95 % intervals of the parts.

    `selection + prompt + segmenter = 1 − iou` and `saliency + placement = prompt`, each signed; see
    `comparing.losses`.
    """

    recipe: str
    images: int = 0
    iou: Number
    best_candidate: NumberOrNaN = math.nan
    true_point: NumberOrNaN = math.nan
    true_box: NumberOrNaN = math.nan
    selection: Number
    prompt: Number
    saliency: Number
    """The prompt's part on images whose brightest pixel misses the object, over all images."""
    placement: Number
    """The prompt's part on the others, over all images."""
    segmenter: Number
    missed: int = 0
    """On how many images the brightest pixel misses the object."""
    intervals: dict[str, tuple[NumberOrNaN, NumberOrNaN]] = {}
    reading: str = ""
    """What it means, in two sentences."""


class ImageLosses(ComparisonModel):
    """One recipe on one image; all of the prompt's part goes to its cause."""

    name: str
    recipe: str
    iou: Number
    best_candidate: NumberOrNaN = math.nan
    true_point: NumberOrNaN = math.nan
    true_box: NumberOrNaN = math.nan
    cause: str = "placement"
    """What the prompt's part is called: `saliency` or `placement`."""
    selection: Number
    prompt: Number
    segmenter: Number

    @property
    def parts(self) -> dict[str, float]:
        """The three parts, each signed."""
        return {name: getattr(self, name) for name in ("selection", "prompt", "segmenter")}


class TrustBin(ComparisonModel):
    """The images that are judged alike."""

    low: Number
    high: Number
    """Judged from `low` to less than `high`; 1 is in the last one."""
    images: int
    quality: Number
    """As judged, on average."""
    iou: Number
    """As it is, on average."""


class TrustOrder(ComparisonModel):
    """Images from the most to the least trusted by something, and what that is worth."""

    by: str
    """`quality`, `score`, `probability`, or `truth`, the best that there can be."""
    rank_correlation: NumberOrNaN = math.nan
    """Spearman's, with the true IoU; NaN where one of them is the same for all."""
    auc: NumberOrNaN = math.nan
    """How likely an image of a true IoU over 0.8 stands before one that has less."""
    iou: tuple[Number, ...] = ()
    """Mean true IoU of the most trusted `shares` of the images."""


class RecipeTrust(ComparisonModel):
    """How far to trust what is said of one recipe's results; see `comparing.trust`."""

    recipe: str
    images: int = 0
    error: NumberOrNaN = math.nan
    """Mean absolute difference between judged and true IoU; NaN without a judge."""
    bias: NumberOrNaN = math.nan
    """Mean of judged minus true IoU."""
    bins: tuple[TrustBin, ...] = ()
    """Those that hold images."""
    shares: tuple[Number, ...] = ()
    orders: tuple[TrustOrder, ...] = ()
    reading: str = ""
    """What it means, in a sentence."""

    @property
    def judged(self) -> bool:
        """Whether a judge took part."""
        return any(order.by == "quality" for order in self.orders)


class Diagnosis(ComparisonModel):
    """Where recipes lose their IoU, as means and image by image: what diagnosis.json holds."""

    images: int = 0
    recipes: tuple[RecipeLosses, ...]
    rows: tuple[ImageLosses, ...] = ()
    """The worst image first."""
    trust: tuple[RecipeTrust, ...] = ()
    """In the order of the recipes."""
    failed: Mapping[str, Sequence[str]] = Field({}, exclude=True)
    """Image to the recipes that failed on it; in leaderboard.json, not here."""

    def __repr__(self) -> str:
        readings = [*(r.reading for r in self.recipes), *(t.reading for t in self.trust)]
        return "\n".join([f"Diagnosis of {counted(self.images, 'image')}", *filter(None, readings)])

    __str__ = __repr__
