"""The documents beside trained weights: curves as CSV and pictures, a card, and a recipe."""

from __future__ import annotations

import csv
import inspect
import io
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import MissingExtraError
from segkit.memory import shown
from segkit.values.files import write_file

if TYPE_CHECKING:
    from segkit.plugins.steps import Dataset
    from segkit.plugins.trainable import Trainable
    from segkit.training.progress import Row, TrainingResult
    from segkit.training.settings import Settings

COLUMNS = (
    *("stage", "epoch", "train_loss", "validation_loss", "miou", "dice", "accuracy", "seconds"),
)
"""Of the CSV file, a line for each epoch."""

MOST_HELD = 30
"""So many validating images are named in the card."""

FIGURES = {"miou": "mean IoU", "dice": "mean Dice", "accuracy": "accuracy"}
"""Column to its name in card and picture."""

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
"""Colours that the colour-blind can tell apart (Okabe and Ito)."""


def write_documents(
    outcome: TrainingResult,
    step: Trainable,
    datasets: Sequence[Dataset],
    settings: Settings,
    seed: int,
    command: str,
) -> None:
    """Write all of them; the recipe comes last, as the sign that the training is finished."""
    path = outcome.path
    write_curves(path, outcome.rows)
    for kind, content in pictures(outcome.rows, path.stem).items():
        write_file(path.with_suffix(f".{kind}"), content, sync=True)
    text = card(outcome, step, datasets, settings, seed, command)
    write_file(path.with_suffix(".md"), text.encode("utf-8", "replace"), sync=True)
    write_file(path.with_suffix(".toml"), recipe(outcome, step, settings, seed).encode(), sync=True)


