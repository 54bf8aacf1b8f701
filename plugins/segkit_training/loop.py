"""What the training commands have in common: numbered examples, the schedule, checkpoints, output.

Example `i` depends on the seed and `i` alone, so two runs of one seed meet the same examples, and a
run that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from segkit import MissingExtraError

Example = tuple[Tensor, ...]


def need_lightning(what: str, program: bool) -> None:
    """Raise `MissingExtraError` without Lightning; where it is the `program` itself, end it."""
    try:
        import lightning  # noqa: F401
    except ModuleNotFoundError:
        missing = MissingExtraError(what, "Lightning", "train")
        if program:
            raise SystemExit(str(missing)) from None
        raise missing from None


class Examples(Dataset[Example], ABC):
    """The examples of the steps from `start` to `steps`, `batch` in each."""

    def __init__(self, batch: int, seed: int, start: int, steps: int) -> None:
        self.seed = seed
        self.first, self.count = start * batch, (steps - start) * batch

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        return self.example(np.random.default_rng([self.seed, self.first + index]))

    @abstractmethod
    def example(self, rng: np.random.Generator) -> Example:
        """One example; all its randomness comes from `rng`."""


def optimiser(
    parameters: Iterable[nn.Parameter], rate: float, decay: float, warm: int, steps: int
) -> dict[str, Any]:
    """AdamW, as Lightning takes it: `warm` steps of warm-up, then half a cosine down to 2 %."""
    adam = torch.optim.AdamW(list(parameters), lr=rate, weight_decay=decay)

    def share(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
        return min((step + 1) / warm, 1) * (0.98 * cosine + 0.02)

    schedule = torch.optim.lr_scheduler.LambdaLR(adam, share)
    return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def started(checkpoint: Path, resume: bool) -> int:
    """The step to begin with. Raises `UsageError` of Click if there is nothing to resume."""
    if not resume:
        return 0
    if not checkpoint.is_file():
        raise click.UsageError(
            f"--resume was asked for, but there is no checkpoint {checkpoint}; leave it out"
        )
    return int(torch.load(checkpoint, weights_only=True, map_location="cpu")["global_step"])


def fit(
    training: Any,
    examples: Dataset[Example],
    batch: int,
    checkpoint: Path,
    *,
    steps: int,
    every: int,
    resume: bool,
    precision: Any = None,
    processes: int = 1,
    workers: int = 1,
) -> None:
    """Train up to step `steps`, keeping `checkpoint` every so many steps.

    Of several processes, each on a CPU, every one takes `batch` examples in a step, in turn. One
    alone takes a GPU where there is one; `workers` processes make its examples.
    """
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    loader = DataLoader(examples, batch_size=batch, num_workers=workers, prefetch_factor=4)
    keep = ModelCheckpoint(
        dirpath=checkpoint.parent,
        filename=checkpoint.stem,
        every_n_train_steps=every,
        enable_version_counter=False,
    )
    several: dict[str, Any] = {"accelerator": "cpu", "devices": processes, "strategy": "ddp"}
    trainer = lightning.Trainer(
        **(several if processes > 1 else {}),
        max_steps=steps,
        precision=precision,
        callbacks=[keep],
        gradient_clip_val=1.0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(training, loader, ckpt_path=checkpoint if resume else None, weights_only=True)


def save_half(network: nn.Module, path: Path) -> None:
    """Write a network's tensors as safetensors, floating ones as float16."""
    tensors = network.cpu().state_dict()
    halves = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(halves, path)
