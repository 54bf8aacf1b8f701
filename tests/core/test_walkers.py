"""Several walkers: each a thread with steps of its own; what comes of them is what one would do."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pytest
from toys import Peak, Squares

from segkit import Catalog, Heatmap, Image, hookimpl, plan, run
from segkit.plugins.observers import Observers
from segkit.running import walkers as module
from segkit.running.recipe import Part, Recipe
from segkit.running.walkers import MOST, walkers_for
from segkit.values.files import sha256

torch = pytest.importorskip("torch")
from walker_toys import (  # noqa: E402
    SEEN,
    Bests,
    FewOpen,
    Floods,
    Paints,
    Peaks,
    Rights,
    Weighed,
    two_cores,
    walking,
)


@pytest.fixture(autouse=True)
def two():
    with two_cores():
        yield


def of_toys(bright=None, count=64, fuser=None, **options):
    steps = [Squares(count=count, **options), bright or Weighed(), Peaks(), Floods(), Bests()]
    return plan([*steps, fuser or Paints(), Rights()])


def lines(folder):
    """Lines without what only time decides."""
    told = [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in told]


def files(folder):
    """Hash of each file of an image."""
    paths = (p for p in folder.rglob("*") if p.suffix in (".png", ".jpg"))
    return {path.relative_to(folder): sha256(path) for path in paths}


def by_one(plans, folder, **how):
    """A run by one walker, as where torch has one thread."""
    torch.set_num_threads(1)
    try:
        run({"run": plans}, folder, **how)
    finally:
        torch.set_num_threads(2)


# ---- the same as by one ------------------------------------------------------------------------


class Walkers:
    """The most walkers that there were when an image was done."""

    most = 0

    @hookimpl
    def segkit_after_image(self):
        self.most = max(self.most, len(walking()))


@pytest.mark.parametrize(
    "dataset", [Part("samples"), Part("shapes", {"count": 9, "size": 96})], ids=lambda p: p.name
)
def test_the_default_recipe_makes_the_same_files_and_lines(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST", 1)
    built = Recipe({"dataset": (dataset,)}).build(Catalog(third_party=False))
    by_one(built, tmp_path / "one", chunk=2)
    watch = Walkers()
    run({"run": built}, tmp_path / "two", chunk=2, observers=[watch])
    assert watch.most == 2
    assert lines(tmp_path / "two") == lines(tmp_path / "one")
    assert files(tmp_path / "two") == files(tmp_path / "one") != {}


def test_each_works_on_chunks_of_its_own_with_its_share_of_threads(tmp_path):
    by_one(of_toys(), tmp_path / "one")
    assert {thread for _, thread, _ in SEEN.calls} == {"MainThread"}
    SEEN.__init__()
    run({"run": of_toys()}, tmp_path / "two")
    assert (SEEN.opened, SEEN.closed) == (2, 2)
    assert {(thread, n) for _, thread, n in SEEN.calls} == {
        ("segkit-walker-0", 1),
        ("segkit-walker-1", 1),
    }
    assert sorted(name for name, _, _ in SEEN.calls) == sorted(Squares(count=64).names)
    threads = {name: thread for name, thread, _ in SEEN.calls}
    names = Squares(count=64).names
    for start in range(0, 64, 4):
        assert len({threads[name] for name in names[start : start + 4]}) == 1
    assert lines(tmp_path / "two") == lines(tmp_path / "one")
    assert [line["name"] for line in lines(tmp_path / "two")] == names


def test_what_is_left_is_done_by_two_as_by_one(tmp_path):
    by_one(of_toys(), tmp_path / "one")
    run({"run": of_toys()}, tmp_path / "two")
    with (tmp_path / "two" / "results.jsonl").open("r+") as file:
        kept = file.readlines()[:20]
        file.seek(0)
        file.truncate()
        file.writelines(kept)
    SEEN.__init__()
    run({"run": of_toys()}, tmp_path / "two", resume=True)
    assert len(SEEN.calls) == 44
    assert len({thread for _, thread, _ in SEEN.calls}) == 2
    assert lines(tmp_path / "two") == lines(tmp_path / "one")


# ---- what goes wrong ---------------------------------------------------------------------------


def test_an_image_that_fails_stops_no_other(tmp_path):
    run({"run": of_toys(Weighed(raises="square-5"), bad=(9,))}, tmp_path / "out")
    told = lines(tmp_path / "out")
    assert [line["name"] for line in told] == Squares(count=64).names
    failed = {line["name"]: line["error"] for line in told if line["error"]}
    assert failed.keys() == {"square-5", "square-9"}
    assert "'weighed'" in failed["square-5"]
    assert "no light" in failed["square-5"]


def test_where_a_second_copy_cannot_be_opened_one_does_it_all(tmp_path):
    summary = run({"run": of_toys(FewOpen())}, tmp_path / "out")["run"]
    assert (summary["images"], summary["failed"]) == (64, 0)
    assert {thread for _, thread, _ in SEEN.calls} == {"segkit-walker-0"}
    assert SEEN.closed == 2


@pytest.fixture
def heeds_ctrl_c():
    """A shell's job in the background ignores it otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_all_and_what_is_finished_is_kept(tmp_path, heeds_ctrl_c):
    SEEN.interrupts = "square-20"
    with pytest.raises(KeyboardInterrupt):
        run({"run": of_toys(count=400)}, tmp_path / "out")
    SEEN.interrupts = ""
    assert SEEN.opened == SEEN.closed == 2
    names = [line["name"] for line in lines(tmp_path / "out")]
    assert names == Squares(count=400).names[: len(names)]
    assert 0 < len(names) < 400
    run({"run": of_toys(count=400)}, tmp_path / "out", resume=True)
    assert [line["name"] for line in lines(tmp_path / "out")] == Squares(count=400).names


