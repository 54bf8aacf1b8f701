"""Workers that die, machines that come and go, and a driver that is killed while they work."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from campaign import photos, run_of, scaled
from runs import check_kept, contents, ended, lines, started, until_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's processes"),
]

IMAGES = 300
KILLS = 5

POISON = '''"""A transform that kills its process at one image."""

import os
import signal

from segkit import Heatmap, Image, Transform, hookimpl


class Poison(Transform):
    """Changes nothing."""

    name = "poison"
    image: str = ""
    """At which its process is killed."""

    def __call__(self, heatmap: Heatmap, image: Image) -> Heatmap:
        if image.name == self.image:
            os.kill(os.getpid(), signal.SIGKILL)
        return heatmap


@hookimpl
def segkit_transforms():
    return [Poison]
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Flags of a data set and of the step that does nothing, unless it is told to."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "poison.py").write_text(POISON)
    more = ("--plugin", str(folder / "poison.py"), "--transform", "poison", "--quiet")
    return (*photos(folder, scaled(IMAGES)), *more)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """What one process makes, undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = ended(started(run_of(data, out)))
    assert done.code == 0, done.err
    return contents(out)


WORKERS = ("--engine", "workers", "--workers", "2")


def children_of(pid):
    """The processes that another one has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_drivers_are_killed(tmp_path, data, whole, tally):
    rng = random.Random(0)
    out = tmp_path / "out"
    moments = sorted(rng.randrange(1, scaled(IMAGES)) for _ in range(KILLS))
    for moment in moments:
        process = started(run_of(data, out, "--resume", *WORKERS))
        until_lines(out, moment, process)
        workers = children_of(process.pid) if process.poll() is None else []
        process.kill()
        left = ended(process)
        tally.look(left, f"killed after {moment}", (-signal.SIGKILL, 0))
        check_kept(out, tally, f"killed after {moment}")
        end = time.monotonic() + 20
        while any(Path(f"/proc/{pid}/exe").exists() for pid in workers):
            if time.monotonic() > end:
                tally.add("hangs", f"workers {workers} outlive their driver")
                break
            time.sleep(0.05)
        tally.attacks += 1
    done = ended(started(run_of(data, out, "--resume", *WORKERS)))
    tally.look(done, "the run goes on", (0,))
    check_kept(out, tally, "the run goes on")
    check_all(out, whole, tally)
    tally.check()


def test_workers_are_killed(tmp_path, data, whole, tally):
    rng = random.Random(1)
    out = tmp_path / "out"
    process = started(run_of(data, out, *WORKERS))
    for moment in sorted(rng.randrange(1, scaled(IMAGES * 4 // 5)) for _ in range(KILLS)):
        until_lines(out, moment, process)
        workers = children_of(process.pid) if process.poll() is None else []
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        tally.attacks += 1
    done = ended(process)
    tally.look(done, "a run whose workers are killed", (0,))
    check_kept(out, tally, "killed workers")
    check_all(out, whole, tally)
    tally.check()


def lost_in(out):
    """The sentences of the images that have failed, by their names."""
    return {line["name"]: line["error"] for line in lines(out) if line["status"] != "ok"}


def check_all(out, whole, tally, failed=()):
    """All images are there, none has failed but these, and all is as one process makes it.

    An image's are, whoever was tried alone: a processor works on each image apart. What is of all
    images differs where one has failed.
    """
    lost = lost_in(out)
    if {*lost} != {*failed}:
        tally.add("lost", f"failed: {lost}")
    there = contents(out)
    missing = {key for key in whole if key.startswith("results.jsonl, ")} - there.keys()
    tally.add("lost", f"without {sorted(missing)}", len(missing))
    compared = [key for key in whole if not any(name in key for name in failed)]
    if failed:
        compared = [
            key for key in compared if key.startswith(("results.jsonl, ", "masks/", "over"))
        ]
    other = [key for key in compared if there.get(key) != whole[key]]
    tally.add("unequal", f"{len(other)} of {len(compared)} differ: {other[:6]}", len(other))


def check_poisoned(out, bad, whole, tally):
    """All but the poisonous image is there, and that is named."""
    check_all(out, whole, tally, failed=(bad,))
    if "its worker died 3 times" not in str(lost_in(out).get(bad)):
        tally.add("lost", f"{bad} is not named: {lost_in(out)}")
    check_kept(out, tally, "poison")
    tally.attacks += 1


def test_poison(tmp_path, data, whole, tally):
    out, bad = tmp_path / "out", "shapes-00001"
    done = ended(started(run_of(data, out, *WORKERS, "--poison.image", bad)))
    tally.look(done, "poison", (1,))
    check_poisoned(out, bad, whole, tally)
    tally.check()


def test_machines_come_and_go(tmp_path, data, whole, tally):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    out, bad = tmp_path / "out", "shapes-00001"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray = ("--engine", "ray", "--ray.address", cluster.address, "--poison.image", bad)
        process = started(run_of(data, out, *ray))
        until_lines(out, scaled(IMAGES // 10), process)
        cluster.remove_node(node, allow_graceful=False)
        until_lines(out, scaled(IMAGES // 4), process)
        cluster.add_node(num_cpus=1)
        until_lines(out, scaled(IMAGES // 2), process)
        process.kill()
        ended(process)
        check_kept(out, tally, "a driver of a cluster is killed")
        done = ended(started(run_of(data, out, *ray, "--resume")))
        tally.look(done, "machines come and go", (1,))
        check_poisoned(out, bad, whole, tally)
    finally:
        cluster.shutdown()
    tally.check()
