"""Train `nano`, the bundled SAM: python -m segkit_training.nano -o FILE --steps N.

Every picture and prompt is decided by the seed and the step, so two runs of one seed meet the
same pictures, and a run that was cut off goes on as if it had not been. Losses as in Segment
Anything (Kirillov et al. 2023): 20 × focal + Dice for the best of three candidates and for the
single-mask token, and squared error for the expected IoU. On every fourth step the first answer
is given back as a mask prompt with a click on its largest error, or a coarse mask stands alone.
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
from safetensors.torch import load_file
from torch import Tensor

from segkit_plugins.segmenter.sam.nano import SIDE, build
from segkit_plugins.shared.drawing import Backgrounds
from segkit_training.loop import (
    Example,
    Examples,
    fit,
    need_lightning,
    optimiser,
    save_half,
    started,
)
from segkit_training.pictures import Pictures, load_photos, sample_prompts

need_lightning("training nano", __name__ == "__main__")
import lightning  # noqa: E402  # what it is missing for is said first

PICTURES = 6
"""Pictures in a step."""

PROMPTS = 8
"""Prompts on each picture: decoding is cheap beside encoding."""

RATE = 1.5e-3
"""Highest learning rate, reached after `WARM` steps and lowered along a cosine."""

WARM = 200

LOW = SIDE // 2
"""Side of the logits."""


class Prompted(Examples):
    """Pictures with prompts on their objects."""

    def __init__(self, source: Pictures, seed: int, start: int, steps: int) -> None:
        super().__init__(PICTURES, seed, start, steps)
        self.source = source

    def example(self, rng: np.random.Generator) -> Example:
        """Pixels (3, 256, 256), places and labels of prompts, their masks (n, 128, 128)."""
        prompts = None
        while prompts is None:
            pixels, ids = self.source.make(rng)
            prompts = sample_prompts(rng, ids, PROMPTS)
        truth = F.avg_pool2d(torch.from_numpy(prompts.truth).float()[None], 2)[0]
        return (
            torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1),
            torch.from_numpy(prompts.coords),
            torch.from_numpy(prompts.labels),
            truth.to(torch.float16),
        )


class Training(lightning.LightningModule):
    """One step's loss, and the optimiser."""

    def __init__(self, steps: int, rate: float = RATE) -> None:
        super().__init__()
        self.sam = build()
        self.steps, self.rate = steps, rate
        self.started = time.monotonic()

    def configure_optimizers(self) -> Any:
        """AdamW; warm-up, then half a cosine down to 2 %."""
        parameters = [p for p in self.sam.parameters() if p.requires_grad]
        return optimiser(parameters, self.rate, 0.01, WARM, self.steps)

    def decode(
        self, embedding: Tensor, coords: Tensor, labels: Tensor, masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, 4, 128, 128) and expected IoU (n, 4), as float32."""
        kind = embedding.device.type
        with torch.autocast(kind, enabled=False):  # positions need more than 8 bits
            sparse, dense = self.sam.prompt_encoder.encode(coords, labels, masks)
            place = self.sam.prompt_encoder.get_dense_pe()
        logits, quality = self.sam.mask_decoder.predict_masks(embedding, place, sparse, dense)
        return logits.float(), quality.float()

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """The loss of one batch of pictures."""
        pixels = batch[0].float()
        coords, labels, truth = (t.flatten(0, 1) for t in batch[1:])
        truth = truth.float()
        embedding = self.sam.image_encoder((pixels - self.sam.pixel_mean) / self.sam.pixel_std)
        masks = None
        if self.global_step % 4 == 3:
            with torch.no_grad():
                first = self.decode(embedding, coords, labels)[0][:, 0]
            coords, labels, masks = second(first, truth, coords, labels, self.global_step)
        logits, quality = self.decode(embedding, coords, labels, masks)
        each, overlap = losses(logits, truth[:, None].expand_as(logits))
        several = each[:, 1:]
        loss = each[:, 0].mean() + (0.9 * several.min(1).values + 0.1 * several.mean(1)).mean()
        honest = F.mse_loss(quality, overlap)
        if self.global_step % 25 == 0:
            line = {
                "step": self.global_step,
                "loss": round(loss.item(), 4),
                "iou": round(overlap[:, 0].mean().item(), 4),
                "quality_error": round(honest.item() ** 0.5, 4),
                "seconds": round(time.monotonic() - self.started),
            }
            click.echo(json.dumps(line))
        return loss + honest


def losses(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and true IoU of each mask, both (n, 4)."""
    share = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = (entropy * (share - truth).abs() ** 2).mean((2, 3))
    common = (share * truth).sum((2, 3))
    dice = 1 - (2 * common + 1) / (share.sum((2, 3)) + truth.sum((2, 3)) + 1)
    with torch.no_grad():
        found, there = logits > 0, truth > 0.5
        union = (found | there).sum((2, 3)).clamp(min=1)
        overlap = (found & there).sum((2, 3)).float() / union
    return 20 * focal + dice + entropy.mean((2, 3)), overlap


