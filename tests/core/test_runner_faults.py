"""What goes wrong in a run stays with its image, its step or its observer; a full disk is told."""

from __future__ import annotations

import errno
import time

import numpy as np
import pytest
from runner_toys import END, full, lines
from toys import Best, Bright, Flood, Note, Paint, Peak, Squares, Whole, walk

from segkit import (
    Heatmap,
    Image,
    Masks,
    Prompt,
    Prompter,
    Prompts,
    Saliency,
    SegkitError,
    UsageError,
    plan,
    run,
)
from segkit.plugins.hookspecs import hookimpl


def test_one_bad_image_does_not_stop_the_others(tmp_path):
    summary = run({"run": full(data=Squares(bad=(1, 3)))}, tmp_path / "out", chunk=2)["run"]
    assert (summary["images"], summary["failed"]) == (5, 2)
    failed = [r for r in lines(tmp_path / "out") if r["status"] == "failed"]
    assert [r["error"] for r in failed] == [
        f"square-{i}: the file is torn; replace it" for i in (1, 3)
    ]
    assert summary["scores"] == {"right": 1.0}
    finished = "square-0 square-2 square-4"
    assert (tmp_path / "out/finished.txt").read_text() == finished  # as its writer is told
    again = run({"run": full(data=Squares(bad=(1, 3)))}, tmp_path / "out", resume=True)["run"]
    assert (again["images"], again["failed"]) == (5, 2)
    assert (tmp_path / "out/finished.txt").read_text() == finished


class Faulty(Prompter):
    """Breaks the contract in the way that `how` says, on the second picture."""

    name = "faulty"
    how: str = "raise"

    def __call__(self, image: Image) -> Prompts:
        if image.name != "square-1":
            return Prompts((Prompt(points=[(3, 3)]),))
        if self.how == "raise":
            raise KeyError("lost")
        if self.how == "type":
            return [(1, 2)]  # type: ignore[return-value]
        if self.how == "nan":
            return Prompts((Prompt(points=[(np.nan, 0)]),))
        return Prompts((Prompt(points=[(16, 3)]),))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("raise", "prompt 'faulty' raised KeyError: 'lost'"),
        ("type", "prompt 'faulty' should make Prompts, but made a list"),
        ("nan", "Prompt.points should be finite, but holds NaN or infinity"),
        (
            "outside",
            "prompt 'faulty' should stay inside the 16x12 image, but points at x=16, y=3",
        ),
    ],
)
def test_a_plugin_that_breaks_its_contract_fails_that_image_only(tmp_path, how, sentence):
    made = plan([Squares(), Faulty(how=how), Flood(), *END])
    summary = run({"run": made, "good": full()}, tmp_path / "out")
    assert (summary["run"]["failed"], summary["good"]["failed"]) == (1, 0)
    errors = [r["error"] for r in lines(tmp_path / "out/recipes/run") if r["error"]]
    assert errors == [sentence]


class SmallMap(Saliency):
    """A heatmap of the wrong size."""

    name = "small-map"

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(np.zeros((3, 3)))


class WrongBatch(Bright):
    """Loses images in a batch."""

    name = "wrong-batch"

    def batch(self, inputs):
        return super().batch(inputs)[1:]


class StrayMask(Flood):
    """Answers a prompt that nobody made."""

    name = "stray-mask"

    def __call__(self, prompts: Prompts, image: Image) -> Masks:
        return Masks(np.zeros((1, *image.size), bool), [1.0], [7])


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            [SmallMap(), Peak(), Flood()],
            "saliency 'small-map' should make Heatmap of the image's size (12, 16), but made "
            "(3, 3)",
        ),
        (
            [WrongBatch(), Peak(), Flood()],
            "saliency 'wrong-batch' should make 1 values of a batch of 1, but made 0",
        ),
        (
            [Whole(), StrayMask()],
            "segmenter 'stray-mask' answers prompt 7, but was asked 1 prompts",
        ),
    ],
)
def test_wrong_shapes_and_indices_are_told(steps, sentence):
    assert {o.error for o in walk({"x": plan([Squares(), *steps])})} == {sentence}


