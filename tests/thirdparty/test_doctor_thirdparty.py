"""`segkit doctor` beside real distributions, good, broken and clashing."""

from __future__ import annotations

import json

import pytest


def test_others_faults_are_told_and_do_not_count(segkit):
    done = segkit("doctor", "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["sound"]
    rows = {r["name"]: r for r in told["rows"] if r["group"] == "plugins"}
    assert {name: row["status"] for name, row in rows.items()} == {
        "segkit": "ok",
        "segkit-corners": "ok",
        "bad-call": "ok",
        "bad-group:bad-group": "warning",
        "bad-hook:bad-hook": "warning",
        "bad-import:bad-import": "warning",
        "bad-name:Bad_Name": "warning",
        "bad-type:not-a-step": "warning",
        "bad-type:wrong-input": "warning",
        "clash-a:twin": "warning",
        "clash-b:twin": "warning",
        "clash-topk:topk": "warning",
        "newer-api:newer-api": "warning",
    }
    assert rows["bad-import:bad-import"]["found"] == (
        "'bad-import' from bad-import 1.0 could not be loaded: "
        "ModuleNotFoundError: No module named 'no_such_library' (bad_import/__init__.py, line 3)"
    )
    assert rows["bad-import:bad-import"]["advice"] == (
        "update it, or remove it: python -m pip uninstall bad-import"
    )
    assert rows["bad-group:bad-group"]["found"] == (
        "group 'segkit.prompter' of bad-group 1.0 is no kind; did you mean 'segkit.prompt'?"
    )
    assert rows["clash-a:twin"]["advice"] == "use clash-a:twin"


@pytest.mark.slow
def test_the_table_fits_a_terminal(segkit):
    done = segkit("doctor", COLUMNS="80", SEGKIT_CACHE="elsewhere")
    assert done.code == 0
    assert "segkit is sound, 10 warnings" in done.out
    assert "$SEGKIT_CACHE" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