def write_curves(path: Path, rows: Sequence[Row]) -> None:
    """Write the CSV file of a weight file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path.with_suffix(".csv"), text.getvalue().encode(), sync=True)


def pictures(rows: Sequence[Row], title: str) -> dict[str, bytes]:
    """The curves as PNG and SVG: losses on the left, figures on the right, a row for each stage."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        raise MissingExtraError("the picture of the curves", "matplotlib", "train") from None

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure = Figure(figsize=(8, 3.2 * len(stages)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(stages), 2, squeeze=False)
    for stage, (left, right) in zip(stages, axes, strict=True):
        some = [row for row in rows if row["stage"] == stage]
        epochs = [row["epoch"] for row in some]
        mark = "o" if len(some) == 1 else None
        for key, colour in (("train_loss", BLUE), ("validation_loss", ORANGE)):
            name = key.replace("_loss", "").replace("train", "training")
            left.plot(epochs, [row[key] for row in some], color=colour, marker=mark, label=name)
        best = min(some, key=lambda row: row["validation_loss"])
        left.set_ylabel(f"loss ({stage})")
        for (key, name), colour in zip(FIGURES.items(), (BLUE, ORANGE, GREEN), strict=True):
            if some[0][key] is not None:
                right.plot(
                    epochs, [row[key] for row in some], color=colour, marker=mark, label=name
                )
        if some[0]["miou"] is None:
            right.axis("off")
        else:
            right.set_ylim(0, 1)
            right.set_ylabel("on the validating images")
        for one in (left, right) if some[0]["miou"] is not None else (left,):
            one.axvline(best["epoch"], color="0.6", linestyle=":", label="kept")
            one.set_xlabel("epoch")
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
            one.grid(color="0.9")
            one.legend(fontsize="small")
    made = {}
    with matplotlib.rc_context({"svg.hashsalt": "segkit"}):  # the same curves, the same file
        for kind, said in (("png", {"Software": None}), ("svg", {"Date": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=120, metadata=said)
            made[kind] = content.getvalue()
    return made


def shown_time(outcome: TrainingResult) -> str:
    """How long it took."""
    if outcome.minutes < 1:
        return f"{outcome.minutes * 60:.0f} seconds"
    return f"{outcome.minutes:.1f} minutes"


def card(
    outcome: TrainingResult,
    step: Trainable,
    datasets: Sequence[Dataset],
    settings: Settings,
    seed: int,
    command: str,
) -> str:
    """What the weights are, as Markdown."""
    import torch

    pool = outcome.pool
    about = (inspect.getdoc(type(step)) or step.name).split("\n\n")[0].replace("\n", " ")
    options = ", ".join(f"{k} {v}" for k, v in step.settings().items()) or "none"
    lines = [
        f"# {outcome.path.stem}",
        "",
        f"Weights of the segmenter `{step.name}`: {about[0].lower()}{about[1:]}",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {outcome.parameters:,} |",
        f"| options | {_cell(options)} |",
        f"| input | {pool.pixels.shape[1]} px, the whole image squeezed |",
        f"| classes | {_cell(', '.join(('background', *pool.classes)))} |",
        f"| seed | {seed} |",
        f"| batch | {_batch(outcome, settings)} |",
        *([f"| memory | {shown(outcome.peak)} at the peak |"] if outcome.peak else []),
        f"| time | {shown_time(outcome)}, {len(outcome.rows)} epochs |",
        f"| torch | {torch.__version__} |",
        "",
        "## Data",
        "",
        f"{outcome.training} images trained, {outcome.validating} validated"
        f"{f', {len(pool.skipped)} were left out' if pool.skipped else ''}.",
        "",
    ]
    lines += [*_data(outcome, datasets), *_figures(outcome, step)]
    kept = settings.model_dump(mode="json", exclude_none=True)
    lines += [
        "## Settings",
        "",
        ", ".join(f"{k} {v}" for k, v in kept.items() if v != []) + ".",
        "",
        f"    {command or 'segkit.training.loop.train(...)'}",
        "",
        "To use it:",
        "",
        f"    segkit run --recipe {shlex.quote(outcome.path.with_suffix('.toml').name)} photo.jpg",
        "",
        f"![Curves]({outcome.path.with_suffix('.png').name})",
        "",
    ]
    return "\n".join(lines)


def _data(outcome: TrainingResult, datasets: Sequence[Dataset]) -> list[str]:
    """The card's list of what was trained on and what was not."""
    pool = outcome.pool
    lines: list[str] = []
    for dataset in datasets:
        given = dataset.model_dump(mode="json", exclude_none=True)
        lines.append(f"- `{dataset.name}`: {', '.join(f'{k} {v}' for k, v in given.items())}")
    held = outcome.held[:MOST_HELD]
    more = f" and {len(outcome.held) - MOST_HELD} more" if len(outcome.held) > MOST_HELD else ""
    lines.append(f"- validated on: {', '.join(held)}{more}")
    lines += [f"- left out: {sentence}" for sentence in pool.skipped]
    if pool.missing:
        lines.append(f"- in no image: {', '.join(pool.missing)}")
    return lines


def _figures(outcome: TrainingResult, step: Trainable) -> list[str]:
    """The card's figures, of all classes and of each."""
    best, pool = outcome.best, outcome.pool
    shares = pool.counts.sum(0) / max(pool.counts.sum(), 1)
    names = ("background", *pool.classes)
    lines = [
        "",
        "## Figures",
        "",
        f"On the validating images, {pool.pixels.shape[1]} px, at epoch {best['epoch']}, whose "
        "weights were kept.",
        "",
        "| figure | |",
        "|---|---:|",
        f"| validation loss | {best['validation_loss']:.4f} |",
        *(
            f"| {name} | {best[key]:.3f} |"
            for key, name in FIGURES.items()
            if best[key] is not None
        ),
        "",
    ]
    if best["classes"] and not step.clicks:
        lines += ["| class | share of pixels | IoU |", "|---|---:|---:|"]
        lines += [
            f"| {_cell(name)} | {share:.3f} | {'–' if iou is None else f'{iou:.3f}'} |"
            for name, share, iou in zip(names, shares, best["classes"], strict=True)
        ]
        lines.append("")
    return lines


def _batch(outcome: TrainingResult, settings: Settings) -> str:
    """In which micro-batches a batch was computed."""
    sizes = {stage: n for stage, n in outcome.micro_batches.items() if n < settings.batch}
    if not sizes:
        return f"{settings.batch}"
    each = [
        f"{n}{f' ({stage})' if len(outcome.micro_batches) > 1 else ''}"
        for stage, n in sizes.items()
    ]
    text = f"{settings.batch}, in micro-batches of {' and '.join(each)}"
    if outcome.normalised:
        text += "; batch normalisation takes its averages over each of them"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def recipe(outcome: TrainingResult, step: Trainable, settings: Settings, seed: int) -> str:
    """What `segkit run --recipe` takes."""
    import torch

    from segkit.running.recipe_record import to_toml

    options: dict[str, Any] = step.model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    weights = {"weights": str(outcome.path.resolve())}
    trained = settings.model_dump(mode="json", exclude_none=True)
    return to_toml(
        {
            "segmenter": [{"name": step.name, **options, **weights}],
            "record": {
                "made": time.strftime("%Y-%m-%d"),
                "torch": torch.__version__,
                "seed": seed,
                "train": trained,
                "micro_batches": outcome.micro_batches,
            },
        }
    )
