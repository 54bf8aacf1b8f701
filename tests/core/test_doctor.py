"""What the doctor sees in installations that are broken on purpose."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from segkit import Catalog, Weights
from segkit.tools import doctor as doctoring
from segkit.tools import probing
from segkit.tools.doctor import devices, examine, extras, place, plugins_and_weights, versions


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts the metadata of a distribution before all others; returns nothing."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(name, version, *more):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", *more]
        lines += [f"Version: {version}"] if version else []
        (info / "METADATA").write_text("\n".join(lines) + "\n")

    return install


def by_name(rows):
    return {row.name: row for row in rows}


def test_versions_of_a_sound_installation():
    rows = by_name(versions())
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["python"].found == ".".join(map(str, sys.version_info[:3]))
    assert {"segkit", "torch", "torchvision", "numpy", "other libraries"} <= rows.keys()


def test_a_library_that_is_too_old_has_its_install_line(installed):
    installed("click", "1.0")
    row = by_name(versions())["click"]
    assert (row.status, row.found) == ("broken", "is 1.0, but >=8.2 is needed")
    assert row.advice == "python -m pip install 'click>=8.2'"


@pytest.mark.parametrize("version", ["", "latest"])
def test_a_library_whose_metadata_is_damaged_is_a_row(installed, version):
    installed("rich", version)
    row = by_name(versions())["rich"]
    assert row.status == "broken"
    assert row.found.startswith("is damaged")


def test_python_and_libraries_are_asked_of_the_metadata(installed):
    installed("segkit", "9.9", "Requires-Python: >=4.1", "Requires-Dist: no-such-library>=3")
    rows = by_name(versions())
    assert rows["segkit"].found.startswith("9.9 in ")
    assert rows["python"].status == "broken"
    assert rows["python"].found.endswith(", but segkit needs >=4.1")
    assert (rows["no-such-library"].status, rows["no-such-library"].found) == (
        "broken",
        "is not installed",
    )


def test_extras_are_read_from_the_metadata(installed):
    installed(
        "segkit",
        "9.9",
        "Requires-Dist: click>=8",
        *("Provides-Extra: here", "Requires-Dist: numpy>=1; extra == 'here'"),
        *("Provides-Extra: gone", "Requires-Dist: no-such-library; extra == 'gone'"),
        "Requires-Dist: numpy>=1; extra == 'gone'",
        *("Provides-Extra: old", "Requires-Dist: numpy>=99; extra == 'old'"),
        *("Provides-Extra: both", "Requires-Dist: segkit[here,gone]; extra == 'both'"),
        *("Provides-Extra: far", "Requires-Dist: nothing; extra == 'far' and os_name == 'x'"),
    )
    rows = by_name(extras())
    assert {name: row.status for name, row in rows.items()} == {
        **{"here": "ok", "gone": "absent", "old": "warning", "both": "absent", "far": "ok"},
    }
    assert rows["here"].found.startswith("numpy ")
    assert (rows["gone"].found, rows["gone"].advice) == (
        "without no-such-library",
        "pip install 'segkit[gone]'",
    )
    assert rows["old"].found.endswith("but >=99 is needed")
    assert rows["both"].found == "without no-such-library"


def test_devices_are_found_by_computing():
    rows = by_name(devices())
    assert rows["cpu"].status == "ok"
    assert "threads" in rows["cpu"].found
    assert all(row.status != "broken" for row in rows.values())


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "raise ImportError('libtorch.so: cannot open shared object file')",
            "cannot be loaded: ImportError: libtorch.so: cannot open shared object file",
        ),
        ("import os; os.abort()", "cannot be loaded: the process was ended by signal 6"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
    ],
)
def test_a_broken_torch_is_a_row(tmp_path, monkeypatch, source, found):
    (tmp_path / "torch.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (row,) = devices()
    assert (row.name, row.status, row.found) == ("torch", "broken", found)
    assert "--force-reinstall torch torchvision" in row.advice


def test_a_torch_that_hangs_is_a_row(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(probing, "PATIENCE", 2)
    (row,) = devices()
    assert (row.status, row.found) == ("broken", "cannot be loaded: it takes longer than 2 seconds")


def test_a_torchvision_of_another_torch_is_a_row(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = by_name(devices())
    assert rows["cpu"].status == "ok"
    assert rows["torchvision"].status == "broken"
    assert rows["torchvision"].found.endswith("operator torchvision::nms does not exist")


def test_the_working_directory_lends_no_library(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('planted')")
    monkeypatch.chdir(tmp_path)
    assert by_name(devices())["cpu"].status == "ok"


def test_plugins_behind_damaged_metadata_are_told(installed, tmp_path):
    installed("nameless", "")
    points = tmp_path / "site" / "nameless-.dist-info" / "entry_points.txt"
    points.write_text("[other]\nx = y\n")
    assert list(doctoring.damaged_distributions()) == []
    points.write_text("[segkit.prompt]\nx = y\n")
    (row,) = doctoring.damaged_distributions()
    assert (row.name, row.status) == ("nameless-.dist-info", "warning")
    assert "is damaged: " in row.found
    points.write_text("[segkit.prompt]\nthis makes no sense\n")
    (row,) = doctoring.damaged_distributions()
    assert row.found.startswith("its plugins are not found")


KNOWS = """\
from pathlib import Path
from segkit import Prompter, Prompts, Weights, hookimpl

