"""`segkit list-plugins` and `segkit show`."""

from __future__ import annotations

import json


def test_the_list_names_every_bundled_plugin_by_kind(segkit):
    done = segkit("list-plugins", "--json")
    rows = json.loads(done.out)
    assert set(rows[0]) == {
        *("kind", "name", "distribution", "version", "status", "error", "summary")
    }
    ours = [(r["kind"], r["name"]) for r in rows if r["distribution"] == "segkit"]
    assert ("prompt", "topk") in ours
    assert len(ours) >= 24
    assert all(r["summary"] for r in rows if r["distribution"] == "segkit")


def test_the_table_fits_a_terminal(segkit):
    done = segkit("list-plugins")
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "--prompt     adaptive-background" in done.out


def test_check_imports_each_and_says_ok(segkit):
    rows = json.loads(segkit("list-plugins", "--check", "--json").out)
    assert {r["status"] for r in rows if r["distribution"] == "segkit"} == {"ok"}


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
