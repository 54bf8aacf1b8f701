"""How much memory there is, and how many images are therefore computed at a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from train_toys import Linear, quick  # noqa: E402

from segkit import SegkitError  # noqa: E402
from segkit.memory import HostMemory, memory_of, out_of_memory, shown  # noqa: E402
from segkit.training import loop  # noqa: E402
from segkit.training.fitting import Need, NoRoomError, fit  # noqa: E402

HERE = Path(__file__).parent
MB, GB = 10**6, 10**9

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


# ---- what is free ------------------------------------------------------------------------------


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


@pytest.fixture
def proc(tmp_path):
    """A /proc of a machine that has 8 GB to give, and no control groups."""
    write(tmp_path / "proc", meminfo="MemTotal: 16000000 kB\nMemAvailable:    8000000 kB")
    write(tmp_path / "proc/self", status="Name:\ta b\nVmRSS:\t 5 kB\nVmSize:\t 9 kB\nThreads:\t1")
    return tmp_path / "proc"


def test_what_the_machine_has(proc):
    assert HostMemory(proc=proc).free() == 8_000_000 * 1024


def test_a_control_group_and_those_around_it(proc, tmp_path):
    """Of version 2: the least counts, and what the kernel can drop is free."""
    (proc / "self/cgroup").write_text("0::/user/job\n")
    (proc / "self/mountinfo").write_text(
        f"24 1 0:22 / /proc rw,nosuid - proc proc rw\n"
        f"31 24 0:27 / {tmp_path}/groups rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    top, user, job = (tmp_path / "groups" / name for name in ("", "user", "user/job"))
    write(top, cgroup_procs="")  # the root has no limits
    write(user, memory_max=6 * GB, memory_current=5 * GB, memory_high="max")
    write(job, memory_max="max", memory_current=4 * GB, memory_high="max")
    assert HostMemory(proc=proc).free() == GB
    (user / "memory.stat").write_text(f"anon {3 * GB}\nfile {2 * GB}\ninactive_file {2 * GB}\n")
    assert HostMemory(proc=proc).free() == 3 * GB
    (job / "memory.high").write_text(f"{4 * GB + 7}\n")
    assert HostMemory(proc=proc).free() == 7
    (job / "memory.current").write_text(f"{5 * GB}\n")
    assert HostMemory(proc=proc).free() == 0


@pytest.mark.parametrize("inside", [False, True])
def test_a_control_group_of_version_1(inside, proc, tmp_path):
    """A container sees its own group as the root of the mount, with or without a name space."""
    path, root = ("/", "/") if inside else ("/docker/1ab", "/docker/1ab")
    (proc / "self/cgroup").write_text(f"5:cpu,cpuacct:/else\n4:memory:{path}\n0::/\n")
    (proc / "self/mountinfo").write_text(
        f"35 31 0:29 {root} {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"36 31 0:30 {root} {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    )
    group = tmp_path / "memory"
    write(group, memory_limit_in_bytes=2 * GB, memory_usage_in_bytes=GB)
    (group / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {30 * MB}\n")
    assert HostMemory(proc=proc).free() == GB + 30 * MB
    write(group, memory_limit_in_bytes=9223372036854771712)  # is what none looks like
    assert HostMemory(proc=proc).free() == 8_000_000 * 1024


@linux
def test_the_limits_of_ulimit():
    code = """
import resource
from segkit.memory import HostMemory
before = HostMemory().free()
for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
    resource.setrlimit(kind, (2_000_000_000, resource.getrlimit(kind)[1]))
    assert 1_000_000_000 < HostMemory().free() < 2_000_000_000 - 5_000_000 < before
    print(HostMemory().free())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    of_data, of_addresses = map(int, done.stdout.split())
    assert of_addresses < of_data  # libraries that are mapped count too


@linux
def test_what_a_call_takes_is_its_peak():
    def run():
        np.ones(150 * MB, np.uint8)
        np.ones(50 * MB, np.uint8)

    memory = memory_of("cpu")
    assert memory.taken(run) == pytest.approx(150 * MB, rel=0.15)
    assert memory.taken(lambda: None) < 5 * MB
    assert memory.peak() > 100 * MB  # torch alone is more


@linux
def test_a_call_gets_what_is_free_and_no_more(proc):
    """Where the kernel would end the process there is an error; afterwards all is as before."""
    (proc / "self/status").unlink()
    (proc / "self").rmdir()
    (proc / "self").symlink_to("/proc/self")
    (proc / "meminfo").write_text("MemAvailable: 200000 kB\n")
    memory = HostMemory(proc=proc)
    with pytest.raises(RuntimeError) as error:
        memory.taken(lambda: torch.ones(400 * MB, dtype=torch.uint8))
    assert out_of_memory(error.value)
    with pytest.raises(MemoryError) as other:
        memory.taken(lambda: np.ones(400 * MB, np.uint8))
    assert out_of_memory(other.value)
    assert torch.ones(400 * MB, dtype=torch.uint8).sum() == 400 * MB


