"""Going on with images that have no file, and with runs of the first edition."""

from __future__ import annotations

import os

import numpy as np
import pytest
from folder_toys import Light, Names, as_of_first_edition, contents, cut, files, lines, photograph
from source_toys import Told, where

from segkit import Dataset, Image, Labels, SegkitWarning, Truth, plan, read_image, run
from segkit.comparing.sweep import sweep_plans
from segkit_plugins.writer.masks import MaskFiles

# ---- images without a file ---------------------------------------------------------------------


class Drawn(Dataset):
    """Pictures that are drawn; `LEVELS` has the grey of each."""

    name = "drawn"

    @property
    def names(self):
        return [f"drawn-{i}" for i in range(len(LEVELS))]

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        READ.append(index)
        pixels = np.full((5, 5, 3), LEVELS[index], np.uint8)
        ids = np.full((5, 5), TRUTHS.get(index, 1), np.int32)
        return Image(pixels, self.names[index]), Truth(Labels(ids, {1: "light"}))


LEVELS: list[int] = []
TRUTHS: dict[int, int] = {}
READ: list[int] = []


@pytest.fixture
def drawn(tmp_path):
    LEVELS[:], READ[:] = [110, 120, 130], []
    TRUTHS.clear()
    Told(tmp_path / "out", Drawn())
    return tmp_path / "out"


def test_pictures_without_a_file_are_known_by_their_pixels(drawn):
    source = lines(drawn)["drawn-0"]["source"]
    assert source.keys() == {"sha256", "truth"}
    assert len(source["sha256"]) == len(source["truth"]) == 64
    assert Told(drawn, Drawn(), resume=True).done == []
    LEVELS[1] = 121
    TRUTHS[2] = 0
    told = Told(drawn, Drawn(), resume=True)
    assert told.done == ["drawn-1", "drawn-2"]
    assert told.said[0] == "2 images (drawn-1, drawn-2) have changed and are done again"


def test_a_sweep_hashes_a_picture_once(drawn, tmp_path, monkeypatch):
    from segkit.running import sources

    calls = []
    real = sources.digest
    monkeypatch.setattr(sources, "digest", lambda *of: calls.append(1) or real(*of))
    sweep_plans(
        {n: plan([Drawn(), Light(level=v), Names()]) for n, v in (("x", 5), ("y", 6))},
        tmp_path / "s",
    )
    assert len(calls) == 3


def test_a_data_set_that_now_tells_its_files_goes_on(photos, tmp_path):
    class Quiet(Dataset):
        name = "quiet"

        @property
        def names(self):
            return ["a", "b", "c"]

        @property
        def has_truth(self):
            return False

        def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
            return read_image(photos / f"{self.names[index]}.png"), None

    out = tmp_path / "out"
    Told(out, Quiet())
    Quiet.files_of = lambda self, index: (photos / f"{self.names[index]}.png",)
    told = Told(out, Quiet(), resume=True)
    assert (told.done, told.said) == ([], [])
    assert where(out)["a"] == "a.png"


def test_many_images_of_one_file_are_told_apart_by_their_names(tmp_path):
    class Pages(Dataset):
        name = "pages"
        count: int = 3

        @property
        def names(self):
            return [f"page-{i}" for i in range(self.count)]

        @property
        def has_truth(self):
            return False

        def files_of(self, index: int):
            return (tmp_path / "pages.npy",)

        def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
            return Image(np.load(tmp_path / "pages.npy")[index], self.names[index]), None

    np.save(tmp_path / "pages.npy", np.full((3, 4, 4, 3), 120, np.uint8))
    out = tmp_path / "out"
    Told(out, Pages())
    cut(out, 2)
    assert Told(out, Pages(), resume=True).done == ["page-2"]
    os.utime(tmp_path / "pages.npy", (5, 5))
    assert Told(out, Pages(), resume=True).done == ["page-0", "page-1", "page-2"]


# ---- runs of the first edition -----------------------------------------------------------------


def test_a_run_of_the_first_edition_goes_on(photos, out):
    as_of_first_edition(out)
    cut(out, 2)
    told = Told(out, files(photos), resume=True)
    assert told.done == ["c"]
    assert told.said == [
        "2 images (a, b) were done by segkit 0.1.0, which did not note their files; they are taken "
        "to be the same"
    ]
    assert where(out) == {"a": "a.png", "b": "b.png", "c": "c.png"}
    assert Told(out, files(photos), resume=True).said == []


def test_what_is_of_two_files_in_a_run_of_the_first_edition_is_done_again(photos, out):
    as_of_first_edition(out)
    photograph(photos / "a.bmp")
    told = Told(out, files(photos), resume=True)
    assert set(told.done) == {"a", "a-2"}
    assert told.said[0] == (
        "1 image (a) is done again, for results of segkit 0.1.0 do not say of which file of that "
        "name it is"
    )


def test_what_is_newer_than_a_run_of_the_first_edition_is_done_again(photos, out):
    as_of_first_edition(out)
    later = (out / "results.jsonl").stat().st_mtime + 60
    os.utime(photos / "b.png", (later, later))
    assert Told(out, files(photos), resume=True).done == ["b"]


def test_a_run_of_pictures_without_files_of_the_first_edition_goes_on(drawn):
    as_of_first_edition(drawn)
    told = Told(drawn, Drawn(), resume=True)
    assert told.done == []
    assert "3 images (drawn-0, drawn-1, drawn-2) were done by segkit 0.1.0" in told.said[0]
    assert Told(drawn, Drawn(), resume=True).said == []


def test_masks_are_those_of_a_run_in_one_go(photos, tmp_path):
    """Whatever happened in between."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    run({"run": plan([files(photos), Light(), MaskFiles()])}, out)
    photograph(photos / "b.png", 90)
    (photos / "c.png").unlink()
    photograph(photos / "d.png", 70)
    with pytest.warns(SegkitWarning):
        run({"run": plan([files(photos), Light(), MaskFiles()])}, out, resume=True)
    run({"run": plan([files(photos), Light(), MaskFiles()])}, whole)
    assert contents(out / "masks") == contents(whole / "masks")
    one, other = (
        {n: {k: v for k, v in x.items() if k != "seconds"} for n, x in lines(f).items()}
        for f in (out, whole)
    )
    assert one == other
