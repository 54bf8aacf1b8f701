"""One forward pass that stops its gradient at one layer: what every class activation map needs.

The layer's output is cut from the graph and made a leaf, so the backward pass runs from the class
scores down to that layer and no further; parameters need no gradient at all. The hook is taken
off whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segkit_plugins.shared.scripted import ScriptedLayer


def find_layer(network: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path. Raises `LookupError` if there is none."""
    found = dict(network.named_modules()).get(path)
    if found is None or not path:
        raise LookupError(path)
    return found


def scores_at(network: nn.Module, path: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Class scores (B, K) and the layer's output (B, C, h, w), a leaf that the scores depend on.

    `path` is the layer's dotted name. Raises `LookupError` if there is no such layer, it takes no
    part or gives no map of features.
    """
    if isinstance(network, torch.jit.ScriptModule):
        return _scripted(network, path, pixels)
    layer = find_layer(network, path)
    kept: list[Tensor] = []

    def cut(_: nn.Module, __: Any, output: Any) -> Any:
        if not torch.is_tensor(output) or output.dim() != 4:
            raise LookupError("it gives no map (B, C, h, w)")
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = layer.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            scores = network(pixels)
    finally:
        handle.remove()
    if not kept:
        raise LookupError("the network does not use it")
    return scores, kept[-1]


def _scripted(network: nn.Module, path: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The same for TorchScript, whose programs heed no hooks."""
    layer = ScriptedLayer(network, path)
    with torch.no_grad():
        output, passed = layer.before(pixels)
    if not torch.is_tensor(output) or output.dim() != 4:
        raise LookupError("it gives no map (B, C, h, w)")
    leaf = output.detach().requires_grad_()
    with torch.enable_grad():
        return layer.after(leaf, passed), leaf


def class_maps(
    scores: Tensor,
    activations: Tensor,
    targets: list[list[int]],
    combine: Callable[[Tensor, Tensor], Tensor],
) -> list[list[Tensor]]:
    """For each image the map (h, w) of each of its target classes.

    `combine` makes (B, h, w) of activations and gradients, both (B, C, h, w): the method itself.
    The first target of all images shares one backward pass, and so on.
    """
    made: list[list[Tensor]] = [[] for _ in targets]
    most = max((len(t) for t in targets), default=0)
    for turn in range(most):
        rows = [i for i, t in enumerate(targets) if turn < len(t)]
        total = torch.stack([scores[i, targets[i][turn]] for i in rows]).sum()
        (gradient,) = torch.autograd.grad(total, activations, retain_graph=turn + 1 < most)
        maps = combine(activations.detach(), gradient)
        for i in rows:
            made[i].append(maps[i])
    return made
