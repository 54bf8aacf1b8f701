"""Generated pictures with one shape each: circle, square, diamond, triangle or star."""

from __future__ import annotations

from segkit import Dataset, hookimpl
from segkit_plugins.dataset._generated import Generated


class Shapes(Generated):
    """One shape on a background, with class map and instances; nothing need be downloaded."""

    name = "shapes"


@hookimpl
def segkit_datasets() -> list[type[Dataset]]:
    """Register the data set."""
    return [Shapes]
