"""Early stopping, against both rules written down as loops over a curve of validation losses."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from pydantic import PrivateAttr  # noqa: E402
from train_toys import Linear, curve, quick  # noqa: E402

from segkit import UsageError  # noqa: E402
from segkit.training.progress import Watcher  # noqa: E402

FALLS_FROM_A_PEAK = (1.0, 0.5, 0.9, 0.8, 0.7, 0.6, 0.55, 0.54)
"""Each epoch but the third is better than the one before, and none after the second the best."""


class Scripted(Linear):
    """A network whose validation losses are given, epoch by epoch."""

    name = "scripted"

    losses: tuple[float, ...] = ()

    _epochs: int = PrivateAttr(0)

    def loss(self, network, stage, examples, criterion):
        loss, logits = super().loss(network, stage, examples, criterion)
        if network.training:
            return loss, logits
        return torch.tensor(self.losses[self._epochs]), logits


class Script(Watcher):
    """Turns the page after each epoch; ends the process's training after `until` of them."""

    def __init__(self, step, until=99):
        self.step_of, self.until, self.notes = step, until, []

    def epoch(self, row):
        self.step_of._epochs += 1
        if self.step_of._epochs == self.until:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def scripted(path, losses, **settings):
    """The epochs that a training of these losses has, and its notes."""
    step = Scripted(losses=losses)
    watch = Script(step)
    done = quick(path, step, watch=watch, epochs=len(losses), **settings)
    assert [row["validation_loss"] for row in done.rows] == pytest.approx(losses[: len(done.rows)])
    return done, watch.notes


def epochs_of(losses, rule, delta, patience):
    """How many epochs the rule lets a training have."""
    misses = 0
    for epoch in range(1, len(losses)):
        target = losses[epoch - 1] if rule == "previous" else None
        if rule == "best":
            target = losses[0]
            for loss in losses[1:epoch]:
                target = loss if target - loss > delta else target
        misses = 0 if target - losses[epoch] > delta else misses + 1
        if misses == patience:
            return epoch + 1
    return len(losses)


@pytest.mark.parametrize("rule", ["best", "previous"])
@pytest.mark.parametrize(("delta", "patience"), [(0.0, 1), (0.0, 3), (0.15, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_stops_where_the_rule_says(tmp_path, rule, delta, patience, seed):
    steps = np.random.default_rng(seed).choice([-0.3, -0.1, 0.1, 0.2], 11)
    losses = tuple((10 + np.cumsum(steps)).round(1).tolist())
    settings = {"stopping": rule, "delta": delta, "patience": patience}
    done, _ = scripted(tmp_path / "x.safetensors", losses, **settings)
    assert len(done.rows) == epochs_of(losses, rule, delta, patience)
    assert done.best["validation_loss"] == pytest.approx(min(losses[: len(done.rows)]))


def test_the_previous_epoch_is_another_rule_than_the_best(tmp_path):
    done, notes = scripted(tmp_path / "a.safetensors", FALLS_FROM_A_PEAK, patience=2)
    assert len(done.rows) == 4
    assert notes[-1] == (
        "stopped early, since the validation loss has not fallen for 2 epochs (--train.patience)"
    )
    previous = {"patience": 2, "stopping": "previous"}
    done, notes = scripted(tmp_path / "b.safetensors", FALLS_FROM_A_PEAK, **previous)
    assert len(done.rows) == len(FALLS_FROM_A_PEAK)
    assert not any("stopped early" in note for note in notes)
    assert done.best["epoch"] == 2  # the weights kept are the best epoch's by either rule
    _, notes = scripted(tmp_path / "c.safetensors", (1.0, 0.9, 0.95, 1.0, 1.1), **previous)
    assert notes[-1] == (
        "stopped early, since the validation loss has not fallen below that of the epoch before "
        "for 2 epochs (--train.patience)"
    )


def test_a_training_that_goes_on_knows_the_previous_epoch(tmp_path):
    losses = (1.0, 0.5, 0.9, 0.8, 0.85, 0.86, 0.4)
    settings = {"epochs": len(losses), "patience": 2, "stopping": "previous"}
    whole, path = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    assert len(scripted(whole, losses, patience=2, stopping="previous")[0].rows) == 6
    step = Scripted(losses=losses)
    with pytest.raises(KeyboardInterrupt):
        quick(path, step, watch=Script(step, until=5), **settings)
    step = Scripted(losses=losses)
    step._epochs = 5
    with pytest.raises(UsageError, match=r"was made with train\.stopping previous, but now it is"):
        quick(path, step, resume=True, **{**settings, "stopping": "best"})
    quick(path, step, resume=True, watch=Script(step), **settings)
    assert curve(path) == curve(whole)
