"""Batches that are too large for the memory, computed in micro-batches whose gradients add up.

A step is the same in any number of micro-batches (gradient accumulation; the micro-batches of Huang
et al. 2019), but for what a network computes over its examples: batch normalisation takes mean and
variance over each micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def split(batch: Sequence[Tensor], images: int) -> list[tuple[Tensor, ...]]:
    """A batch in as few micro-batches of at most so many images as there can be, of equal size.

    Sizes differ by one where the batch is no multiple.
    """
    parts = -(-len(batch[0]) // images)
    return list(zip(*(tensor.tensor_split(parts) for tensor in batch), strict=True))


def normalises(network: nn.Module) -> bool:
    """Whether a network that is in training computes batch statistics."""
    return any(isinstance(m, _BatchNorm) and m.training for m in network.modules())


@contextmanager
def averaging(network: nn.Module, parts: int) -> Iterator[None]:
    """Running averages of batch normalisation go as far in so many micro-batches as in one batch.

    A momentum m becomes 1 − (1 − m)^(1/parts), so that of the averages before a batch 1 − m is
    left after it.
    """
    usual = [
        (module, module.momentum)
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.momentum is not None and parts > 1
    ]
    for module, momentum in usual:
        module.momentum = 1 - (1 - momentum) ** (1 / parts)
    try:
        yield
    finally:
        for module, momentum in usual:
            module.momentum = momentum


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Compute without gradients, and leave averages and random numbers as they were."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    gpus = sorted({p.device.index for p in network.parameters() if p.is_cuda})
    try:
        with torch.no_grad(), torch.random.fork_rng(gpus):
            yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
        torch.clear_autocast_cache()  # rounded weights that were made without gradients have none
