"""Plans over a few generated shapes."""

from __future__ import annotations

from segkit import Catalog
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def shapes(count=3, **options):
    return make_step(CATALOG, "dataset", "shapes", {"count": count, "size": 96, **options})