def test_where_nothing_is_told_of_memory(tmp_path):
    memory = HostMemory(proc=tmp_path)
    assert memory.free() is None or sys.platform == "darwin"
    assert memory.taken(lambda: None) is None or memory.taken(lambda: None) >= 0
    assert fit(lambda images: None, 64, memory, Need(0, 0)).micro_batch == 64


def test_what_says_that_memory_is_short():
    for error in (
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):
        assert out_of_memory(error), error
    for error in (RuntimeError("shapes do not match"), ValueError("out of memory"), OSError(12)):
        assert not out_of_memory(error), error


def test_bytes_for_people():
    assert [shown(n) for n in (0, 12_345_678, 99_999_999, 123_456_789, 12.34e9)] == [
        *("0 MB", "12 MB", "100 MB", "0.1 GB", "12.3 GB")
    ]


# ---- how many at a time ------------------------------------------------------------------------


class Model:
    """A memory with so much free, in which a call for n images takes what a function says."""

    def __init__(self, free, take=lambda images: 100 * images):
        self.left, self.take, self.asked = free, take, []

    def free(self):
        return self.left

    def peak(self):
        return None

    def tidy(self):
        pass

    def taken(self, run):
        run()
        images = self.asked[-1]
        if self.take(images) > self.left:
            raise MemoryError
        return self.take(images)


def fitted(memory, batch=64, need=Need(0, 0), wanted=None):  # noqa: B008 (it is frozen)
    return fit(memory.asked.append, batch, memory, need, wanted)


@pytest.mark.parametrize(
    ("free", "batch", "images", "asked"),
    [
        (8000, 64, 64, [1, 2]),
        (7999, 64, 32, [1, 2]),
        (2000, 64, 16, [1, 2]),
        (2000, 9, 9, [1, 2]),
        (1124, 9, 5, [1, 2]),
        (250, 64, 2, [1, 2]),
        (249, 64, 1, [1, 2]),
        (199, 64, 1, [1]),
        (100, 64, 1, [1]),
        (100, 1, 1, [1]),
    ],
)
def test_all_half_or_a_quarter_of_a_batch(free, batch, images, asked):
    memory = Model(free)
    found = fitted(memory, batch)
    assert (found.micro_batch, memory.asked) == (images, asked)
    assert (found.image, found.needed, found.free) == (100, images * 100, free)


def test_what_is_allocated_once_weighs_less_with_two_images():
    memory = Model(10_000, lambda images: 500 + 100 * images)
    found = fitted(memory)
    assert (found.image, found.micro_batch) == (350, 16)
    assert memory.take(found.micro_batch) <= found.needed == 16 * 350


def test_the_optimiser_and_what_is_written_need_memory_too():
    assert fitted(Model(2000), need=Need(400, 0)).micro_batch == 8
    found = fitted(Model(2000), need=Need(400, 1000))
    assert (found.micro_batch, found.needed) == (8, 1400)  # it is written when no image is there


def test_a_number_that_is_wanted_is_taken_where_it_fits():
    assert fitted(Model(10**6), wanted=5).micro_batch == 5
    assert fitted(Model(556), wanted=5).micro_batch == 5
    assert fitted(Model(555), wanted=5).micro_batch == 3
    assert fitted(Model(10**6), wanted=100).micro_batch == 64


@pytest.mark.parametrize(
    ("memory", "need", "network"),
    [
        (Model(99), Need(0, 0), False),
        (Model(150), Need(51, 0), False),
        (Model(150), Need(100, 51), True),
    ],
)
def test_where_not_even_one_image_fits(memory, need, network):
    with pytest.raises(NoRoomError) as error:
        fitted(memory, need=need)
    assert (error.value.network, error.value.free) == (network, memory.left)


def test_a_network_that_takes_no_single_image():
    def compute(images):
        memory.asked.append(images)
        if images < 2:
            raise ValueError("Expected more than 1 value per channel when training")

    memory = Model(500)
    assert fit(compute, 64, memory, Need(0, 0)).micro_batch == 4
    memory = Model(210)
    assert fit(compute, 64, memory, Need(0, 0)).micro_batch == 2
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        fit(compute, 1, memory, Need(0, 0))