def second(
    answer: Tensor, truth: Tensor, coords: Tensor, labels: Tensor, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The prompts of a second turn: places, labels and masks (n, 1, 128, 128) as logits.

    Three quarters get their first answer back with a click where it is most wrong; half of the
    others get it back as it is, and the rest a coarse picture of the truth and nothing else.
    """
    # Random numbers of the step's own, so that a resumed run draws the same.
    draw = torch.Generator().manual_seed(step)
    wrong = ((answer > 0) != (truth > 0.5)).float()
    ties = torch.rand(wrong.shape, generator=draw).to(wrong) * 1e-3
    density = F.avg_pool2d(wrong[:, None], 7, 1, 3)[:, 0] + ties
    worst = density.flatten(1).argmax(1)
    click_at = torch.stack([worst % LOW, worst // LOW], -1).float() * 2 + 0.5
    sign = (truth.flatten(1).gather(1, worst[:, None])[:, 0] > 0.5).float()
    fate = torch.rand(len(coords), generator=draw).to(coords)
    clicked, alone = fate < 0.75, fate >= 0.875
    coords, labels = coords.clone(), labels.clone()
    coords[clicked, -3] = click_at[clicked]  # the last place before the box's corners
    labels[clicked, -3] = sign[clicked]
    coords[alone], labels[alone] = 0, -1
    cell = 2 ** int(torch.randint(2, 5, (), generator=draw))
    coarse = F.interpolate(
        F.avg_pool2d(truth[:, None], cell), size=(LOW, LOW), mode="bilinear", align_corners=False
    )
    height = 4 + 16 * torch.rand((), generator=draw).item()
    masks = torch.where(alone[:, None, None, None], (2 * coarse - 1) * height, answer[:, None])
    return coords, labels, masks.clamp(-12, 12)


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--steps", default=2000, show_default=True, help="Six pictures each.")
@click.option("--seed", default=1, show_default=True, help="Below 10000 for shipped weights.")
@click.option(
    "--backgrounds",
    type=click.Path(exists=True, path_type=Path),
    help=".npz or folder of pictures.",
)
@click.option(
    "--coco", type=click.Path(exists=True, path_type=Path), help="instances.json and images/."
)
@click.option(
    "--pets", type=click.Path(exists=True, path_type=Path), help="Oxford-IIIT Pet; even positions."
)
@click.option("--rate", default=RATE, show_default=True, help="Highest learning rate.")
@click.option("--threads", default=2, show_default=True)
@click.option("--every", default=100, show_default=True, help="Steps between checkpoints.")
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.ckpt.")
@click.option(
    "--init",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start from these weights (.safetensors) in place of random ones.",
)
def main(
    output: Path,
    steps: int,
    seed: int,
    backgrounds: Path | None,
    coco: Path | None,
    pets: Path | None,
    rate: float,
    threads: int,
    every: int,
    resume: bool,
    init: Path | None,
) -> None:
    """Train and write float16 safetensors; OUTPUT.ckpt is written now and then."""
    torch.set_num_threads(threads)
    lightning.seed_everything(seed)
    # Backgrounds from pictures come up twice as often as made-up textures.
    textures = [Backgrounds.load(None)]
    pictures = [Backgrounds.load(backgrounds)] * 2 if backgrounds else []
    source = Pictures([*textures, *pictures], load_photos(coco, pets))
    checkpoint = output.with_suffix(".ckpt")
    examples = Prompted(source, seed, started(checkpoint, resume), steps)
    training = Training(steps, rate)
    if init is not None:
        training.sam.load_state_dict(load_file(init))
    fit(
        training,
        examples,
        PICTURES,
        checkpoint,
        steps=steps,
        every=every,
        resume=resume,
        precision="bf16-mixed",
    )
    save_half(training.sam, output)


if __name__ == "__main__":
    main()
