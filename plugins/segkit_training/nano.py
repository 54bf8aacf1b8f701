"""Train `nano`, the bundled SAM: python -m segkit_training.nano -o FILE --steps N.

Every picture and prompt is decided by the seed and the step, so two runs of one seed meet the
same pictures, and a run that was cut off goes on as if it had not been. The backbone begins with
ImageNet's weights and is trained along at a lower rate, but for its first blocks. Losses as in
Segment Anything (Kirillov et al. 2023): 20 × focal + Dice for the best of three candidates and for
the single-mask token, and the distance of the expected IoU from the true one; besides, for each
place, whether the thing that the picture is about lies there, and whether a person does. On every
third step the answer is given back as a mask prompt with a click on its largest error. What is
written is the moving average of the weights.

The rate stays after its warm-up and goes down to nothing over a last share of the steps; a
training that is to go on is resumed with more steps.
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

from segkit_plugins.segmenter.sam.nano import grown
from segkit_plugins.shared.drawing import Backgrounds
from segkit_plugins.shared.nano_encoder import SIDE
from segkit_training.loop import (
    Example,
    Examples,
    fit,
    need_lightning,
    save_half,
    started,
)
from segkit_training.photos import Pictures, about, all_photos, humans
from segkit_training.prompting import POINTS, coarse_masks, sample_prompts

need_lightning("training nano", __name__ == "__main__")
import lightning  # noqa: E402  # what it is missing for is said first

PICTURES = 8
"""Pictures in a step of each process, unless told otherwise."""

PROMPTS = 6
"""Prompts on each picture."""

RATE = 5e-4
"""Highest learning rate of what is new; `BACKBONE` × that for the backbone."""

BACKBONE = 0.25

WARM = 200
DECAY = 0.2
"""Share of the steps over which the rate goes down."""

AVERAGE = 0.99
"""How much of the average's weights stays with each step."""


class Prompted(Examples):
    """Pictures with prompts on their objects."""

    def __init__(self, source: Pictures, batch: int, seed: int, start: int, steps: int) -> None:
        super().__init__(batch, seed, start, steps)
        self.source = source

    def example(self, rng: np.random.Generator) -> Example:
        """Pixels (3, 320, 320) uint8 and prompts: places, labels, whether there is a mask.

        Then the masks asked for (n, 160, 160) and where the things lie that the picture is about,
        and where people (2, 40, 40), both shares of a cell as float16, −1 where that is not known,
        and whether masks are learned from the picture.
        """
        prompts = None
        while prompts is None:
            picture = self.source.make(rng)
            prompts = sample_prompts(rng, picture.ids, PROMPTS)
        truth = F.avg_pool2d(torch.from_numpy(prompts.truth).float()[None], 2)[0]
        places = torch.from_numpy(np.stack([about(picture), humans(picture)]))
        known = F.avg_pool2d((places >= 0).float(), 8) == 1
        places = torch.where(known, F.avg_pool2d(places, 8), -1)
        return (
            torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1),
            torch.from_numpy(prompts.coords),
            torch.from_numpy(prompts.labels),
            torch.from_numpy(prompts.masked),
            truth.half(),
            places.half(),
            torch.full((PROMPTS,), not picture.examined),
        )


