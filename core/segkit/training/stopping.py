"""When a stage stops before its last epoch: by its best epoch, or by the one before."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import EarlyStopping

from segkit.training.settings import Settings

LOSS = "validation_loss"


class AgainstPrevious(EarlyStopping):
    """Counts epochs in a row that are no better than the one before, in place of the best."""

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Compare the epoch; it is what the next one is compared with."""
        super().on_train_epoch_end(trainer, module)
        self.best_score = trainer.callback_metrics[LOSS]


RULES = {"best": EarlyStopping, "previous": AgainstPrevious}
"""`--train.stopping` to what looks at each epoch."""


def early_stopping(settings: Settings) -> EarlyStopping:
    """What stops a stage, by Lightning: after `patience` epochs in a row without a fall > `delta`.

    A checkpoint brings its state, so that a training which goes on stops where it would have.
    """
    return RULES[settings.stopping](
        LOSS,
        min_delta=settings.delta,
        patience=settings.patience,
        check_finite=False,
        check_on_train_epoch_end=True,
    )


def stopped_early(settings: Settings) -> str:
    """The sentence that tells of it."""
    than = " below that of the epoch before" if settings.stopping == "previous" else ""
    return (
        f"stopped early, since the validation loss has not fallen{than} for {settings.patience} "
        f"epoch{'s' * (settings.patience > 1)} (--train.patience)"
    )