def test_the_sentences():
    found = fitted(Model(20 * GB, lambda images: 400 * MB * images), need=Need(GB, 0))
    assert found.sentence(64, True) == (
        "batch of 64 in micro-batches of 32 images, over which batch normalisation takes its "
        "averages; up to 13.8 GB at the peak (0.4 GB an image), 20.0 GB are free"
    )
    found = fitted(Model(GB, lambda images: 600 * MB * images))
    assert found.sentence(64, False).startswith("batch of 64 in micro-batches of 1 image; up to ")
    found = fitted(Model(GB, lambda images: MB * images))
    assert found.sentence(64, True) == (
        "batch of 64 in one pass; up to 64 MB at the peak (1 MB an image), 1.0 GB are free"
    )
    found = fitted(Model(None))
    assert found.sentence(64, True) == (
        "batch of 64 in one pass; how much memory that takes is not known here"
    )
    error = NoRoomError(3 * GB)
    assert error.sentence("unet", 512, "cpu") == (
        "training unet at 512 px needs more for a single image than the 3.0 GB of memory that are "
        "free; lower --train.size, such as to 256, choose a smaller network, or end other programs"
    )
    assert NoRoomError(3 * GB, network=True).sentence("unet", 512, "cuda:1") == (
        "training unet at 512 px needs more for its weights and the optimiser than the 3.0 GB of "
        "the GPU's memory (cuda:1) that are free; choose options that make a smaller network, or "
        "end other programs, or train with --device cpu"
    )


# ---- a training --------------------------------------------------------------------------------


def test_what_cannot_fit_is_told_before_anything_is_touched(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    quick(path, epochs=1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for free, what in ((1000, "its weights and the optimiser"), (100_000, "a single image")):
        monkeypatch.setattr(loop, "memory_of", lambda device, free=free: Scarce(free))
        with pytest.raises(SegkitError, match=f"training linear at 32 px needs more for {what}"):
            quick(path, overwrite=True)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


class Scarce(HostMemory):
    """The machine's memory, as if there were so much of it."""

    def __init__(self, free):
        super().__init__()
        self.left = free

    def free(self):
        return self.left


WIDE = f"""
import gc, os, resource, sys
sys.path.insert(0, {str(HERE)!r})
import lightning.pytorch, matplotlib.figure, torch  # once, for all processes
gc.freeze()  # what they hold is no garbage
from pathlib import Path
from train_toys import Linear, Squares, quick
from segkit import SegkitError
from segkit.memory import HostMemory
from segkit.training.progress import Watcher

class Wide(Linear):
    name = "wide"
    width: int

    def network(self, classes):
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(3, self.width, 1), nn.ReLU(), nn.Conv2d(self.width, classes, 1)
        )

class Told(Watcher):
    def memory(self, text):
        print(text)

def train(folder, room, width):
    quick(folder / "first.safetensors", epochs=1)  # so that libraries have what they keep
    size = HostMemory()._status()["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
    try:
        done = quick(folder / "wide.safetensors", Wide(width=width), [Squares(count=17)], batch=16,
                     epochs=1, size=128, augment=False, watch=Told())
        print(done.micro_batches, done.rows[0]["train_loss"], done.rows[0]["validation_loss"])
    except SegkitError as error:
        print(error)

for room, width in ((8 * 10**9, 128), (220 * 10**6, 128), (100 * 10**6, 1024)):
    process = os.fork()
    if not process:
        folder = Path(sys.argv[1], str(room))
        folder.mkdir()
        train(folder, room, width)
        sys.exit()
    assert os.waitpid(process, 0)[1] == 0
    print("----", flush=True)
"""


@linux
@pytest.mark.slow
def test_a_training_within_a_limit_of_the_address_space(tmp_path):
    """About 25 MB an image, 0.4 GB a batch: what the kernel or an error would end is computed."""
    done = subprocess.run(
        [sys.executable, "-c", WIDE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    roomy, tight, little, _ = (part.splitlines() for part in done.stdout.split("----\n"))
    text, *_, rows = roomy
    assert text.startswith("batch of 16 in one pass; up to 0.")
    said, scarce = tight
    assert "batch of 16 in micro-batches of 4 images; up to " in said
    assert said.endswith("0.2 GB are free")
    whole, parts = (line.split("} ")[1].split() for line in (rows, scarce))
    assert [float(x) for x in parts] == pytest.approx([float(x) for x in whole], abs=1e-5)
    (refused,) = little
    assert refused.startswith("training wide at 128 px needs more for a single image than the ")
    assert re.search(r" [MG]B of memory that are free; lower --train.size, such as to 64", refused)


def test_a_network_that_cannot_be_copied_is_trained_all_the_same(tmp_path):
    class Single(Linear):
        name = "single"

        def network(self, classes):
            network = super().network(classes)
            network.lock = __import__("threading").Lock()
            return network

    assert len(quick(tmp_path / "x.safetensors", Single(), epochs=1).rows) == 1
