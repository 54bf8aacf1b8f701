"""Photographs that come with scikit-image: astronaut, cat, coffee, motorcycle, rocket."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from segkit import Dataset, Image, PluginError, Truth, UsageError, hookimpl, read_image

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}
"""Name to file: the colour photographs of things that lie in scikit-image's wheel."""


class Samples(Dataset):
    """Five colour photographs, without truth, so that nothing need be downloaded."""

    name = "samples"

    only: tuple[str, ...] = ()
    """Which of them, in this order: astronaut, cat, coffee, motorcycle, rocket. Left out, all."""

    @property
    def names(self) -> Sequence[str]:
        """Those asked for. Raises `UsageError` for a name that there is not."""
        return self._names

    @property
    def has_truth(self) -> bool:
        """Never."""
        return False

    def files_of(self, index: int) -> Sequence[Path]:
        """The photograph."""
        return (self._folder / PHOTOGRAPHS[self.names[index]],)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photograph."""
        name = self.names[index]
        return read_image(self._folder / PHOTOGRAPHS[name], name), None

    @cached_property
    def _names(self) -> tuple[str, ...]:
        there = [name for name, file in PHOTOGRAPHS.items() if (self._folder / file).is_file()]
        for name in self.only:
            if name not in there:
                close = difflib.get_close_matches(name, there, n=1)
                advice = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(there)}"
                raise UsageError(f"the data set 'samples' has no picture '{name}'; {advice}")
        return tuple(dict.fromkeys(self.only)) or tuple(there)

    @cached_property
    def _folder(self) -> Path:
        spec = find_spec("skimage")  # found, not imported: only its files are wanted
        if spec is None or spec.origin is None:
            raise PluginError(
                "the data set 'samples' needs scikit-image, which is not installed; "
                "run: pip install scikit-image"
            )
        return Path(spec.origin).parent / "data"


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `samples`."""
    return [Samples]
