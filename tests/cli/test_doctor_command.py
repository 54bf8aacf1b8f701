"""`segkit doctor` as a user meets it."""

from __future__ import annotations

import json


def test_a_sound_installation(segkit, tmp_path):
    done = segkit("doctor")
    assert done.code == 0
    assert done.err == ""
    for text in ("versions", "  python", "extras", "  cpu", "weights", "  cache", "sound"):
        assert text in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert not list(tmp_path.iterdir())


def test_something_of_segkit_itself_broken_is_exit_code_1(segkit, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('torn in two')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = segkit("doctor", "--json")
    assert (done.code, done.err) == (1, "")
    told = json.loads(done.out)
    assert not told["sound"]
    (row,) = [r for r in told["rows"] if r["status"] == "broken"]
    assert row["found"] == "cannot be loaded: ImportError: torn in two"
    assert set(row) == {"group", "name", "status", "found", "advice"}


def test_wrong_use_is_a_sentence(segkit):
    done = segkit("doctor", "--plugin", "nowhere.py")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: --plugin nowhere.py: there is no such file\n"
