"""The fuser vote against a pixel loop and a loop over masks: 60 masks of 375×500.

pytest -m benchmark -s tests/benchmarks/bench_vote.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from segkit import Image, Labels, Masks
from segkit_plugins.fuser.vote import Vote

pytestmark = pytest.mark.benchmark
HEIGHT, WIDTH, COUNT, CLASSES, ROUNDS = 375, 500, 60, 21, 21


@pytest.fixture(scope="module")
def case():
    """Wobbly discs of 0.1 to 30 % of the image, and a class map of 16-pixel blocks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = np.zeros((COUNT, HEIGHT, WIDTH), bool)
    for mask in masks:
        area = np.exp(rng.uniform(np.log(0.001), np.log(0.3))) * HEIGHT * WIDTH
        across, down = x - rng.uniform(0, WIDTH), y - rng.uniform(0, HEIGHT)
        stretch, turn = np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0, np.pi)
        u = (across * np.cos(turn) + down * np.sin(turn)) / stretch
        v = (down * np.cos(turn) - across * np.sin(turn)) * stretch
        wobble = 1 + 0.2 * np.cos(5 * np.arctan2(v, u) + turn)
        mask[:] = u**2 + v**2 < area / np.pi * wobble**2
    blocks = rng.integers(0, CLASSES, (HEIGHT // 16 + 1, WIDTH // 16 + 1))
    ids = np.kron(blocks, np.ones((16, 16), int))[:HEIGHT, :WIDTH].astype(np.int32)
    return ids, masks


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
        if votes:
            winner = max(votes, key=votes.get)
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    if mask[row, column]:
                        made[row, column] = winner
    return made


def numpy_loop(ids, masks):
    """The same, mask by mask, ties to the class met first as well."""
    made = ids.copy()
    for mask in masks:
        votes = made[mask]
        if len(votes):
            values, counts = np.unique(votes, return_counts=True)
            equal = values[counts == counts.max()]
            winner = equal[0] if len(equal) == 1 else votes[np.isin(votes, equal).argmax()]
            made[mask] = winner
    return made


def seconds(work, rounds=ROUNDS):
    """Processor time, for all of this runs on one core, and other programs may share it."""
    times, made = [], None
    for _ in range(rounds):
        start = time.process_time()
        made = work()
        times.append(time.process_time() - start)
    return times, made


def test_sequential_vote_against_loops(case):
    ids, masks = case
    image = Image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "x")
    names = {i: f"class {i}" for i in range(1, CLASSES)}
    inputs = {
        "labels": Labels(ids, names),
        "masks": Masks(masks, np.ones(COUNT, np.float32), np.arange(COUNT)),
        "classes": names,
    }
    step = Vote(preset="sequential")
    ours, numpys = [], []
    for _ in range(ROUNDS):  # in turn, so that noise hits both alike
        (one,), made = seconds(lambda: step(image=image, **inputs), 1)
        (other,), wanted = seconds(lambda: numpy_loop(ids, masks), 1)
        ours.append(one)
        numpys.append(other)
    (slow,), also = seconds(lambda: pixel_loop(ids, masks), 1)
    assert np.array_equal(made.ids, wanted)
    assert np.array_equal(made.ids, also)
    share = masks.mean()
    own = statistics.median(ours)
    print(f"\n{COUNT} masks of {HEIGHT}×{WIDTH}, {share:.1%} of the image each on average")
    print(f"vote {own * 1e3:.2f} ms, NumPy loop {statistics.median(numpys) * 1e3:.1f} ms, ", end="")
    print(f"pixel loop {slow:.2f} s")
    ratio = statistics.median(b / a for a, b in zip(ours, numpys, strict=True))
    print(f"NumPy loop over vote: {ratio:.1f} (target ≥ 5)")
    print(f"pixel loop over vote: {slow / own:.0f} (target ≥ 100)")
