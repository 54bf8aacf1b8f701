"""The docs as a site: built without a warning, whole, and asking nobody for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from pages import DOCS, ROOT

sys.path.append(str(ROOT / "tests/browser"))

from browser import Browser, find_browser

pytest.importorskip("material", reason="needs MkDocs Material: pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. A link or an anchor that leads nowhere is a warning, and those are errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict"),  # quiet, it counts no warnings
            *("-f", "docs/site/mkdocs.yml", "-d", str(folder)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_page_is_there(site):
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file(), page


def test_what_makes_the_site_stays_out_of_it(site):
    there = {p.name for p in site.rglob("*")}
    assert not [name for name in there if name.endswith((".py", ".yml"))]
    assert (site / "site" / "extra.css").is_file()


def test_nothing_is_fetched_from_elsewhere(site):
    """Links for the reader may lead outside; what a browser loads by itself may not."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:img|script|iframe|source)\b[^>]*?\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*?\bhref="([^"]+)"', text)
        assert loaded
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8"))


def test_a_plugins_page_shows_picture_options_and_source(site):
    text = (site / "plugins/prompt/topk.html").read_text(encoding="utf-8")
    assert "images/plugins/prompt/topk.webp" in text
    assert "--topk.min-distance" in text
    assert "class</span>" in text  # the module itself, in colours
    assert "--8&lt;--" not in text


def test_the_search_knows_the_plugins(site):
    index = (site / "search/search_index.json").read_text(encoding="utf-8")
    assert "plugins/prompt/topk.html" in index


@pytest.mark.skipif(find_browser() is None, reason="needs Chromium")
def test_pages_fit_their_window_and_ask_for_files_alone(site):
    with Browser(find_browser(), width=1280, height=900) as browser:
        for width in (1280, 400):
            browser.resize(width, 900)
            for page in (
                "index",
                "tutorial",
                "plugins/prompt/topk",
                "reference",
                "write/segmenter",
            ):
                browser.open(site / f"{page}.html")
                wide = browser.run("document.documentElement.scrollWidth")
                assert wide <= width, f"{page} is {wide} pixels wide in a window of {width}"
                broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
                assert browser.run(broken) == 0, page
                assert browser.requests
                assert all(url.startswith("file:") for url in browser.requests), page
                assert not browser.complaints, page
