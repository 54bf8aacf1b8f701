"""Runs of very many images: what they keep of each is little, and what they write of all is."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from folder_toys import Names, files, photographs
from hypothesis import given
from hypothesis import strategies as st
from report_toys import Page, line, picture, write_run

from segkit import Dataset, Image, Labels, SegkitError, Segmenter, plan, run
from segkit.reporting import report_gallery, report_page, write_report
from segkit.running import keeping, notes, sources
from segkit.running.engines.dispatched import TOGETHER, Dispatched
from segkit.running.engines.parcel import sameness
from segkit.running.engines.pool import Hello, Made, Ready
from segkit.running.job import Job
from segkit.running.keeping import Keeper
from segkit.running.options import RunOptions
from segkit.running.records import ResultLine
from segkit.running.session import Session
from segkit.running.sources import RunImages


class Listed(Dataset):
    """Names, each of a file of which nobody minds that it is nowhere."""

    name = "listed"
    paths: tuple[str, ...] = ()

    @property
    def names(self):
        return self.paths

    def files_of(self, index):
        return (Path("/nowhere", self.paths[index]),)

    @property
    def has_truth(self):
        return False


class Nothing(Segmenter):
    """Is never called."""

    name = "nothing"

    def __call__(self, image: Image) -> Labels:
        raise AssertionError


class Instant:
    """Workers that cost nothing: a line is there when it is asked for."""

    def __init__(self, same):
        self.same = same
        self.events = []

    def wanted(self):
        return 2

    def start(self, worker):
        self.events.append(Hello(worker, {"host": "here", "segkit": self.same["segkit"]}))

    def open(self, worker, parcel):
        told = {"classes": {}, "vocabulary": [], "chunk": 4, "same": self.same}
        self.events.append(Ready(worker, told))

    def submit(self, worker, chunk):
        lines = [("run", full_line(item.name)) for item in chunk.items]
        self.events.append(Made(worker, chunk.number, lines, True, 0.0))

    def poll(self, timeout):
        events, self.events = self.events, []
        return events

    def close(self, *, at_once):
        pass


def full_line(name):
    masks = [{"name": "tabby", "score": 0.9, "prompt": 0, "pixels": 9}] * 4
    prompts = [{"points": [[1.0, 2.0]], "signs": [True]}] * 4
    more = {"scores": {}, "counts": {}, "seconds": {"nothing": 0.5}, "files": [], "written": {}}
    name = "".join(name)  # as one that comes from another process
    line = {"name": name, "status": "ok", "error": None, "prompts": prompts, "masks": masks}
    return line | more | {"classes": {}, "shown": [], "regions": 1}


def session(out, count, **how):
    data = Listed(paths=tuple(f"photograph-{i:07}" for i in range(count)))
    job, options = Job({"run": plan([data, Nothing()])}, out, nested=False), RunOptions(**how)
    pool = Instant(sameness(job, options))
    return Session(job, options, Dispatched(lambda: pool, TOGETHER))


# ---- memory ------------------------------------------------------------------------------------

FEW, MANY = 500, 4500

BYTES = 700
"""So many an image may take at the worst moment; its line has 1,300, as Python holds it 5,000."""


def most_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def few_lines_held(monkeypatch):
    """What a run may hold whatever its size is small, and nothing waits to be kept together."""
    monkeypatch.setattr(keeping, "PAUSE", 0)
    monkeypatch.setattr("segkit.running.result_lines.HELD", 10)
    monkeypatch.setattr(keeping, "WAITING", 64)


@pytest.mark.slow
def test_an_image_takes_little_memory(tmp_path, few_lines_held):
    session(tmp_path / "warm", MANY).run()
    few = most_bytes(lambda: session(tmp_path / "few", FEW).run())
    many = most_bytes(lambda: session(tmp_path / "many", MANY).run())
    assert (many - few) / (MANY - FEW) < BYTES


@pytest.mark.slow
def test_so_it_does_where_a_run_goes_on(tmp_path, few_lines_held):
    for name, count in (("warm", 50), ("few", FEW), ("many", MANY)):
        session(tmp_path / name, count).run()
    session(tmp_path / "warm", 50, resume=True).run()
    few = most_bytes(lambda: session(tmp_path / "few", FEW, resume=True).run())
    many = most_bytes(lambda: session(tmp_path / "many", MANY, resume=True).run())
    assert (many - few) / (MANY - FEW) < BYTES


# ---- the disk is slower than those who bring lines ---------------------------------------------


def test_who_brings_lines_waits_for_the_disk(monkeypatch):
    monkeypatch.setattr(keeping, "WAITING", 3)
    monkeypatch.setattr(keeping, "PAUSE", 0)
    go_on, kept, brought = threading.Event(), [], []

    def slow(several, known):
        assert go_on.wait(20)
        kept.extend(line for _, lines in several for line in lines)

    monkeypatch.setattr(keeping, "keep", slow)
    keeper = Keeper({"run": None})

    def bring():
        for number in range(20):
            keeper.add("run", number)
            brought.append(number)

    thread = threading.Thread(target=bring)
    thread.start()
    thread.join(0.5)
    assert len(brought) == 3
    go_on.set()
    thread.join(20)
    keeper.close()
    assert kept == brought == [*range(20)]


def test_who_waits_for_the_disk_hears_that_it_has_refused(monkeypatch):
    monkeypatch.setattr(keeping, "WAITING", 2)
    monkeypatch.setattr(keeping, "PAUSE", 0)

    def refuse(several, known):
        raise SegkitError("the disk is full")

    monkeypatch.setattr(keeping, "keep", refuse)
    keeper = Keeper({"run": None})

    def bring():
        for number in range(20):
            keeper.add("run", number)

    for _ in range(2):  # each time anew
        with pytest.raises(SegkitError, match="the disk is full"):
            bring()
    with pytest.raises(SegkitError, match="the disk is full"):
        keeper.close()


# ---- names -------------------------------------------------------------------------------------

PATHS = st.lists(st.text("aAb", min_size=1, max_size=2), unique=True, max_size=6)


def renamed(paths, before, absent, *, search):
    images = RunImages(Listed(paths=tuple(paths)))
    images.left_out |= absent
    if search:
        images._are_named = lambda lines: False
    images.rename(before)
    return images.names


@given(paths=PATHS, data=st.data())
def test_names_that_are_as_they_were_need_not_be_looked_for(paths, data):
    """They come out as from the search."""
    absent = {i for i in range(len(paths)) if data.draw(st.booleans())}
    before = []
    for _ in range(2):
        lines = {}
        for path in data.draw(st.permutations(paths)):
            name = data.draw(st.sampled_from([path, path, path, "b-2"]))
            known = data.draw(st.sampled_from([f"/nowhere/{path}", f"/nowhere/{path}", None, "/x"]))
            source = None if known is None else {"path": known}
            lines[name] = ResultLine(name=name, status="ok", source=source)
        before.append(lines)
    quick = renamed(paths, before, absent, search=False)
    assert quick == renamed(paths, before, absent, search=True)


def test_only_the_last_hashes_are_known(monkeypatch):
    monkeypatch.setattr(sources, "SHARED", 3)

    class Drawn(Listed):
        def files_of(self, index):
            return ()

    images = RunImages(Drawn(paths=tuple("abcdef")))
    picture = Image(np.zeros((4, 4, 3), np.uint8), "a")
    told = [images.source(name, picture, None) for name in "abcdef"]
    assert len({str(source) for source in told}) == 1
    assert [*images._hashes] == [*"def"]


# ---- what is written of all --------------------------------------------------------------------


def test_summary_json_names_no_more_images_than_it_has_room_for(tmp_path, monkeypatch):
    photographs(tmp_path / "photos", *"abcde")
    monkeypatch.setattr(notes, "LISTED", 2)

    class Blind(Segmenter):
        name = "blind"

        def __call__(self, image: Image) -> Labels:
            return Labels(np.zeros(image.size, np.int32), {})

    chosen = plan([files(tmp_path / "photos"), Blind(), Names()])
    summary = run({"run": chosen}, tmp_path / "out")["run"]
    assert (summary["images"], summary["empty"], summary["empty_images"]) == (5, 0, [])
    found = notes.Findings(empty=[*"abcde"], judged=5, doubted={"c": 0.4, "b": 0.1, "a": 0.3})
    told = found.told()
    assert (told["empty"], told["empty_images"]) == (5, ["a", "b"])
    assert (told["doubtful"], told["doubtful_images"]) == (3, ["b", "a"])


def mask(score):
    return {"name": "cat", "score": score, "prompt": 0, "pixels": 9}


def test_of_very_many_images_the_page_has_the_most_telling_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(report_gallery, "SHOWN", 4)
    scores = {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.6, "e": 0.2, "f": 0.8, "g": 0.55}
    write_run(tmp_path, [line(name, masks=[mask(score)]) for name, score in scores.items()])
    for name in scores:
        picture(tmp_path, "overlay", name)
    page = Page(write_report(tmp_path))
    assert [*page.images] == [*"bcef"]  # the two worst and the two best
    assert page.cards == [*"cefb"]
    assert "7 images" in page.text
    assert (
        "4 of 7 images are in this page one by one, the most telling ones; results.jsonl has a "
        "line for each." in page.text
    )


def test_images_that_all_have_room_need_no_word_of_it(tmp_path):
    write_run(tmp_path, [line("a", masks=[mask(0.5)])])
    assert "one by one" not in Page(write_report(tmp_path)).text


def test_of_very_many_failures_the_first_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "FAILED", 2)
    failed = [line(name, status="failed", error=f"{name} is torn") for name in "abc"]
    write_run(tmp_path, [*failed, line("d")])
    page = Page(write_report(tmp_path))
    assert "3 failed" in page.text
    assert "The first 2 of 3; results.jsonl has all." in page.text
    rows = [text for text in page.texts if text.endswith("is torn")]
    assert rows == ["a is torn", "b is torn"]