class Wide(Squares):
    """Images of fifty tiles."""

    name = "wide"

    def __getitem__(self, index):
        image, _ = super().__getitem__(index)
        return Image(np.zeros((64, 64 * 50, 3), np.uint8), image.name), None


class Slow(Weighed):
    """Ctrl-C is pressed at the first tile of all."""

    name = "slow"
    stretches = False

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        SEEN.calls.append(image.name)
        if len(SEEN.calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        return (Heatmap(np.zeros(image.size, np.float32)),)


def test_ctrl_c_ends_within_an_image_of_many_tiles(tmp_path, heeds_ctrl_c):
    steps = [Wide(count=8), Slow(), Peaks(), Floods(), Bests(), Paints()]
    with pytest.raises(KeyboardInterrupt):
        run({"run": plan(steps, tile=64, overlap=0)}, tmp_path / "out", chunk=1)
    assert {*SEEN.calls} <= {"square-0", "square-1"}
    assert len(SEEN.calls) < 50
    assert SEEN.opened == SEEN.closed == 2


class Torn(Squares):
    """Cannot be read any further, and not for a reason of its own."""

    name = "torn"

    def __getitem__(self, index):
        if index == 40:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_what_ends_reading_is_raised_when_what_was_read_is_kept(tmp_path):
    head = [Torn(count=64), Weighed(), Peaks(), Floods(), Bests(), Paints(), Rights()]
    with pytest.raises(KeyboardInterrupt):
        run({"run": plan(head)}, tmp_path / "out")
    assert [line["name"] for line in lines(tmp_path / "out")] == Squares(count=40).names


# ---- how many ----------------------------------------------------------------------------------


class Watch:
    @hookimpl
    def segkit_after_step(self, step):
        pass


def count_of(steps=None, device="cpu", images=64, chunk=4, observers=()):
    return walkers_for(steps or [Weighed(), Peaks()], device, images, chunk, Observers(observers))


def test_there_are_several_only_where_it_is_worth_it(tmp_path, monkeypatch):
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(module.COPIES + 1)
    assert count_of() == 2
    assert count_of(images=31) == count_of(chunk=16) == 1
    assert count_of(device="cuda:0") == count_of(device="mps") == 1
    assert count_of([Weighed(), Peak()]) == 1  # does not say that it may
    assert count_of([Peaks()]) == 1  # nothing but Python is to be done
    assert count_of([Weighed(weights=str(large))]) == 1
    assert count_of(observers=[Watch()]) == 1
    assert count_of(observers=[Walkers()]) == 2
    torch.set_num_threads(16)
    assert count_of(images=1000) == MOST
    torch.set_num_threads(1)
    assert count_of() == 1
    torch.set_num_threads(2)
