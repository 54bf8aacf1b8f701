"""Images are read ahead: by several threads, where the data set says that they may be."""

from __future__ import annotations

import threading
import time
import warnings

import numpy as np
import PIL.Image
import pytest
from toys import Squares

from segkit import Image, read_image
from segkit.running import reading
from segkit.running.asked import AskedTruth
from segkit.running.batches import Batches
from segkit.running.calling import Failure
from segkit.running.job import Renamed
from segkit.running.reading import read_ahead, readers_for, reads_at_once
from segkit.values.quiet import pillow_is_quiet

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(reading, "LONG", 0.003)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)
    assert not [t for t in threading.enumerate() if t.name.startswith("segkit-reader")]


class Log:
    def __init__(self):
        self.read = []
        self.now = self.most = self.beside_the_first = 0
        self.lock = threading.Lock()


LOG = Log()


class Watched(Squares):
    """Notes what is read, and how many at once; the first takes longest."""

    name = "watched"
    concurrent = True
    side: int = 4
    pause: float = 0.005

    def __getitem__(self, index):
        with LOG.lock:
            LOG.read.append(index)
            LOG.now += 1
            LOG.most = max(LOG.most, LOG.now)
        time.sleep(0.02 if index == 0 else self.pause)
        with LOG.lock:
            LOG.now -= 1
            LOG.beside_the_first += index == 0 and LOG.now
        if index in self.bad:
            return super().__getitem__(index)
        return Image(np.full((self.side, self.side, 3), index, np.uint8), self.names[index]), None


class ByOne(Watched):
    name = "by-one"
    concurrent = False


class Interrupted(Watched):
    name = "interrupted"

    def __getitem__(self, index):
        if index == 9:
            raise KeyboardInterrupt
        return super().__getitem__(index)


@pytest.fixture(autouse=True)
def log():
    LOG.__init__()
    return LOG


def chunks(dataset, walkers=1, wanted=None, images=4):
    batches = Batches(images)
    wanted = range(len(dataset)) if wanted is None else wanted
    readers = readers_for(dataset)
    return read_ahead(dataset, dataset.names, wanted, batches, lambda task: 1.0, walkers, readers)


def images_of(all_chunks):
    return [(i, int(task.image.pixels.max())) for chunk in all_chunks for i, task in chunk.items()]


@pytest.mark.parametrize("walkers", [1, 2])
def test_several_read_at_once_and_images_come_in_order(walkers, log):
    wanted = [i for i in range(23) if i != 7]
    made = list(chunks(Watched(count=23), walkers, wanted))
    assert [len(chunk) for chunk in made] == [4, 4, 4, 4, 4, 2]
    assert images_of(made) == [(i, i) for i in wanted]
    assert sorted(log.read) == wanted
    assert 1 < log.most <= 3


def test_the_first_is_read_alone(log):
    stream = chunks(Watched(count=12))
    assert [*next(stream)] == [0, 1, 2, 3]
    stream.close()
    assert log.beside_the_first == 0
    assert log.most > 1


def test_few_large_ones_are_read_at_once(log, monkeypatch):
    monkeypatch.setattr(reading, "SHARE", 3 * 4 * 4 * 3 * 2)
    assert len(images_of(chunks(Watched(count=12)))) == 12
    assert log.most == 2
    log.__init__()
    assert len(images_of(chunks(Watched(count=12, side=16)))) == 12
    assert log.most == 1


def test_small_ones_are_read_by_one(log, monkeypatch):
    monkeypatch.setattr(reading, "LONG", 0.5)
    assert images_of(chunks(Watched(count=12))) == [(i, i) for i in range(12)]
    assert log.most == 1


def test_what_says_nothing_is_read_by_one(log):
    assert images_of(chunks(ByOne(count=12))) == [(i, i) for i in range(12)]
    assert log.most == 1


def test_as_many_read_as_torch_has_threads():
    assert readers_for(Watched(count=2)) == 3
    assert readers_for(ByOne(count=2)) == 1
    torch.set_num_threads(1)
    assert readers_for(Watched(count=2)) == 1
    torch.set_num_threads(9)
    assert readers_for(Watched(count=2)) == 4


@pytest.mark.parametrize("inner", [Watched, ByOne])
def test_what_stands_around_a_data_set_asks_it(inner):
    dataset = inner(count=2)
    renamed = Renamed.of(dataset, ["a", "b"])
    assert reads_at_once(renamed) is inner.concurrent
    around = AskedTruth.of(renamed, ["dog"], {1: "dog"})
    assert isinstance(around, AskedTruth)
    assert reads_at_once(around) is inner.concurrent


def test_one_that_cannot_be_read_stops_no_other(log):
    made = [task for chunk in chunks(Watched(count=12, bad=(5,))) for task in chunk.values()]
    assert [isinstance(task, Failure) for task in made] == [i == 5 for i in range(12)]


def test_what_reading_raises_is_raised_behind_all_before(log):
    stream = chunks(Interrupted(count=40))
    assert [*next(stream)] == [0, 1, 2, 3]
    assert [*next(stream)] == [4, 5, 6, 7]
    with pytest.raises(KeyboardInterrupt):
        next(stream)


@pytest.mark.parametrize("dataset", [Watched, ByOne])
def test_once_it_is_closed_nothing_more_is_read(dataset, log):
    stream = chunks(dataset(count=400, pause=0.02), images=100)
    next(stream)
    stream.close()
    read = len(log.read)
    assert read < 150  # without an end it would be the next chunk too
    time.sleep(0.1)
    assert len(log.read) == read


# ---- Pillow's warnings -------------------------------------------------------------------------


def test_of_pillows_warnings_nobody_hears_and_of_others_all(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    PIL.Image.new("RGB", (60, 40)).save(path)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 60 * 40 - 1)  # so Pillow warns
    filters = list(warnings.filters)
    with pillow_is_quiet():
        with pytest.warns(UserWarning, match="a step's"):
            warnings.warn("a step's", UserWarning, stacklevel=1)
        read_image(path)  # pytest turns a warning into an error
        read_image(path)
    assert warnings.filters == filters


def test_what_others_change_meanwhile_is_theirs(recwarn):
    before = list(warnings.filters)
    decoding = pillow_is_quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoding.__enter__()
    decoding.__exit__(None, None, None)
    assert warnings.filters == before
    decoding = pillow_is_quiet()
    decoding.__enter__()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoding.__exit__(None, None, None)
        warnings.warn("a step's", UserWarning, stacklevel=1)
    assert [str(w.message) for w in caught] == ["a step's"]


def test_whichever_thread_ends_last_takes_the_filter_out():
    filters = list(warnings.filters)
    inside, may_end = threading.Barrier(3), [threading.Event() for _ in range(2)]

    def read(turn):
        with pillow_is_quiet():
            inside.wait()
            may_end[turn].wait()

    threads = [threading.Thread(target=read, args=(turn,)) for turn in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    for turn in range(2):
        assert warnings.filters != filters
        may_end[turn].set()
        threads[turn].join()
    assert warnings.filters == filters