def test_a_folder_with_something_in_it_is_not_touched_unasked(tmp_path):
    out = tmp_path / "out"
    run({"run": full()}, out)
    (out / "mine.txt").write_text("keep")
    with pytest.raises(UsageError) as error:
        run({"run": full()}, out)
    assert str(error.value) == (
        f"-o {out} is not empty; add --resume to go on with it, --overwrite to start again, or "
        "choose another folder"
    )
    with pytest.raises(
        UsageError, match=r"was run with peak\.dx = 0, now it is 2; ask for the same"
    ):
        run({"run": full(prompt=Peak(dx=2))}, out, resume=True)
    run({"run": full(prompt=Peak(dx=2))}, out, overwrite=True)
    assert (out / "mine.txt").read_text() == "keep"
    assert len(lines(out)) == 5


def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    class Full(Note):
        name = "full"

        def write(self, directory, image: Image) -> Note.gives[0]:  # type: ignore[valid-type]
            if image.name == "square-3":
                raise OSError(errno.ENOSPC, "No space left on device")
            return ()

    Full.write.__annotations__["return"] = Note.gives[0]
    made = plan([Squares(), Bright(), Peak(), Flood(), Best(), Paint(), Full()])
    with pytest.raises(SegkitError) as error:
        run({"run": made}, tmp_path / "out")
    assert str(error.value) == (
        f"writing to {tmp_path / 'out'} stopped because the disk is full; 3 finished images are "
        "kept: make room and go on with --resume"
    )
    assert [r["name"] for r in lines(tmp_path / "out")] == ["square-0", "square-1", "square-2"]


def test_a_real_full_disk_is_told_in_a_sentence(tmp_path):
    class Swap(Note):
        name = "swap"

        def write(self, directory, image: Image) -> Note.gives[0]:  # type: ignore[valid-type]
            if image.name == "square-2":  # from here on, results go to a full device
                results = directory / "results.jsonl"
                while not results.exists() or results.read_text().count("\n") < 2:
                    time.sleep(0.01)  # lines come when their files have reached the disk
                (directory / "results.jsonl").rename(directory / "kept.jsonl")
                (directory / "results.jsonl").symlink_to("/dev/full")
            return ()

    Swap.write.__annotations__["return"] = Note.gives[0]
    made = plan([Squares(), Bright(), Peak(), Flood(), Best(), Paint(), Swap()])
    with pytest.raises(SegkitError, match="stopped because the disk is full; 2 finished images"):
        run({"run": made}, tmp_path / "out")
    assert len((tmp_path / "out/kept.jsonl").read_text().splitlines()) == 2


def test_steps_are_closed_even_if_one_cannot_be_opened():
    class Stuck(Bright):
        name = "stuck"

        def open(self, device):
            super().open(device)
            raise RuntimeError("no such weights")

    stuck, flood = Stuck(), Flood()
    with pytest.raises(SegkitError, match="saliency 'stuck' could not be opened on cpu: Runtime"):
        list(walk({"x": full(bright=stuck, flood=flood)}))
    assert stuck._log.closed == 1


def test_observers_see_everything_in_order_and_cannot_disturb():
    seen = []

    class Watch:
        @hookimpl
        def segkit_before_step(self, step, image):
            seen.append(f"before {step.name} {image.name}")

        @hookimpl
        def segkit_after_step(self, step, output):
            seen.append(f"after {step.name} {type(output).__name__}")

    class Rude:
        @hookimpl
        def segkit_before_step(self):
            raise RuntimeError("boo")

    from segkit.plugins.observers import Observers

    watch = Observers([Rude(), Watch()])
    made = plan([Squares(count=1), Bright(), Peak(), Flood(), Best(), Paint()])
    assert [o.error for o in walk({"x": made}, observers=watch)] == [None]
    assert seen[:4] == [
        "before bright square-0",
        "after bright tuple",
        "before peak square-0",
        "after peak Prompts",
    ]
    assert len(watch.dropped) == 1
    assert "segkit_before_step raised RuntimeError: boo" in watch.dropped[0]


def test_plans_of_different_data_sets_do_not_run_together(tmp_path):
    with pytest.raises(UsageError, match="need one data set"):
        run({"a": full(), "b": full(data=Squares(count=2))}, tmp_path / "out")
