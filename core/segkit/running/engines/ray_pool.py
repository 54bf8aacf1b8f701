"""The engine `ray`: actors of a Ray cluster walk the images, on as many machines as it has.

Of Ray only actors are used: they are started, called and killed. What is to be done when one dies
is the dispatcher's, as for processes of this machine.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from segkit.errors import MissingExtraError, SegkitError, UsageError, error_line
from segkit.running.engines.dispatched import TOGETHER, Dispatched
from segkit.running.engines.parcel import Chunk, Parcel
from segkit.running.engines.pool import Died, Event, Hello, Made, Ready, RefusalError, Refused
from segkit.running.engines.worker import Worker, introduced, timed

LOOK = 1.0
"""Seconds after which it is looked again how many machines there are."""

ANSWER = 10.0
"""Seconds that an address has to answer."""

SETTINGS = 4
"""The type of HTTP/2's frame that each side sends first."""


def ray_engine(
    *,
    address: str = "auto",
    cpus: float = 1,
    gpus: float = 0,
    chunk: int | None = None,
    workers: int | None = None,
) -> Dispatched:
    """Actors that take `cpus` and `gpus` each; as many as fit, or `workers` at most.

    `address`: `auto` (a cluster that runs here or that RAY_ADDRESS names, else one of its own),
    `local` (one of its own) or HOST:PORT. Raises `MissingExtraError` without Ray.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--engine ray", "ray", "ray")
    return Dispatched(partial(RayPool, address, cpus, gpus, workers), chunk or TOGETHER, apart=True)


class Actor:
    """A worker as Ray runs it: a refusal is a value, so that no stack trace is made of it."""

    def __init__(self) -> None:
        self._worker = Worker()

    def hello(self) -> dict[str, Any]:
        """See `worker.introduced`."""
        return introduced()

    def open(self, parcel: Parcel) -> dict[str, Any] | RefusalError:
        """See `Worker.open`."""
        try:
            return self._worker.open(parcel)
        except RefusalError as why:
            return why

    def work(self, chunk: Chunk) -> tuple[Any, ...] | RefusalError:
        """The lines of a chunk, the seconds that they took, and what there was to warn of."""
        try:
            lines, busy = timed(self._worker.work(chunk))
        except RefusalError as why:
            return why
        return lines, busy, self._worker.heard()


class RayPool:
    """Actors of one cluster."""

    def __init__(self, address: str, cpus: float, gpus: float, most: int | None) -> None:
        """Raises `UsageError` where no cluster answers, `SegkitError` where none can be started."""
        _use_token()
        import ray

        self._ray = ray
        self._needs = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
        self._most = most
        self._own = not ray.is_initialized()  # else it is somebody's who calls from Python
        if self._own:
            connect(address)
        self._class = ray.remote(Actor).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0
        )
        self._actors: dict[int, Any] = {}
        self._asked: dict[Any, tuple[int, str, int]] = {}
        """What is awaited: worker, what of it, and the chunk's number."""
        self._wanted, self._looked = 1, -LOOK

    def wanted(self) -> int:
        """As many as the machines of the moment have room for, and one at least."""
        if time.monotonic() - self._looked > LOOK:
            there = self._ray.cluster_resources()
            room = min(there.get(what, 0) / need for what, need in self._needs.items())
            self._wanted = max(1, min(int(room + 1e-9), self._most or int(room + 1)))
            self._looked = time.monotonic()
        return self._wanted

    def start(self, worker: int) -> None:
        """Ask for an actor; it says hello when there is a machine for it."""
        actor = self._class.remote()
        self._actors[worker] = actor
        self._ask(actor.hello.remote(), worker, "hello")

    def open(self, worker: int, parcel: Parcel) -> None:
        """Have it open the steps."""
        self._ask(self._actors[worker].open.remote(parcel), worker, "ready")

    def submit(self, worker: int, chunk: Chunk) -> None:
        """Hand it the chunk; an actor's calls are done in their order."""
        self._ask(self._actors[worker].work.remote(chunk), worker, "made", chunk.number)

    def poll(self, timeout: float) -> list[Event]:
        """What has come; all calls of an actor that is gone come to one death."""
        if not self._asked:
            time.sleep(timeout)
            return []
        some, _ = self._ray.wait([*self._asked], num_returns=1, timeout=timeout)
        if some:
            some, _ = self._ray.wait([*self._asked], num_returns=len(self._asked), timeout=0)
        order = {ref: place for place, ref in enumerate(self._asked)}
        events: list[Event] = []
        for ref in sorted(some, key=order.__getitem__):
            if ref in self._asked:  # its actor has not died just now
                worker, what, number = self._asked.pop(ref)
                events.append(self._event(ref, worker, what, number))
        return events

    def kill(self, worker: int) -> None:
        """Kill the actor, and forget what it was asked."""
        actor = self._actors.pop(worker, None)
        self._asked = {ref: asked for ref, asked in self._asked.items() if asked[0] != worker}
        if actor is not None:
            with suppress(Exception):  # the machine may be gone, and the cluster with it
                self._ray.kill(actor)

    def close(self, *, at_once: bool) -> None:
        """Kill all of them; a cluster of our own ends too."""
        for worker in [*self._actors]:
            self.kill(worker)
        if self._own:
            with _signals_kept():
                self._ray.shutdown()

    def _ask(self, ref: Any, worker: int, what: str, number: int = -1) -> None:
        self._asked[ref] = worker, what, number

    def _event(self, ref: Any, worker: int, what: str, number: int) -> Event:
        try:
            told = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            return Refused(
                worker, RefusalError.of(SegkitError(f"a worker failed: {error_line(error)}"))
            )
        except self._ray.exceptions.RayError as error:
            self.kill(worker)
            return Died(worker, death_words(str(error)))
        if isinstance(told, RefusalError):
            return Refused(worker, told)
        if what == "hello":
            return Hello(worker, told)
        if what == "ready":
            return Ready(worker, told)
        lines, busy, heard = told
        return Made(worker, number, lines, True, busy, heard)


