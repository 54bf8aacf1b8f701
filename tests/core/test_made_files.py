"""The files of a run by their sorts: those that its lines name and no others, exactly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.running import made_files
from segkit.running.made_files import MadeFiles, Sort
from segkit.running.owned import FilesThere
from segkit.running.result_lines import ResultLines
from segkit.values.spreading import subfolder

NAMES = st.text("ab-.é1", min_size=1, max_size=4).filter(lambda name: name.strip("."))


def made(folder, files, others=(), levels=0):
    path = folder / "results.jsonl"
    rows = [{"name": name, "status": "ok", "files": own} for name, own in files.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return MadeFiles(ResultLines(path), files.items(), others, levels)


@pytest.mark.parametrize("levels", [0, 1, 2])
@given(
    names=st.sets(NAMES, min_size=1, max_size=5),
    ends=st.sets(st.sampled_from([".png", "", "-2.txt", "/a.png"]), min_size=1),
    others=st.sets(st.sampled_from(["index.txt", "masks/a.png", "masks/ca/a.png", "voc/a"])),
    data=st.data(),
)
def test_they_are_those_that_were_named(tmp_path_factory, levels, names, ends, others, data):
    files = {}
    for name in names:
        own = data.draw(st.sets(st.sampled_from(sorted(ends))))
        below = data.draw(st.sampled_from([subfolder(name, levels), ""]))
        files[name] = [f"masks/{below}{name}{end}" for end in sorted(own)]
    several = made(tmp_path_factory.mktemp("run"), files, others, levels)
    named = others | {file for own in files.values() for file in own}
    assert {*several} == named
    tried = {f"masks/{subfolder(n, k)}{n}{e}" for n in names for e in ends for k in range(3)}
    assert {file for file in tried | named | {"index.txt", "masks/b"} if file in several} == {
        *(named & (tried | named | {"index.txt", "masks/b"}))
    }
    assert several.folders == {file.rpartition("/")[0] for file in named}


def test_what_a_crash_has_cut_off_has_files_of_every_sort(tmp_path):
    several = made(tmp_path, {"a": ["masks/ca/a.png"], "b": ["voc/b.txt"]}, levels=1)
    assert several.has_sorts
    several.add_cut_off(["c"])
    assert {file for file in several if file.endswith(("c.png", "c.txt"))} == {
        f"masks/{subfolder('c', 1)}c.png",
        "voc/c.txt",
    }
    assert "voc/c.txt" in several
    assert "voc/a.txt" not in several


def test_files_that_no_name_is_part_of_are_known_one_by_one(tmp_path):
    several = made(tmp_path, {"a": ["masks/1.png"], "b": ["masks/2.png", "b"]})
    assert {*several} == {"masks/1.png", "masks/2.png", "b"}
    assert "masks/3.png" not in several


def test_so_are_those_of_sorts_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(made_files, "SORTS", 3)
    files = {f"n{i}": [f"masks/n{i}-{i * i}.png"] for i in range(9)}
    several = made(tmp_path, files)
    assert {*several} == {file for own in files.values() for file in own}
    assert "masks/n8-64.png" in several
    assert "masks/n8-4.png" not in several


def test_a_sort_is_none_where_the_name_is_no_part():
    assert Sort.of("masks/3.png", "a", 0) is None
    assert Sort.of("masks/a.png", "a", 1) == Sort("masks/", 0, ".png")


def test_the_files_there_are_those_of_one_time(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("x", "a/b/y"):
        (tmp_path / name).write_text("")
    there = FilesThere(tmp_path)
    (tmp_path / "z").write_text("")
    assert [name in there for name in ("x", "a/b/y", "z", "a", "y")] == [True, True, *[False] * 3]
    assert "x" not in FilesThere(tmp_path / "nowhere")
