"""A run and its report on a disk that is full or may only be read: sentences, nothing lost."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from folder_toys import Light, files, lines, photographs

from segkit import SegkitError, UsageError, plan, run
from segkit.reporting import write_report
from segkit_plugins.writer.masks import MaskFiles


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, with a run of which an image is left to do."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("it may not mount a tmpfs here")
    photographs(tmp_path / "photos", "a", "b")
    again(tmp_path)
    photographs(tmp_path / "photos", "c")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def again(tmp_path):
    made = plan([files(tmp_path / "photos"), Light(), MaskFiles()])
    return run({"run": made}, tmp_path / "disk" / "out", resume=True)["run"]


def fill(place):
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass


def test_a_full_one(disk, tmp_path):
    fill(disk)
    with pytest.raises(SegkitError) as error:
        again(tmp_path)
    assert "the disk is full" in str(error.value) or "No space left" in str(error.value)
    assert "; make room" in str(error.value) or ": make room" in str(error.value)
    with pytest.raises(SegkitError, match=r"report.html could not be written \(the disk is full\)"):
        write_report(disk / "out")
    (disk / "ballast").unlink()
    assert again(tmp_path)["images"] == 3
    assert {*lines(disk / "out")} == {"a", "b", "c"}


def test_one_that_may_only_be_read(disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UsageError) as error:
        again(tmp_path)
    assert str(error.value) == (
        f"the folder {disk / 'out'} cannot be written: Read-only file system; mend that, or choose "
        "another folder"
    )
    with pytest.raises(SegkitError, match=r"report.html could not be written \(Read-only"):
        write_report(disk / "out")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert again(tmp_path)["images"] == 3
