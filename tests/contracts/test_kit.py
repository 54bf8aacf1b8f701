"""The kit as an author meets it: how a plugin is named, what may be left out, what it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from reports import reported

from segkit.plugins.catalog import Catalog

BRIGHTEST = '''
"""The brightest pixel."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Brightest(Prompter):
    """The brightest pixel of the heatmap."""

    name = "brightest"

    k: int = 1
    """Plays no part."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [Brightest]
'''

TESTS = """
from pathlib import Path

from segkit.testing import Conformance
from other_center import Other
from segkit_plugins.prompt.topk import TopK


class Test_file(Conformance):
    plugin = "brightest.py"
    options = [{}, {"k": 2}]
    skips = {"mirrored": "equal pixels have an order"}


class Test_only_defaults(Conformance):
    plugin = "brightest.py"
    options = [{}, {"k": 1}]


class Test_of_a_class(Conformance):
    plugin = TopK


class Shared(Conformance):
    kind = "transform"


class Test_file_with_a_bundled_name(Conformance):
    plugin = "./center.py"


class Test_class_with_a_bundled_name(Conformance):
    plugin = Other


class Test_class_that_is_not_installed(Conformance):
    plugin = type("Mine", (TopK,), {"__doc__": "Mine.", "__module__": "mine"})


class Test_two_kinds(Conformance):
    plugin = "threshold"


class Test_one_of_two_kinds(Shared):
    plugin = "threshold"


class Test_unknown(Conformance):
    plugin = "brightets"


class Test_in_no_group(Conformance):
    plugin = "astray"


class Test_of_no_such_kind(Conformance):
    plugin = "topk"
    kind = "promt"


class Test_bad_skip(Conformance):
    plugin = "power"
    skips = {"mirored": "a slip"}


class Test_needs(Conformance):
    plugin = "center"
    needs = ["no_such_library"]


class Test_bad_option(Conformance):
    plugin = "center"
    options = [{"radius": 1}]


class Test_nothing_of_the_kit:
    def test_own(self):
        assert {"a": 1} == {"a": 2}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit")
    (folder / "brightest.py").write_text(BRIGHTEST)
    (folder / "test_plugins.py").write_text(TESTS)
    # Both print, which the bundled plugin of that name does not.
    noisy = BRIGHTEST.replace('"brightest"', '"center"').replace("y, x", "print(1); y, x")
    (folder / "center.py").write_text(noisy)
    (folder / "other_center.py").write_text(noisy.replace("Brightest", "Other"))
    metadata = folder / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    points = "[segkit.prompt]\ncenter = other_center\n[segkit.prompter]\nastray = other_center\n"
    (metadata / "entry_points.txt").write_text(points)
    return reported(folder, path=(folder,))


def test_one_class_is_some_dozens_of_tests(found):
    tests = found["file"]
    assert len(tests) >= 50
    assert {name for name in tests if name.endswith("[k=2]")}
    assert {name: text for name, text in tests.items() if text} == {
        "mirrored": "skipped: equal pixels have an order"
    }


def test_a_plugin_can_be_named_by_its_class(found):
    assert len(found["of_a_class"]) >= 30
    failed = {name: text for name, text in found["of_a_class"].items() if text}
    assert failed.keys() == {"every_option_is_tried"}


def test_the_very_file_or_class_is_tested_whatever_else_has_its_name(found):
    for tests in ("file_with_a_bundled_name", "class_with_a_bundled_name"):
        failed = {name for name, text in found[tests].items() if text[:7] not in ("", "skipped")}
        assert failed == {"it_prints_nothing[defaults]"}
    assert found["class_that_is_not_installed"] == {
        "it_can_be_used": "the entry point 'topk' gives segkit_plugins.prompt.topk.TopK, and none "
        "gives mine.Mine; install its package (pip install -e .), or name its file"
    }


def test_kinds_are_told_apart(found):
    assert found["two_kinds"] == {
        "it_can_be_used": "plugins of the kinds segmenter and transform have the name 'threshold'; "
        'say which is meant: kind = "segmenter"'
    }
    texts = found["one_of_two_kinds"]
    assert {name for name, text in texts.items() if text} == {"every_option_is_tried"}
    assert "it_keeps_class_and_score[defaults]" in found["one_of_two_kinds"]


