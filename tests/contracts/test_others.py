"""The page of plugins by others: made of one list, with what the kit found."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from pages import DOCS, make_reference

others = make_reference.others

ENTRY = """
[[plugin]]
kind = "prompt"
name = "mine"
distribution = "segkit-mine"
author = "Ada | Co"
what = "Click."
"""


def test_the_page_has_every_plugin_of_the_list():
    text = "\n".join(others.page())
    for plugin in others.listed():
        assert f"| `{plugin['name']}` | {plugin['kind']} |" in text
    assert (DOCS / "plugins" / "others.md").read_text().startswith("# Plugins by others")


def test_what_the_kit_found_is_shown(tmp_path):
    file = tmp_path / "others.toml"
    file.write_text(ENTRY + 'address = "https://example.org"\n')
    assert others.page(file)[-1] == (
        r"| `mine` | prompt | Click. | Ada \| Co | [segkit-mine](https://example.org) | not yet |"
    )
    tested = '[plugin.tested]\nversion = "2.0"\nsegkit = "0.1.0"\npassed = 46\nfailed = {}\n'
    file.write_text(ENTRY + tested.format(0))
    assert others.page(file)[-1].endswith("| 2.0 with segkit 0.1.0: 46 tests passed |")
    file.write_text(ENTRY + tested.format(3))
    assert others.page(file)[-1].endswith("46 tests passed, **3 failed** |")


def test_an_entry_that_lacks_something_is_named(tmp_path):
    file = tmp_path / "others.toml"
    file.write_text(ENTRY.replace('author = "Ada | Co"\n', ""))
    with pytest.raises(ValueError, match=r"others\.toml: mine has no author"):
        others.listed(file)


def test_the_kit_is_run_on_what_is_installed(tmp_path, monkeypatch, capfd):
    """With a bundled plugin in the place of one by others."""
    file = tmp_path / "others.toml"
    file.write_text(
        "# mine\n" + ENTRY.replace('"mine"', '"center"').replace("segkit-mine", "segkit")
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k summary")
    assert others.note([], file) == 0
    (plugin,) = others.listed(file)
    now = version("segkit")
    assert plugin["tested"] == {"version": now, "segkit": now, "passed": 1, "failed": 0}
    assert file.read_text().startswith("# mine\n")
    with pytest.raises(SystemExit, match="segkit-other is not in"):
        others.note(["segkit-other"], file)
