"""What a terminal shows of a run; all of it watches through hooks."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from segkit.hookspecs import hookimpl


class Progress:
    """A bar with images per second and time left on a terminal; in a pipe a line an image.

    Of several recipes each image counts once for each of them.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = self._recipes = 0

    @hookimpl
    def segkit_before_run(self, recipes: Sequence[str], images: int, done: int) -> None:
        """Show the bar."""
        self._recipes = len(recipes)
        self._total, self._done = images * len(recipes), done
        if not self._console.is_terminal:
            return
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _Rate(),
            progress.TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(
            "loading models", total=self._total, completed=self._done, rate_from=self._done
        )
        self._bar.start()

    @hookimpl
    def segkit_before_image(self, name: str) -> None:
        """Name the image in the bar."""
        if self._bar is not None:
            self._bar.update(self._task, description=_short(name, 24))

    @hookimpl
    def segkit_after_image(self, name: str, recipe: str, result: Mapping[str, Any]) -> None:
        """One further."""
        self._further(name, recipe, f"{sum(result['seconds'].values()):.2f} s")

    @hookimpl
    def segkit_image_failed(self, name: str, recipe: str, error: str) -> None:
        """One further, though it failed."""
        self._further(name, recipe, "failed")

    @hookimpl
    def segkit_run_failed(self, error: Exception) -> None:
        """Take the bar away, so that the error stands on its own line."""
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _further(self, name: str, recipe: str, text: str) -> None:
        self._done += 1
        if self._bar is not None:
            label = _short(name, 24) if self._recipes == 1 else _short(f"{name} · {recipe}", 36)
            self._bar.update(self._task, advance=1, description=label)
        elif not self._console.is_terminal:
            label = name if self._recipes == 1 else f"{name} · {recipe}"
            print(f"{self._done}/{self._total} {label} {text}", file=sys.stderr)  # noqa: T201


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _Rate() -> Any:  # noqa: N802  # makes a column, and rich is imported late
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        """Images per second since the start of this run."""

        def render(self, task: Task) -> Text:
            done = task.completed - task.fields["rate_from"]
            rate = done / task.elapsed if task.elapsed else 0.0
            return Text(f"{rate:.1f} img/s" if rate >= 1 or not done else f"{1 / rate:.1f} s/img")

    return Rate()


class Failures:
    """Each failed image on stderr, as one sentence."""

    def __init__(self, *, debug: bool = False) -> None:
        self._debug = debug
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @hookimpl
    def segkit_step_failed(self, error: Exception) -> None:
        """The stack trace, if it was asked for."""
        if self._debug:
            traceback.print_exception(error)

    @hookimpl
    def segkit_image_failed(self, name: str, recipe: str, error: str) -> None:
        """The sentence."""
        text = error if name in error else f"{name}: {error}"
        self._console.print(f"failed: {text}")


class Trace:
    """Each step's call on stderr: image, what came out, time."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @hookimpl
    def segkit_after_step(self, step: Any, image: Any, output: Any, seconds: float) -> None:
        """Print one line."""
        self._console.print(
            f"{step.kind:9} {step.name:14} {image.name}: {describe(output)}  {seconds:.3f} s"
        )


def describe(value: Any) -> str:
    """A value in a few words: shapes and ranges."""
    from segkit.types import Heatmap, Labels, Masks, Prompts

    if isinstance(value, tuple):
        return ", ".join(describe(v) for v in value) or "nothing"
    if isinstance(value, Heatmap):
        v = value.values
        reach = f"{v.min():.2f} to {v.max():.2f}" if v.size else "empty"
        return f"heatmap {v.shape[1]}x{v.shape[0]}, {reach}, {value.name or 'no class'}"
    if isinstance(value, Prompts):
        points = sum(len(p.points) for p in value)
        boxes = sum(p.box is not None for p in value)
        return f"{len(value)} prompts with {points} points, {boxes} boxes"
    if isinstance(value, Masks):
        covered = [round(float(m.mean()), 3) for m in value.masks]
        return f"{len(value)} masks covering {covered}, scores {value.scores.round(3).tolist()}"
    if isinstance(value, Labels):
        return f"labels {value.ids.shape[1]}x{value.ids.shape[0]}, classes {dict(value.classes)}"
    return str(value) if isinstance(value, (dict, Path)) else type(value).__name__


def print_summary(
    summary: Mapping[str, Any], directory: Path, page: Path | None, recipe: str
) -> None:
    """The figures and where the files are."""
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    images, failed = summary["images"], summary["failed"]
    plural = "" if images == 1 else "s"
    console.print(f"{images} image{plural}{f', {failed} failed' if failed else ''} · {recipe}")
    if summary["scores"]:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="cyan")
        table.add_column(justify="right")
        for name, value in summary["scores"].items():
            table.add_row(name, f"{value:.1f} px" if name == "distance" else f"{value:.3f}")
        console.print(table)
        if failed:
            console.print("failed images are left out of the figures")
    good = max(images - failed, 1)
    spent = "  ".join(
        f"{step} {seconds / good:.3f}"
        for step, seconds in summary["seconds"].items()
        if seconds / good >= 0.0005
    )
    console.print(f"seconds per image: {spent}", style="dim")
    console.print(f"masks and pictures: {directory}", soft_wrap=True)
    if page is not None:
        console.print(f"report: {page}", soft_wrap=True)
