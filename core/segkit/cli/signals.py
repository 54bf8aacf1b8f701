"""What stops a command from outside: SIGTERM and SIGHUP end it as Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import click


class Stopped(KeyboardInterrupt):
    """A signal that ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop_code(error: BaseException) -> int:
    """The exit code of a command that was stopped: 128 and the signal's number, as shells have it.

    That is 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """
    return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)


def tell_stopped(more: str = "") -> None:
    """Say that the command was stopped, where there is still somebody to read it."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        click.echo(f"Stopped{more}", err=True)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Both signals raise `Stopped` meanwhile; one that is ignored, as by nohup, stays so."""
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
