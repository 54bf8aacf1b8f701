"""What is kept of each epoch: its row, its weights if they are the best, and the checkpoint."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from segkit.plugins.trainable import trained_bytes
from segkit.training.documents import write_curves
from segkit.training.progress import beside
from segkit.values.files import write_file

if TYPE_CHECKING:
    from segkit.training.loop import Stages


class Keep(Checkpoint):
    """Notes each epoch, keeps its weights if they are the best, and the checkpoint.

    A `Checkpoint`, so that it comes after early stopping has looked at the epoch.
    """

    def __init__(self, stages: Stages, stage: str, end: float | None, stop: EarlyStopping) -> None:
        self.stages, self.stage, self.end, self.stop = stages, stage, end, stop
        self.before = stages.state.seconds

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """The clock runs."""
        self.stop.patience = self.stages.settings.patience  # a checkpoint brings its own
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Of training so far, all stages."""
        return self.before + time.monotonic() - self.started

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The epoch ends when the time is up; it is validated as it is."""
        if self.end is not None and self.seconds > self.end:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Write the row, the weights if they are better, and the checkpoint."""
        module.look()
        state, stages = self.stages.state, self.stages
        best = state.best(self.stage)
        losses = torch.stack(module.losses).cpu().double()
        state.seconds = self.seconds
        row = {
            "stage": self.stage,
            "epoch": trainer.current_epoch + 1,
            "train_loss": float(losses.mean()),
            **module.row,
            "seconds": round(state.seconds, 2),
        }
        # Weights come first: after a kill between the two the epoch is simply done again.
        if best is None or row["validation_loss"] < best["validation_loss"]:
            content = trained_bytes(
                stages.step, stages.network.state_dict(), stages.pool.classes, stages.size
            )
            write_file(stages.file_of(self.stage), content, sync=True)
        state.rows.append(row)
        state.over = trainer.should_stop or row["epoch"] >= trainer.max_epochs
        trainer.save_checkpoint(beside(stages.path, ".ckpt"))
        write_curves(stages.path, state.rows)
        stages.watch.epoch(row)


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Replace the file when the new one is complete."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_file(Path(path), content.getvalue(), sync=True)
