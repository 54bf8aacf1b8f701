"""A pool of processes on this machine, each started from nothing, with one torch thread.

They speak through pipes, so a process that ends is noticed by its driver, and a driver that ends,
however that is, by its processes, which then end too.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from typing import IO, Any

from segkit.errors import error_line
from segkit.running.engines.parcel import Chunk, Parcel
from segkit.running.engines.pool import (
    Died,
    Event,
    Hello,
    Made,
    Ready,
    Refused,
    exit_words,
)

BOOT = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # Ctrl-C is the driver's
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from segkit.running.engines.process import main; main()"
)
"""What a process runs; the folder that it is started in is no place of modules."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Are 1 unless the user has set them: as many processes as processors leave no more to each."""

PATIENCE = 5.0
"""Seconds that a process has to close its steps when all is done."""

ENDING = 2.0
"""Seconds after which a process whose words break off has not ended by itself."""


class Processes:
    """So many processes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._listeners: list[threading.Thread] = []
        self._ended: set[int] = set()
        """Those that were killed here, of which nothing more is told."""

    def wanted(self) -> int:
        """As many as were asked for."""
        return self._count

    def start(self, worker: int) -> None:
        """Start a process, and a thread that listens to it."""
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**dict.fromkeys(THREADS, "1"), **os.environ},
        )
        self._processes[worker] = process
        listener = threading.Thread(
            target=self._listen, args=(worker, process), name=f"segkit-worker-{worker}", daemon=True
        )
        listener.start()
        self._listeners.append(listener)

    def open(self, worker: int, parcel: Parcel) -> None:
        """Send the parcel."""
        self._send(worker, parcel)

    def submit(self, worker: int, chunk: Chunk) -> None:
        """Send the chunk."""
        self._send(worker, chunk)

    def poll(self, timeout: float) -> list[Event]:
        """What the threads have heard."""
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        events = [event for event in events if event.worker not in self._ended]
        for event in events:
            if isinstance(event, Died):
                self.kill(event.worker)
        return events

    def kill(self, worker: int) -> None:
        """Kill the process, if it has not ended, and forget it."""
        self._ended.add(worker)
        process = self._processes.pop(worker, None)
        if process is not None:
            process.kill()
            process.wait()
            _close(process)
        self._listeners = [listener for listener in self._listeners if listener.is_alive()]

    def close(self, *, at_once: bool) -> None:
        """End all of them; they have a moment for it, unless `at_once` says otherwise."""
        for worker, process in self._processes.items():
            self._ended.add(worker)
            if at_once:
                process.kill()
            else:
                with contextlib.suppress(OSError):
                    pickle.dump(None, _pipe(process.stdin))
                    _pipe(process.stdin).flush()
        for process in self._processes.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)
        self._processes.clear()
        for listener in self._listeners:
            listener.join(PATIENCE)

    def _send(self, worker: int, message: Any) -> None:
        process = self._processes.get(worker)
        if process is None:
            return  # it has died, which is told with what it has said before
        with contextlib.suppress(OSError):  # it has just died, which its thread tells
            pickle.dump(message, _pipe(process.stdin))
            _pipe(process.stdin).flush()

    def _listen(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        """Pass on what a process says, and in the end how it ended."""
        why = ""
        with _pipe(process.stdout) as pipe, contextlib.suppress(EOFError, OSError):
            try:
                while True:
                    what, told = pickle.load(pipe)
                    self._events.put(_event(worker, what, told))
            except (EOFError, OSError):
                raise
            except Exception as error:  # cut off by its end, or nothing that can be read here
                try:
                    process.wait(ENDING)
                except subprocess.TimeoutExpired:
                    why = f"what it said cannot be read: {error_line(error)}"
                    process.kill()
        self._events.put(Died(worker, why or exit_words(process.wait())))


def _event(worker: int, what: str, told: Any) -> Event:
    """What a process has said."""
    if what == "hello":
        return Hello(worker, told)
    if what == "ready":
        return Ready(worker, told)
    if what == "refused":
        return Refused(worker, told)
    return Made(worker, *told)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # it was asked for
    return pipe


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a process that has ended; its listener closes the other one."""
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()
