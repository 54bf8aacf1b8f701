"""What the tests of trainable segmenters have in common."""

from __future__ import annotations

import torch

from segkit.training.loop import train
from segkit.training.settings import Settings
from segkit_plugins.dataset.shapes import Shapes


def quick(path, step, *, count=24, size=64, **settings):
    """A short training on shapes."""
    given = {"batch": 8, "epochs": 3, "size": size, "patience": 50, **settings}
    data = Shapes(count=count, seed=1, size=size)
    return train(step, [data], path, Settings(**given))


def output_shapes(network, pixels):
    """Dotted name to the shape of what each module makes."""
    found = {}

    def note(name):
        return lambda module, given, made: found.__setitem__(name, tuple(made.shape))

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if not isinstance(module, torch.nn.ModuleList)
    ]
    with torch.no_grad():
        made = network.eval()(pixels)
    for hook in hooks:
        hook.remove()
    return found, made
