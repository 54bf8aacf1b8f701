"""Train a small vision transformer on segkit's generated shapes: python train_vit.py OUT.pth.

Three losses: the class of the one shape in a picture, from the class token; and, from each patch's
token through a layer that is thrown away, which class lies there and which of its pixels are the
shape's. The last two are what a transformer learns from within minutes. Each epoch has new
pictures: those of the next seed. Seeds below 10,000 are for training, others for measuring.
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
WARM = 60


def pictures(seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (n, 3, S, S), normalised as timm's model wants them; classes (n,) from 0; and which
    pixels of each patch are the shape's, (n, S² / P², P²), 0 or 1."""
    pixels, classes, shares = [], [], []
    for image, truth in segkit.dataset("shapes", count=count, size=SIZE, seed=seed):
        assert truth is not None
        pixels.append(torch.from_numpy(image.pixels.copy()).permute(2, 0, 1))
        classes.append(int(truth.labels.ids.max()) - 1)
        shape = torch.from_numpy(truth.labels.ids > 0).float()
        shares.append(F.unfold(shape[None, None], PATCH, stride=PATCH)[0].T)
    config = timm.models.get_pretrained_cfg(MODEL)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (config.mean, config.std))
    normalised = (torch.stack(pixels).float() / 255 - mean) / std
    return normalised, torch.tensor(classes), torch.stack(shares)


def main() -> None:
    """Train until the minutes are over; say how often the class of new pictures is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--epoch", type=int, default=1536, help="pictures of an epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0, help="the one before the first epoch's")
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
    start, step, seed = time.monotonic(), 0, given.seed
    done = 0.0
    while done < 1:
        seed += 1
        pixels, classes, shares = pictures(seed, given.epoch)
        right, losses = 0, []
        for own in torch.from_numpy(rng.permutation(len(pixels))).split(given.batch):
            done = (time.monotonic() - start) / 60 / given.minutes
            share = min(1, (step + 1) / WARM) * (0.01 + 0.99 * math.cos(min(done, 1) * math.pi / 2))
            for group in optimiser.param_groups:
                group["lr"] = given.rate * share
            tokens = network.forward_features(pixels[own])
            scores = network.forward_head(tokens)
            patches = at_patches(tokens[:, 1:])
            there = torch.where(shares[own].mean(2) > 0.2, classes[own, None] + 1, 0)
            loss = F.cross_entropy(scores, classes[own])
            loss = loss + F.cross_entropy(patches[..., :6].transpose(1, 2), there, scarce)
            loss = loss + 2 * F.binary_cross_entropy_with_logits(patches[..., 6:], shares[own])
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
    network.eval()
    pixels, classes, _ = pictures(9999, 500)
    with torch.no_grad():
        right = int((network(pixels).argmax(1) == classes).sum())
    print(f"of 500 pictures of seed 9999 the class of {right} is right; {given.output}")


if __name__ == "__main__":
    main()
