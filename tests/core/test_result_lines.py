"""results.jsonl of many images is read line by line, and says what one that is held does."""

from __future__ import annotations

import json

import pytest
from folder_toys import contents, files, photographs
from source_toys import Told

from segkit import UsageError
from segkit.running import result_lines
from segkit.running.result_lines import ResultLines


def text_of(name, **more):
    return json.dumps({"name": name, "status": "ok", **more}) + "\n"


def written(folder, *texts):
    path = folder / "results.jsonl"
    path.write_text("".join(texts))
    return path


@pytest.fixture(params=[0, 2, 10_000])
def held(request, monkeypatch):
    """However many lines are held in memory."""
    monkeypatch.setattr(result_lines, "HELD", request.param)


def test_lines_are_those_of_the_file_in_its_order(tmp_path, held):
    path = written(tmp_path, text_of("b"), "{torn\n", "\n", text_of("a\u2028", regions=3), "x")
    lines = ResultLines(path)
    assert [*lines] == ["b", "a\u2028"]
    assert [line.regions for line in lines.values()] == [0, 3]
    assert (len(lines), lines.unreadable) == (2, 2)
    assert "b" in lines
    assert "c" not in lines
    assert (lines.place("a\u2028"), lines.place("c")) == (1, None)
    with pytest.raises(KeyError):
        lines["c"]


def test_of_two_lines_of_an_image_the_later_one_holds_at_the_place_of_the_first(tmp_path, held):
    more = [text_of("b", regions=1), text_of("c"), text_of("a", regions=2)]
    lines = ResultLines(written(tmp_path, text_of("a"), *more))
    assert [(name, line.regions) for name, line in lines.items()] == [("a", 2), ("b", 1), ("c", 0)]


def test_without_a_file_there_are_no_lines(tmp_path, held):
    assert dict(ResultLines(tmp_path / "results.jsonl")) == {}


def test_what_is_there_at_first_is_read_whatever_comes_after(tmp_path, held):
    path = written(tmp_path, *map(text_of, "abcd"))
    lines = ResultLines(path)
    with path.open("a") as file:
        file.write(text_of("e"))
    (tmp_path / "new").write_text(text_of("z") * 9)
    (tmp_path / "new").replace(path)
    assert [line.name for line in lines.values()] == [*"abcd"]


def test_lines_that_are_no_longer_there_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(result_lines, "HELD", 1)
    path = written(tmp_path, *map(text_of, "abc"))
    lines = ResultLines(path)
    path.write_text(text_of("other"))
    with pytest.raises(UsageError, match="has changed while it was read; wait until its run"):
        lines["c"]


def test_a_run_goes_on_alike_however_many_lines_are_held(tmp_path, monkeypatch):
    photos = photographs(tmp_path / "photos", *"abcdefg").parent
    outs = [tmp_path / "held", tmp_path / "read"]
    for out, most in zip(outs, (10_000, 0), strict=True):
        monkeypatch.setattr(result_lines, "HELD", most)
        (photos / "g.png").write_bytes((photos / "a.png").read_bytes())
        Told(out, files(photos))
        before = contents(out)
        assert Told(out, files(photos), resume=True).done == []
        assert contents(out)["results.jsonl"] == before["results.jsonl"]
        (out / "names/b").unlink()
        photographs(photos, "g")
        again = Told(out, files(photos), resume=True)
        assert again.done == ["b", "g"]
        assert len(again.said) == 3
    # The second run's `g` was written at another time.
    held, read = (set(contents(out)) for out in outs)
    assert held == read
