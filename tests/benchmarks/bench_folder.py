"""A folder of photographs through the default recipe: over the bare networks, over two processes.

pytest -m benchmark -s tests/benchmarks/bench_folder.py

- *Over the bare networks*: the run, from the first photo to summary.json, over the forward passes
  of the same models alone, on the same photos, which lie decoded in memory: Grad-CAM's classifier,
  nano's encoder, and its decoder with what the run has asked it, in the batches of the run. All in
  one process, so start-up is left out.
- *Over two processes*: one process with all photos over two processes of one thread, each with half
  of them. The two begin together when both have imported and opened everything.

$FOLDER: a folder of photographs; left out, parts of those that come with scikit-image. $COUNT: how
many (300). $TURNS: alternations (5); one more before them is not counted.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from photographs import write_photographs
from spreads import spread

from segkit import Catalog, hookimpl, run
from segkit.running.recipe_files import starting_recipe

pytestmark = pytest.mark.benchmark
COUNT = int(os.environ.get("COUNT", "300"))
TURNS = int(os.environ.get("TURNS", "5"))
SIZE = 400, 300
CHUNK = 4
"""Photos that a run on a processor works on together."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The paths of so many photographs, each another one."""
    folder = tmp_path_factory.mktemp("photos")
    given = os.environ.get("FOLDER")
    if given:
        for path in sorted(Path(given).glob("*.jpg"))[:COUNT]:
            shutil.copy(path, folder)
    else:
        write_photographs(folder, COUNT, SIZE)
    return sorted(folder.iterdir())


def plan_of(paths, catalog, *, pictures=True):
    recipe = starting_recipe([])
    if not pictures:
        recipe = replace(recipe, parts={**recipe.parts, "writer": ()})
    return recipe.build(catalog, [str(path) for path in paths])


def bare(photos, results):
    """A function that does the networks' forward passes, and nothing else.

    `results`: the results.jsonl of a run, which says what the decoder is asked.
    """
    import torch
    import torch.nn.functional as F

    from segkit_plugins.segmenter.sam.loading import load
    from segkit_plugins.shared import lite0
    from segkit_plugins.shared.nano_encoder import fitted
    from segkit_plugins.shared.weights import bundled

    classifier = lite0.with_person(lite0.load_lite0()).eval()
    sam = load("sam", "nano", bundled("nano")).eval().requires_grad_(False)
    side = sam.image_encoder.img_size
    pixels = [np.asarray(PIL.Image.open(path).convert("RGB")) for path in photos]
    inputs = [fitted(p, side, "cpu")[0] for p in pixels]
    small = [F.interpolate(x, (lite0.SIZE, lite0.SIZE)) for x in inputs]
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    prompts = {line["name"]: line["prompts"] for line in lines}
    asked = [
        [_tensors(prompt, side / max(image.shape[:2])) for prompt in prompts[path.stem]]
        for path, image in zip(photos, pixels, strict=True)
    ]
    position = sam.prompt_encoder.get_dense_pe()

    def forward():
        with torch.inference_mode():
            for start in range(0, len(inputs), CHUNK):
                classifier(torch.cat(small[start : start + CHUNK]))
                for place in range(start, min(start + CHUNK, len(inputs))):
                    embedding = sam.image_encoder(inputs[place])
                    if not asked[place]:
                        continue
                    points, signs, boxes = map(torch.cat, zip(*asked[place], strict=True))
                    sparse, dense = sam.prompt_encoder((points, signs), boxes, None)
                    sam.mask_decoder.predict_masks(embedding, position, sparse, dense)

    return forward


def _tensors(prompt, scale):
    import torch

    points = torch.tensor(prompt["points"], dtype=torch.float32)[None] * scale
    signs = torch.tensor(prompt["signs"], dtype=torch.int64)[None]
    return points, signs, torch.tensor(prompt["box"], dtype=torch.float32)[None] * scale


def timed(work):
    """Seconds by the clock and of the processor."""
    clock, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - used


