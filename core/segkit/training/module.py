"""One step's loss, the figures of an epoch, and the optimiser, as Lightning calls for them.

Lightning's own accumulation of gradients divides by a fixed number of micro-batches, which is wrong
for the last batch of an epoch and where pixels are void, and cannot change within a batch; so the
module optimises by hand (`automatic_optimization`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import lightning
import numpy as np
import torch
from torch import Tensor

from segkit.errors import SegkitError
from segkit.memory import out_of_memory
from segkit.plugins.trainable import Examples
from segkit.training.failures import kept
from segkit.training.losses import Criterion, MicroBatchCriterion
from segkit.training.micro_batches import averaging, split, untouched
from segkit.training.progress import Row
from segkit.values.types import VOID

if TYPE_CHECKING:
    from segkit.training.loop import Stages

LOOK = 10
"""Steps between looks at the loss on a GPU, where each look makes it wait."""

T = TypeVar("T")


def number(*seeds: int) -> int:
    """One seed of several."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


def examples_of(batch: Sequence[Tensor]) -> Examples:
    """What `Lessons` gives, in a batch, as the network takes it."""
    pixels, target = batch[0].float() / 255, batch[1].long()
    if len(batch) == 2:
        return Examples(pixels, target)
    # two clicks an image
    return Examples(pixels.repeat_interleave(2, 0), target.flatten(0, 1), batch[2].flatten(0, 1))


def confusion_of(logits: Tensor, target: Tensor) -> Tensor:
    """The matrix (K, K) of pixels by true and by found class; void ones are left out."""
    count = logits.shape[1]
    counted = target != VOID
    pairs = target[counted] * count + logits.argmax(1)[counted]
    return torch.bincount(pairs, minlength=count * count).view(count, count).cpu()


