"""What goes wrong in a training, told in a sentence; and what Lightning would do otherwise."""

from __future__ import annotations

import errno
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from segkit.errors import PluginError, SegkitError, error_line, plugin_code
from segkit.memory import out_of_memory
from segkit.plugins.contract import named
from segkit.plugins.trainable import Trainable
from segkit.training.progress import State


def kept(path: Path, state: State, step: Trainable) -> str:
    """What there is after all."""
    best = state.best(step.stages[-1])
    if best is None:
        return "no weights are kept yet"
    return f"{path} holds the best weights so far, of epoch {best['epoch']}"


@contextmanager
def told(path: Path, state: State, step: Trainable) -> Iterator[None]:
    """Tell what goes wrong in a sentence."""
    try:
        with plugin_code():
            yield
    except SegkitError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{error.strerror or error}"
        mend = "make room" if full else "mend that"
        on = "go on with --resume" if state.rows else "train again with --overwrite"
        raise SegkitError(
            f"writing {path} and what goes with it stopped ({reason}); "
            f"{kept(path, state, step)}: {mend} and {on}"
        ) from error
    except Exception as error:  # a plugin's network may raise anything
        text = error_line(error)[:200]
        if out_of_memory(error):
            text = text.removesuffix(": no message")
            raise SegkitError(
                f"training {step.name} stopped: there is too little memory ({text[:100]}); "
                f"{kept(path, state, step)}: lower --train.size, or end other programs"
            ) from error
        raise PluginError(
            f"training {named(step)} stopped: {text}; {kept(path, state, step)}"
        ) from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl+C as Python has it: Lightning ends the process and lets no second one through."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise  # a plugin's
        raise stop.__context__ from None
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's talk left out, and torch's switches as they were."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    strict = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
