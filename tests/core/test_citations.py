"""BibTeX of the methods that a report used."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from report_toys import line, write_run
from sweep_toys import write_sweep

from segkit.errors import MissingExtraError
from segkit.plugins.catalog import Catalog
from segkit.reporting.citations import bibliography_of, read_works, references
from segkit.reporting.report_folder import Folder

CATALOG = Catalog(third_party=False)
BUNDLED = bibliography_of("segkit_plugins.saliency.gradcam")
OWN = Path(inspect.getfile(references)).with_name("references.bib")

RECIPE = """
[[dataset]]
name = "shapes"
[[saliency]]
name = "gradcam"
model = "{model}"
[[segmenter]]
name = "segkit:sam"
"""


NAMED = re.compile(r"(?:(?<=\()|(?=\w+ et al|\w+ &))([A-Z]\w+)(?: et al\.?| & \w+|)[ ,]+(\d{4})\b")
"""`Selvaraju et al. 2017`, `Kaufman & Rousseeuw 1987`, `(Dice 1945`: a name and a year."""


def keys(folder, recipe, **more):
    write_run(folder, [line("a")], recipe=recipe, **more)
    return re.findall(r"@\w+\{(\S+),", references(Folder.read(folder), CATALOG))


def test_the_methods_of_a_run_are_cited(tmp_path):
    assert keys(tmp_path, RECIPE.format(model="shapes")) == [
        *("segkit", "selvaraju2017gradcam", "kirillov2023sam"),
    ]


def test_a_model_may_have_a_work_of_its_own(tmp_path):
    assert "tan2019efficientnet" in keys(tmp_path, RECIPE.format(model="efficientnet-lite0"))


def test_a_leaderboard_cites_its_statistics(tmp_path):
    text = references(Folder.read(write_sweep(tmp_path)), CATALOG)
    assert re.findall(r"@\w+\{(\S+),", text) == [
        *("segkit", "efron1979bootstrap", "hesterberg2015bootstrap"),
    ]


def test_a_plugin_that_is_gone_is_left_out(tmp_path):
    assert keys(tmp_path, '[[saliency]]\nname = "other-package:gone"\n') == ["segkit"]


def test_a_package_of_others_brings_its_own(tmp_path, monkeypatch):
    package = tmp_path / "some_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    (package / "references.bib").write_text(
        "@article{mine,\n  title = {A {B} c},\n  segkit = {prompt/mine}\n}\n"
        "@article{broken, title = {\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = bibliography_of("some_plugins.sub.module:thing")
    (work,) = read_works(file)
    assert (work.key, work.used_by) == ("mine", ("prompt/mine",))
    assert work.text == "@article{mine,\n  title = {A {B} c}\n}"
    assert bibliography_of("no_such_package") is None
    assert bibliography_of("json.decoder") is None


@pytest.mark.parametrize("file", [BUNDLED, OWN])
def test_entries_are_whole(file):
    text = file.read_text(encoding="utf-8")
    works = list(read_works(file))
    assert len(works) == len(re.findall(r"^@", text, re.MULTILINE))
    assert len({work.key for work in works}) == len(works)
    for work in works:
        assert "segkit" not in work.text
        assert {"author", "title", "year"} <= {*re.findall(r"^  (\w+)", work.text, re.MULTILINE)}
        assert work.text.count("{") == work.text.count("}")


def test_entries_are_for_plugins_that_there_are():
    known = {f"{entry.kind}/{entry.name}" for entry in CATALOG.entries()}
    for work in read_works(BUNDLED):
        assert {name.partition(":")[0] for name in work.used_by} <= known, work.key


def test_a_paper_that_a_plugin_names_first_can_be_cited():
    """A class that begins with a paper, `Grad-CAM (Selvaraju et al. 2017)`, has it in the file."""
    works = list(read_works(BUNDLED))
    missing = {}
    for entry in CATALOG.entries():
        try:
            words = inspect.getdoc(CATALOG.load_entry(entry)) or ""
        except MissingExtraError:
            continue
        first = words.partition("\n\n")[0]
        for name, year in NAMED.findall(first):
            plugin = f"{entry.kind}/{entry.name}"
            mine = [w.text for w in works if plugin in {u.partition(":")[0] for u in w.used_by}]
            if not any(name in text and f"{{{year}}}" in text for text in mine):
                missing[plugin] = f"{name} {year}"
    assert not missing, f"add them to {BUNDLED}: {missing}"