class Training(lightning.LightningModule):
    """One step's loss, and the optimiser."""

    def __init__(
        self,
        sam: Any,
        steps: int,
        rate: float = RATE,
        frozen: int = 3,
        decay: float = DECAY,
        depthwise: bool = False,
        average: float = AVERAGE,
    ) -> None:
        super().__init__()
        self.sam = sam
        backbone = self.sam.image_encoder.backbone
        for part in (backbone.stem, *backbone.blocks[:frozen]):
            part.requires_grad_(False)
        for block in backbone.blocks[frozen:]:
            block.depthwise.requires_grad_(depthwise)
        self.sam.mask_decoder.second_thought.requires_grad_(False)  # `training.quality` fits it
        keep = torch.optim.swa_utils.get_ema_multi_avg_fn(average)
        self.average = torch.optim.swa_utils.AveragedModel(self.sam, multi_avg_fn=keep)
        self.average.requires_grad_(False)
        self.steps, self.rate, self.decay = steps, rate, decay
        self.started = time.monotonic()

    def configure_optimizers(self) -> Any:
        """AdamW; warm-up, then constant, and down to nothing over the last steps."""
        inside = [p for p in self.sam.image_encoder.backbone.parameters() if p.requires_grad]
        known = {id(p) for p in self.sam.image_encoder.backbone.parameters()}
        others = [p for p in self.sam.parameters() if p.requires_grad and id(p) not in known]
        groups = [
            {"params": inside, "lr": self.rate * BACKBONE},
            {"params": others, "lr": self.rate},
        ]
        adam = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.02)

        def share(step: int) -> float:
            left = max(0.0, 1 - step / self.steps)
            return min((step + 1) / WARM, 1.0, left / self.decay + 1e-3)

        schedule = torch.optim.lr_scheduler.LambdaLR(adam, share)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow the weights."""
        self.average.update_parameters(self.sam)

    def decode(
        self, embedding: Tensor, coords: Tensor, labels: Tensor, masks: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, 4, 160, 160) and expected IoU (n, 4), as float32."""
        with torch.autocast(embedding.device.type, enabled=False):  # places need more than 8 bits
            sparse, dense = self.sam.prompt_encoder.encode(coords, labels, masks, given)
            place = self.sam.prompt_encoder.get_dense_pe()
        logits, quality = self.sam.mask_decoder.predict_masks(embedding, place, sparse, dense)
        return logits.float(), quality.float()

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """The loss of one batch of pictures."""
        pixels, there = batch[0].float(), batch[5].float()
        coords, labels, given, truth = (t.flatten(0, 1) for t in batch[1:5])
        truth, learned = truth.float(), batch[6].flatten().float()
        # Random numbers of the step's own, so that a resumed run draws the same.
        draw = torch.Generator().manual_seed(self.global_step * 64 + self.global_rank)
        masks = coarse_masks(truth, draw)
        encoder = self.sam.image_encoder
        pixels = (pixels - self.sam.pixel_mean) / self.sam.pixel_std
        embedding = encoder(pixels.to(memory_format=torch.channels_last))
        seen = torch.stack([encoder.objectness(embedding), encoder.people(embedding)], 1).float()
        entropy = F.binary_cross_entropy_with_logits(seen, there.clamp(min=0), reduction="none")
        known = (there >= 0).float()
        dense = (entropy * known).sum((0, 2, 3)) / known.sum((0, 2, 3)).clamp(min=1)
        if self.global_step % 3 == 2:
            with torch.no_grad():
                answer = self.decode(embedding, coords, labels, masks, given)
            coords, labels, masks = corrected(*answer, truth, coords, labels, draw)
            given = torch.ones_like(given)
        logits, quality = self.decode(embedding, coords, labels, masks, given)
        each, overlap = losses(logits, truth[:, None])
        several = each[:, 1:]
        best = 0.9 * several.min(1).values + 0.1 * several.mean(1)
        loss = ((each[:, 0] + best) * learned).sum() / learned.sum().clamp(min=1)
        honest = (quality - overlap).abs().mean()
        if self.global_step % 25 == 0 and self.global_rank == 0:
            line = {
                "step": self.global_step,
                "loss": round(loss.item(), 4),
                "iou": round(overlap[:, 0].mean().item(), 4),
                "quality_error": round(honest.item(), 4),
                "objectness": round(dense[0].item(), 4),
                "people": round(dense[1].item(), 4),
                "seconds": round(time.monotonic() - self.started),
            }
            click.echo(json.dumps(line))
        return loss + honest + dense.sum()


def started_from(path: Path | None, side: int) -> Any:
    """The network for pictures of this side, of a file of its weights or of `nano-2`'s, or new."""
    return grown({} if path is None else load_file(path), side)


