"""Fit the logit *person* beside ImageNet's 1,000: python -m segkit_training.person -o FILE.

ImageNet has no such class. The network stays as it is; what is fitted is one more row of its last
layer, a logistic regression on the features before it. Two losses: over whole views of photographs,
whether *person* is likelier than all of ImageNet's classes together; and over the places of the
feature map, whether a person lies there, so that the evidence, and with it Grad-CAM, lies on people
and not beside them. Views are photographs and parts of them; where a photograph's annotation is
complete for people, what shows none is a negative.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from segkit_plugins.shared.lite0 import MEAN, SIZE, STD, load_lite0
from segkit_training.photos import HANDS, PERSON, Photo, coco_photos, light, pet_photos

AREA = 0.04
"""Least share of a view's area for it to show a person; between that and nothing it is left out."""
PLACES = 12_000
"""Places with people, and as many without, that take part."""
PETS = 15
"""Parts of each pet's photograph."""
DECAY = 3e-3
"""Weight of the squared weights in the loss."""

STRICT = 1.5
"""What is taken off the logit in the end: else one animal in six is called a person. Chosen on
development data (VOC's train split and the photographs set aside)."""


@dataclass(frozen=True)
class Views:
    """What is fitted to; n views of m = 49 places."""

    features: Tensor
    """(n, m, 1280) float16: before pooling."""
    others: Tensor
    """(n,): logarithm of the summed exponentials of ImageNet's logits."""
    cover: Tensor
    """(n, m): how much of each place shows a person."""

    @property
    def area(self) -> Tensor:
        """(n,): the share of the view that shows a person."""
        return self.cover.mean(1)


def view(photo: Photo, rng: np.random.Generator | None) -> tuple[NDArray[np.uint8], Tensor]:
    """Pixels (224, 224, 3) of the photograph, or of a random part of it, and cover (7, 7)."""
    width, height = photo.pixels.size
    box = (0.0, 0.0, float(width), float(height))
    if rng is not None:
        w, h = (n * rng.uniform(0.35, 1.0) for n in (width, height))
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = (x, y, x + w, y + h)
    size = (SIZE, SIZE)
    pixels = np.asarray(photo.pixels.resize(size, Image.Resampling.BILINEAR, box))
    ids = np.asarray(photo.ids.resize(size, Image.Resampling.NEAREST, box))
    people = [i for i, kind in enumerate(photo.classes, 1) if kind == PERSON]
    mask = np.isin(ids, people)
    if rng is not None:
        pixels = light(rng, pixels)
        if rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
    cover = F.avg_pool2d(torch.from_numpy(mask.astype(np.float32))[None], SIZE // 7)[0]
    return pixels, cover


def looked_at(photos: list[Photo], times: int, seed: int) -> Views:
    """Each photograph as a whole, and `times` parts of it."""
    network: Any = load_lite0()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    rng = np.random.default_rng(seed)
    features, others, covers = [], [], []
    for photo in photos:
        views = [view(photo, None), *(view(photo, rng) for _ in range(times))]
        pixels = torch.from_numpy(np.stack([v[0] for v in views])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = network.extract_features((pixels.float() / 255 - mean) / std)
            others.append(network._fc(found.mean((2, 3))).logsumexp(1))
        features.append(found.flatten(2).transpose(1, 2).half())
        covers.append(torch.stack([v[1] for v in views]).flatten(1))
    return Views(torch.cat(features), torch.cat(others), torch.cat(covers))


def joined(one: Views, other: Views) -> Views:
    """The views of both."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return Views(*(torch.cat(pair) for pair in pairs))


def fitted(views: Views, steps: int) -> tuple[Tensor, Tensor]:
    """Weight (1280,) and bias () of the logit."""
    weight = torch.zeros(views.features.shape[2], requires_grad=True)
    bias, scale, place = (torch.tensor(v, requires_grad=True) for v in (0.0, 1.0, -2.0))
    mean = views.features.float().mean(1)
    shows = (views.area >= AREA).float()
    counted = (views.area >= AREA) | (views.area == 0)
    people, nobody = views.cover >= 0.5, views.cover <= 0.02
    told = torch.zeros_like(people)
    for which in (people, nobody):
        places = which.flatten().nonzero()[:, 0]
        told.view(-1)[places[torch.randperm(len(places))[:PLACES]]] = True
    features, there = views.features[told].float(), people[told].float()
    adam = torch.optim.Adam([weight, bias, scale, place], lr=0.02)
    balance = (counted.sum() - shows[counted].sum()) / shows[counted].sum().clamp(min=1)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 0.02 * (1 - step / steps)
        whole = mean @ weight + bias - views.others
        entropy = F.binary_cross_entropy_with_logits
        loss = entropy(whole[counted], shows[counted], pos_weight=balance) / (balance + 1)
        loss = loss + entropy((features @ weight) * scale + place, there) / 2
        loss = 2 * loss + DECAY * weight.square().sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % 50 == 0 or step == steps - 1:
            click.echo(json.dumps({"step": step, "loss": round(loss.item(), 4)}))
    return weight.detach(), bias.detach() - STRICT


def described(views: Views, weight: Tensor, bias: Tensor) -> dict[str, float]:
    """How it does: shares of views told right, and of those with people whose best place is one."""
    margin = views.features.float().mean(1) @ weight + bias - views.others
    places = views.features.float() @ weight
    yes, no = views.area >= AREA, views.area == 0
    best = views.cover.gather(1, places.argmax(1, keepdim=True))[:, 0]
    ranks = (margin[yes][:, None] > margin[no][None]).float().mean() if no.any() else yes.float()
    return {
        "with": int(yes.sum()),
        "without": int(no.sum()),
        "found": round((margin[yes] > 0).float().mean().item(), 3),
        "found where none is": round((margin[no] > 0).float().mean().item(), 3),
        "ranked right": round(ranks.mean().item(), 3),
        "pointed right": round((best[yes] > 0.3).float().mean().item(), 3),
    }


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option(
    "--coco",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A folder with instances.json and images/; may be repeated.",
)
@click.option(
    "--pets", type=click.Path(exists=True, path_type=Path), help="Oxford-IIIT Pet; even positions."
)
@click.option("--views", default=5, show_default=True, help="Parts of each photograph.")
@click.option("--steps", default=300, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(
    output: Path,
    coco: tuple[Path, ...],
    pets: Path | None,
    views: int,
    steps: int,
    seed: int,
    threads: int,
) -> None:
    """Fit and write safetensors; print how it does on the photographs set aside."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    photos = [p for folder in coco for p in coco_photos(folder)]
    known = looked_at(photos, views, seed)
    if pets:
        known = joined(known, looked_at(pet_photos(pets, HANDS), PETS, seed))
    weight, bias = fitted(known, steps)
    save_file({"weight": weight.half(), "bias": bias.half()}, output)
    aside = [p for folder in coco for p in coco_photos(folder, development=True)]
    click.echo(json.dumps(described(looked_at(aside, 0, seed), weight, bias)))


if __name__ == "__main__":
    main()
