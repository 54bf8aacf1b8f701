"""Train a small detector of shapes: python -m segkit_training.detector -o FILE.onnx.

It is for tests and demonstrations without a download. The network sees pictures of 128x128 at
stride 8 and says for each of the 256 cells a box and a score of each class, without anchors; the
file gives them as Ultralytics' networks from v8 on do, (1, 4 + 5, 256), with the class names in its
metadata. Which cells answer for an object is decided as in TOOD (Feng et al. 2021), among those
that lie on the object's visible pixels; the score to learn is the box's overlap with the truth.
"""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit import MissingExtraError
from segkit_plugins.saliency._shapes_net import Block, conv
from segkit_plugins.shared.drawing import CLASSES
from segkit_training.loop import Example, need_lightning, optimiser
from segkit_training.scenes import MOST, SIDE, Scenes, options, reduced, train

need_lightning("training the detector", __name__ == "__main__")
import lightning  # noqa: E402  # what it is missing for is said first

NAMES = tuple(CLASSES[i] for i in sorted(CLASSES))
"""Class names in the order of the outputs."""

STRIDE = 8
"""Pixels of the input to a cell."""

CELLS = SIDE // STRIDE

WIDTH = 64
"""Channels of a cell."""

ANSWERING = 8
"""How many cells answer for an object, at most."""

RATE = 3e-3
WARM = 100


class Detector(nn.Module):
    """Pictures (B, 3, 128, 128) in [0, 1] to boxes and scores of the cells, row by row."""

    centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 16, 2), conv(16, 32, 2), conv(32, 32), conv(32, 32), conv(32, WIDTH, 2)
        )
        self.blocks = nn.Sequential(*(Block(d) for d in (1, 2, 4)))
        self.sides = nn.Sequential(conv(WIDTH, WIDTH), nn.Conv2d(WIDTH, 4, 1))
        self.scores = nn.Sequential(conv(WIDTH, WIDTH), nn.Conv2d(WIDTH, len(NAMES), 1))
        # A new network guesses boxes of a usual size and that most cells show no object.
        for part, guess in ((self.sides, 1.0), (self.scores, -4.0)):
            last: Any = part[-1]
            nn.init.constant_(last.bias, guess)
        line = (torch.arange(CELLS) + 0.5) * STRIDE
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("centres", torch.stack([x, y], -1).view(-1, 2), persistent=False)

    def cells(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Sides (B, n, 4) and logits of the classes (B, n, 5).

        Sides: how many pixels the box reaches to the left, up, right and down of the cell's middle.
        """
        features = self.blocks(self.stem(pixels))
        sides = self.sides(features).float().flatten(2).transpose(1, 2)
        logits = self.scores(features).float().flatten(2).transpose(1, 2)
        return sides.clamp(max=4).exp() * STRIDE, logits

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 4 + 5, n): middle and sides of the boxes in pixels, and scores in [0, 1]."""
        sides, logits = self.cells(pixels)
        before, after = sides[..., :2], sides[..., 2:]
        middle = self.centres + (after - before) / 2
        return torch.cat([middle, before + after, logits.sigmoid()], 2).transpose(1, 2)


class Boxes(Scenes):
    """Pictures with the boxes of their objects' visible pixels."""

    def example(self, rng: np.random.Generator) -> Example:
        """Pixels (3, 128, 128) uint8, and edges (5, 4) float32 in pixels of those.

        Then class numbers (5,) int64, and for each cell the number of the object that lies there,
        from 1, or 0, (256,) int64. Edges beyond the picture's objects are 0.
        """
        pixels, drawing = self.drawn(rng)
        edges, kinds = torch.zeros(MOST, 4), torch.zeros(MOST, dtype=torch.int64)
        boxes = torch.from_numpy(drawing.boxes).float() + torch.tensor([0.0, 0, 1, 1])
        edges[: len(boxes)] = boxes * SIDE / len(drawing.instances)
        kinds[: len(boxes)] = torch.tensor(drawing.classes) - 1
        return pixels, edges, kinds, reduced(drawing.instances, CELLS).flatten()


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """IoU of each pair of boxes (…, 4) given by their edges, (…)."""
    inside = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(
        one[..., :2], other[..., :2]
    )
    common = inside.clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (one, other)]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-6)


