"""Other distributions' damaged metadata: no traceback, and the plugins of all others stay."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import segkit.plugins.steps
from segkit import Catalog

DAMAGE = {
    "bytes.txt": bytes(range(256)) + b"[segkit.prompt]\n",
    "latin.txt": b"[segkit.prompt]\nm\xe9 = x\n",
    "zero.txt": b"[segkit.prompt]\nm\0x = a\0b\n",
    "escape.txt": b"[segkit.prompt]\n\x1b[31mred = \x1b]0;x\x07\n",
    "none.txt": b"[segkit.prompt]\nnothing\n",
    "dots.txt": b"[segkit.prompt]\ndots = ..a.b\npath = ../../etc/passwd\nempty =\n",
    "long.txt": b"[segkit.prompt]\n" + b"x" * 99_999 + b" = " + b"y" * 99_999 + b"\n",
    "group.txt": b"[segkit.\x1b[2J]\nm = x\n[segkit.]\nq = x\n[segkit]\nz = x\n",
    "api.txt": b"[segkit.prompt]\nm = x\n[segkit.api]\nv\xc2\xb2 = x\n",
}


@pytest.fixture
def damage(tmp_path, monkeypatch):
    """Puts a distribution with these entry points in the way."""

    def put(content, **files):
        folder = tmp_path / "site" / "damaged-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: damaged\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_bytes(content)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_bytes(text)
        monkeypatch.syspath_prepend(tmp_path / "site")
        return folder

    return put


def segkit(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "segkit.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_entry_points_hide_no_other_plugin(damage, name):
    damage(DAMAGE[name])
    names = {entry.name for entry in Catalog().entries("prompt")}
    assert {"topk", "maxmin"} <= names
    assert Catalog().load("prompt", "topk").name == "topk"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_metadata_that_never_ends_is_not_waited_for(damage):
    folder = damage(b"")
    (folder / "entry_points.txt").unlink()
    os.mkfifo(folder / "entry_points.txt")
    assert "topk" in {entry.name for entry in Catalog().entries("prompt")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_a_library_would_wait_for_is_refused_before_it_is_imported(damage, tmp_path):
    folder = damage(b"")
    (folder / "entry_points.txt").unlink()
    os.mkfifo(folder / "entry_points.txt")
    for words in (("run", "photo.png"), ("show", "prompt", "topk"), ("doctor",)):
        done = segkit(tmp_path, *words)
        assert (done.returncode, done.stderr.decode()) == (
            2,
            f"Error: the entry points of the package in {folder} cannot be read (it is a pipe, not "
            "a file), and a library that segkit uses needs them; install it again, or remove it\n",
        )
    done = segkit(tmp_path, "list-plugins")
    assert done.returncode == 0, done.stderr
    assert b"topk" in done.stdout


def test_what_a_package_says_of_its_origin_may_be_anything(damage):
    folder = damage(b"[segkit.prompt]\nmine = mine\n", direct_url__json=b"[" * 200_000)
    (entry,) = [e for e in Catalog().entries("prompt") if e.name == "mine"]
    assert entry.where == str(folder.parent)


@pytest.mark.parametrize("name", ["escape.txt", "long.txt", "group.txt"])
def test_the_list_shows_what_it_finds(damage, tmp_path, name):
    damage(DAMAGE[name])
    done = segkit(tmp_path, "list-plugins")
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
    assert b"topk" in done.stdout


@pytest.mark.parametrize("name", ["latin.txt", "bytes.txt"])
def test_where_a_library_fails_at_one_the_sentence_names_it(damage, tmp_path, name):
    folder = damage(DAMAGE[name])
    done = segkit(tmp_path, "show", "prompt", "topk")
    assert b"Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.decode() == (
            f"Error: the entry points of the package in {folder} cannot be read (it is no UTF-8 "
            "text), and a library that segkit uses needs them; install it again, or remove it\n"
        )