def death_words(said: str) -> str:
    """What Ray says of an actor's death, in a few words."""
    if "No module named" in said:
        missing = said.partition("No module named")[2].splitlines()[0].strip()
        return f"the machine has no module {missing}"
    if "node" in said and ("died" in said or "dead" in said) and "SYSTEM_ERROR" not in said:
        return "its machine is gone"
    if "out of memory" in said.lower() or "OOM" in said or "SIGKILL" in said:
        return "exit 137: out of memory?"
    return "it ended by itself"


def connect(address: str) -> None:
    """Connect this process to a cluster, or start one.

    Raises `UsageError` where no cluster answers, `SegkitError` where none can be started.
    """
    _use_token()
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    try:
        with _signals_kept():
            if named not in ("", "auto", "local"):
                _answers(named)
            if address != "local":
                try:
                    with _hushed():
                        ray.init(address=address, **quiet)
                    return
                except ConnectionError:
                    if address != "auto" or os.environ.get("RAY_ADDRESS"):
                        raise
            ray.init(address="local", include_dashboard=False, **quiet)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        what = f"--ray.address {address}"
        if address == "local":
            raise SegkitError(
                f"{what}: no cluster could be started: {error_line(error)}; try --engine workers"
            ) from error
        raise UsageError(
            f"{what}: no Ray cluster answers there ({_reason(error)}); start one by `ray start "
            "--head`, set RAY_AUTH_TOKEN where it has one, or give --ray.address local"
        ) from error


def _answers(address: str) -> None:
    """Raise `OSError` or `ValueError` where no Ray answers at HOST:PORT; Ray waits for minutes.

    Ray speaks gRPC, so what answers begins with the SETTINGS of HTTP/2 (RFC 9113, 3.4).
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it should be HOST:PORT")
    with socket.create_connection((host, int(port)), ANSWER) as there:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return  # it would have to be asked with a certificate
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, SETTINGS, 0, 0, 0, 0, 0))
        try:
            there.sendall(preface)
            first = there.recv(9)
        except OSError:
            first = b""
    if first[3:4] != bytes((SETTINGS,)):
        raise ValueError("what answers is no Ray")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0] or error_line(error)


def _use_token() -> None:
    """Show Ray the token that the environment names: `ray start` heeds it, `ray.init` does not.

    To be called before `ray` is imported, which reads the mode. A token that merely lies in the
    home folder is not shown: the workers of a cluster without one end at it.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _hushed() -> Iterator[None]:
    """What Ray's own threads print while it connects is dropped; what there is to say it raises."""
    sys.stderr.flush()
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """What Ray does to signals is undone: what they mean is the command's."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
