"""What the small models on `scenes` share: pictures, the command's options, the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segkit import SegkitError
from segkit_plugins.shared.drawing import Backgrounds, Drawing, draw
from segkit_training.loop import Examples, fit, started

SIDE = 128
"""Side of the networks' input: the objects are large, and drawing takes a fifth of the time."""

MOST = 5
"""Greatest number of objects in a picture."""

HALVED = 0.15
"""Share of the pictures that are drawn at twice the side and reduced, as a larger image is when it
is prepared for the network; the others have sharper edges."""


class Scenes(Examples):
    """The pictures of a run; a subclass says what it takes from each."""

    batch = 32

    def __init__(self, backgrounds: list[Backgrounds], seed: int, start: int, steps: int) -> None:
        super().__init__(self.batch, seed, start, steps)
        self.backgrounds = backgrounds

    def drawn(self, rng: np.random.Generator) -> tuple[Tensor, Drawing]:
        """Pixels (3, 128, 128) uint8, and the drawing of side 128 or 256 that they are from."""
        back = self.backgrounds[rng.integers(len(self.backgrounds))]
        side = SIDE * 2 if rng.random() < HALVED else SIDE
        drawing = draw(rng, back, side, (1, MOST))
        pixels = torch.from_numpy(drawing.pixels.copy()).permute(2, 0, 1)
        if side != SIDE:
            small = F.interpolate(
                pixels[None].float(), (SIDE, SIDE), mode="bilinear", antialias=True
            )
            pixels = small[0].round().clamp(0, 255).byte()
        return pixels, drawing


def reduced(ids: NDArray[np.int32], side: int) -> Tensor:
    """(s, s) ids at the middles of `side` x `side` squares, as (side, side) int64."""
    step = len(ids) // side
    return torch.from_numpy(ids[step // 2 :: step, step // 2 :: step].astype(np.int64))


def options(steps: int, seed: int) -> Callable[[Any], Any]:
    """The options of both commands, with these defaults."""
    given = [
        click.option("--steps", default=steps, show_default=True, help="32 pictures each."),
        click.option(
            "--seed", default=seed, show_default=True, help="Below 10000 for shipped weights."
        ),
        click.option(
            "--backgrounds",
            type=click.Path(path_type=Path),
            help=".npz or folder of pictures, twice as frequent as made-up textures.",
        ),
        click.option("--threads", default=2, show_default=True),
        click.option("--every", default=100, show_default=True, help="Steps between checkpoints."),
        click.option("--resume", is_flag=True, help="Go on from OUTPUT.ckpt."),
    ]

    def add(command: Any) -> Any:
        for option in reversed(given):
            command = option(command)
        return command

    return add


def train(
    make: Callable[[int], Any], scenes: type[Scenes], checkpoint: Path, how: Mapping[str, Any]
) -> Any:
    """The training that `make(steps)` gives, done as `options` say (`how`).

    Raises `UsageError` of Click for backgrounds that cannot be used and if there is nothing to
    resume.
    """
    import lightning

    steps, backgrounds = how["steps"], how["backgrounds"]
    try:
        pictures = [Backgrounds.load(backgrounds)] * 2 if backgrounds else []
    except SegkitError as error:
        raise click.UsageError(str(error)) from None
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(how["threads"])
    lightning.seed_everything(how["seed"])
    sources = [Backgrounds.load(None), *pictures]
    examples = scenes(sources, how["seed"], started(checkpoint, how["resume"]), steps)
    # Channels last, CPUs compute convolutions of 16 bits twice as fast.
    training = make(steps).to(memory_format=torch.channels_last)
    fit(
        training,
        examples,
        scenes.batch,
        checkpoint,
        steps=steps,
        every=how["every"],
        resume=how["resume"],
        precision="bf16-mixed",
    )
    return training
