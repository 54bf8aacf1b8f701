"""Commands as processes of their own, which heed the signals that they are sent."""

from __future__ import annotations

import signal
import subprocess
import sys


def heeding():
    """A background job of a shell has SIGINT ignored, and one behind nohup SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(*words, preexec_fn=heeding, **how):
    """A command's process; what it prints is kept."""
    return subprocess.Popen(
        [sys.executable, "-m", "segkit.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
        **how,
    )
