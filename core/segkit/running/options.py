"""How plans are run, whatever they are: seed, device, chunk, resume, who watches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segkit.errors import UsageError
from segkit.plugins.catalog import Catalog
from segkit.running.plan import Plan
from segkit.running.recipe_record import recorded
from segkit.running.shards import Shard

if TYPE_CHECKING:
    from segkit.running.engines.engine import Engine


@dataclass(frozen=True)
class RunOptions:
    """How plans are run, whatever they are."""

    seed: int = 0
    """For all that is random."""
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1` or `mps` (see `device_named`)."""
    classes: Sequence[str] = ()
    """Names for the class ids 1, 2, … in place of the data set's."""
    chunk: int | None = None
    """How many images are worked on together; by default 4, on a GPU 16 and more where
    its memory has room."""
    resume: bool = False
    """Go on where a run was cut off."""
    overwrite: bool = False
    """Start again in a folder that has a run."""
    catalog: Catalog | None = None
    """Tells where plugins came from."""
    observers: Iterable[object] = ()
    """Objects with watching hooks (see `plugins.hookspecs`)."""
    shard: Shard | None = None
    """Which part of the images is done; None: all of them."""
    engine: Engine | None = None
    """Who walks the images; None: this process. Others take `auto` for a device too."""

    def __post_init__(self) -> None:
        check_chunk(self.chunk)

    def content(self, plan: Plan) -> dict[str, Any]:
        """A plan as a run's recipe.toml holds it."""
        content = recorded(plan, catalog=self.catalog, seed=self.seed, classes=self.classes)
        if self.shard is not None:
            content["record"]["shard"] = str(self.shard)
        return content


def check_chunk(chunk: int | None) -> None:
    """Raise `UsageError` for what can be no number of images; None: the default."""
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise UsageError(f"chunk should be a whole number from 1, but is {chunk!r}")


def device_named(name: str) -> str:
    """The device to open steps on; `auto` is a GPU where there is one.

    Raises `UsageError` for a name that is no device, and for a device that is not there.
    """
    kind = name.partition(":")[0]
    if kind == "cpu":
        return name
    if kind not in ("auto", "cuda", "mps"):
        raise UsageError(f"--device should be auto, cpu, cuda or mps, but is '{name}'")
    import torch

    there: Mapping[str, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "auto":
        return next((k for k, present in there.items() if present), "cpu")
    if not there[kind]:
        raise UsageError(f"--device {name}: this machine has none that torch can use; try cpu")
    return name
