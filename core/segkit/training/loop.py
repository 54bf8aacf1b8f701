"""The training loop, by Lightning: stages, early stopping, checkpoints, going on after a kill.

FILE is the weight file. While training runs there are FILE's best weights so far, and FILE.ckpt (in
place of its suffix) as of the last whole epoch; each is written whole or not at all.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segkit.errors import (
    MissingExtraError,
    PluginError,
    SegkitError,
    UsageError,
    error_line,
    plugin_code,
)
from segkit.plugins.contract import named
from segkit.plugins.steps import Dataset
from segkit.plugins.trainable import Examples, Trainable, read_trained, trained_bytes, write_whole
from segkit.running.walk import opened
from segkit.training.augment import augmentation
from segkit.training.data import Lessons, Order, Pool, read, split
from segkit.training.losses import Criterion
from segkit.training.papers import write_curves, write_papers
from segkit.training.progress import Outcome, Row, State, Watcher, beside
from segkit.training.settings import Settings, terms_of
from segkit.training.starting import (
    asked_for,
    begin_with,
    check_files,
    class_weights,
    clear,
    say_classes,
    state_of,
)
from segkit.values.types import VOID

try:
    import lightning
    from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
    from lightning.pytorch.plugins.io import TorchCheckpointIO
except ModuleNotFoundError:
    raise MissingExtraError("segkit train", "Lightning", "train") from None

LOOK = 10
"""Steps between looks at the loss on a GPU, where each look makes it wait."""

FEW = 3
"""Steps in an epoch below which a smaller batch is advised."""


def train(
    step: Trainable,
    datasets: Sequence[Dataset],
    path: Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    watch: Watcher | None = None,
) -> Outcome:
    """Train a segmenter's network on data sets and write `path`, a .safetensors file.

    Beside it stand the curves (.csv, .png, .svg), a card (.md) and a recipe for `segkit run`
    (.toml). With equal seed, data, options, device and number of threads the result is the same.
    `command` goes into the card.

    Raises `UsageError` for data that nothing can be learnt from and for files that are in the way,
    `SegkitError` where the loss is no number any more or a file cannot be written (the best weights
    so far are kept), `PluginError` where the network fails.
    """
    settings, watch = settings or Settings(), watch or Watcher()
    check_files(path, settings.initial, resume=resume, overwrite=overwrite)
    checkpoint = beside(path, ".ckpt")
    going_on = resume and checkpoint.is_file()
    initial = None
    if settings.initial is not None and not going_on:
        initial = read_trained(settings.initial, None)
    size = settings.size or step.train_size
    with opened(datasets, "cpu"):
        pool = read(datasets, settings, size, path.parent, clicks=step.clicks, tell=watch.reading)
    for sentence in pool.skipped:
        watch.left_out(sentence)
    if pool.missing:
        one = len(pool.missing) == 1
        watch.note(
            f"no image shows {', '.join(pool.missing)}; the network has an output for "
            f"{'it' if one else 'each'}, which it learns not to use"
        )
    state = State(asked_for(step, datasets, settings, size, seed, len(pool)))
    if going_on:
        state = state_of(checkpoint, state)
    elif resume:
        watch.note(f"there is no {checkpoint} to go on from, so training begins")
    with torch.random.fork_rng(), _told(path, state, step):
        torch.manual_seed(_number(seed, 1))
        network = step.network(2 if step.clicks else len(pool.classes) + 1)
        if initial is not None and settings.initial is not None:
            said, tensors = initial
            watch.note(begin_with(network, step, said, tensors, settings.initial))
            if not step.clicks and said["plugin"] == step.name:
                say_classes(said["classes"], pool.classes, watch)
        for weight in network.parameters():
            if weight.dim() == 4:  # what convolutions are fastest in
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        training = _Stages(step, network, pool, settings, state, path, seed, device, watch)
        clear(path, overwrite=overwrite)
        training.run(checkpoint if going_on else None)
    best = state.best(step.stages[-1])
    assert best is not None
    parameters = sum(p.numel() for p in network.parameters())
    held = tuple(pool.names[i] for i in training.parts[1])
    outcome = Outcome(path, state.rows, best, state.seconds / 60, pool, held, parameters)
    with _told(path, state, step):
        write_papers(outcome, step, datasets, settings, seed, command)
    for stage in step.stages[:-1]:
        training.file_of(stage).unlink(missing_ok=True)
    checkpoint.unlink(missing_ok=True)
    return outcome


def _number(*seeds: int) -> int:
    """One seed of several."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


# ---- the stages --------------------------------------------------------------------------------


