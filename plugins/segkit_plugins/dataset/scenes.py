"""Generated pictures with two to five shapes each, which may overlap."""

from __future__ import annotations

from segkit import Dataset, hookimpl
from segkit_plugins.dataset._generated import Generated


class Scenes(Generated):
    """Two to five shapes on a background, later ones on top, with class map and instances."""

    name = "scenes"

    objects = (2, 5)


@hookimpl
def segkit_datasets() -> list[type[Dataset]]:
    """Register the data set."""
    return [Scenes]
