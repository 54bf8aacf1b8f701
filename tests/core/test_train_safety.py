"""Training that is killed, stopped or out of room loses nothing but the epoch that it is in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from train_toys import Linear, Squares, curve, quick  # noqa: E402

from segkit import UsageError  # noqa: E402
from segkit.training.progress import Watcher  # noqa: E402

EPOCHS = 5
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals and limits of POSIX")
HERE = Path(__file__).parent

TROUBLE = {
    "whole": {},
    "killed in the first epoch": {"kill": 2},
    "killed later": {"kill": 11},
    "interrupted": {"interrupt": 10},
    "full": {"full": 2},
}
"""What happens to a training: a signal at a step, or a full disk after an epoch."""

SCRIPT = f"""
import gc, json, os, resource, signal, sys, traceback
sys.path.insert(0, {str(HERE)!r})
import lightning.pytorch, matplotlib.figure, torch  # once, for all processes
gc.freeze()  # what they hold is no garbage
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
from pathlib import Path
from train_toys import quick
from segkit.errors import SegkitError
from segkit.training.progress import Watcher

class Trouble(Watcher):
    steps = epochs = 0

    def __init__(self, kill=0, interrupt=0, full=0):
        self.kill, self.interrupt, self.full = kill, interrupt, full

    def step(self, examples):
        self.steps += 1
        if self.kill == self.steps:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.interrupt == self.steps:
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, row):
        self.epochs += 1
        if self.full == self.epochs:  # from now on no file may be longer
            resource.setrlimit(resource.RLIMIT_FSIZE, (900, resource.RLIM_INFINITY))

def train(path, trouble):
    try:
        quick(path, epochs={EPOCHS}, patience={EPOCHS}, watch=Trouble(**trouble))
    except SegkitError as error:
        path.with_name("said.txt").write_text(str(error))
        return 3
    except KeyboardInterrupt:
        return 4
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for name, trouble in json.loads(sys.argv[1]).items():
    process = os.fork()
    if not process:
        os._exit(train(Path(sys.argv[2], name, "net.safetensors"), trouble))
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The weight file of a training and the exit code that each trouble ended its process with."""
    folder = tmp_path_factory.mktemp("ended")
    for name in TROUBLE:
        (folder / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(TROUBLE), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = map(int, done.stdout.split())
    return {
        name: (folder / name / "net.safetensors", code)
        for name, code in zip(TROUBLE, codes, strict=True)
    }


@pytest.fixture(scope="module")
def whole(ended):
    """What comes of it if nothing happens, in a process of its own."""
    path, code = ended["whole"]
    assert code == 0
    return path


@pytest.fixture(autouse=True)
def one_thread():
    """As in the script: the number of threads decides how sums are rounded."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same(path, whole):
    quick(path, epochs=EPOCHS, patience=EPOCHS, resume=True)
    assert curve(path) == curve(whole)
    assert path.read_bytes() == whole.read_bytes()
    assert {p.suffix for p in path.parent.iterdir()} == {p.suffix for p in whole.parent.iterdir()}


@forks
@pytest.mark.parametrize("when", ["killed in the first epoch", "killed later"])
def test_killed_it_goes_on_to_the_same_curve(when, whole, ended):
    path, code = ended[when]
    assert code == -signal.SIGKILL
    assert not path.with_suffix(".toml").exists()
    assert path.exists() == path.with_suffix(".ckpt").exists() == (when == "killed later")
    same(path, whole)


@forks
def test_killed_while_a_checkpoint_is_written(whole, tmp_path, monkeypatch):
    """What is half written never has the file's name."""
    from segkit.training import checkpoints

    path, write = tmp_path / "net.safetensors", checkpoints.write_file

    def cut(target, content, **how):
        if target.suffix == ".ckpt" and target.exists():
            target.with_name(f".{'0' * 32}.part").write_bytes(content[:100])
            raise KeyboardInterrupt
        write(target, content, **how)

    monkeypatch.setattr(checkpoints, "write_file", cut)
    with pytest.raises(KeyboardInterrupt):
        quick(path, epochs=EPOCHS, patience=EPOCHS)
    monkeypatch.undo()
    (tmp_path / f".{'0' * 32}.part").unlink()
    same(path, whole)


@forks
def test_interrupted_it_goes_on(whole, ended):
    path, code = ended["interrupted"]
    assert code == 4
    same(path, whole)


@forks
def test_a_full_disk_keeps_the_last_good_file(whole, ended):
    path, code = ended["full"]
    assert code == 3
    said = path.with_name("said.txt")
    sentence = said.read_text()
    said.unlink()
    assert sentence.startswith(f"writing {path} and what goes with it stopped (File too large)")
    assert "holds the best weights so far, of epoch 2" in sentence
    assert "mend that and go on with --resume" in sentence
    step = Linear(weights=path)
    step.open("cpu")
    assert step(Squares()[0][0]).ids.shape == (32, 40)
    assert not [p for p in path.parent.iterdir() if p.suffix == ".part"]
    same(path, whole)


