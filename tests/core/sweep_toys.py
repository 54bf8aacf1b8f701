"""The folder of a sweep and a diagnosis, written by hand."""

from __future__ import annotations

import json

from report_toys import line, write_run


def estimate(mean, half=0.01):
    return {"mean": mean, "low": mean - half, "high": mean + half}


BOARD = {
    "metric": "iou",
    "higher_is_better": True,
    "images": 3,
    "caution": "36 pairs were compared: about 2 of them would seem to differ by chance",
    "rows": [
        {
            "recipe": "grid",
            "options": {"prompt": "centroid-grid"},
            "words": "shapes > gradcam > centroid-grid > sam",
            "scores": {"distance": estimate(12.5, 2), "iou": estimate(0.8)},
            "seconds": {"sam": 0.2, "gradcam": 0.1},
            "images": 3,
            "failed": 0,
            "verdict": "grid beats topk by 0.100 ± 0.020 iou",
        },
        {
            "recipe": "topk",
            "words": "shapes > gradcam > topk > sam",
            "scores": {"iou": estimate(0.7), "distance": {"mean": None}},
        },
    ],
    "pairs": [
        {"better": "grid", "worse": "topk", "metric": "iou", "difference": 0.1, "low": 0.08,
         "high": 0.12, "distinguishable": True, "sentence": "grid beats topk by a tenth"},
        {"better": "grid", "worse": "gone"},
    ],
    "skipped": [{"recipe": "box", "reason": "box needs 'heatmap', and nothing makes one"}],
}  # fmt: skip

PARTS = {"selection": 0.05, "prompt": 0.1, "segmenter": 0.05, "saliency": 0.12, "placement": -0.02}

DIAGNOSIS = {
    "images": 3,
    "recipes": [
        {"recipe": "grid", "iou": 0.8, "best_candidate": 0.85, "true_point": 0.95,
         "true_box": None, "intervals": {"selection": [0.03, 0.07]},
         "reading": "grid loses most to the saliency. Try another layer.", **PARTS},
    ],
    "rows": [
        {"name": f"i{n}", "recipe": "grid", "iou": n / 10, "best_candidate": n / 10,
         "true_point": 1, "true_box": 1, "selection": 0, "prompt": 1 - n / 10, "segmenter": 0,
         "cause": "saliency" if n % 2 else "placement"}
        for n in (2, 0, 1)
    ],
}  # fmt: skip


SUMMARY = {
    "scores": {"iou": 0.5},
    "figures": {"distance": {"lower_is_better": True, "unit": "px"}},
}


def write_sweep(folder, recipes=("topk", "grid"), board=BOARD, diagnosis=None, **more):
    """Runs with three images; grid is best at i0 and topk at i2."""
    for place, recipe in enumerate(recipes):
        rows = [line(f"i{n}", scores={"iou": abs(n - 2 * place) / 2}) for n in range(3)]
        write_run(folder / "recipes" / recipe, rows, summary=SUMMARY, **more)
    for name, found in (("leaderboard", board), ("diagnosis", diagnosis)):
        if found is not None:
            (folder / f"{name}.json").write_text(
                found if isinstance(found, str) else json.dumps(found), encoding="utf-8"
            )
    return folder