def wanted(fit: Tensor, overlap: Tensor, owner: Tensor) -> Tensor:
    """The score that each cell should give to its object's class, (B, n); 0 where it answers none.

    `fit` (B, n): how well the cell's class and box agree with its object. The best `ANSWERING`
    cells of an object answer for it, and what they should say is their fit, scaled so that the
    object's best cell says the best `overlap` (B, n). `owner` (B, n): the cell's object, from 1,
    or 0.
    """
    objects = torch.arange(1, MOST + 1, device=owner.device)
    mine = owner[:, None] == objects[:, None]
    each = torch.where(mine, fit[:, None], -1)
    best = each.topk(ANSWERING, dim=2)
    chosen = torch.zeros_like(mine).scatter(2, best.indices, best.values >= 0)
    scale = torch.where(chosen, overlap[:, None], 0).amax(2) / best.values[..., 0].clamp(min=1e-9)
    return torch.where(chosen, each * scale[..., None], 0).sum(1)


class Training(lightning.LightningModule):
    """One step's loss, and the optimiser."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.network = Detector()
        self.steps = steps
        self.started = time.monotonic()

    def configure_optimizers(self) -> Any:
        """AdamW; warm-up, then half a cosine down to 2 %."""
        return optimiser(self.network.parameters(), RATE, 0.02, WARM, self.steps)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """The loss of one batch."""
        from torchvision.ops import complete_box_iou_loss

        pixels, boxes, kinds, owner = batch
        sides, logits = self.network.cells(pixels.float() / 255)
        centres = self.network.centres
        edges = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], 2)
        place = (owner - 1).clamp(min=0)
        kind = kinds.gather(1, place)[..., None]
        true = boxes.gather(1, place[..., None].expand(-1, -1, 4))
        with torch.no_grad():
            overlap = overlaps(edges, true)
            fit = logits.sigmoid().gather(2, kind)[..., 0].sqrt() * overlap**4 + 1e-6
            score = wanted(fit, overlap, owner)
        whole = score.sum().clamp(min=1)
        scores = torch.zeros_like(logits).scatter(2, kind, score[..., None])
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="sum")
        there = score > 0
        apart = complete_box_iou_loss(edges[there], true[there], reduction="none")
        if self.global_step % 25 == 0:
            line = {
                "step": self.global_step,
                "scores": round((entropy / whole).item(), 4),
                "iou": round(((overlap * score).sum() / whole).item(), 4),
                "seconds": round(time.monotonic() - self.started),
            }
            click.echo(json.dumps(line))
        return (entropy + 3 * (apart * score[there]).sum()) / whole


def export(network: Detector, path: Path) -> None:
    """Write the network as ONNX for one picture, with what Ultralytics' files say of themselves."""
    import onnx

    write: Any = torch.onnx.export
    # The other exporter needs one more package; torch before 2.5 has no choice.
    choice = {"dynamo": False} if "dynamo" in inspect.signature(write).parameters else {}
    write(
        network.cpu().float().eval(),
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(path),
        input_names=["images"],
        output_names=["output0"],
        opset_version=17,
        **choice,
    )
    model = onnx.load(path)
    said = {
        "description": "the five shapes of segkit's scenes",
        "task": "detect",
        "stride": STRIDE,
        "imgsz": [SIDE, SIDE],
        "names": dict(enumerate(NAMES)),
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in said.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False))
@options(steps=2400, seed=3)
def main(output: Path, **how: Any) -> None:
    """Train and write the ONNX file; OUTPUT.ckpt is written now and then."""
    try:
        import onnx  # noqa: F401  # missed before the training, not after
    except ModuleNotFoundError:
        raise SystemExit(str(MissingExtraError("writing ONNX", "onnx", "train"))) from None
    training = train(Training, Boxes, output.with_suffix(".ckpt"), how)
    export(training.network, output)


if __name__ == "__main__":
    main()
