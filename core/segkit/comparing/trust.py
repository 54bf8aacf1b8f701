"""How far to trust what is said of results without a truth, by images that have one.

Three things say of a result how good it is: a judge (its quality), the segmenter (its score) and
the prompts (how sure they are of the class). Each puts the images in an order. Measured are

- reliability: images that are judged alike, and how good they are on average, in ten bins; the mean
  absolute error and the bias of the quality as an estimate of the IoU;
- Spearman's rank correlation of each with the true IoU, and the area under the ROC curve for
  telling an IoU over 0.8;
- risk and coverage (El-Yaniv and Wiener, "On the foundations of noise-free selective
  classification", 2010): the mean IoU of the most trusted share of the images, beside the order by
  the truth, which nothing can beat. Images that are trusted alike count as if drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.records import RecipeTrust, TrustBin, TrustOrder
from segkit.running.records import LossNotes
from segkit.running.walk import Outcome
from segkit.values.types import Masks

Values = NDArray[np.float64]

BINS = 10
"""Of equal width, from 0 to 1."""

GOOD = 0.8
"""A result is good whose IoU is greater."""

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Of the images, the most trusted first."""

ORDERS = {"quality": "the judge", "score": "the segmenter's score", "probability": "the class"}
"""What says how good a result is, and what it is called."""


def trusted(outcome: Outcome) -> dict[str, float | None]:
    """What is said of an image's result: `quality`, `score` and `probability`, each 0 to 1 or None.

    Means over the pixels of its masks, 0 where there is none.
    """
    masks = outcome.masks
    if masks is None:
        return dict.fromkeys(ORDERS)
    asked = [prompt.score for prompt in outcome.prompts or ()]
    sure = np.array([asked[place] for place in masks.prompt]) if asked else None
    return {
        "quality": masks.overall,
        "score": _mean(masks, masks.scores),
        "probability": None if sure is None else _mean(masks, sure),
    }


def _mean(masks: Masks, values: NDArray[np.floating]) -> float:
    areas = masks.areas.astype(np.float64)
    return float((values * areas).sum() / areas.sum()) if areas.any() else 0.0


def recipe_trust(recipe: str, notes: Sequence[LossNotes]) -> RecipeTrust:
    """What one recipe's images say, from what was noted of them.

    Only what is there for every image makes an order; an older run's notes have none of it.
    """
    true = np.array([note.iou for note in notes], float)
    said: dict[str, Values] = {}
    for name in ORDERS:
        values = [getattr(note, name) for note in notes]
        if values and None not in values:
            said[name] = np.array(values, float)
    if not said:
        return RecipeTrust(recipe=recipe, images=len(notes))
    orders = tuple(_order(name, values, true) for name, values in (*said.items(), ("truth", true)))
    trust = RecipeTrust(recipe=recipe, images=len(notes), shares=SHARES, orders=orders)
    if "quality" in said:
        off = said["quality"] - true
        trust = trust.model_copy(
            update={
                "error": float(np.abs(off).mean()),
                "bias": float(off.mean()),
                "bins": _bins(said["quality"], true),
            }
        )
        trust = trust.model_copy(update={"reading": _reading(trust, said["quality"], true)})
    return trust


def _order(by: str, values: Values, true: Values) -> TrustOrder:
    return TrustOrder(
        by=by,
        rank_correlation=rank_correlation(values, true),
        auc=auc(values, true > GOOD),
        iou=coverage(values, true),
    )


def rank_correlation(one: Values, other: Values) -> float:
    """Spearman's, equals with their mean rank; NaN where one of them is the same for all."""
    from scipy.stats import rankdata

    ranks = rankdata(one), rankdata(other)
    if any(len(row) < 2 or np.ptp(row) == 0 for row in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def auc(values: Values, good: NDArray[np.bool_]) -> float:
    """How likely a good one has the greater value (Hanley and McNeil 1982); NaN without both."""
    from scipy.stats import rankdata

    many, rest = int(good.sum()), int((~good).sum())
    if not (many and rest):
        return math.nan
    above = rankdata(values)[good].sum() - many * (many + 1) / 2
    return float(above / (many * rest))


def coverage(values: Values, true: Values) -> tuple[float, ...]:
    """The mean of `true` over the share of greatest `values`, for each of `SHARES`."""
    alike = {value: float(true[values == value].mean()) for value in np.unique(values).tolist()}
    order = np.argsort(-values, kind="stable")
    expected = np.array([alike[value] for value in values[order].tolist()])
    counts = (max(1, round(share * len(true))) for share in SHARES)
    return tuple(float(expected[:count].mean()) for count in counts)


def _bins(quality: Values, true: Values) -> tuple[TrustBin, ...]:
    places = np.minimum((quality * BINS + 1e-9).astype(int), BINS - 1)
    return tuple(
        TrustBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            images=int((places == place).sum()),
            quality=float(quality[places == place].mean()),
            iou=float(true[places == place].mean()),
        )
        for place in range(BINS)
        if (places == place).any()
    )


def _reading(trust: RecipeTrust, quality: Values, true: Values) -> str:
    """What it means, in a sentence."""
    of: Mapping[str, TrustOrder] = {order.by: order for order in trust.orders}
    others = [
        f"{words} {of[name].rank_correlation:.2f}"
        for name, words in ORDERS.items()
        if name in of and name != "quality" and math.isfinite(of[name].rank_correlation)
    ]
    correlation = of["quality"].rank_correlation
    known = math.isfinite(correlation)
    ranks = f", and its rank correlation with the truth is {correlation:.2f}" if known else ""
    beside = f" ({', '.join(others)})" if known and others else ""
    return (
        f"{trust.recipe} is judged {quality.mean():.3f} and is {true.mean():.3f}: the judge is off "
        f"by {trust.error:.3f} an image{ranks}{beside}; its best-judged half is "
        f"{of['quality'].iou[-1]:.3f}, by the truth that would be {of['truth'].iou[-1]:.3f}."
    )