class Training(lightning.LightningModule):
    """One step's loss, the figures of an epoch, and the optimiser."""

    def __init__(self, stages: Stages, stage: str, seed: Sequence[int]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = stages.network
        self.stages, self.stage, self.seed = stages, stage, seed
        self.losses: list[Tensor] = []
        self.looked = 0
        self.fresh()

    def fresh(self) -> None:
        """Nothing validated yet."""
        self.validation: list[tuple[Tensor, int]] = []
        self.confusion: Tensor | None = None

    def configure_optimizers(self) -> Any:
        """Adam on what the stage trains."""
        rate = self.stages.settings.rate or self.usual_rate
        return torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=rate)

    @property
    def usual_rate(self) -> float:
        """The stage's learning rate, unless `--train.rate` says otherwise."""
        step = self.stages.step
        return step.stage_rates.get(self.stage, step.train_rate)

    # ---- a batch -------------------------------------------------------------------------------

    def training_step(self, batch: Sequence[Tensor], index: int) -> None:
        """One batch, and the optimiser's step."""
        if not index:  # Lightning's own hook is left out in the first epoch after a restart
            self.losses, self.looked = [], 0
            # Randomness inside the network depends on the epoch, not on what was before.
            torch.manual_seed(number(*self.seed, self.current_epoch))
        loss = self._fitting(self._gradients, batch)
        self.losses.append(loss)
        if loss.device.type == "cpu" or len(self.losses) % LOOK == 0:
            self.look()
        self.optimizers().step()

    def _gradients(self, batch: Sequence[Tensor]) -> Tensor:
        """The loss of a batch; the network has its gradients."""

        def learn(loss: Tensor, logits: Tensor | None, examples: Examples) -> Tensor:
            with self._unrounded(loss):
                self.manual_backward(loss)
            self.stages.watch.step(len(examples.pixels) // (1 if examples.points is None else 2))
            return loss.detach()

        self.optimizers().zero_grad()
        with averaging(self.network, len(self._split(batch))):
            return torch.stack(self._each(batch, learn)).sum()

    def _unrounded(self, loss: Tensor) -> AbstractContextManager[Any]:
        """Gradients are computed as the forward pass was, not rounded once more."""
        if self.stages.settings.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(loss.device.type, enabled=False)

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        """The loss and the confusion matrix of one batch."""
        loss, confusion = self._fitting(self._figures, batch)
        self.validation.append((loss, len(batch[0])))
        if confusion is not None:
            self.confusion = confusion if self.confusion is None else self.confusion + confusion

    def _figures(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        def look(
            loss: Tensor, logits: Tensor | None, examples: Examples
        ) -> tuple[Tensor, Tensor | None]:
            return loss, None if logits is None else confusion_of(logits, examples.target)

        losses, matrices = zip(*self._each(batch, look), strict=True)
        made = [matrix for matrix in matrices if matrix is not None]
        return torch.stack(losses).sum(), torch.stack(made).sum(0) if made else None

    def _split(self, batch: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        return split(batch, self.stages.state.micro_batches[self.stage])

    def _each(
        self, batch: Sequence[Tensor], use: Callable[[Tensor, Tensor | None, Examples], T]
    ) -> list[T]:
        """What `use` makes of each micro-batch: of its part of the loss, its logits, and itself.

        The parts add up to the loss of the batch.
        """
        parts = self._split(batch)
        if len(parts) == 1:
            return [self._one(parts[0], self.stages.criterion, 1.0, use)]
        criterion = self._criterion(batch, parts)
        shares = [len(part[0]) / len(batch[0]) for part in parts]
        return [self._one(p, criterion, s, use) for p, s in zip(parts, shares, strict=True)]

    def _one(
        self,
        part: Sequence[Tensor],
        criterion: Criterion,
        share: float,
        use: Callable[[Tensor, Tensor | None, Examples], T],
    ) -> T:
        """What `use` makes of a micro-batch; what was allocated for it is free afterwards."""
        examples = examples_of(part)
        loss, logits = self._loss(examples, criterion)
        return use(loss * share, logits, examples)

    def _loss(self, examples: Examples, criterion: Criterion) -> tuple[Tensor, Tensor | None]:
        criterion.begin(examples.target)
        return self.stages.step.loss(self.network, self.stage, examples, criterion)

    def _criterion(self, batch: Sequence[Tensor], parts: list[tuple[Tensor, ...]]) -> Criterion:
        """The criterion that knows of the whole batch what its micro-batches need."""
        target = batch[1].flatten(0, 1) if len(batch) > 2 else batch[1]
        criterion = MicroBatchCriterion(self.stages.criterion, target)
        if criterion.collects:
            with untouched(self.network), criterion.collecting():
                for part in parts:
                    self._loss(examples_of(part), criterion)
                    if not criterion.sums:  # a stage that asks for no class map's loss
                        break
        return criterion

    def _fitting(self, compute: Callable[[Sequence[Tensor]], T], batch: Sequence[Tensor]) -> T:
        """The result of `compute`, in smaller micro-batches as often as memory runs out."""
        micro_batches, images = self.stages.state.micro_batches, len(batch[0])
        while True:
            before = min(micro_batches[self.stage], images)
            try:
                return compute(batch)
            except Exception as error:
                if before == 1 or not out_of_memory(error):
                    raise
            # Here, where the error no longer holds what was allocated.
            self.stages.memory.tidy()
            micro_batches[self.stage] = -(-before // 2)
            self.stages.watch.note(
                f"memory ran out with {before} images at a time; it goes on with "
                f"{micro_batches[self.stage]} (--train.micro-batch)"
            )

    # ---- an epoch ------------------------------------------------------------------------------

    def look(self) -> None:
        """Stop where a loss is no number."""
        some = self.losses[self.looked :]
        if some and not torch.stack(some).isfinite().all():
            bad = next(i for i, loss in enumerate(some) if not loss.isfinite())
            step = self.looked + bad + 1
            self.stop_at(f"in step {step} of epoch {self.current_epoch + 1}")
        self.looked = len(self.losses)

    def stop_at(self, where: str) -> None:
        """Say that the loss is lost."""
        rate = self.stages.settings.rate or self.usual_rate
        lower = rate / 10 if rate < 0.1 else self.usual_rate
        raise SegkitError(
            f"the loss is no finite number any more {where} of stage '{self.stage}'; "
            f"{kept(self.stages.path, self.stages.state, self.stages.step)}: train again with a "
            f"lower --train.rate, such as {lower:g}, or another --train.loss"
        )

    def on_validation_epoch_end(self) -> None:
        """Add up."""
        losses, counts = zip(*self.validation, strict=True)
        share = torch.tensor(counts, dtype=torch.float64)
        mean = float((torch.stack(losses).cpu().double() * share).sum() / share.sum())
        if not np.isfinite(mean):
            self.look()
            self.stop_at(f"when epoch {self.current_epoch + 1} is validated,")
        self.row: Row = {"validation_loss": mean, **figures(self.confusion)}
        self.log("validation_loss", torch.tensor(mean))
        self.fresh()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """How far it is."""
        checkpoint["segkit"] = json.dumps(vars(self.stages.state))


def figures(confusion: Tensor | None) -> Row:
    """IoU and Dice as means over the classes, and accuracy, of a matrix (true, found) of pixels.

    A class that is neither there nor found is left out of the means.
    """
    if confusion is None or not confusion.sum():
        return {"miou": None, "dice": None, "accuracy": None, "classes": []}
    right = confusion.diagonal().double()
    both = confusion.sum(0).double() + confusion.sum(1).double()
    there = both > 0
    iou = right / (both - right).clamp(min=1)
    return {
        "miou": float(iou[there].mean()),
        "dice": float((2 * right / both.clamp(min=1))[there].mean()),
        "accuracy": float(right.sum() / confusion.sum()),
        "classes": [
            float(value) if ok else None for value, ok in zip(iou, there.tolist(), strict=True)
        ],
    }
