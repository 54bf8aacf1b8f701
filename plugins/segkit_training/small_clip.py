"""Make a small CLIP to begin with: python -m segkit_training.small_clip -o DIR.

The image half of CLIP in small, untrained, as transformers saves it: for learning from scratch
where the real one is too large or is not there, by `--clip-decoder.model DIR` and
`--point-clip.model DIR` with `--train.rate 1e-3`. The position embeddings begin as sines and
cosines of row and column, which it would otherwise have to find out first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from segkit import MissingExtraError
from segkit_plugins.shared.hub import quiet

HEAD = 32
"""Width of an attention head."""

SLOWEST = 100.0
"""How much longer the longest of the sine waves is than the shortest one."""

STRENGTH = 0.5
"""Of the waves."""


def waves(cells: int, width: int) -> Tensor:
    """(cells², width): sines and cosines of column and row, as in Vaswani et al. 2017 for words."""
    rates = SLOWEST ** -(torch.arange(width // 4) / (width // 4))
    rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    angles = [place.reshape(-1, 1) * rates for place in (columns, rows)]
    return STRENGTH * torch.cat([wave(a) for a in angles for wave in (torch.sin, torch.cos)], dim=1)


def build(side: int, patch: int, width: int, layers: int, seed: int) -> Any:
    """CLIP's image half of these sizes, for pictures of `side` pixels; the same for a seed."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        image_size=side,
        patch_size=patch,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD,
    )
    model: Any = CLIPVisionModel(config)
    inner = getattr(model, "vision_model", model)
    with torch.no_grad():
        inner.embeddings.position_embedding.weight[1:] = waves(side // patch, width)
    return model


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--side", default=64, show_default=True, help="Side of its pictures in pixels.")
@click.option("--patch", default=8, show_default=True, help="Side of a patch in pixels.")
@click.option("--width", default=128, show_default=True, help="Of the tokens.")
@click.option("--layers", default=4, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(output: Path, side: int, patch: int, width: int, layers: int, seed: int) -> None:
    """Write the model folder."""
    if min(side, patch, layers) < 1 or side % patch:
        raise click.UsageError(
            f"a side of {side} px is not made of whole patches of {patch} px; give a multiple"
        )
    if width < HEAD or width % HEAD:
        raise click.UsageError(f"--width {width} is no multiple of {HEAD}; give one")
    try:
        import transformers  # noqa: F401
    except ModuleNotFoundError:
        missing = MissingExtraError("making a small CLIP", "transformers", "hf")
        raise SystemExit(str(missing)) from None
    with quiet():
        build(side, patch, width, layers, seed).save_pretrained(output)


if __name__ == "__main__":
    main()