def losses(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and true IoU of each mask, both (n, 4)."""
    share = logits.sigmoid()
    entropy = F.softplus(logits) - logits * truth
    focal = (entropy * (share - truth) ** 2).mean((2, 3))
    common = (share * truth).sum((2, 3))
    dice = 1 - (2 * common + 1) / (share.sum((2, 3)) + truth.sum((2, 3)) + 1)
    with torch.no_grad():
        found, there = logits > 0, truth > 0.5
        union = (found | there).sum((2, 3)).clamp(min=1)
        overlap = (found & there).sum((2, 3)).float() / union
    return 20 * focal + dice + 0.5 * entropy.mean((2, 3)), overlap


def corrected(
    logits: Tensor,
    quality: Tensor,
    truth: Tensor,
    coords: Tensor,
    labels: Tensor,
    draw: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The prompts of a second turn: places, labels and masks (n, 1, 160, 160) as logits.

    The masks are the first answers, those of several that were thought best; three quarters come
    with a click where they are most wrong.
    """
    single = (labels >= 0).sum(1) == 1
    best = torch.where(single, 1 + quality[:, 1:].argmax(1), 0)
    answer = logits[torch.arange(len(logits)), best]
    wrong = ((answer > 0) != (truth > 0.5)).float()
    ties = torch.rand(wrong.shape, generator=draw).to(wrong) * 1e-3
    density = F.avg_pool2d(wrong[:, None], 9, 1, 4)[:, 0] + ties
    side = truth.shape[-1]
    worst = density.flatten(1).argmax(1)
    click_at = torch.stack([worst % side, worst // side], -1).float() * 2 + 0.5
    sign = (truth.flatten(1).gather(1, worst[:, None])[:, 0] > 0.5).float()
    clicked = torch.rand(len(coords), generator=draw).to(coords) < 0.75
    coords, labels = coords.clone(), labels.clone()
    coords[clicked, POINTS - 1] = click_at[clicked]  # the last place before the box's corners
    labels[clicked, POINTS - 1] = sign[clicked]
    return coords, labels, answer[:, None].clamp(-12, 12)


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--steps", default=6000, show_default=True, help="In all.")
@click.option("--seed", default=1, show_default=True, help="Below 10000 for shipped weights.")
@click.option(
    "--backgrounds",
    type=click.Path(exists=True, path_type=Path),
    help=".npz or folder of pictures.",
)
@click.option(
    "--coco",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A folder with instances.json and images/; may be repeated.",
)
@click.option(
    "--pets", type=click.Path(exists=True, path_type=Path), help="Oxford-IIIT Pet; even positions."
)
@click.option("--rate", default=RATE, show_default=True, help="Highest learning rate.")
@click.option("--decay", default=DECAY, show_default=True, help="Share of steps it goes down in.")
@click.option("--frozen", default=3, show_default=True, help="Blocks of the backbone kept as is.")
@click.option(
    "--depthwise",
    is_flag=True,
    help="Train depthwise convolutions as well: on a CPU they cost more than all the rest.",
)
@click.option("--average", default=AVERAGE, show_default=True, help="What stays in a step.")
@click.option("--varied", is_flag=True, help="Parts and cut-outs turned, stretched, softened.")
@click.option("--side", default=SIDE, show_default=True, help="Of the pictures; less is quicker.")
@click.option("--threads", default=2, show_default=True, help="Of each process.")
@click.option("--pictures", default=PICTURES, show_default=True, help="A step and process.")
@click.option("--processes", default=1, show_default=True, help="Each takes as many pictures.")
@click.option("--workers", default=1, show_default=True, help="That make pictures.")
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
    coco: tuple[Path, ...],
    pets: Path | None,
    rate: float,
    decay: float,
    frozen: int,
    depthwise: bool,
    average: float,
    varied: bool,
    side: int,
    threads: int,
    pictures: int,
    processes: int,
    workers: int,
    every: int,
    resume: bool,
    init: Path | None,
) -> None:
    """Train and write float16 safetensors; OUTPUT.ckpt is written now and then."""
    torch.set_num_threads(threads)
    lightning.seed_everything(seed)
    # Backgrounds from pictures come up twice as often as made-up textures.
    textures = [Backgrounds.load(None)]
    textures += [Backgrounds.load(backgrounds)] * 2 if backgrounds else []
    photos = all_photos(coco, pets)
    checkpoint = output.with_suffix(".ckpt")
    batch = pictures * processes
    source = Pictures(textures, photos, side, varied)
    examples = Prompted(source, batch, seed, started(checkpoint, resume), steps)
    sam = started_from(init, side)
    training = Training(sam, steps, rate, frozen, decay, depthwise, average)
    training = training.to(memory_format=torch.channels_last)
    fit(
        training,
        examples,
        pictures,
        checkpoint,
        steps=steps,
        every=every,
        resume=resume,
        precision="bf16-mixed",
        processes=processes,
        workers=workers,
    )
    if training.global_rank == 0:
        save_half(training.average.module, output)


if __name__ == "__main__":
    main()