def told(what, over, target):
    """Ratios turn by turn, by the clock and by the processor's time."""
    for place, clock in enumerate(("by the clock", "of the processor")):
        ours, theirs = (statistics.median(pair[k][place] for pair in over) for k in (0, 1))
        ratios = spread((a[place] / b[place] for a, b in over), f"≤ {target}")
        print(f"{what}, {clock}: {ours:.2f} s over {theirs:.2f} s; ratio {ratios}")


class Worker:
    """Runs photos while the time is taken, after it has opened everything."""

    SCRIPT = """
import sys, time
from segkit import Catalog, hookimpl, run
from segkit.running.recipe_files import starting_recipe

class Observer:
    @hookimpl
    def segkit_before_run(self, recipes):
        print("ready", flush=True)
        sys.stdin.readline()
        self.start = time.perf_counter(), time.process_time()

catalog = Catalog(third_party=False)
plan = starting_recipe([]).build(catalog, sys.argv[2:])
observer = Observer()
summary = run({"run": plan}, sys.argv[1], catalog=catalog, observers=[observer])["run"]
spent = time.perf_counter() - observer.start[0], time.process_time() - observer.start[1]
assert summary["images"] == len(sys.argv) - 2 and not summary["failed"], summary
print(*spent, flush=True)
"""

    def __init__(self, paths, out, **variables):
        command = [sys.executable, "-c", self.SCRIPT, str(out), *map(str, paths)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **variables},
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def start(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def spent(self):
        """Seconds by the clock and of the processor, when it is done."""
        clock, used = map(float, self.process.stdout.readline().split())
        self.process.communicate()
        assert self.process.returncode == 0
        return clock, used


def together(workers):
    """The longest one's time by the clock, and all time of the processor."""
    for worker in workers:
        worker.start()
    clocks, used = zip(*(worker.spent() for worker in workers), strict=True)
    return max(clocks), sum(used)


def test_a_folder_over_the_bare_networks(photos, tmp_path):
    catalog = Catalog(third_party=False)
    plans = {
        "with pictures": plan_of(photos, catalog),
        "without": plan_of(photos, catalog, pictures=False),
    }
    number = itertools.count()

    def whole(plan):
        """The time of a run without opening its steps: from the first photo to summary.json."""
        begun = []

        class Observer:
            @hookimpl
            def segkit_before_run(self, recipes):
                begun.append((time.perf_counter(), time.process_time()))

        out = tmp_path / f"{next(number)}"
        summary = run({"run": plan}, out, catalog=catalog, observers=[Observer()])["run"]
        assert summary["images"] == len(photos), summary
        assert not summary["failed"], summary
        return out, (time.perf_counter() - begun[0][0], time.process_time() - begun[0][1])

    out, _ = whole(plans["without"])  # warms up, and says what the decoder is asked
    forward = bare(photos, out / "results.jsonl")
    timed(forward)
    pairs = {name: [] for name in plans}
    for _ in range(TURNS):
        for name, plan in plans.items():
            networks = timed(forward)
            pairs[name].append((whole(plan)[1], networks))
    print(f"\n{len(photos)} photographs, load {os.getloadavg()[0]:.1f}")
    for (name, over), target in zip(pairs.items(), (1.5, 1.15), strict=True):
        told(f"default recipe {name} over the bare networks", over, target)


def test_one_process_over_two_with_half_each(photos, tmp_path):
    number = itertools.count()

    def alone():
        return together([Worker(photos, tmp_path / f"{next(number)}")])

    def two():
        halves = photos[::2], photos[1::2]
        places = [tmp_path / f"{next(number)}" for _ in halves]
        return together(
            [
                Worker(half, place, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
                for half, place in zip(halves, places, strict=True)
            ]
        )

    over = [(alone(), two()) for _ in range(TURNS + 1)][1:]
    print(f"\n{len(photos)} photographs, load {os.getloadavg()[0]:.1f}")
    told("one process over two of one thread", over, 1.1)
