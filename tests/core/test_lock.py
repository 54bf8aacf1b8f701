"""Who owns a run's folder, and whose lock is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from folder_toys import Light, files, photographs

from segkit import UsageError, plan, run
from segkit.running.ledger import LEDGER, LOCK
from segkit.running.lock import Owner, owned, started


@pytest.fixture
def folder(tmp_path):
    """A run's."""
    photographs(tmp_path / "photos", "a")
    run({"run": plan([files(tmp_path / "photos"), Light()])}, tmp_path / "out")
    assert not (tmp_path / "out" / LOCK).exists()
    return tmp_path / "out"


def locked_by(folder, owner):
    (folder / LOCK).write_text(json.dumps(vars(owner)))


def another():
    """A process that lives for a while."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_it_names_its_owner_and_goes(folder):
    with owned(folder):
        owner = Owner.parse((folder / LOCK).read_text())
        assert owner is not None
        assert (owner.host, owner.pid) == (socket.gethostname(), os.getpid())
        assert owner.started == started(os.getpid()) != ""
        with owned(folder / "."):  # by another spelling, and again
            pass
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()


def test_a_process_that_lives_keeps_its_folder(folder):
    process = another()
    owner = Owner(socket.gethostname(), process.pid, started(process.pid), "2026-01-01 12:00:00")
    locked_by(folder, owner)
    with pytest.raises(UsageError) as error, owned(folder):
        pass
    assert str(error.value) == (
        f"the folder {folder} is in use by process {process.pid} since 2026-01-01 12:00:00; wait "
        "until it has ended, or choose another folder"
    )
    process.communicate(b"\n")
    with owned(folder):  # it has ended
        pass
    assert not (folder / LOCK).exists()


@pytest.mark.parametrize(
    "left",
    ["", "{", "[]", '{"host": 1, "pid": 2, "started": "", "since": ""}', "[" * 100_000],
    ids=lambda text: text[:5],
)
def test_what_a_crash_has_cut_off_is_taken_over(folder, left):
    (folder / LOCK).write_text(left)
    with owned(folder):
        assert Owner.parse((folder / LOCK).read_text()) == replace(
            Owner.me(), since=Owner.parse((folder / LOCK).read_text()).since
        )


def test_a_number_that_another_process_has_now_is_no_owner(folder):
    process = another()
    locked_by(folder, Owner(socket.gethostname(), process.pid, "long ago"))
    with owned(folder):
        pass
    process.communicate(b"\n")


def test_another_thread_is_another_owner(folder):
    told = []

    def second():
        try:
            with owned(folder):
                pass
        except UsageError as error:
            told.append(str(error))

    with owned(folder):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"is in use by process {os.getpid()}" in told[0]


def test_a_sweep_and_its_recipes_are_one(folder, tmp_path):
    process = another()
    owner = Owner(socket.gethostname(), process.pid, started(process.pid))
    whole = tmp_path / "sweep"
    recipe = whole / "recipes" / "a"
    recipe.mkdir(parents=True)
    for place in (whole, recipe):
        (place / LEDGER).write_text((folder / LEDGER).read_text())
    for mine, other in ((whole, recipe), (recipe, whole)):
        locked_by(other, owner)
        with (
            pytest.raises(UsageError, match=f"{mine} is in use by process {process.pid}"),
            owned(mine),
        ):
            pass
        (other / LOCK).unlink()
    process.communicate(b"\n")


def test_a_link_in_its_place_is_not_followed(folder, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (folder / LOCK).symlink_to(mine)
    with pytest.raises(UsageError, match=r"cannot be written: .*; mend that"), owned(folder):
        pass
    assert mine.read_text() == "mine"


def test_a_folder_that_was_made_for_nothing_goes(tmp_path):
    with owned(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).exists()
    assert [*tmp_path.iterdir()] == []


def test_a_folder_of_others_gets_no_lock(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with owned(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_path_that_is_too_long_is_a_sentence(tmp_path):
    with pytest.raises(UsageError) as error, owned(tmp_path / ("x" * 5000)):
        pass
    assert "cannot be written: File name too long; mend that, or choose another folder" in str(
        error.value
    )
    assert len(str(error.value)) < 400
