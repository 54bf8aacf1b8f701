"""Train the bundled `shapes` classifier: python -m segkit_training.shapes -o FILE.

Two losses: which class the picture shows, from the pooled scores; and, at each place of the map,
which object lies there, so that evidence (and with it Grad-CAM) lies on the object and not beside
it. A third of the pictures has several objects; they take part in the second loss alone. The
seed and the step decide every picture.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segkit_plugins.saliency._shapes_net import MEAN, SIZE, STD, ShapesNet, pooled
from segkit_plugins.shared.drawing import CLASSES, Backgrounds, draw
from segkit_training.loop import (
    Example,
    Examples,
    fit,
    need_lightning,
    optimiser,
    save_half,
    started,
)

need_lightning("training the shapes classifier", __name__ == "__main__")
import lightning  # noqa: E402  # what it is missing for is said first

PICTURES = 12
"""Pictures in a step."""

RATE = 2e-3
WARM = 100


class Pictures(Examples):
    """Pixels, coverage of each class at stride 8, and the one class (−1 where several)."""

    def __init__(self, backgrounds: list[Backgrounds], seed: int, start: int, steps: int) -> None:
        super().__init__(PICTURES, seed, start, steps)
        self.backgrounds = backgrounds

    def example(self, rng: np.random.Generator) -> Example:
        """Pixels (3, S, S) uint8, coverage (5, S / 8, S / 8) in [0, 1], class number from 0."""
        several = rng.random() < 1 / 3
        back = self.backgrounds[rng.integers(len(self.backgrounds))]
        drawn = draw(rng, back, SIZE, (2, 5) if several else (1, 1))
        planes = torch.from_numpy(np.stack([drawn.labels == i for i in sorted(CLASSES)])).float()
        cover = F.avg_pool2d(planes[None], 8)[0]
        one = -1 if several else int(drawn.labels.max()) - 1
        pixels = torch.from_numpy(drawn.pixels.copy()).permute(2, 0, 1)
        return pixels, cover, torch.tensor(one)


class Training(lightning.LightningModule):
    """One step's loss, and the optimiser."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.network = ShapesNet()
        self.steps = steps
        self.started = time.monotonic()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def configure_optimizers(self) -> Any:
        """AdamW; warm-up, then half a cosine down to 2 %."""
        return optimiser(self.network.parameters(), RATE, 0.02, WARM, self.steps)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """The loss of one batch."""
        pixels, cover, one = batch
        maps = self.network.maps((pixels.float() / 255 - self.mean) / self.std).float()
        # Evidence 0 means a chance of e⁻²: most places show no object.
        place = F.binary_cross_entropy_with_logits(maps - 2, cover, reduction="none")
        place = place.sum(1).mean()
        scores, single = pooled(maps), one >= 0
        loss = 4 * place
        if single.any():
            loss = loss + F.cross_entropy(scores[single], one[single])
        if self.global_step % 25 == 0:
            right = (scores.argmax(1) == one)[single].float().mean()
            brightest = maps.gather(1, one.clamp(min=0)[:, None, None, None].expand(-1, 1, 32, 32))
            peak = brightest.flatten(1).argmax(1)
            hit = (cover.sum(1).flatten(1).gather(1, peak[:, None])[:, 0] > 0.5)[single]
            line = {
                "step": self.global_step,
                "loss": round(loss.item(), 4),
                "accuracy": round(right.item(), 3),
                "pointing": round(hit.float().mean().item(), 3),
                "seconds": round(time.monotonic() - self.started),
            }
            click.echo(json.dumps(line))
        return loss


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--steps", default=1600, show_default=True, help="Twelve pictures each.")
@click.option("--seed", default=2, show_default=True, help="Below 10000 for shipped weights.")
@click.option("--backgrounds", type=click.Path(path_type=Path), help=".npz or folder of pictures.")
@click.option("--threads", default=2, show_default=True)
@click.option("--every", default=100, show_default=True, help="Steps between checkpoints.")
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.ckpt.")
def main(
    output: Path,
    steps: int,
    seed: int,
    backgrounds: Path | None,
    threads: int,
    every: int,
    resume: bool,
) -> None:
    """Train and write float16 safetensors; OUTPUT.ckpt is written now and then."""
    torch.set_num_threads(threads)
    lightning.seed_everything(seed)
    pictures = [Backgrounds.load(backgrounds)] * 2 if backgrounds else []
    checkpoint = output.with_suffix(".ckpt")
    sources = [Backgrounds.load(None), *pictures]
    examples = Pictures(sources, seed, started(checkpoint, resume), steps)
    training = Training(steps)
    fit(
        training,
        examples,
        PICTURES,
        checkpoint,
        steps=steps,
        every=every,
        resume=resume,
    )
    save_half(training.network, output)


if __name__ == "__main__":
    main()