class Knows(Prompter):
    "Knows weights."

    name = "knows"

    def __call__(self) -> Prompts:
        return Prompts()

    @classmethod
    def known_weights(cls):
        {body}

@hookimpl
def segkit_prompters():
    return [Knows]
"""


def catalog_of(tmp_path, body):
    path = tmp_path / "knows.py"
    path.write_text(KNOWS.format(body=body))
    return Catalog(third_party=False, files=(path,))


def test_bundled_plugins_and_weights_are_whole():
    rows = list(plugins_and_weights(Catalog(third_party=False)))
    assert {row.status for row in rows} <= {"ok", "absent", "warning"}
    assert next(r for r in rows if r.name == "bundled").found.endswith("SHA-256 is right")
    assert rows[0].name == "segkit"
    assert rows[0].found.endswith("plugins that can be loaded")


def test_a_plugin_that_fails_at_its_weights_is_a_row(tmp_path):
    rows = by_name(plugins_and_weights(catalog_of(tmp_path, "raise OSError('no list')")))
    assert rows["knows:knows"].status == "warning"
    assert rows["knows:knows"].found == "cannot say which files it knows: OSError: no list"
    assert rows["bundled"].status == "ok"


def weights(name, path, url="", content=b"right"):
    digest = hashlib.sha256(content).hexdigest()
    return Weights(name, "a test's", "none", str(path), digest, len(content), url)


def test_weights_that_are_not_what_they_should_be(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path))
    cache = tmp_path / "weights"
    cache.mkdir()
    (tmp_path / "good").write_bytes(b"right")
    (tmp_path / "bad").write_bytes(b"wrong")
    (cache / "whole.pt").write_bytes(b"right")
    (cache / "short.pt").write_bytes(b"rig")
    (cache / "part.pt.part").write_bytes(b"r")
    url = "https://example.org/x"
    rows = by_name(
        doctoring.weight_files(
            [
                weights("good", tmp_path / "good"),
                weights("bad", tmp_path / "bad"),
                weights("lost", tmp_path / "lost"),
                *(weights(n, f"{n}.pt", url) for n in ("whole", "short", "part", "away")),
            ]
        )
    )
    assert {name: row.status for name, row in rows.items()} == {
        **{"bad": "broken", "lost": "broken", "bundled": "ok"},
        **{"whole": "ok", "short": "warning", "part": "warning", "not fetched": "absent"},
    }
    assert rows["bad"].found == f"{tmp_path / 'bad'} is not the file that it should be"
    assert rows["bundled"].found == "good: SHA-256 is right"
    assert rows["short"].found == f"{cache / 'short.pt'} has 3 bytes, not 5"
    assert rows["part"].advice == "go on: segkit weights fetch part"
    assert rows["not fetched"].found == "away"


def test_places_are_tried_and_left_as_they_were(tmp_path, monkeypatch):
    row = place("output", tmp_path / "a" / "b", "choose another")
    assert (row.status, row.advice) == ("ok", "")
    assert row.found.endswith(" GB free)")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    row = place("output", tmp_path / "file" / "b", "choose another")
    assert (row.status, row.advice) == ("warning", "choose another")
    assert row.found == f"{tmp_path / 'file' / 'b'} cannot be written: Not a directory"
    monkeypatch.setattr(doctoring, "ROOM", 10**18)
    row = place("cache", tmp_path, "choose another")
    assert (row.status, row.advice) == ("warning", "make room, or choose another")


def test_a_check_that_fails_hides_no_other(tmp_path, monkeypatch):
    def fail():
        raise ValueError("torn")

    monkeypatch.setattr(doctoring, "devices", fail)
    rows = list(examine(Catalog(third_party=False), Path(tmp_path)))
    assert [row.group for row in rows if row.status == "broken"] == ["devices"]
    assert [row.found for row in rows if row.status == "broken"] == [
        "could not be done: ValueError: torn"
    ]
    assert {row.group for row in rows} == {
        *("versions", "extras", "devices", "plugins", "weights", "places")
    }
    for row in rows:
        assert row.advice or row.status in ("ok", "absent"), row