def test_what_cannot_be_found_is_said(found):
    assert found["unknown"]["it_can_be_used"] == (
        "no plugin named 'brightets' is installed; install your package (pip install -e .) and "
        "compare the entry point's name in pyproject.toml"
    )
    assert found["in_no_group"]["it_can_be_used"] == (
        "no plugin named 'astray' is installed; group 'segkit.prompter' of other 1.0 is no kind; "
        "did you mean 'segkit.prompt'?"
    )
    assert found["of_no_such_kind"]["it_can_be_used"].startswith(
        "Test_of_no_such_kind: kind should be one of dataset, perturbation, "
    )


def test_slips_in_the_test_class_are_said(found):
    assert found["bad_skip"]["mirored"] == (
        "skips names 'mirored', and there is no such test; did you mean 'mirrored'?"
    )


def test_options_that_do_not_fit_are_said_once(found):
    texts = dict(found["bad_option"])
    assert texts.pop("the_options_fit[radius=1]") == (
        "the test's options {'radius': 1} do not fit: center has no option 'radius'; it has none"
    )
    skipped = "skipped: the options do not fit; see test_the_options_fit"
    assert set(texts.values()) == {"", skipped}
    assert {name for name, text in texts.items() if not text} == {
        *("it_is_found_by_its_entry_point", "the_module_has_a_summary"),
        *("the_class_has_a_docstring", "every_option_has_help"),
        *("heavy_libraries_are_imported_late", "known_weights_are_weights"),
    }


def test_options_that_no_set_changes_are_hinted_at(found):
    hint = "skipped: no set of options of prompt '{}' has another value than the default for k"
    assert found["of_a_class"]["every_option_is_tried"].startswith(f"{hint.format('topk')}, ")
    # It is named there, but left as it is.
    assert found["only_defaults"]["every_option_is_tried"] == hint.format("brightest")
    assert found["file"]["every_option_is_tried"] == ""


def test_a_missing_library_skips_all(found):
    texts = set(found["needs"].values())
    assert len(texts) == 1
    assert "no_such_library" in texts.pop()


def test_other_tests_keep_their_tracebacks(found):
    assert "assert {'a': 1} == {'a': 2}" in found["nothing_of_the_kit"]["own"]


def test_without_the_pytest_plugin_nothing_passes_silently(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "from segkit.testing import Conformance\nclass Test_x(Conformance):\n    plugin = 'topk'\n"
    )
    (text,) = reported(tmp_path, "-p", "no:segkit")["x"].values()
    assert "segkit's pytest plugin is not loaded, so nothing is tested" in text


def test_pytest_runs_of_others_pay_nothing():
    code = (
        "import sys, pytest; before = set(sys.modules); import segkit.testing.plugin\n"
        "print(*sorted(m for m in set(sys.modules) - before if not m.startswith('segkit')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "torch", "pluggy", "hypothesis"} & {*done.stdout.split()}


def test_without_pytest_the_sentence_says_what_to_install():
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "try: from segkit.testing import Conformance\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "MissingExtraError segkit.testing needs pytest, which is not installed; run: "
        "pip install 'segkit[testing]'"
    )


def test_all_kinds_have_tests():
    from segkit.kinds import KINDS
    from segkit.testing.kinds import TESTS

    assert set(TESTS) == set(KINDS)
    assert {e.kind for e in Catalog(third_party=False).entries()} <= set(TESTS)


def test_the_how_to_pages_examples_pass(tmp_path):
    page = Path(__file__).parents[2] / "docs/how-to/test-a-plugin.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for index, block in enumerate(blocks):
        # A plugin that is installed here, in place of the reader's own.
        text = block.replace('"corners"', '"topk"').replace("class Test", "class Test_")
        (tmp_path / f"test_{index}.py").write_text(text, encoding="utf-8")
    found = reported(tmp_path)
    assert set(found) == {"Corners", "LookUp"}
    for tests in found.values():
        assert len(tests) > 25
        assert {name for name, text in tests.items() if text} <= {"every_option_is_tried"}
