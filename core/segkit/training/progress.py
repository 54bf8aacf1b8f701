"""How far a training is, what came of it, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segkit.training.data import Pool

Row = dict[str, Any]
"""One epoch: `stage`, `epoch` from 1, `train_loss`, `validation_loss`; `miou`, `dice` and
`accuracy` on the validating images (None in a stage that makes no class maps), `classes` (IoU of
background and of each class, None for one that was neither there nor found); `seconds` of training
so far."""


class Watcher:
    """What a training tells; override what is of interest."""

    def reading(self, done: int, total: int) -> None:
        """So many images are read."""

    def memory(self, text: str) -> None:
        """In how many micro-batches a stage computes a batch, and what memory that takes."""

    def begins(self, stage: str, epochs: int, examples: int, epoch: int) -> None:
        """A stage begins: most epochs, examples in each, and the epoch that is next, from 0."""

    def step(self, examples: int) -> None:
        """The network has seen so many more examples."""

    def epoch(self, row: Row) -> None:
        """An epoch is done."""

    def note(self, text: str) -> None:
        """Something that the user should know, as a sentence."""

    def left_out(self, sentence: str) -> None:
        """Why an image cannot be used."""
        self.note(f"left out: {sentence}")


@dataclass
class State:
    """How far a training is; the part of a checkpoint that is not Lightning's."""

    asked: dict[str, Any]
    stage: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    """Of training, validation included."""
    stage_from: float = 0.0
    """The seconds at which the stage began."""
    over: bool = False
    """Whether the stage has ended."""
    micro_batches: dict[str, int] = field(default_factory=dict)
    """Stage to the most images at a time."""
    normalised: bool = False
    """Whether the network normalises by batches, in any stage."""

    def best(self, stage: str) -> Row | None:
        """The epoch of a stage with the least validation loss, the first of equal ones."""
        rows = [row for row in self.rows if row["stage"] == stage]
        return min(rows, key=lambda row: row["validation_loss"], default=None)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: where its weights are, its curves, and what it learnt from."""

    path: Path
    """The file of the weights, those of the best epoch."""
    rows: list[Row] = field(repr=False)
    """The curves, an epoch each."""
    best: Row
    """The epoch whose weights were kept."""
    minutes: float
    """Of training, validation included."""
    pool: Pool = field(repr=False)
    """The images that it learnt from; `pool.skipped` says why others were left out."""
    held: tuple[str, ...] = field(repr=False)
    """The names of the images that validated."""
    parameters: int
    micro_batches: dict[str, int] = field(default_factory=dict)
    """Stage to the most images at a time; the gradients of a batch's micro-batches are summed."""
    normalised: bool = False
    """Whether the network normalises by batches."""
    peak: int | None = None
    """Bytes of memory that the process, or on a GPU torch, has had at most; None if unknown."""

    @property
    def validating(self) -> int:
        """How many images validated."""
        return len(self.held)

    @property
    def training(self) -> int:
        """How many images trained."""
        return len(self.pool) - len(self.held)


def beside(path: Path, suffix: str) -> Path:
    """The file of this suffix that belongs to a weight file."""
    return path.with_suffix(suffix)
