"""What a terminal shows of `segkit train`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from segkit.cli.console import Console
from segkit.training.documents import shown_time
from segkit.training.progress import Watcher

if TYPE_CHECKING:
    from segkit.training.progress import Row, TrainingResult


class Screen(Watcher):
    """A bar for the epoch and a line for each that is done; in a pipe the lines alone."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, soft_wrap=True)
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""
        self._epochs = self._examples = self._seen = self._next = 0
        self._since = time.monotonic()

    def reading(self, done: int, total: int) -> None:
        """Images read so far."""
        if self._bar is None:
            self._start("images", total)
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            if done == total:
                self.stop()

    def begins(self, stage: str, epochs: int, examples: int, epoch: int) -> None:
        """A stage begins."""
        self._stage, self._epochs, self._examples, self._next = stage, epochs, examples, epoch
        self._seen, self._since = 0, time.monotonic()

    def step(self, examples: int) -> None:
        """One step further."""
        if self._bar is None:
            self._start(self._label(self._next + 1), self._examples)
        self._seen += examples
        if self._bar is not None:
            self._bar.update(self._task, completed=self._seen)

    def epoch(self, row: Row) -> None:
        """A line for the epoch."""
        self.stop()
        self._next = row["epoch"]
        spent = max(time.monotonic() - self._since, 1e-9)
        figures = "".join(
            f"  {name} {row[key]:.3f}"
            for key, name in (("miou", "mIoU"), ("dice", "Dice"), ("accuracy", "acc"))
            if row[key] is not None
        )
        if not self._quiet:
            self._console.print(
                f"{self._label(row['epoch'])}  loss {row['train_loss']:.4f} "
                f"val {row['validation_loss']:.4f}{figures}  {self._seen / spent:.3g} img/s"
            )
        self._seen, self._since = 0, time.monotonic()

    def _label(self, epoch: int) -> str:
        return f"{self._stage}, epoch {epoch}/{self._epochs}"

    def note(self, text: str) -> None:
        """The sentence."""
        if not self._quiet:
            self._print(text)

    def left_out(self, sentence: str) -> None:
        """The sentence, also where nothing but errors is printed."""
        self._print(f"left out: {sentence}")

    def memory(self, text: str) -> None:
        """The sentence."""
        if not self._quiet:
            self._print(text, "Memory")

    def _print(self, text: str, about: str = "Note") -> None:
        self.stop()
        self._console.print(f"{about}: {text}")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, label: str, total: int) -> None:
        if self._quiet or not self._console.is_terminal:
            return
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total)
        self._bar.start()

    def summary(self, outcome: TrainingResult) -> None:
        """What came of it, on stdout."""
        if self._quiet:
            return
        from rich.table import Table

        console = Console(soft_wrap=True)
        best, pool, path = outcome.best, outcome.pool, outcome.path
        left = f", {len(pool.skipped)} left out" if pool.skipped else ""
        console.print(
            f"{outcome.training} image{'s' * (outcome.training != 1)} trained, "
            f"{outcome.validating} validated{left} · {shown_time(outcome)} · "
            f"epoch {best['epoch']} kept"
        )
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="cyan")
        table.add_column(justify="right")
        for key in ("validation_loss", "miou", "dice", "accuracy"):
            if best[key] is not None:
                table.add_row(key.replace("_", " "), f"{best[key]:.3f}")
        console.print(table)
        console.print(f"weights: {path}")
        console.print(f"curves, card: {path.with_suffix('.png').name}, .svg, .csv, .md")
        console.print(f"use: segkit run --recipe {path.with_suffix('.toml')} PHOTO")
