"""Train a small DPT for maps of the shapes: python -m segkit_training.dpt -o DIR.

It is for tests and demonstrations without a download: a DPT-Hybrid (Ranftl et al. 2021) of
transformers, a shallow ResNet before four layers of a vision transformer, which sees pictures of
128x128. The folder is as transformers saves it: config.json, preprocessor_config.json and the
weights as float16.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from segkit import MissingExtraError
from segkit_plugins.shared.drawing import CLASSES
from segkit_training.loop import Example, need_lightning, optimiser
from segkit_training.scenes import SIDE, Scenes, options, reduced, train

need_lightning("training the DPT", __name__ == "__main__")
import lightning  # noqa: E402  # what it is missing for is said first

NAMES = {0: "background", **CLASSES}
"""Class number to name."""

MIDDLE = 0.5
"""Mean and standard deviation that pictures are normalised with, pixels in [0, 1]."""

RATE = 1.5e-3
WARM = 100


def build() -> Any:
    """The network with random weights: (B, 3, 128, 128) to logits (B, 6, 128, 128)."""
    from transformers import BitConfig, DPTConfig, DPTForSemanticSegmentation

    stages = [64, 128, 192]
    backbone = BitConfig(
        layer_type="bottleneck",
        global_padding="same",
        embedding_dynamic_padding=True,
        num_groups=8,
        embedding_size=24,
        hidden_sizes=stages,
        depths=[1, 2, 2],
        out_features=["stage1", "stage2", "stage3"],
    )
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone.to_dict(),
        backbone_featmap_shape=[1, stages[-1], SIDE // 16, SIDE // 16],
        image_size=SIDE,
        patch_size=16,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.06,
        backbone_out_indices=[0, 1, 1, 3],  # the first two are stages of the ResNet
        neck_hidden_sizes=[*stages[:2], 128, 128],
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        fusion_hidden_size=32,
        use_batch_norm_in_fusion_residual=True,
        use_auxiliary_head=False,
        semantic_classifier_dropout=0.0,
        id2label=NAMES,
        label2id={name: i for i, name in NAMES.items()},
    )
    return DPTForSemanticSegmentation(config)


class ClassMaps(Scenes):
    """Pictures with their class maps."""

    def example(self, rng: np.random.Generator) -> Example:
        """Pixels (3, 128, 128) uint8 and class numbers (128, 128) int64, 0 background."""
        pixels, drawing = self.drawn(rng)
        return pixels, reduced(drawing.labels, SIDE)


class Training(lightning.LightningModule):
    """One step's loss, and the optimiser."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.network = build()
        self.steps = steps
        self.started = time.monotonic()

    def configure_optimizers(self) -> Any:
        """AdamW; warm-up, then half a cosine down to 2 %."""
        return optimiser(self.network.parameters(), RATE, 0.02, WARM, self.steps)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """The cross-entropy of one batch."""
        pixels, labels = batch
        logits = self.network((pixels.float() / 255 - MIDDLE) / MIDDLE).logits.float()
        loss = F.cross_entropy(logits, labels)
        if self.global_step % 25 == 0:
            right = logits.argmax(1) == labels
            line = {
                "step": self.global_step,
                "loss": round(loss.item(), 4),
                "right": round(right.float().mean().item(), 4),
                "right_on_objects": round(right[labels > 0].float().mean().item(), 4),
                "seconds": round(time.monotonic() - self.started),
            }
            click.echo(json.dumps(line))
        return loss


def save(network: Any, folder: Path) -> None:
    """Write the model folder."""
    from transformers import DPTImageProcessor

    processor = DPTImageProcessor(
        size={"height": SIDE, "width": SIDE},
        keep_aspect_ratio=False,
        ensure_multiple_of=1,
        resample=2,  # bilinear
        image_mean=[MIDDLE] * 3,
        image_std=[MIDDLE] * 3,
    )
    network.cpu().half().save_pretrained(folder)
    processor.save_pretrained(folder)


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False))
@options(steps=1600, seed=4)
def main(output: Path, **how: Any) -> None:
    """Train and write the model folder; OUTPUT.ckpt, beside it, is written now and then."""
    try:
        import transformers  # noqa: F401
    except ModuleNotFoundError:
        missing = MissingExtraError("training the DPT", "transformers", "hf")
        raise SystemExit(str(missing)) from None
    training = train(Training, ClassMaps, output.with_name(f"{output.name}.ckpt"), how)
    save(training.network, output)


if __name__ == "__main__":
    main()
