"""Looking at one layer of a network: its map of features, and the class scores that follow from it.

The layer's output is cut from the graph and made a leaf, so a backward pass runs from the class
scores down to that layer and no further. Parameters are meant to be frozen; then the forward pass
up to the layer keeps nothing for a gradient and costs what it costs without one.

A vision transformer's layers give tokens in place of a map; those of the picture's patches are laid
out as the grid that they come from, and the others (class, registers) are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from segkit_plugins.saliency._maps import MOST_OTHER_TOKENS, Layer
from segkit_plugins.saliency._scripted import ScriptedLayer

Look: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Pixels (B, 3, S, S) → class scores (B, K) and the layer's map (B, C, h, w), a leaf that they
depend on. Raises `LookupError` with the reason where the layer gives no such map."""

NO_MAP = "it gives no map (images, channels, height, width)"

FIRST_NORMS = ("norm1", "ln_1", "layernorm_before", "layer_norm1")
"""What the first normalisation of a transformer's block is called; its last one is where token
maps are best looked at, for behind it the class token takes from the patches once more."""


def as_map(output: Any, images: int) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
    """A layer's output for B `images` as a map (B, C, h, w), and the way back; None if it is none.

    Maps with their channels last, as Swin has them, and rows of tokens (B, n, C) count too. What
    has more rows than there are images, such as one for each head of an attention, does not.
    """
    if not torch.is_tensor(output) or not output.is_floating_point():
        return None
    if not output.dim() or len(output) != images:
        return None
    if output.dim() == 4:
        _, first, second, third = output.shape
        if second != third and first == second > 1:
            return output.permute(0, 3, 1, 2), lambda features: features.permute(0, 2, 3, 1)
        return output, lambda features: features
    if output.dim() != 3:
        return None
    count = output.shape[1]
    side = math.isqrt(count)
    others = count - side**2
    if side < 2 or others > MOST_OTHER_TOKENS:
        return None
    kept = output[:, :others].detach()

    def back(features: Tensor) -> Tensor:
        return torch.cat([kept, features.flatten(2).transpose(1, 2)], dim=1)

    patches = output[:, others:].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], side, side), back


def look_at(network: nn.Module, path: str) -> Look:
    """A look at the layer with this dotted name. Raises `LookupError` if it cannot be had."""
    if isinstance(network, torch.jit.ScriptModule):
        return _scripted(network, path)
    layer = dict(network.named_modules()).get(path) if path else None
    if layer is None:
        raise LookupError("there is none of that name")

    def look(pixels: Tensor) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []

        def cut(_: nn.Module, __: Any, output: Any) -> Tensor:
            laid = as_map(output, len(pixels))
            if laid is None:
                raise LookupError(NO_MAP)
            features, back = laid
            # A layer that runs several times counts with its last run.
            kept[:] = [features.detach().requires_grad_()]
            # A copy: what follows may work in place, which a leaf does not allow.
            return back(kept[0].clone())

        with _hooked(layer, cut), torch.enable_grad():
            scores = network(pixels)
        if not kept:
            raise LookupError("the network does not use it")
        return scores, kept[0]

    return look


@contextmanager
def _hooked(layer: nn.Module, hook: Any) -> Iterator[None]:
    """A forward hook on the layer that is taken off whatever happens."""
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _scripted(network: nn.Module, path: str) -> Look:
    """The same for TorchScript, whose programs heed no hooks."""
    layer = ScriptedLayer(network, path)

    def look(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            output, passed = layer.before(pixels)
        if not torch.is_tensor(output) or output.dim() != 4 or len(output) != len(pixels):
            raise LookupError(NO_MAP)
        leaf = output.detach().requires_grad_()
        with torch.enable_grad():
            return layer.after(leaf.clone(), passed), leaf

    return look


def layers_of(network: nn.Module, picture: Tensor) -> list[Layer]:
    """The layers that give a map larger than a pixel, in the order in which they finish.

    A layer that stands on its own comes before the block that it ends.
    """
    if isinstance(network, torch.jit.ScriptModule):
        tried = (_try(network, name, picture) for name in _inside_out(network))
        return [layer for layer in tried if layer]
    finished: dict[str, Any] = {}
    single = {name for name, module in network.named_modules() if not list(module.children())}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            finished.pop(name, None)
            finished[name] = output

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            hooks.enter_context(_hooked(module, note(name)))
        network(picture)
    modules = dict(network.named_modules())
    count = max(sum(name in single for name in finished), 1)
    layers: list[Layer] = []
    done = 0
    for name, output in finished.items():
        done += name in single
        laid = as_map(output, len(picture))
        if name and laid is not None and _is_map(laid[0]):
            layers.append(_layer(name, laid[0], done / count, modules[name]))
    return layers


def default_layer(network: nn.Module, picture: Tensor) -> str | None:
    """The last layer with convolutions that gives a map; of a transformer its last first norm.

    In a network of convolutions that is its last block. A transformer has convolutions only at
    its beginning: what lies in a network's first half is no default. None if there is neither.
    """
    if isinstance(network, torch.jit.ScriptModule):
        outside_in = reversed(list(_inside_out(network)))
        tried = (_try(network, name, picture) for name in outside_in)
        return next((layer.name for layer in tried if layer and layer.convolves), None)
    late = [x for x in layers_of(network, picture) if x.done >= 0.5]
    names = [x.name for x in late if x.convolves]
    names = names or [x.name for x in late if x.name.rpartition(".")[2] in FIRST_NORMS]
    return names[-1] if names else None


def _is_map(output: Any) -> bool:
    """Whether it is (B, C, h, w) with h = w > 1, as a square picture gives it."""
    if not torch.is_tensor(output) or output.dim() != 4:
        return False
    return bool(output.shape[2] == output.shape[3] > 1)


def _layer(name: str, output: Tensor, done: float, module: nn.Module) -> Layer:
    convolves = any(p.dim() == 4 for p in module.parameters())
    return Layer(name, output.shape[1], (output.shape[2], output.shape[3]), done, convolves)


def _inside_out(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """The dotted names of all modules, each after those inside it."""
    for name, child in module.named_children():
        yield from _inside_out(child, f"{prefix}{name}.")
        yield f"{prefix}{name}"


def _try(network: nn.Module, name: str, picture: Tensor) -> Layer | None:
    """A TorchScript network's layer if it can be looked at and gives a map."""
    try:
        with torch.no_grad():
            output, _ = ScriptedLayer(network, name).before(picture)
    except (LookupError, RuntimeError):
        return None
    module = dict(network.named_modules())[name]
    is_map = _is_map(output) and len(output) == len(picture)
    return _layer(name, output, 1.0, module) if is_map else None
