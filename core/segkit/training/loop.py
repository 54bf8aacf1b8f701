"""The training loop, by Lightning: stages, early stopping, checkpoints, going on after a kill.

FILE is the weight file. While training runs there are FILE's best weights so far, and FILE.ckpt (in
place of its suffix) as of the last whole epoch; each is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segkit.errors import MissingExtraError, UsageError
from segkit.memory import memory_of
from segkit.plugins.steps import Dataset
from segkit.plugins.trainable import Trainable, read_trained
from segkit.running.walk import opened
from segkit.training.augment import augmentation
from segkit.training.data import Lessons, Order, Pool, read, split
from segkit.training.documents import write_documents
from segkit.training.losses import Criterion
from segkit.training.progress import State, TrainingResult, Watcher, beside
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
from segkit.values.files import clear_scrap

try:
    import lightning
except ModuleNotFoundError:
    raise MissingExtraError("segkit train", "Lightning", "train") from None

from segkit.training.checkpoints import Keep, WholeFiles
from segkit.training.failures import interruptible, quiet, told
from segkit.training.fitting import fit_stage
from segkit.training.module import Training, number
from segkit.training.stopping import early_stopping, stopped_early

OLD = 3600
"""Seconds after which a half-written file beside the weights is nobody's any more."""

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
) -> TrainingResult:
    """Train a segmenter's network on data sets and write `path`, a .safetensors file.

    Beside it stand the curves (.csv, .png, .svg), a card (.md) and a recipe for `segkit run`
    (.toml). With equal seed, data, options, device, number of threads and micro-batch the result is
    the same. `command` goes into the card.

    Raises `UsageError` for data that nothing can be learnt from and for files that are in the way,
    `SegkitError` where not even one image fits into the memory, and where the loss is no number any
    more or a file cannot be written (the best weights so far are kept), `PluginError` where the
    network fails.
    """
    settings, watch = settings or Settings(), watch or Watcher()
    check_files(path, settings.initial, resume=resume, overwrite=overwrite)
    clear_scrap(path.parent, age=OLD)
    checkpoint = beside(path, ".ckpt")
    going_on = resume and checkpoint.is_file()
    initial = None
    if settings.initial is not None and not going_on:
        initial = read_trained(settings.initial, None)
    size = settings.size or step.train_size
    pool = _pool(step, datasets, settings, size, path.parent, watch)
    state = State(asked_for(step, datasets, settings, size, seed, len(pool)))
    if going_on:
        state = state_of(checkpoint, state)
    elif resume:
        watch.note(f"there is no {checkpoint} to go on from, so training begins")
    with torch.random.fork_rng(), told(path, state, step):
        torch.manual_seed(number(seed, 1))
        network = _network(step, pool, initial, settings, watch)
        training = Stages(step, network, pool, settings, state, path, seed, device, watch)
        training.prepare()
        clear(path, overwrite=overwrite)
        training.run(checkpoint if going_on else None)
    outcome = _outcome(training, step, path)
    with told(path, state, step):
        write_documents(outcome, step, datasets, settings, seed, command)
    for stage in step.stages[:-1]:
        training.file_of(stage).unlink(missing_ok=True)
    checkpoint.unlink(missing_ok=True)
    return outcome


def _outcome(training: Stages, step: Trainable, path: Path) -> TrainingResult:
    """What came of a training that is over."""
    state, pool = training.state, training.pool
    best = state.best(step.stages[-1])
    assert best is not None  # an epoch is over
    return TrainingResult(
        path,
        state.rows,
        best,
        state.seconds / 60,
        pool,
        held=tuple(pool.names[i] for i in training.parts[1]),
        parameters=sum(p.numel() for p in training.network.parameters()),
        micro_batches=state.micro_batches,
        normalised=state.normalised,
        peak=training.memory.peak(),
    )


def _pool(
    step: Trainable,
    datasets: Sequence[Dataset],
    settings: Settings,
    size: int,
    folder: Path,
    watch: Watcher,
) -> Pool:
    """All images, read; what is missing is told."""
    with opened(datasets, "cpu"):
        pool = read(datasets, settings, size, folder, clicks=step.clicks, tell=watch.reading)
    for sentence in pool.skipped:
        watch.left_out(sentence)
    if pool.missing:
        one = len(pool.missing) == 1
        watch.note(
            f"no image shows {', '.join(pool.missing)}; the network has an output for "
            f"{'it' if one else 'each'}, which it learns not to use"
        )
    return pool


def _network(
    step: Trainable,
    pool: Pool,
    initial: tuple[dict[str, Any], dict[str, Tensor]] | None,
    settings: Settings,
    watch: Watcher,
) -> torch.nn.Module:
    """The network as training finds it, with the tensors of an earlier one if there is one."""
    network = step.network(2 if step.clicks else len(pool.classes) + 1)
    if initial is not None and settings.initial is not None:
        said, tensors = initial
        watch.note(begin_with(network, step, said, tensors, settings.initial))
        if not step.clicks and said["plugin"] == step.name:
            say_classes(said["classes"], pool.classes, watch)
    for weight in network.parameters():
        if weight.dim() == 4:  # what convolutions are fastest in
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


# ---- the stages --------------------------------------------------------------------------------


class Stages:
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
        self.memory = memory_of(device)
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

    def prepare(self) -> None:
        """Choose the micro-batches of all stages that are left.

        A training that goes on keeps its own. Raises `SegkitError` where not even one image fits.
        """
        state, batch = self.state, self.settings.batch
        first = state.stage + state.over
        for stage in self.step.stages[first:]:
            before = state.micro_batches.get(stage)
            if before is None and any(row["stage"] == stage for row in state.rows):
                before = batch  # by a version that had all in one pass
            found, normalised = fit_stage(self, stage, before or self.settings.micro_batch)
            self.memory.tidy()
            state.micro_batches[stage] = found.micro_batch
            state.normalised |= normalised
            text = found.sentence(batch, normalised)
            self.watch.memory(f"{stage}: {text}" if len(self.step.stages) > 1 else text)
            if normalised and before is not None and found.micro_batch < min(before, batch):
                self.watch.note(
                    f"before, {before} images were computed at a time, for which memory is short "
                    f"now; with {found.micro_batch} the curve goes on a little differently"
                )

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
        module = Training(self, stage, [*seed, 1])
        end = None
        if settings.minutes is not None:
            left = settings.minutes * 60 - state.stage_from
            end = state.stage_from + left / (len(self.step.stages) - index)
        kind, _, place = self.device.partition(":")
        stop = early_stopping(settings)
        with quiet():
            trainer = lightning.Trainer(
                accelerator="gpu" if kind == "cuda" else kind,
                devices=[int(place)] if place else 1,
                precision="bf16-mixed" if settings.precision == "bfloat16" else "32-true",
                max_epochs=settings.epochs,
                deterministic="warn" if kind == "cuda" else None,
                callbacks=[stop, Keep(self, stage, end, stop)],
                plugins=[WholeFiles()],
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
            with told(self.path, state, self.step), interruptible():
                trainer.fit(
                    module,
                    load(lessons(seed, change), sampler=order),
                    load(lessons([self.seed, 0]), sampler=fixed),
                    ckpt_path=checkpoint,
                    weights_only=True,
                )
        self.network.cpu()
        if stop.stopped_epoch:
            self.watch.note(stopped_early(settings))

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
