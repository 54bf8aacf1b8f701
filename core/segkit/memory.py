"""Memory: how much a process may still take on the CPU or a GPU, and how much a call takes.

On Linux that is read from /proc (proc(5)) and the control groups that hold containers (cgroups(7)),
so that their limits and those of `ulimit` count as well as what the machine has left. Elsewhere the
standard library says little: macOS has half of its memory to give, and the longest that it ever
was; of Windows nothing is known, where an allocation that is too large fails by an exception.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

PROC = Path("/proc")

KIB = 1024


class Memory(Protocol):
    """The memory of a device, in bytes; None where the system does not tell."""

    def free(self) -> int | None:
        """How much this process may still take."""

    def peak(self) -> int | None:
        """The most that this process has had at a time."""

    def taken(self, run: Callable[[], None]) -> int | None:
        """The most that a call has at a time, beyond what was there before it."""

    def tidy(self) -> None:
        """Give back what is kept for later."""


def memory_of(device: str) -> Memory:
    """The memory that a device of torch (`cpu`, `cuda`, `cuda:1`, `mps`) computes in."""
    kind = device.partition(":")[0]
    return {"cuda": CudaMemory, "mps": MpsMemory}.get(kind, HostMemory)(device)


SAID = (
    *("out of memory", "not enough memory", "can't allocate memory", "bad_alloc"),
    *("could not create a primitive", "could not execute a primitive", "ALLOC_FAILED"),
    "CUDNN_STATUS_NOT_SUPPORTED",
)
"""What errors say when there is no memory: torch's, and those of oneDNN, cuBLAS and cuDNN."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, on any device; imports no torch."""
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError, which older ones have as torch.cuda.OutOfMemoryError
    named = any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)
    return isinstance(error, RuntimeError) and (named or any(s in str(error) for s in SAID))


def shown(count: float) -> str:
    """A number of bytes for people: 0.4 GB, 12 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


# ---- the CPU's ---------------------------------------------------------------------------------


class HostMemory:
    """What the CPU computes in. `proc` is where the proc file system is."""

    def __init__(self, device: str = "cpu", proc: Path = PROC) -> None:
        self.proc = proc

    def free(self) -> int | None:
        """The least of what the machine, the control groups and the limits of `ulimit` leave."""
        left = [*self._of_machine(), *self._of_groups(), *self._of_limits()]
        return max(min(left), 0) if left else None

    def peak(self) -> int | None:
        """The most that was resident at a time, since `taken` was last called."""
        high = self._status().get("VmHWM")
        return _longest() if high is None else high

    def taken(self, run: Callable[[], None]) -> int | None:
        """What was resident at most during a call, less what was before.

        The call gets `free()` and no more; an allocation beyond fails by an exception, where
        otherwise the kernel would end the process.
        """
        self.tidy()
        with contextlib.suppress(OSError):  # a mounted /proc may be read-only
            (self.proc / "self/clear_refs").write_text("5")  # the peak begins anew
        status = self._status()
        before = status.get("VmRSS", _longest())
        with _limited(status.get("VmSize"), self.free()):
            run()
        peak = self.peak()
        return None if peak is None or before is None else max(peak - before, 0)

    def tidy(self) -> None:
        """Give back what the C library keeps; a call would take it without being noticed."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError, TypeError):  # it is glibc's own
            ctypes.CDLL(None).malloc_trim(0)

    def _status(self) -> dict[str, int]:
        """The sizes in /proc/self/status, in bytes."""
        lines = _lines(self.proc / "self/status")
        return {name: int(rest[0]) * KIB for name, *rest in lines if rest[1:] == ["kB"]}

    def _of_machine(self) -> Iterator[int]:
        for name, *rest in _lines(self.proc / "meminfo"):
            if name == "MemAvailable":
                yield int(rest[0]) * KIB
        if sys.platform == "darwin":
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2

    def _of_groups(self) -> Iterator[int]:
        """What each control group around this process leaves; files that it may drop are free."""
        for folder, names in self._groups():
            stat = dict(line for line in _lines(folder / "memory.stat") if len(line) == 2)
            used = _number(folder / names["used"])
            for name in names["limits"]:
                limit = _number(folder / name)
                if limit is not None and used is not None:
                    yield limit - used + int(stat.get(names["droppable"], 0))

    def _groups(self) -> Iterator[tuple[Path, Any]]:
        """The folders of the control groups, from the innermost outwards, of both versions."""
        inside: dict[str, PurePosixPath] = {}
        for line in _text(self.proc / "self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            inside |= dict.fromkeys(controllers.split(","), PurePosixPath(path))
        for line in _text(self.proc / "self/mountinfo").splitlines():
            mount, _, system = line.partition(" - ")
            root, point = mount.split()[3:5]
            kind, _, options = system.split(maxsplit=2)
            if kind == "cgroup2":
                group, names = inside.get(""), VERSION_2
            elif kind == "cgroup" and "memory" in options.split(","):
                group, names = inside.get("memory"), VERSION_1
            else:
                continue
            if group is not None:
                # In a container `root` is the part of the path that is outside.
                within = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
                for each in (within, *within.parents):
                    yield Path(point) / each, names

    def _of_limits(self) -> Iterator[int]:
        try:
            import resource
        except ImportError:  # Windows
            return
        status = self._status()
        for kind, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY and used in status:
                yield limit - status[used]


VERSION_2 = {
    "limits": ("memory.max", "memory.high"),  # beyond the latter it is slowed down
    "used": "memory.current",
    "droppable": "inactive_file",
}
VERSION_1 = {
    "limits": ("memory.limit_in_bytes",),
    "used": "memory.usage_in_bytes",
    "droppable": "total_inactive_file",
}
"""The files of a control group (the kernel's admin-guide/cgroup-v2 and cgroup-v1/memory)."""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _lines(path: Path) -> list[list[str]]:
    """The words of each line, without colons."""
    return [words for line in _text(path).splitlines() if (words := line.replace(":", " ").split())]


def _number(path: Path) -> int | None:
    """The number in a file; None for the word `max`, and where there is no file."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _longest() -> int | None:
    """The most that was ever resident, where /proc does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else KIB)


