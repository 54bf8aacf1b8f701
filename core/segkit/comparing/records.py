"""The columns and keys of leaderboard.json, diagnosis.json and robustness.json, as models.

Each key stands here once: what is found out is put into these, written and read through them. A
figure that there is not is NaN here and null in the file. Reading takes files that lack almost
everything, of older versions or by other hands.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from segkit.kinds import MAIN_FIGURE
from segkit.running.records import FileModel, Number


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
    """diagnosis.json: every recipe's losses, as means and image by image."""

    images: int = 0
    recipes: tuple[RecipeLosses, ...]
    rows: tuple[ImageLosses, ...] = ()
    """The worst image first."""
    trust: tuple[RecipeTrust, ...] = ()
    """In the order of the recipes."""
    failed: Mapping[str, Sequence[str]] = Field({}, exclude=True)
    """Image to the recipes that failed on it; in leaderboard.json, not here."""


# ---- robustness.json --------------------------------------------------------------------------

CHAIN = ("heatmap_drift", "prompt_moved", "prompt_moved_share", "mask_lost", "true_iou")
"""What is noted of each damaged image, beside the metrics' counts."""


class Level(ComparisonModel):
    """One recipe under one kind of damage at one level: means over images."""

    level: int
    figure: Estimate = Estimate()
    change: Estimate = Estimate()
    """The figure minus that at level 0, image by image."""
    scores: dict[str, Number] = {}
    """Every metric's figures."""
    heatmap_drift: Estimate | None = None
    """1 − correlation with the heatmap of level 0; None where there is no heatmap."""
    prompt_moved: Estimate | None = None
    """How far points and boxes moved, in pixels; None where there are none."""
    prompt_moved_share: Estimate | None = None
    """The same as a share of the image's diagonal."""
    mask_lost: Estimate | None = None
    """1 − IoU with the foreground of level 0; None where there is none."""
    true_iou: Estimate | None = None
    """IoU of the foreground with the truth, over images that have an object; None without."""


class DamageCurve(ComparisonModel):
    """One recipe under one kind of damage."""

    recipe: str
    perturbation: str
    images: int = 0
    """Those that every recipe has finished at every level; the figures are theirs."""
    points: tuple[Level, ...] = Field(min_length=1)
    """From level 0 up."""
    area: Estimate = Estimate()
    """The mean height of the curve, in the figure's own unit."""
    kept: Estimate = Estimate()
    """The area over the figure at level 0."""
    gives_way: dict[str, int | None] = {}
    """Stage to the first level at which it has given way; None: it has not, or is not there."""
    gives_way_first: str | None = None
    """The stage that gives way first; of two at one level the earlier."""


class DamageKind(ComparisonModel):
    """A perturbation that was asked for."""

    name: str
    damages: str = "image"
    """`image` or `prompts`."""
    options: dict[str, Any] = {}
    summary: str = ""


class RecipeRobustness(ComparisonModel):
    """One recipe, over all kinds of damage that every recipe has."""

    recipe: str
    words: str = ""
    """Its steps in a row."""
    mean_area: NumberOrNaN = math.nan
    mean_kept: NumberOrNaN = math.nan
    reading: str = ""
    """What it means, in a sentence or two."""


class ExamplePicture(ComparisonModel):
    """An example of damage: a file in the folder."""

    image: str
    recipe: str = ""
    file: str
    perturbation: str | None = None
    level: int = 0


class DamageFailure(ComparisonModel):
    """An image that failed; at level 0 as it is, else under this damage."""

    image: str
    recipe: str = ""
    perturbation: str | None = None
    level: int = 0
    error: str | None = None


class Robustness(ComparisonModel):
    """robustness.json: what recipes bear."""

    figure: str = MAIN_FIGURE
    higher_is_better: bool = True
    levels: int = Field(ge=0)
    """The greatest level."""
    images: int = 0
    limits: dict[str, Number] = {}
    """Stage to where it has given way."""
    perturbations: tuple[DamageKind, ...] = ()
    recipes: tuple[RecipeRobustness, ...]
    """The best first."""
    curves: tuple[DamageCurve, ...]
    pictures: tuple[ExamplePicture, ...] = ()
    failed: tuple[DamageFailure, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def failed_images(self) -> dict[str, list[str]]:
        """Image to the recipes that failed on it, damaged or not."""
        recipes: dict[str, dict[str, None]] = {}
        for failure in self.failed:
            recipes.setdefault(failure.image, {})[failure.recipe] = None
        return {image: list(names) for image, names in recipes.items()}

    def curves_of(self, recipe: str) -> list[DamageCurve]:
        """A recipe's curves, the most harmful kind of damage first."""
        return most_harmful_first(
            [curve for curve in self.curves if curve.recipe == recipe], self.higher_is_better
        )

    def to_csv(self) -> str:
        """One row for each recipe, kind of damage and level."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        scores = dict.fromkeys(
            name for curve in self.curves for point in curve.points for name in point.scores
        )
        others = [name for name in scores if name != self.figure]
        names = (self.figure or "figure", "change", *CHAIN)
        heads = [name + end for name in names for end in ("", "_low", "_high")]
        writer.writerow(["recipe", "perturbation", "level", "images", *heads, *others])
        for curve in self.curves:
            for point in curve.points:
                cells: list[float | str] = []
                for name in ("figure", "change", *CHAIN):
                    estimate: Estimate = getattr(point, name) or Estimate()
                    ends = (estimate.mean, estimate.low, estimate.high)
                    cells += ["" if math.isnan(end) else end for end in ends]
                cells += [point.scores.get(name, "") for name in others]
                writer.writerow(
                    [curve.recipe, curve.perturbation, point.level, curve.images, *cells]
                )
        return out.getvalue()


def most_harmful_first(curves: Sequence[DamageCurve], higher_is_better: bool) -> list[DamageCurve]:
    """Curves by their area, the worst first; those without one last."""
    sign = 1 if higher_is_better else -1

    def place(curve: DamageCurve) -> float:
        return sign * curve.area.mean if math.isfinite(curve.area.mean) else math.inf

    return sorted(curves, key=place)