class _Stages:
    """One stage after the other, each from the best weights of the one before."""

    def __init__(
        self,
        step: Trainable,
        network: torch.nn.Module,
        pool: Pool,
        settings: Settings,
        state: State,
        path: Path,
        seed: int,
        device: str,
        watch: Watcher,
    ) -> None:
        self.step, self.network, self.pool, self.settings = step, network, pool, settings
        self.state, self.path, self.seed, self.device, self.watch = state, path, seed, device, watch
        self.size = pool.pixels.shape[1]
        self.parts = split(len(pool), settings.split, seed)
        if step.clicks and settings.class_weights:
            raise UsageError(
                f"{step.name} learns what lies under a click, not classes; leave out "
                "--train.class-weights"
            )
        self.criterion = Criterion(
            terms_of(settings.loss), class_weights(settings, pool), settings.gamma, each=step.clicks
        )

    def file_of(self, stage: str) -> Path:
        """Where the best weights of a stage are kept."""
        if stage == self.step.stages[-1]:
            return self.path
        return self.path.with_name(f"{self.path.stem}-{stage}{self.path.suffix}")

    def run(self, checkpoint: Path | None) -> None:
        """All stages, or those that are left."""
        for index, stage in enumerate(self.step.stages):
            if index >= self.state.stage:
                if index > self.state.stage:
                    self.state.stage, self.state.over, checkpoint = index, False, None
                    self.state.stage_from = self.state.seconds
                if not self.state.over:
                    self._one(index, stage, checkpoint)
                self._load(stage)

    def _load(self, stage: str) -> None:
        """Put the best weights of a stage into the network."""
        from safetensors.torch import load_file

        path = self.file_of(stage)
        if not path.is_file():
            raise UsageError(
                f"{path}, which held the best weights of stage '{stage}', is gone; bring it back, "
                "or train again with --overwrite"
            )
        self.network.load_state_dict(load_file(path))

    def _one(self, index: int, stage: str, checkpoint: Path | None) -> None:
        settings, state = self.settings, self.state
        self.step.begin(self.network, stage)
        images, held = self.parts
        seed = [self.seed, index + 1]
        order = Order(images, self.pool.counts, seed, settings.balance)
        lessons = partial(Lessons, self.pool, clicks=self.step.clicks)
        load = partial(_loader, batch=settings.batch, workers=self._workers(), device=self.device)
        fixed = [(int(image), int(image)) for image in held]
        change = augmentation(settings, self.size)
        module = _Training(self, stage, [*seed, 1])
        end = None
        if settings.minutes is not None:
            left = settings.minutes * 60 - state.stage_from
            end = state.stage_from + left / (len(self.step.stages) - index)
        kind, _, number = self.device.partition(":")
        stop = EarlyStopping(
            "validation_loss",
            min_delta=settings.delta,
            patience=settings.patience,
            check_finite=False,
        )
        with _quiet():
            trainer = lightning.Trainer(
                accelerator="gpu" if kind == "cuda" else kind,
                devices=[int(number)] if number else 1,
                precision="bf16-mixed" if settings.precision == "bfloat16" else "32-true",
                max_epochs=settings.epochs,
                deterministic="warn" if kind == "cuda" else None,
                callbacks=[stop, _Keep(self, stage, end, stop)],
                plugins=[_Whole()],
                num_sanity_val_steps=0,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            done = sum(row["stage"] == stage for row in state.rows)
            steps = -(-len(order) // settings.batch)
            if steps < FEW and not done:
                self.watch.note(
                    f"an epoch has {steps} step{'s' * (steps > 1)} of --train.batch "
                    f"{settings.batch}; with so few images a smaller batch and a larger "
                    "--train.patience learn more"
                )
            self.watch.begins(stage, settings.epochs, len(order), done)
            with _told(self.path, state, self.step), _interruptible():
                trainer.fit(
                    module,
                    load(lessons(seed, change), sampler=order),
                    load(lessons([self.seed, 0]), sampler=fixed),
                    ckpt_path=checkpoint,
                    weights_only=True,
                )
        self.network.cpu()
        if stop.stopped_epoch:
            self.watch.note(
                f"stopped early, since the validation loss has not fallen for {settings.patience} "
                f"epoch{'s' * (settings.patience > 1)} (--train.patience)"
            )

    def _workers(self) -> int:
        import multiprocessing
        import os

        if "fork" not in multiprocessing.get_all_start_methods():
            return 0  # images would be copied to each process
        if self.settings.workers is not None:
            return self.settings.workers
        return 0 if self.device == "cpu" else min(8, (os.cpu_count() or 1) - 1)


def _loader(
    lessons: Lessons, *, sampler: Any, batch: int, workers: int, device: str
) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(
        lessons,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        pin_memory=device.startswith("cuda"),
    )


class _Training(lightning.LightningModule):
    """One step's loss, the figures of an epoch, and the optimiser."""

    def __init__(self, stages: _Stages, stage: str, seed: Sequence[int]) -> None:
        super().__init__()
        self.network = stages.network
        self.stages, self.stage, self.seed = stages, stage, seed
        self.losses: list[Tensor] = []
        self.seen = 0
        self.looked = 0
        self.fresh()

    def fresh(self) -> None:
        """Nothing validated yet."""
        self.validation: list[tuple[Tensor, int]] = []
        self.confusion: Tensor | None = None

    def configure_optimizers(self) -> Any:
        """Adam on what the stage trains."""
        rate = self.stages.settings.rate or self.stages.step.train_rate
        return torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=rate)

    def _loss(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor | None, Examples]:
        pixels, target = batch[0].float() / 255, batch[1].long()
        points = None
        if len(batch) > 2:  # two clicks an image
            pixels, target = pixels.repeat_interleave(2, 0), target.flatten(0, 1)
            points = batch[2].flatten(0, 1)
        examples = Examples(pixels, target, points)
        loss, logits = self.stages.step.loss(
            self.network, self.stage, examples, self.stages.criterion
        )
        return loss, logits, examples

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        """The loss of one batch."""
        if not index:  # Lightning's own hook is left out in the first epoch after a restart
            self.losses, self.looked = [], 0
            # Randomness inside the network depends on the epoch, not on what was before.
            torch.manual_seed(_number(*self.seed, self.current_epoch))
        loss, _, _ = self._loss(batch)
        self.losses.append(loss.detach())
        if loss.device.type == "cpu" or len(self.losses) % LOOK == 0:
            self.look()
        self.stages.watch.step(len(batch[0]))
        return loss

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
        usual = self.stages.step.train_rate
        rate = self.stages.settings.rate or usual
        lower = rate / 10 if rate < 0.1 else usual
        raise SegkitError(
            f"the loss is no finite number any more {where} of stage '{self.stage}'; "
            f"{_kept(self.stages.path, self.stages.state, self.stages.step)}: train again with a "
            f"lower --train.rate, such as {lower:g}, or another --train.loss"
        )

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        """The loss and the confusion matrix of one batch."""
        loss, logits, examples = self._loss(batch)
        self.validation.append((loss.detach(), len(batch[0])))
        if logits is None:
            return
        count = logits.shape[1]
        counted = examples.target != VOID
        pairs = examples.target[counted] * count + logits.argmax(1)[counted]
        matrix = torch.bincount(pairs, minlength=count * count).view(count, count).cpu()
        self.confusion = matrix if self.confusion is None else self.confusion + matrix

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


class _Keep(Checkpoint):
    """Notes each epoch, keeps its weights if they are the best, and the checkpoint.

    A `Checkpoint`, so that it comes after early stopping has looked at the epoch.
    """

    def __init__(self, stages: _Stages, stage: str, end: float | None, stop: EarlyStopping) -> None:
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
            write_whole(stages.file_of(self.stage), content)
        state.rows.append(row)
        state.over = trainer.should_stop or row["epoch"] >= trainer.max_epochs
        trainer.save_checkpoint(beside(stages.path, ".ckpt"))
        write_curves(stages.path, state.rows)
        stages.watch.epoch(row)


class _Whole(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Replace the file when the new one is complete."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getvalue())


# ---- what goes wrong ---------------------------------------------------------------------------


def _kept(path: Path, state: State, step: Trainable) -> str:
    """What there is after all."""
    best = state.best(step.stages[-1])
    if best is None:
        return "no weights are kept yet"
    return f"{path} holds the best weights so far, of epoch {best['epoch']}"


@contextmanager
def _told(path: Path, state: State, step: Trainable) -> Iterator[None]:
    """Tell what goes wrong in a sentence."""
    try:
        with plugin_code():
            yield
    except SegkitError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        found = "the disk is full" if full else f"{error.strerror or error}"
        mend = "make room" if full else "mend that"
        on = "go on with --resume" if state.rows else "train again with --overwrite"
        raise SegkitError(
            f"writing {path} and what goes with it stopped ({found}); "
            f"{_kept(path, state, step)}: {mend} and {on}"
        ) from error
    except Exception as error:  # a plugin's network may raise anything
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "out of memory" in text or "can't allocate memory" in text:
            advice = "there is too little memory; lower --train.batch or --train.size"
            raise SegkitError(f"training {step.name} stopped: {advice} ({text[:80]})") from error
        raise PluginError(
            f"training {named(step)} stopped: {error_line(error)[:200]}; {_kept(path, state, step)}"
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl+C as Python has it: Lightning ends the process and lets no second one through."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise  # a plugin's
        raise KeyboardInterrupt from None
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's talk left out, and torch's switches as they were."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    strict = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