@contextmanager
def _limited(size: int | None, room: int | None) -> Iterator[None]:
    """Let the address space, `size` bytes now, grow by no more than `room`."""
    if size is None or room is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# ---- GPUs' -------------------------------------------------------------------------------------


class CudaMemory:
    """An NVIDIA or AMD GPU's, by torch's caching allocator."""

    def __init__(self, device: str) -> None:
        import torch

        self.device = torch.device(device)

    def free(self) -> int:
        """What the driver has left, and what the allocator keeps for later."""
        import torch

        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + kept

    def peak(self) -> int:
        """The most that the allocator has had of the GPU."""
        import torch

        return torch.cuda.max_memory_reserved(self.device)

    def taken(self, run: Callable[[], None]) -> int:
        """The most that tensors and the libraries' work space have had."""
        self.tidy()
        before = self.begin()
        run()
        return self.since(before)

    def begin(self) -> int:
        """What tensors take now; their peak begins anew."""
        import torch

        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def since(self, before: int) -> int:
        """The most that tensors have had since `begin` returned `before`, beyond that."""
        import torch

        return torch.cuda.max_memory_allocated(self.device) - before

    def tidy(self) -> None:
        """Empty the allocator's cache."""
        import torch

        gc.collect()
        torch.cuda.empty_cache()


class MpsMemory:
    """An Apple GPU's. Its allocator keeps what it has had, so that what it has is the peak."""

    def __init__(self, device: str = "mps") -> None:
        pass

    def free(self) -> int | None:
        """What is left of the share that Apple recommends; torch 2.5 knows it, and later ones."""
        import torch

        if not hasattr(torch.mps, "recommended_max_memory"):
            return None
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()

    def peak(self) -> int:
        """The most that the allocator has had."""
        import torch

        return torch.mps.driver_allocated_memory()

    def taken(self, run: Callable[[], None]) -> int:
        """The most that the allocator has had."""
        import torch

        self.tidy()
        before = torch.mps.driver_allocated_memory()
        run()
        torch.mps.synchronize()
        return torch.mps.driver_allocated_memory() - before

    def tidy(self) -> None:
        """Empty the allocator's cache."""
        import torch

        gc.collect()
        torch.mps.empty_cache()
