"""`segkit list-plugins` and `segkit show`."""

from __future__ import annotations

import json
from importlib.metadata import version


def test_the_list_names_every_bundled_plugin_by_kind(segkit):
    done = segkit("list-plugins", "--json")
    rows = json.loads(done.out)
    assert set(rows[0]) == {
        *("kind", "name", "distribution", "version", "api", "where"),
        *("status", "error", "seconds", "summary"),
    }
    ours = [(r["kind"], r["name"]) for r in rows if r["distribution"] == "segkit"]
    assert ("prompt", "topk") in ours
    assert len(ours) >= 24
    assert all(r["summary"] for r in rows if r["distribution"] == "segkit")


def test_the_table_fits_a_terminal(segkit):
    done = segkit("list-plugins")
    table, sources = done.out.split("\n\n", 1)
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "--prompt     adaptive-background" in table
    assert sources.startswith(f"segkit {version('segkit')}  ")  # and where from


def test_a_narrow_table_has_its_texts_below(segkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    table = segkit("list-plugins", "--kind", "transform").out.split("\n\n")[0].splitlines()
    assert all(len(line) <= 50 for line in table)
    place = next(i for i, line in enumerate(table) if line.split()[:1] == ["idw"])
    assert table[place].strip() == "idw"
    assert table[place + 1].startswith(" " * 15 + "Spread heat")


def test_check_imports_each_and_says_ok(segkit):
    rows = json.loads(segkit("list-plugins", "--check", "--json").out)
    ours = [r for r in rows if r["distribution"] == "segkit"]
    assert {r["status"] for r in ours} == {"ok"}
    assert all(0 <= r["seconds"] < 600 for r in ours)
    table = segkit("list-plugins", "--check", "--kind", "fuser").out.splitlines()
    assert table[0].split()[:4] == ["flag", "name", "status", "import"]
    assert table[1].split()[:3] == ["--fuser", "best", "ok"]
    assert table[1].split()[4] == "ms"


def test_one_kind_alone(segkit):
    rows = json.loads(segkit("list-plugins", "--kind", "transform", "--json").out)
    assert {r["kind"] for r in rows} == {"transform"}


def test_show_tells_options_inputs_and_origin(segkit):
    done = segkit("show", "prompt", "topk")
    assert done.code == 0
    for text in ("--prompt topk", "from segkit", "reads   heatmap", "makes   Prompts", "--topk.k"):
        assert text in done.out
    assert segkit("show", "select", "score").code == 0
    assert "also    encode" in segkit("show", "segmenter", "sam").out


def test_a_misspelt_switch_is_refused(segkit, monkeypatch):
    monkeypatch.setenv("SEGKIT_PLUGINS", "none")
    done = segkit("list-plugins")
    sentence = "SEGKIT_PLUGINS should be 'bundled' or not be set, but is 'none'"
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")