def test_flags_and_files_in_the_way(tmp_path):
    path = tmp_path / "deeper" / "x.safetensors"

    def sentence(at=path, **more):
        with pytest.raises(UsageError) as error:
            quick(at, epochs=1, **more)
        return str(error.value)

    quick(path, epochs=1)
    assert "is there already; replace it by --overwrite, or choose another -o" in sentence()
    assert "is finished, so there is nothing to go on with" in sentence(resume=True)
    assert "choose one of them" in sentence(resume=True, overwrite=True)
    assert "should end in .safetensors" in sentence(at=tmp_path / "x.pt")
    before = path.read_bytes()
    quick(path, epochs=1, seed=5, overwrite=True)
    assert path.read_bytes() != before
    for name, other in (("y.png", "y.safetensors"), ("z.safetensors", "z.safetensors")):
        (tmp_path / name).write_text("mine")
        for how in ({}, {"overwrite": True}, {"resume": True}):
            said = sentence(at=tmp_path / other, **how)
            assert said == (
                f"-o {tmp_path / other}: {tmp_path / name} is there and not of a training by "
                "segkit, and would be written over; choose another -o"
            )
        assert (tmp_path / name).read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert "cannot be made: " in sentence(at=tmp_path / "file" / "x.safetensors")


def test_only_the_same_training_goes_on(tmp_path):
    path = tmp_path / "x.safetensors"

    class Stop(Watcher):
        rows = 0

        def epoch(self, row):
            self.rows += 1

        def step(self, examples):
            if self.rows:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(path, watch=Stop())

    def sentence(step=None, data=None, **more):
        with pytest.raises(UsageError) as error:
            quick(path, step, data, resume=True, **more)
        return str(error.value)

    made = f"--resume: {path.with_suffix('.ckpt')} was made with "
    assert sentence(seed=2).startswith(f"{made}seed 0, but now it is 2; ask for the same")
    assert f"{made}linear.channels 4, but now it is 5" in sentence(Linear(channels=5))
    assert f"{made}images 12, but now it is 13" in sentence(data=[Squares(count=13)])
    assert f"{made}train.batch 4, but now it is 3" in sentence(batch=3)
    checkpoint = path.with_suffix(".ckpt")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:500])
    assert "cannot be read" in sentence()
    checkpoint.write_bytes(content)
    done = quick(path, resume=True, epochs=4)  # longer is no other training
    assert len(done.rows) == 4


class Stop(Watcher):
    """Ctrl+C in the epoch after so many."""

    def __init__(self, after=1):
        self.rows, self.after, self.notes = 0, after, []

    def epoch(self, row):
        self.rows += 1

    def step(self, examples):
        if self.rows == self.after:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def test_patience_may_be_more_when_it_goes_on(tmp_path):
    path, never = tmp_path / "x.safetensors", {"epochs": 6, "delta": 10.0}
    with pytest.raises(KeyboardInterrupt):
        quick(path, watch=Stop(), patience=1, **never)
    with pytest.raises(UsageError, match="is there already; go on with --resume, replace it by"):
        quick(path, **never)
    watch = Stop(after=99)
    done = quick(path, resume=True, patience=4, watch=watch, **never)
    assert len(done.rows) == 5  # the first, and four that are no better by 10
    assert watch.notes == [
        "stopped early, since the validation loss has not fallen for 4 epochs (--train.patience)"
    ]


def test_what_cannot_begin_leaves_the_old_training_as_it_is(tmp_path):
    path = tmp_path / "x.safetensors"
    quick(path, epochs=1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for more in (
        {"initial": tmp_path / "typo.safetensors"},
        {"initial": path},
        {"class_weights": ("green=1",)},
        {"data": [Squares(truth=False)]},
    ):
        with pytest.raises(UsageError):
            quick(path, overwrite=True, **more)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_going_on_needs_neither_the_initial_file_nor_says_that_it_begins(tmp_path):
    first, path = tmp_path / "first.safetensors", tmp_path / "x.safetensors"
    quick(first, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        quick(path, initial=first, watch=Stop())
    first.unlink()
    watch = Stop(after=99)
    assert len(quick(path, initial=first, resume=True, watch=watch).rows) == 3
    assert watch.notes == []


def test_best_weights_that_are_gone_are_told(tmp_path):
    path = tmp_path / "x.safetensors"
    worse = {"epochs": 3, "patience": 3, "rate": 1e-12, "split": 0.5}
    with pytest.raises(KeyboardInterrupt):
        quick(path, watch=Stop(after=2), **worse)
    state = torch.load(path.with_suffix(".ckpt"), weights_only=True)
    state["segkit"] = re.sub(r'"validation_loss": [\d.]+', '"validation_loss": 0', state["segkit"])
    torch.save(state, path.with_suffix(".ckpt"))  # no later epoch will be better
    path.unlink()
    with pytest.raises(UsageError, match=r"x\.safetensors, which held the best weights of stage"):
        quick(path, resume=True, **worse)
