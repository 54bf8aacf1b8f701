"""Switching other people's plugins off, and watching a run with them: observers and the trace."""

from __future__ import annotations

import hashlib
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from outcomes import listed, results

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WATCHERS = {
    "counting": """\
from pathlib import Path
from segkit import hookimpl

@hookimpl
def segkit_after_image(name, result):
    with Path("seen.txt").open("a") as file:
        file.write(f"{name} {result['status']}\\n")
""",
    "raising": """\
from segkit import hookimpl

@hookimpl
def segkit_before_step(step):
    raise RuntimeError("no time")
""",
    "torn": "import no_such_library\n",
}


def watchers(folder: Path, *names: str) -> Path:
    """A folder in which the package `watchers` is installed."""
    info = folder / "watchers/watchers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watchers\nVersion: 1.0\n")
    points = [f"{name} = watch_{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[segkit.observer]", *points]) + "\n")
    for name in names:
        (info.parent / f"watch_{name}.py").write_text(WATCHERS[name])
    return info.parent


def test_third_parties_can_be_switched_off(segkit, quick, executed, site):
    assert listed(segkit("list-plugins", "--check", "--json", SEGKIT_PLUGINS="bundled")) == {}
    assert "corners" not in segkit("list-plugins", SEGKIT_PLUGINS="bundled").out
    for done in (
        segkit("show", "prompt", "corners", SEGKIT_PLUGINS="bundled"),
        segkit("sweep", "--prompt", "corners,topk", SEGKIT_PLUGINS="bundled"),
        segkit("diagnose", "--prompt", "corners", SEGKIT_PLUGINS="bundled"),
        quick("--prompt", "corners", SEGKIT_PLUGINS="bundled"),
    ):
        assert done.code == 2
        assert done.err.startswith("Error: --prompt corners: no prompt plugin has that name; ")
    done, files = executed("weights", "list", SEGKIT_PLUGINS="bundled")
    assert (done.code, done.err) == (0, "")
    assert not [f for f in files if f.is_relative_to(site)]


@pytest.mark.parametrize("only", ["corners", "segkit-corners"])
def test_only_one_of_them_may_take_part(segkit, quick, only):
    rows = listed(segkit("list-plugins", "--json", "--only", only))
    assert rows.keys() == {("segkit-corners", "corners")}
    assert quick("--only", only, "--prompt", "corners", "--quiet").code == 0
    done = quick("--only", only, "--prompt", "clash-a:twin")
    assert done.code == 2
    assert "no prompt plugin has that name" in done.err


@pytest.mark.slow
def test_observers_are_switched_off_too(quick, tmp_path):
    folder = watchers(tmp_path, "counting")
    run = ("--prompt", "topk", "--quiet", "-o")
    assert quick(*run, "a", path=(folder,), SEGKIT_PLUGINS="bundled").code == 0
    assert quick(*run, "b", "--only", "segkit-corners", path=(folder,)).code == 0
    assert not (tmp_path / "seen.txt").exists()
    assert quick(*run, "c", "--only", "watchers", path=(folder,)).code == 0
    assert (tmp_path / "seen.txt").exists()


def test_observers_watch_and_broken_ones_do_not_disturb(quick, tmp_path):
    folder = watchers(tmp_path, *WATCHERS)
    done = quick("--prompt", "topk", "--quiet", "-o", "watched", path=(folder,))
    assert done.code == 0
    assert done.err.splitlines()[0] == (
        "Warning: 'torn' from watchers 1.0 could not be loaded: ModuleNotFoundError: "
        "No module named 'no_such_library' (watch_torn.py, line 1); it does not watch this run"
    )
    assert done.err.splitlines()[1:] == [
        "Warning: the observer 'raising' from watchers 1.0 was switched off: segkit_before_step "
        "raised RuntimeError: no time (watch_raising.py, line 5)"
    ]
    record = tomllib.loads((tmp_path / "watched/recipe.toml").read_text())["record"]
    watching = [p["name"] for p in record["plugins"] if p["kind"] == "observer"]
    assert watching == ["counting", "raising"]
    assert {(d["distribution"], d["version"]) for d in record["distributions"]} == {
        ("segkit", version("segkit")),
        ("brightness", "file"),
        ("watchers", "1.0"),
    }
    (file,) = [d for d in record["distributions"] if d["version"] == "file"]
    source = tmp_path / "brightness.py"
    assert file["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert file["where"] == str(source)
    assert (tmp_path / "seen.txt").read_text() == "shapes-00000 ok\nshapes-00001 ok\n"
    assert quick("--prompt", "topk", "--quiet", "-o", "alone").code == 0
    assert results(tmp_path / "watched") == results(tmp_path / "alone")


def test_a_trace_shows_each_call_in_a_narrow_terminal(quick):
    done = quick("--prompt", "topk", "--trace", "--quiet", "--shapes.count", "1", COLUMNS="80")
    assert done.code == 0
    lines = done.err.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = re.sub(r"^ +[0-9.]+ s  ", "s  ", done.err, flags=re.MULTILINE)
    assert text.startswith("s  saliency brightness  shapes-00000\n           Heatmap: values (32, ")
    calls = [line.split("  ")[1] for line in text.splitlines() if line.startswith("s  ")]
    assert calls[:3] == ["saliency brightness", "prompt topk", "segmenter threshold"]
    assert "metric hit-rate" in calls
    for part in ("(1, 32, 32) bool, ", " % true", "float32 from 0", "points (1, 2) float32 ["):
        assert part in text


def test_a_trace_shows_what_fails(quick):
    done = quick("--prompt", "bad-call", "--trace", "--quiet", COLUMNS="80")
    assert done.code == 1
    assert "   failed  prompt bad-call  shapes-00000\n           KeyError: 'lost'\n" in done.err


def test_a_single_file_may_watch(segkit, quick, tmp_path):
    (tmp_path / "watch.py").write_text(WATCHERS["counting"])
    done = quick("--prompt", "topk", "--plugin", "watch.py", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "seen.txt").read_text() == "shapes-00000 ok\nshapes-00001 ok\n"
    record = tomllib.loads((tmp_path / "out/recipe.toml").read_text())["record"]
    (row,) = [p for p in record["plugins"] if p["kind"] == "observer"]
    assert (row["name"], row["version"]) == ("watch", "file")
    rows = listed(segkit("list-plugins", "--kind", "observer", "--plugin", "watch.py", "--json"))
    assert rows["watch", "watch"]["where"] == str(tmp_path / "watch.py")
