"""What a process of the pool runs: it reads parcels and chunks, and says what comes of them."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import time
from typing import IO, Any

from segkit.errors import error_line
from segkit.running.engines.parcel import Chunk, Parcel
from segkit.running.engines.pool import RefusalError
from segkit.running.engines.worker import Worker, introduced


def main() -> None:
    """Work until the driver says that all is done, or is gone."""
    # What plugins print goes to the terminal, not into what the driver reads.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(sys.stdin.buffer, messages), daemon=True)
    reader.start()
    worker = Worker()
    _say(out, "hello", introduced())
    try:
        while (message := messages.get()) is not None:
            if isinstance(message, Parcel):
                _say(out, "ready", worker.open(message))
            else:
                _work(out, worker, message)
    except RefusalError as why:
        _say(out, "refused", why)
    worker.close()
    out.close()
    # Threads of libraries must not keep it.
    sys.stderr.flush()
    os._exit(0)


def _work(out: IO[bytes], worker: Worker, chunk: Chunk) -> None:
    """Each line as it is finished, then that the chunk is."""
    start = time.perf_counter()
    for recipe, line in worker.work(chunk):
        _say(out, "made", (chunk.number, [(recipe, line)], False))
    busy = time.perf_counter() - start
    _say(out, "made", (chunk.number, [], True, busy, worker.heard()))


def _say(out: IO[bytes], what: str, told: Any) -> None:
    try:
        pickle.dump((what, told), out)
        out.flush()
    except OSError:  # nobody listens any more
        os._exit(1)


def _read(pipe: IO[bytes], messages: queue.SimpleQueue[Any]) -> None:
    """Pass on what the driver says; where it is gone, end at once, whatever is being done."""
    try:
        while (message := pickle.load(pipe)) is not None:
            messages.put(message)
        messages.put(None)
        pipe.read()  # until it has closed its end too
    except (EOFError, OSError):
        os._exit(1)
    except Exception as error:  # what it cannot read it cannot do
        sys.stderr.write(f"a worker cannot read what it is told: {error_line(error)}\n")
        sys.stderr.flush()
        os._exit(1)
