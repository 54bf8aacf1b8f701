"""Average networks of one training: python -m segkit_training.average -o FILE A=0.2 B=0.8.

Networks that were fine-tuned from the same one can be averaged weight by weight, which is often
better on new pictures than each of them ("model soups", Wortsman et al., ICML 2022). A file is a
`.safetensors` file or a checkpoint (`.ckpt`) of a training, of which its moving average is taken. A
tensor that only some have is the average of theirs. The last file says which tensors there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

AVERAGE = "average.module."
"""What the tensors of the moving average are called in a checkpoint."""


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, or of a checkpoint's moving average."""
    if path.suffix != ".ckpt":
        return load_file(path)
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return {k.removeprefix(AVERAGE): v for k, v in state.items() if k.startswith(AVERAGE)}


def averaged(networks: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """Each tensor of the last network, as the weighted mean over those that have it (float32)."""
    mean = {}
    for name, last in networks[-1][0].items():
        if not last.is_floating_point():
            mean[name] = last
            continue
        there = [(tensors[name].float(), share) for tensors, share in networks if name in tensors]
        total = sum(share for _, share in there)
        mean[name] = torch.stack([tensor * (share / total) for tensor, share in there]).sum(0)
    return mean


def _shared(text: str) -> tuple[Path, float]:
    """'FILE=SHARE' as its two parts. Raises `UsageError` of Click for what is none."""
    name, _, share = text.rpartition("=")
    try:
        path, weight = Path(name), float(share)
    except ValueError:
        weight = 0.0
    if weight <= 0 or not path.is_file():
        raise click.UsageError(f"'{text}' should be FILE=SHARE, of a file and a share above 0")
    return path, weight


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def main(files: tuple[str, ...], output: Path) -> None:
    """Write float16 safetensors."""
    networks = [(tensors_of(path), share) for path, share in map(_shared, files)]
    mean = averaged(networks)
    save_file(
        {k: v.half().contiguous() if v.is_floating_point() else v for k, v in mean.items()}, output
    )


if __name__ == "__main__":
    main()
