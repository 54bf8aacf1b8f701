"""How many images are computed at a time: by what one takes, measured, and the memory there is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import default_collate

from segkit.errors import SegkitError
from segkit.memory import Memory, out_of_memory, shown
from segkit.training.data import Lessons
from segkit.training.micro_batches import normalises
from segkit.training.module import confusion_of, examples_of

if TYPE_CHECKING:
    from segkit.training.loop import Stages

SHARE = 0.8
"""Of the memory that is free, what micro-batches may take by what was measured of two images."""

SHARE_WANTED = 0.9
"""The same, where a number of images is wanted."""


@dataclass(frozen=True)
class Fit:
    """How a batch is computed; bytes, None where they are not known."""

    micro_batch: int
    """Most images at a time."""
    image: int | None = None
    """What one image takes."""
    needed: int | None = None
    """What training takes at most, beyond what there was before."""
    free: int | None = None
    """What there was for it."""

    def sentence(self, batch: int, normalised: bool) -> str:
        """What the user is told; `normalised`: by batches."""
        text = f"batch of {batch} in one pass"
        if self.micro_batch < batch:
            images = f"{self.micro_batch} image{'s' * (self.micro_batch > 1)}"
            text = f"batch of {batch} in micro-batches of {images}"
            if normalised:
                text += ", over which batch normalisation takes its averages"
        if self.image is None or self.needed is None or self.free is None:
            return f"{text}; how much memory that takes is not known here"
        return (
            f"{text}; up to {shown(self.needed)} at the peak ({shown(self.image)} an image), "
            f"{shown(self.free)} are free"
        )


@dataclass(frozen=True)
class Need:
    """What training takes beside the images at work, in bytes."""

    kept: int
    """All the time: gradients are there already, Adam's two moments come with the first step."""
    written: int
    """At the end of an epoch, when no image is at work: copies of what is written."""


class NoRoomError(Exception):
    """Not even one image fits into what is free; `network`: nor does the network alone."""

    def __init__(self, free: int, network: bool = False) -> None:
        super().__init__("out of memory")
        self.free, self.network = free, network

    def sentence(self, name: str, size: int, device: str) -> str:
        """What the user is told about the segmenter of this name, at `size` px."""
        where = "of memory" if device == "cpu" else f"of the GPU's memory ({device})"
        what = "for a single image"
        advice = f"lower --train.size, such as to {size // 2}, choose a smaller network"
        if self.network:
            what = "for its weights and the optimiser"
            advice = "choose options that make a smaller network"
        other = "" if device == "cpu" else ", or train with --device cpu"
        return (
            f"training {name} at {size} px needs more {what} than the {shown(self.free)} {where} "
            f"that are free; {advice}, or end other programs{other}"
        )


def fit(
    compute: Callable[[int], None],
    batch: int,
    memory: Memory,
    need: Need,
    wanted: int | None = None,
) -> Fit:
    """How many images of a batch fit into the memory at a time: all, half, a quarter and so on.

    `compute(n)` does with n images what training and validation do. One image is measured, then two
    if they fit: what is allocated once for all images, or in the first call, weighs less then.
    `wanted`: most images at a time, in place of the batch. Raises `NoRoomError`, and what `compute`
    raises.
    """
    images, share = (batch, SHARE) if wanted is None else (min(wanted, batch), SHARE_WANTED)
    free = memory.free()
    if free is None:
        return Fit(images)
    if need.kept + need.written > free:
        raise NoRoomError(free, network=True)
    least, image = _measured(compute, batch, memory, free)
    if image is None:
        return Fit(images, free=free)
    room = free - need.kept
    if least * image > room:
        raise NoRoomError(free)
    if images > least == 1 and 2 * image <= room:
        image = _of_two(compute, memory) or image
    while images > least and images * image > share * room:
        images = max(-(-images // 2), least)
    return Fit(images, image, need.kept + max(images * image, need.written), free)


def _measured(
    compute: Callable[[int], None], batch: int, memory: Memory, free: int
) -> tuple[int, int | None]:
    """How many images are the least at a time, and what each takes.

    That is one, but for a network that normalises a single value, which takes two.
    """
    least = 1
    while True:
        try:
            taken = memory.taken(partial(compute, least))
        except Exception as error:
            if out_of_memory(error):
                raise NoRoomError(free) from None
            if least == min(batch, 2):
                raise
            least = 2
        else:
            return least, None if taken is None else taken // least


def _of_two(compute: Callable[[int], None], memory: Memory) -> int | None:
    """What each of two images takes; None where both do not fit."""
    try:
        taken = memory.taken(partial(compute, 2))
    except Exception as error:
        if out_of_memory(error):
            return None
        raise
    return None if taken is None else taken // 2


# ---- the trial -----------------------------------------------------------------------------------


class _Trial:
    """A copy of the network that does what training and validation do, and is thrown away."""

    def __init__(self, stages: Stages, stage: str) -> None:
        self.stages, self.stage = stages, stage
        self.network = copy.deepcopy(stages.network)
        stages.step.begin(self.network, stage)
        self.network.to(stages.device).train()
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        for weight in self.trained:
            weight.grad = torch.zeros_like(weight)
        # Threads begin before memory is limited: OpenMP ends the process where one cannot.
        torch.zeros(torch.get_num_threads() << 15).add_(1)
        self.lessons = Lessons(stages.pool, [stages.seed, 0], clicks=stages.step.clicks)

    def need(self) -> Need:
        """Adam's moments; and on the CPU copies of what a checkpoint holds."""
        moments = 2 * sum(p.nbytes for p in self.trained)
        weights = sum(value.nbytes for value in self.network.state_dict().values())
        return Need(moments, weights + moments if self.stages.device == "cpu" else 0)

    def __call__(self, images: int) -> None:
        """Train on so many images, and validate them."""
        some = [self.lessons[place, place] for place in range(images)]
        batch = [tensor.to(self.stages.device) for tensor in default_collate(some)]
        self.network.train()
        loss, _ = self._loss(batch)
        torch.autograd.backward(loss)
        del loss, _
        self.network.eval()
        with torch.no_grad():
            _, logits = self._loss(batch)
            if logits is not None:
                confusion_of(logits, examples_of(batch).target)

    def _loss(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        stages, kind = self.stages, self.stages.device.partition(":")[0]
        rounded = stages.settings.precision == "bfloat16"
        with torch.autocast(kind, torch.bfloat16) if rounded else nullcontext():
            return stages.step.loss(self.network, self.stage, examples_of(batch), stages.criterion)


def fit_stage(stages: Stages, stage: str, wanted: int | None) -> tuple[Fit, bool]:
    """How the batches of a stage fit, and whether it normalises by batches.

    A network that cannot be copied is not measured. Raises `SegkitError` where not even one image
    fits, and what the network raises.
    """
    batch, memory = stages.settings.batch, stages.memory
    free = memory.free()
    try:
        trial = _Trial(stages, stage)
    except Exception as error:
        if free is None or not out_of_memory(error):
            return Fit(min(wanted or batch, batch)), normalises(stages.network.train())
        no_room = NoRoomError(free, network=True)
    else:
        try:
            return fit(trial, batch, memory, trial.need(), wanted), normalises(
                trial.network.train()
            )
        except NoRoomError as error:
            no_room = error
    raise SegkitError(no_room.sentence(stages.step.name, stages.size, stages.device))
