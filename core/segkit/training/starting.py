"""Before a training: files in its way, what it goes on from, and what it begins with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segkit.errors import UsageError
from segkit.plugins.steps import Dataset
from segkit.plugins.trainable import FORMAT, Trainable
from segkit.training.data import Pool
from segkit.training.progress import State, Watcher, beside
from segkit.training.settings import BALANCED, Settings, weights_of

DOCUMENTS = (".csv", ".png", ".svg", ".md")
"""Suffixes of what stands beside weights, with the recipe and the checkpoint."""

CHANGEABLE = ("epochs", "minutes", "patience", "workers")
"""Settings that a training which goes on may have changed."""


def check_files(path: Path, initial: Path | None, *, resume: bool, overwrite: bool) -> None:
    """Refuse, with a `UsageError`, what cannot be written or would be in the way."""
    if path.suffix != ".safetensors":
        raise UsageError(f"-o {path} should end in .safetensors, which is what is written")
    if resume and overwrite:
        raise UsageError("--resume goes on and --overwrite starts again; choose one of them")
    if initial is not None and initial.resolve() == path.resolve():
        raise UsageError(
            f"--train.initial and -o are both {path}, which the new weights would replace; choose "
            "another -o"
        )
    checkpoint, recipe = beside(path, ".ckpt"), beside(path, ".toml")
    if resume and recipe.exists() and not checkpoint.exists():
        raise UsageError(
            f"-o {path} is finished, so there is nothing to go on with; --overwrite trains again, "
            f"and --train.initial {path} with another -o trains on"
        )
    documents = [beside(path, suffix) for suffix in DOCUMENTS]
    foreign = [p for p in (path, checkpoint, recipe, *documents) if p.exists()]
    if foreign and not _is_training(path):
        raise UsageError(
            f"-o {path}: {foreign[0]} is there and not of a training by segkit, and would be "
            "written over; choose another -o"
        )
    there = [p for p in (path, checkpoint, recipe) if p.exists()]
    if there and not resume and not overwrite:
        on = "go on with --resume, " if checkpoint.exists() else ""
        raise UsageError(
            f"{there[0]} is there already; {on}replace it by --overwrite, or choose another -o"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # better now than when all images are read
    except OSError as error:
        raise UsageError(f"-o {path} cannot be made: {error.strerror}; choose another") from None


def _is_training(path: Path) -> bool:
    """Whether a weight file, or the checkpoint beside it, is one that a training has left."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return FORMAT in (file.metadata() or {})
    except (SafetensorError, OSError):
        pass  # it is another file, or not there yet
    try:
        found = torch.load(beside(path, ".ckpt"), map_location="cpu", weights_only=True)
        return "segkit" in found
    except Exception:  # torch raises many kinds on files that are none of its own
        return False


def clear(path: Path, *, overwrite: bool) -> None:
    """What is replaced goes when all is known to be well; weights stay until there are better."""
    if overwrite:
        for suffix in (".ckpt", ".toml"):
            beside(path, suffix).unlink(missing_ok=True)


def asked_for(
    step: Trainable,
    datasets: Sequence[Dataset],
    settings: Settings,
    size: int,
    seed: int,
    images: int,
) -> dict[str, Any]:
    """What decides the curve, flat, as JSON holds it."""
    found = {"segmenter": step.name, "seed": seed, "images": images}
    options = step.model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    found |= {f"{step.name}.{key}": value for key, value in options.items()}
    found["dataset"] = [dataset.name for dataset in datasets]
    for dataset in datasets:
        options = dataset.model_dump(mode="json")
        found |= {f"{dataset.name}.{key}": value for key, value in options.items()}
    kept = settings.model_dump(mode="json", exclude=set(CHANGEABLE))
    found |= {f"train.{key}": value for key, value in (kept | {"size": size}).items()}
    again: dict[str, Any] = json.loads(json.dumps(found))
    return again


def state_of(checkpoint: Path, fresh: State) -> State:
    """The state in a checkpoint. Raises `UsageError` if it is damaged or of another training."""
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)["segkit"]
        state = State(**json.loads(found))
        # Of options that it did not know yet:
        usual = Settings().model_dump(mode="json", exclude=set(CHANGEABLE))
        state.asked = {f"train.{key}": value for key, value in usual.items()} | state.asked
    except Exception as error:  # torch raises many kinds on damaged files
        raise UsageError(
            f"--resume: {checkpoint} cannot be read ({str(error).splitlines()[0][:100]}); train "
            "again with --overwrite"
        ) from None
    for key in {**state.asked, **fresh.asked}:
        before, now = state.asked.get(key), fresh.asked.get(key)
        if before != now:
            raise UsageError(
                f"--resume: {checkpoint} was made with {key} {before}, but now it is {now}; ask "
                "for the same, or train again with --overwrite"
            )
    return state


def class_weights(settings: Settings, pool: Pool) -> Tensor | None:
    """(K,) weights of background and the classes, or None where all count the same.

    Balanced: 1 over the share of the pixels, times a factor that makes the mean over all pixels 1;
    a class that is not there counts 1.
    """
    if not settings.class_weights:
        return None
    names = ("background", *pool.classes)
    if settings.class_weights == (BALANCED,):
        total = pool.counts.sum(0)
        there = total > 0
        weights = np.ones(len(names))
        weights[there] = total.sum() / total[there] / there.sum()
        return torch.tensor(weights, dtype=torch.float32)
    given = weights_of(settings.class_weights)
    for name in given:
        if name not in names:
            raise UsageError(
                f"--train.class-weights: there is no class '{name}'; there is {', '.join(names)}"
            )
    return torch.tensor([given.get(name, 1.0) for name in names])


def begin_with(
    network: torch.nn.Module,
    step: Trainable,
    said: Mapping[str, Any],
    found: Mapping[str, Tensor],
    path: Path,
) -> str:
    """Copy the tensors of a file that fit by name and shape; a sentence that says how many.

    `said` is what the file says of itself. Raises `UsageError` where none fits.
    """
    own = network.state_dict()
    fit = [key for key in own if key in found and own[key].shape == found[key].shape]
    if not any(own[key].dim() > 1 for key in fit):  # biases and counters are of one shape anyway
        here = step.settings()
        other = [k for k, v in said["settings"].items() if here.get(k) != v]
        why = f"it is of the segmenter {said['plugin']}"
        if said["plugin"] == step.name and other:
            flag = f"--{step.name}.{other[0].replace('_', '-')}"
            why = f"it has {flag} {said['settings'][other[0]]}, not {here.get(other[0])}"
        raise UsageError(
            f"--train.initial {path} has nothing that fits this network: {why}; give the weights "
            "of a network with the same options"
        )
    for key in fit:  # these share the network's memory
        own[key].copy_(found[key])
    rest = [key for key in own if key not in fit]
    new = f"; new are {rest[0]}{' and others' * (len(rest) > 1)}" if rest else ""
    return f"begins with {len(fit)} of its {len(own)} tensors from {path}{new}"


def say_classes(before: Sequence[str], now: Sequence[str], watch: Watcher) -> None:
    """A network's outputs have no names; where they are taken over they may mean something else."""
    if len(before) == len(now) and list(before) != list(now):
        watch.note(
            f"its outputs were for {', '.join(before)}, and now learn {', '.join(now)}, in this "
            "order; --train.classes changes it"
        )
