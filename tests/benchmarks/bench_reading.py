"""Large photographs read by several threads over one: reading alone, and a whole run.

pytest -m benchmark -s tests/benchmarks/bench_reading.py

$COUNT (24) JPEGs of 12 million pixels, parts of the photographs that come with scikit-image made
larger. The run is the default recipe without pictures. $TURNS alternations (5); one more before
them is not counted.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace

import pytest
from photographs import write_photographs
from spreads import spread

from segkit import Catalog, run
from segkit.running import reading
from segkit.running.batches import Batches
from segkit.running.recipe_files import starting_recipe

pytestmark = pytest.mark.benchmark
COUNT = int(os.environ.get("COUNT", "24"))
TURNS = int(os.environ.get("TURNS", "5"))
SIZE = 4000, 3000


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The paths of so many photographs, each another one."""
    folder = tmp_path_factory.mktemp("photos")
    return [str(path) for path in write_photographs(folder, COUNT, SIZE, quality=90)]


def seconds(work, turn):
    start = time.perf_counter()
    work(turn)
    return time.perf_counter() - start


def test_several_readers_over_one(photos, tmp_path, monkeypatch):
    import torch

    catalog = Catalog(third_party=False)
    recipe = starting_recipe([])
    recipe = replace(recipe, parts={**recipe.parts, "writer": ()})
    plan = recipe.build(catalog, photos)

    def read(turn):
        wanted, batches = range(len(photos)), Batches()
        readers = reading.readers_for(plan.dataset)
        chunks = reading.read_ahead(
            plan.dataset, plan.dataset.names, wanted, batches, lambda task: 1.0, 1, readers
        )
        assert sum(map(len, chunks)) == COUNT

    def whole(turn):
        summary = run({"run": plan}, tmp_path / f"{turn}", catalog=catalog)["run"]
        assert (summary["images"], summary["failed"]) == (COUNT, 0)

    several = min(reading.MOST, torch.get_num_threads())
    for what, work in (("read", read), ("run", whole)):
        spent = {1: [], several: []}
        for turn in range(TURNS + 1):
            for readers, times in spent.items():
                monkeypatch.setattr(reading, "MOST", readers)
                times.append(seconds(work, f"{what}-{readers}-{turn}"))
        one, more = spent[1][1:], spent[several][1:]
        ratios = spread(a / b for a, b in zip(one, more, strict=True))
        print(
            f"{COUNT} photographs of 12 million pixels {what} by 1 over {several}: "
            f"{statistics.median(one):.2f} s over {statistics.median(more):.2f} s; ratio {ratios}"
        )
