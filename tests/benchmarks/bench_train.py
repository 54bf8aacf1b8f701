"""The training loop of segkit train over a bare loop of the same network: images per second.

pytest -m benchmark -s tests/benchmarks/bench_train.py

Both train a U-Net on the same images, in batches of one size, with Adam and cross-entropy. The bare
loop has its tensors ready, changes nothing at random, keeps nothing and looks at nothing. It is
timed with the weights as they come, and with the channels last, as segkit has them. What the
command costs before and after (reading images, the first import) is left out; validation is not
counted either way.
"""

from __future__ import annotations

import statistics
import time

import pytest

pytestmark = pytest.mark.benchmark

WIDTH, SIZE, BATCH, COUNT, EPOCHS = 32, 128, 16, 68, 4


def bare(pool, network):
    """Images per second of each epoch but the first."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(pool.pixels.copy()).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(pool.targets.copy()).long()
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    network.train()
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for chosen in torch.randperm(len(pixels)).split(BATCH):
            loss = F.cross_entropy(network(pixels[chosen]), targets[chosen], ignore_index=255)
            adam.zero_grad()
            loss.backward()
            adam.step()
        rates.append(len(pixels) / (time.perf_counter() - start))
    return rates[1:]


@pytest.mark.parametrize("augment", [False, True], ids=["plain", "augmented"])
def test_the_loop_costs_little(augment, tmp_path):
    pytest.importorskip("lightning")
    import torch

    from segkit.training.loop import train
    from segkit.training.progress import Watcher
    from segkit.training.settings import Settings
    from segkit_plugins.dataset.shapes import Shapes
    from segkit_plugins.segmenter.unet import Unet

    class Clock(Watcher):
        def __init__(self):
            self.epochs = []

        def step(self, examples):
            """Called when a step's loss is known; its backward pass falls into the next."""
            self.epochs[-1].append((time.perf_counter(), examples))

        def begins(self, *given):
            self.epochs.append([])

        def epoch(self, row):
            self.epochs.append([])

        @property
        def rates(self):
            """From step to step, so that what is done between epochs is left out."""
            whole = [steps for steps in self.epochs if len(steps) > 1][1:]
            return [
                sum(examples for _, examples in steps[:-1]) / (steps[-1][0] - steps[0][0])
                for steps in whole
            ]

    clock = Clock()
    settings = Settings(
        batch=BATCH, epochs=EPOCHS, size=SIZE, split=0.05, balance=False, augment=augment
    )
    step = Unet(width=WIDTH)
    last = torch.channels_last
    data = [Shapes(count=COUNT, size=SIZE, seed=1)]
    done = train(step, data, tmp_path / "x.safetensors", settings, watch=clock)
    ours = statistics.median(clock.rates)
    networks = {
        "bare": step.network(len(done.pool.classes) + 1),
        "bare, channels last": step.network(len(done.pool.classes) + 1).to(memory_format=last),
    }
    print(f"\n{'augmented' if augment else 'plain'}: {ours:.1f} images/s")
    for name, network in networks.items():
        alone = statistics.median(bare(done.pool, network))
        print(f"  {name}: {alone:.1f} images/s: {ours / alone:.2f}×")
