"""Train a small vision transformer on segkit's generated shapes: python train_vit.py OUT.pth.

Three losses: the class of the one shape in a picture, from the class token; and, from each patch's
token through a layer that is thrown away, which class lies there and which of its pixels are the
shape's. The last two are what a transformer learns from first. Drawing a picture takes longer than
a step on it, so pictures are drawn once, a little too large; each is seen often, and each time
another part of it, mirrored or not, with its colours changed about. Each round draws some anew, of
the next seed. Seeds below 10,000 are for training, others for measuring.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import segkit
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

MODEL = "test_vit"
"""timm's smallest: 160×160 pixels, patches of 16, 6 blocks of 64 channels and 2 heads."""

SIZE = 160
PATCH = 16
ROOM = 16
"""Pixels by which a picture is drawn larger than what is seen of it."""

WARM = 200


def pictures(seed: int, count: int, size: int = SIZE) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (n, 3, S, S) uint8; classes (n,) from 0; which pixels are the shape's (n, 1, S, S)."""
    pixels, classes, shapes = [], [], []
    for image, truth in segkit.dataset("shapes", count=count, size=size, seed=seed):
        assert truth is not None
        pixels.append(torch.from_numpy(image.pixels.copy()).permute(2, 0, 1))
        classes.append(int(truth.labels.ids.max()) - 1)
        shapes.append(torch.from_numpy(truth.labels.ids > 0)[None])
    return torch.stack(pixels), torch.tensor(classes), torch.stack(shapes)


def parts_of(pixels: Tensor, shapes: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Another part of each picture and of its shape, of SIZE pixels a side."""
    seen, own = [], []
    for picture, shape in zip(pixels, shapes, strict=True):
        y, x = rng.integers(ROOM + 1, size=2)
        window = slice(y, y + SIZE), slice(x, x + SIZE)
        part, mask = picture[rng.permutation(3)][(..., *window)], shape[(..., *window)]
        if rng.random() < 0.5:
            part, mask = part.flip(-1), mask.flip(-1)
        seen.append(part)
        own.append(mask)
    return torch.stack(seen), torch.stack(own)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels as timm's model wants them."""
    config = timm.models.get_pretrained_cfg(MODEL)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (config.mean, config.std))
    return (pixels.float() / 255 - mean) / std


def main() -> None:
    """Train until the minutes are over; say how often the class of new pictures is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pictures", type=int, default=8000, help="drawn at first, and kept")
    parser.add_argument("--fresh", type=int, default=400, help="of them drawn anew in each round")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--initial", type=Path, help="weights to go on from")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    network = timm.create_model(MODEL, num_classes=5)
    if given.initial:
        network.load_state_dict(torch.load(given.initial, weights_only=True))
    at_patches = torch.nn.Linear(network.embed_dim, 6 + PATCH**2)
    parameters = [*network.parameters(), *at_patches.parameters()]
    optimiser = torch.optim.AdamW(parameters, given.rate, weight_decay=0.02)
    scarce = torch.tensor([1.0] + [5.0] * 5)  # most patches are background
    pixels, classes, shapes = pictures(given.seed, given.pictures, SIZE + ROOM)
    start, step, seed = time.monotonic(), 0, given.seed
    done = 0.0
    while True:
        right, losses = 0, []
        for own in torch.from_numpy(rng.permutation(len(pixels))).split(given.batch):
            done = (time.monotonic() - start) / 60 / given.minutes
            share = min(1, (step + 1) / WARM) * (0.01 + 0.99 * math.cos(min(done, 1) * math.pi / 2))
            for group in optimiser.param_groups:
                group["lr"] = given.rate * share
            seen, masks = parts_of(pixels[own], shapes[own], rng)
            shares = F.unfold(masks.float(), PATCH, stride=PATCH).transpose(1, 2)
            tokens = network.forward_features(normalised(seen))
            scores = network.forward_head(tokens)
            patches = at_patches(tokens[:, 1:])
            there = torch.where(shares.mean(2) > 0.2, classes[own, None] + 1, 0)
            loss = 2 * F.cross_entropy(scores, classes[own])
            loss = loss + F.cross_entropy(patches[..., :6].transpose(1, 2), there, scarce)
            loss = loss + 2 * F.binary_cross_entropy_with_logits(patches[..., 6:], shares)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step += 1
            right += int((scores.argmax(1) == classes[own]).sum())
            losses.append(loss.item())
        minutes = (time.monotonic() - start) / 60
        shown = f"{np.mean(losses):.3f} {right / len(pixels):.3f}"
        print(f"{minutes:5.1f} min, step {step}: loss and accuracy {shown}", flush=True)
        torch.save(network.state_dict(), given.output)
        if done >= 1:
            break
        seed += 1
        anew = torch.from_numpy(rng.permutation(len(pixels))[: given.fresh])
        pixels[anew], classes[anew], shapes[anew] = pictures(seed, len(anew), SIZE + ROOM)
    network.eval()
    pixels, classes, _ = pictures(19999, 500)
    with torch.no_grad():
        right = int((network(normalised(pixels)).argmax(1) == classes).sum())
    print(f"of 500 pictures of seed 19999 the class of {right} is right; {given.output}")


if __name__ == "__main__":
    main()
