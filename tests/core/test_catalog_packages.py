"""Which package a plugin comes from, where that came from, and which plugin API it wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from catalog_toys import GOOD

from segkit import Catalog, PluginError, __version__
from segkit.plugins import hookspecs
from segkit.plugins.entries import plugin_record


def mine(**more):
    """The entry of the distribution `mine`."""
    (entry,) = [e for e in Catalog(**more).entries() if e.distribution == "mine"]
    return entry


# ---- the version of the plugin API ---------------------------------------------------------------


@pytest.fixture
def api(monkeypatch):
    """This segkit has these versions of the plugin API."""

    def supports(oldest, newest):
        monkeypatch.setattr(hookspecs, "OLDEST_API", oldest)
        monkeypatch.setattr(hookspecs, "API_VERSION", newest)

    return supports


@pytest.mark.parametrize("asked", ["v2", "v3", "v4", None])
def test_plugins_for_a_supported_api_work(install, api, asked):
    api(2, 4)
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD}, api=asked)
    assert (mine().status, plugin_record(mine())["api"]) == ("found", asked)
    assert Catalog().load("prompt", "nothing").name == "nothing"
    assert Catalog().check(mine()).status == "ok"


@pytest.mark.parametrize(
    ("oldest", "newest", "asked", "text"),
    [
        (
            *(1, 1, "v3"),
            "was written for version 3 of segkit's plugin API, but this segkit "
            f"({__version__}) has version 1; upgrade segkit, or install an older mine",
        ),
        (
            *(2, 4, "v1"),
            "was written for version 1 of segkit's plugin API, but this segkit "
            f"({__version__}) has versions 2 to 4; install a newer mine, or an older segkit",
        ),
        (
            *(1, 2, "latest"),
            "says that it was written for 'latest' of segkit's plugin API; the name of its entry "
            "point in the group segkit.api should be v2",
        ),
    ],
)
def test_plugins_for_another_api_are_refused_unseen(install, api, oldest, newest, asked, text):
    api(oldest, newest)
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD}, api=asked)
    sentence = f"'nothing' from mine 1.0 {text}"
    assert (mine().status, mine().error) == ("unsupported", sentence)
    assert Catalog().check(mine()).status == "unsupported"
    with pytest.raises(PluginError) as error:
        Catalog().load("prompt", "nothing")
    assert str(error.value) == sentence
    assert "mine_nothing" not in sys.modules


def test_observers_for_another_api_are_refused_too(install):
    install("mine", {"watch": "mine_watch"}, {"mine_watch.py": "1/0"}, kind="observer", api="v9")
    catalog = Catalog()
    found, broken = catalog.watchers()
    assert (found, catalog.watching) == ([], [])
    assert [text for text in broken if "version 9" in text] == broken


def test_an_api_is_said_for_one_distribution_alone(install):
    install("mine", {"nothing": "mine_nothing"}, {"mine_nothing.py": GOOD}, api="v9")
    install("yours", {"other": "x"})
    found = {e.distribution: e.status for e in Catalog().entries("prompt")}
    assert (found["mine"], found["yours"], found["segkit"]) == ("unsupported", "found", "found")


# ---- where it came from --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direct_url", "where"),
    [
        (
            {"url": "file:///home/me/my%20idea", "dir_info": {"editable": True}},
            "/home/me/my idea (editable)",
        ),
        ({"url": "file:///home/me/idea", "dir_info": {}}, "/home/me/idea"),
        ({"url": "file:///home/me/x-1.whl", "archive_info": {}}, "/home/me/x-1.whl"),
        ({"url": "file:///C:/me/x-1.whl", "archive_info": {}}, "C:/me/x-1.whl"),
        ({"url": "https://a.org/x-1.whl", "archive_info": {}}, "https://a.org/x-1.whl"),
        (
            {"url": "https://a.org/x", "vcs_info": {"vcs": "git", "commit_id": "1f2e"}},
            "git+https://a.org/x@1f2e",
        ),
    ],
)
def test_where_a_package_came_from(install, direct_url, where):
    info = install("mine", {"nothing": "x"})
    (info / "direct_url.json").write_text(json.dumps(direct_url))
    assert mine().where == plugin_record(mine())["where"] == where


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", "3", "no JSON", '{"url": "x", "vcs_info": 1}']
)
def test_one_that_does_not_say_is_where_it_is_installed(install, text, tmp_path):
    info = install("mine", {"nothing": "x"})
    if text is not None:
        (info / "direct_url.json").write_text(text)
    assert mine().where == str(tmp_path)


def test_a_single_file_is_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "idea.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    (entry,) = [e for e in Catalog(files=(Path("idea.py"),)).entries() if e.version == "file"]
    assert (entry.source, entry.where) == ("idea.py", str(tmp_path / "idea.py"))


def test_of_two_with_one_name_the_first_on_the_path_counts(install, tmp_path, monkeypatch):
    install("mine", {"nothing": "x"}, version="2.0")
    first = tmp_path / "first"
    info = first / "Mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Mine\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(first)
    # Its modules are the ones that Python would import, and it offers no plugin.
    assert not [e for e in Catalog().entries() if e.distribution in ("mine", "Mine")]
    (info / "entry_points.txt").write_text("[segkit.prompt]\nother = y\n")
    found = [e.full_name for e in Catalog().entries() if e.distribution in ("mine", "Mine")]
    assert found == ["Mine:other"]


@pytest.mark.parametrize(
    "metadata",
    [
        "Name: mine\nVersion: 1.0\nLicense: long\n Version: 9\n\nName: other\nVersion: 2\n",
        "License: long\n        Name: other\nName:mine\r\nVersion:\t1.0 \r\n\r\ntext",
        "Version: 1.0\nName: mine",
    ],
)
def test_name_and_version_are_read_from_the_head_of_the_metadata(install, metadata):
    info = install("mine", {"nothing": "x"})
    (info / "METADATA").write_bytes(metadata.encode())
    assert mine().source == "mine 1.0"


# ---- a check ------------------------------------------------------------------------------------


def test_a_check_tells_how_long_the_import_took(install):
    slow = "import time\ntime.sleep(0.2)\n" + GOOD
    install("mine", {"nothing": "mine_slow"}, {"mine_slow.py": slow})
    catalog = Catalog()
    checked = catalog.check(mine())
    assert checked.status == "ok"
    assert checked.seconds >= 0.2
    install("yours", {"broken": "yours_broken"}, {"yours_broken.py": "1/0"})
    (broken,) = [e for e in Catalog().entries() if e.distribution == "yours"]
    assert Catalog().check(broken).seconds is None
