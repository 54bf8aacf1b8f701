"""Fit `nano`'s expected IoU anew: python -m segkit_training.quality WEIGHTS -o FILE.

The masks stay as they are. Prompts on pictures as in training are answered once; from what the
tokens of the masks say, a small network (`second_thought`) learns how far the expected IoU of
segment-anything's head is from the true one. It is cheap, for the costly part is done once.

Half of what it learns from are photographs that taught no masks: on the others the masks are better
than on new ones, and so would be what is expected of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from segkit_plugins.segmenter.sam.nano import grown
from segkit_plugins.shared.drawing import Backgrounds
from segkit_plugins.shared.nano_encoder import SIDE
from segkit_training.loop import save_half
from segkit_training.nano import Prompted, losses
from segkit_training.photos import Picture, Pictures, all_photos
from segkit_training.prompting import coarse_masks

RATE = 2e-3
DECAY = 1e-2


class Examined(Pictures):
    """Parts of the photographs from which no mask was learned."""

    def make(self, rng: np.random.Generator) -> Picture:
        """One of them."""
        return self.crop(rng, self.examined[rng.integers(len(self.examined))])


def answered(sam: Any, examples: Prompted, pictures: int) -> tuple[Tensor, Tensor]:
    """What the tokens say (n, 5, 64) and the true IoU (n, 4), of `pictures` pictures' prompts."""
    said, true = [], []
    place = sam.prompt_encoder.get_dense_pe()
    for index in range(pictures):
        pixels, coords, labels, given, truth, _, _ = examples[index]
        truth = truth.float()
        masks = coarse_masks(truth, torch.Generator().manual_seed(index))
        with torch.inference_mode():
            embedding = sam.image_encoder(sam.preprocess(pixels[None].float()))
            sparse, dense = sam.prompt_encoder.encode(coords, labels, masks, given)
            seen = sam.mask_decoder.see(embedding, place)
            answers, places = sam.mask_decoder.attend(seen, sparse, dense)
            logits = sam.mask_decoder.draw(seen, answers, places, [0, 1, 2, 3])
            true.append(losses(logits, truth[:, None])[1])
        said.append(answers[:, :5])
    return torch.cat(said), torch.cat(true)


def fit(decoder: Any, said: Tensor, true: Tensor, steps: int) -> None:
    """Change `second_thought` so that the expected IoU comes nearer to the true one."""
    network = decoder.second_thought.requires_grad_(True).train()
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        some = torch.randint(len(said), (256,))
        away = (decoder.quality(said[some]) - true[some]).abs().mean()
        adam.zero_grad()
        away.backward()
        adam.step()
        if step % 200 == 0 or step == steps - 1:
            click.echo(json.dumps({"step": step, "error": round(away.item(), 4)}))
    network.requires_grad_(False).eval()


@click.command(help=__doc__)
@click.argument("weights", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option(
    "--coco",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A folder with instances.json and images/; may be repeated.",
)
@click.option(
    "--pets", type=click.Path(exists=True, path_type=Path), help="Oxford-IIIT Pet; even positions."
)
@click.option("--backgrounds", type=click.Path(exists=True, path_type=Path))
@click.option("--pictures", default=1600, show_default=True, help="Six prompts on each.")
@click.option("--steps", default=1500, show_default=True)
@click.option("--seed", default=5, show_default=True, help="Below 10000 for shipped weights.")
@click.option("--threads", default=2, show_default=True)
def main(
    weights: Path,
    output: Path,
    coco: tuple[Path, ...],
    pets: Path | None,
    backgrounds: Path | None,
    pictures: int,
    steps: int,
    seed: int,
    threads: int,
) -> None:
    """Fit and write float16 safetensors."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    sam = grown(load_file(weights)).eval().requires_grad_(False)
    photos = all_photos(coco, pets)
    sources = [Backgrounds.load(None), *([Backgrounds.load(backgrounds)] if backgrounds else [])]
    kinds = [Pictures, Examined] if any(p.examined for p in photos) else [Pictures]
    each = pictures // len(kinds)
    told = [
        answered(sam, Prompted(kind(sources, photos, SIDE), 1, seed, 0, each), each)
        for kind in kinds
    ]
    said, true = (torch.cat(parts) for parts in zip(*told, strict=True))
    fit(sam.mask_decoder, said, true, steps)
    save_half(sam, output)


if __name__ == "__main__":
    main()
