"""`segkit merge` and the disk: which files it takes, and what stops it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket

from merge_toys import FLAGS, SHAPES, by_name, shards
from reading import results

from segkit.running import keeping, whole_folder
from segkit.running.folder import Record
from segkit.running.lock import started


def test_what_a_link_leads_to_is_no_shards_own(segkit, tmp_path):
    shards(segkit, (*SHAPES, *FLAGS, "--write", "yolo"), 2)
    (tmp_path / "disk").mkdir()
    for name in ("s1/masks", "s2/yolo"):
        (tmp_path / name).rename(tmp_path / "disk" / name[3:])
        (tmp_path / name).symlink_to(tmp_path / "disk" / name[3:])
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "s1/notes.txt").symlink_to(tmp_path / "secret")
    with (tmp_path / "s1/segkit-run.jsonl").open("a") as file:
        file.write(json.dumps({"files": ["notes.txt"]}) + "\n")
    done = segkit("merge", "s1", "s2", "-o", "merged", "--quiet")
    assert done.code == 1
    assert "6 images (" in done.err
    assert "for their files are lost, damaged or lie outside of the run's folder" in done.err
    assert results(tmp_path / "merged") == []
    assert not (tmp_path / "merged/notes.txt").exists()


def test_of_a_double_the_copy_with_whole_files_stays(segkit, tmp_path):
    shards(segkit, (*SHAPES, *FLAGS), 2)
    shutil.copytree(tmp_path / "s1", tmp_path / "again")
    name = results(tmp_path / "s1")[0]["name"]
    (tmp_path / f"s1/masks/{name}.png").unlink()
    done = segkit("merge", "s1", "again", "s2", "-o", "merged", "--quiet")
    assert done.code == 0
    assert len(results(tmp_path / "merged")) == 6
    assert (tmp_path / f"merged/masks/{name}.png").is_file()


def test_what_stops_a_merge_is_told_as_a_merge(segkit, tmp_path, monkeypatch):
    shards(segkit, (*SHAPES, *FLAGS, "--write", "coco"), 2)
    said = "Error: the runs could not be merged: the disk is full; nothing is left of it: make room"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((shutil, "copy2"), (Record, "append"), (Record, "finish")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full)
            done = segkit("merge", "s1", "s2", "-o", "merged")
        assert done.err.startswith(said)
        assert not (tmp_path / "merged").exists()
    copy = shutil.copy2

    def resumed(source, target):  # as a run does that goes on
        (tmp_path / "s2/results.jsonl").write_text("")
        (tmp_path / "s1/results.jsonl").write_text("")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", resumed)
    done = segkit("merge", "s1", "s2", "-o", "merged")
    assert done.code == 2
    assert "has changed while it was merged; wait until its run has ended" in done.err


def test_a_merge_writes_its_folders_before_its_lines(segkit, tmp_path, monkeypatch):
    shards(segkit, (*SHAPES, *FLAGS, "--write", "voc"), 2)
    synced = []
    whole = keeping.sync_files

    def noted(paths, folders=()):
        folders = [*folders]
        synced.extend(folders)
        whole(paths, folders)

    append = Record.append

    def checked(record, lines):
        below = {p for line in lines for f in line["files"] for p in (record.directory / f).parents}
        assert {p for p in below if record.directory in (p, *p.parents)} <= {*synced}
        append(record, lines)

    monkeypatch.setattr(keeping, "sync_files", noted)
    monkeypatch.setattr(whole_folder, "sync_files", noted)
    monkeypatch.setattr(Record, "append", checked)
    assert segkit("merge", "s1", "s2", "-o", "merged", "--quiet").code == 0
    assert synced[-1] == tmp_path  # the new name is there to stay


def test_overwrite_takes_what_a_crash_has_left_and_no_run_that_is_new(
    segkit, tmp_path, monkeypatch
):
    flags = (*SHAPES, *FLAGS)
    shards(segkit, flags, 2)
    assert segkit("merge", "s1", "s2", "-o", "merged", "--quiet").code == 0
    dead = {"host": socket.gethostname(), "pid": 1 << 22, "started": "once", "since": ""}
    (tmp_path / "merged/segkit-run.lock").write_text(json.dumps(dead))
    (tmp_path / f"merged/masks/.{'0' * 32}.part").write_text("half")
    assert segkit("merge", "s1", "s2", "-o", "merged", "--overwrite").code == 0
    assert not (tmp_path / "merged/segkit-run.lock").exists()
    # Another process takes the folder while the merge copies.
    copy = shutil.copy2
    live = {**dead, "pid": os.getppid(), "started": started(os.getppid())}

    def taken(source, target):
        (tmp_path / "merged/segkit-run.lock").write_text(json.dumps(live))
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", taken)
    before = by_name(tmp_path / "merged")
    done = segkit("merge", "s1", "s2", "-o", "merged", "--overwrite")
    assert "is in use by process" in done.err
    assert by_name(tmp_path / "merged") == before
