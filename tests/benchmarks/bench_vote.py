"""The fuser vote against a pixel loop and a loop over masks: 60 masks of 375×500.

pytest -m benchmark -s tests/benchmarks/bench_vote.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest
from spreads import spread

from segkit import Catalog, Image, Labels, Masks, Prompt, Prompts
from segkit.running.recipe import make_step
from segkit_plugins.fuser.vote import Vote

pytestmark = pytest.mark.benchmark
HEIGHT, WIDTH, COUNT, CLASSES, COARSE, ROUNDS = 375, 500, 60, 21, 16, 21


@pytest.fixture(scope="module")
def masks():
    """What `nano` finds at a grid of points: the 60 best masks that differ from one another."""
    from skimage import data, transform

    photo = transform.resize(data.astronaut(), (HEIGHT, WIDTH), preserve_range=True)
    image = Image(photo.astype(np.uint8), "astronaut")
    step = make_step(Catalog(third_party=False), "segmenter", "sam", {"multimask": "on"})
    step.open("cpu")
    grid = [(x, y) for y in range(15, HEIGHT, 31) for x in range(15, WIDTH, 31)]
    prompts = Prompts(tuple(Prompt(points=[point]) for point in grid))
    found = step(image=image, prompts=prompts, encoding=step.encode(image))
    kept = []
    for i in np.argsort(-found.scores):
        mask = found.masks[i]
        if mask.sum() > 100 and all((mask & m).sum() < 0.7 * (mask | m).sum() for m in kept):
            kept.append(mask)
    return np.stack(kept[:COUNT])


@pytest.fixture(scope="module")
def ids(masks):
    """A class map as a network's: the masks in random classes, known at every 16th pixel alone."""
    rng = np.random.default_rng(0)
    fine = np.zeros((HEIGHT, WIDTH), np.int64)
    for mask in sorted(masks, key=np.sum, reverse=True):
        fine[mask] = rng.integers(0, CLASSES)
    rows, columns = (np.arange(n) // COARSE * COARSE for n in fine.shape)
    return fine[rows[:, None], columns]


def pixel_loop(ids, masks):
    """Every mask rewrites the class map that the next one votes on; pixel by pixel."""
    made = ids.copy()
    for mask in masks:
        votes = {}
        for row in range(HEIGHT):
            for column in range(WIDTH):
                if mask[row, column]:
                    label = made[row, column]
                    votes[label] = votes.get(label, 0) + 1
        winner = max(votes, key=votes.get)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                if mask[row, column]:
                    made[row, column] = winner
    return made


def numpy_loop(ids, masks):
    """The same mask by mask, ties to the class met first as well."""
    made = ids.copy()
    for mask in masks:
        votes = made[mask]
        values, counts = np.unique(votes, return_counts=True)
        equal = values[counts == counts.max()]
        made[mask] = equal[0] if len(equal) == 1 else votes[np.isin(votes, equal).argmax()]
    return made


def spent(work):
    """Processor time: all of this runs on one core, and other programs may want it too."""
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def test_sequential_vote_against_loops(ids, masks):
    image = Image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "x")
    names = {i: f"class {i}" for i in range(1, CLASSES)}
    inputs = {
        "labels": Labels(ids, names),
        "masks": Masks(masks, np.ones(COUNT, np.float32), np.arange(COUNT)),
        "classes": names,
    }
    step, narrow = Vote(preset="sequential"), ids.astype(np.int32)
    work = {
        "vote": lambda: step(image=image, **inputs).ids,
        "NumPy loop": lambda: numpy_loop(ids, masks),
        "NumPy loop on 32 bits": lambda: numpy_loop(narrow, masks),
    }
    times = {name: [] for name in work}
    made = {}
    for _ in range(ROUNDS):  # in turn, so that noise hits all alike
        for name, call in work.items():
            seconds, made[name] = spent(call)
            times[name].append(seconds)
    slow, made["pixel loop"] = spent(lambda: pixel_loop(ids, masks))
    times["pixel loop"] = [slow] * ROUNDS
    targets = {"pixel loop": " (target ≥ 100)", "NumPy loop": " (target ≥ 5)"}
    print(f"\n{len(masks)} masks of {HEIGHT}×{WIDTH}, {masks.mean():.1%} of the image on average")
    for name, several in times.items():
        assert np.array_equal(made[name], made["vote"])
        ratio = spread(b / a for a, b in zip(times["vote"], several, strict=True))
        milliseconds = statistics.median(several) * 1e3
        print(f"{name}: {milliseconds:.1f} ms, over vote {ratio}{targets.get(name, '')}")
