"""What keeps the code easy to find one's way in: short files, short functions, and one table of
the bundled plugins that core may name."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "plugins")
"""What is looked at; in `ALL_FOLDERS`, files are short as well."""
ALL_FOLDERS = (*FOLDERS, "tests", "docs", "examples")

LINES, BODY = 400, 60
"""The most lines of a file and of a function."""

LONG: dict[str, str] = {}
"""What may be longer, as FILE or FILE:FUNCTION, and why."""


def sources(folders=FOLDERS):
    """Path below the root, and source, of each module."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def too_long(name, source):
    """The file, if it is too long, and its functions that are."""
    if len(source.splitlines()) > LINES:
        yield name
    for node in ast.walk(ast.parse(source)):
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if function and node.end_lineno - node.lineno + 1 > BODY:
            yield f"{name}:{node.name}"


def test_files_and_functions_are_short():
    long = {place for name, source in sources() for place in too_long(name, source)}
    assert long == LONG.keys()
    files = {name for name, source in sources(ALL_FOLDERS) if len(source.splitlines()) > LINES}
    assert files == {place for place in LONG if ":" not in place}


def test_the_measure_of_length_measures():
    line = "    x = 1\n"
    assert list(too_long("a.py", "def f():\n" + line * BODY)) == ["a.py:f"]
    assert list(too_long("a.py", "def f():\n" + line * (BODY - 1))) == []
    assert list(too_long("a.py", "x = 1\n" * (LINES + 1))) == ["a.py"]


VALUE = "a value that steps read or make, and its arrays"
LINE = "a key of a line of results.jsonl"
IOU = "the IoU that core itself measures against the truth, and its key in diagnosis.json"
TRAINED = "a figure of training: core's own, and a key in its files"
SAID = "what says how good a result is, and its key in diagnosis.json"
COMMAND = "a command"
STAGE = "a stage of the chain, in robustness.json"

ALIGNED = "where a text is set"

WORDS = {
    "core/segkit/cli/main.py": {"score": COMMAND},
    "core/segkit/cli/score.py": {"score": COMMAND},
    "core/segkit/cli/tables.py": {"mask": STAGE, "iou": IOU},
    "core/segkit/cli/train_screen.py": dict.fromkeys(("miou", "dice", "accuracy"), TRAINED),
    "core/segkit/comparing/damage_curves.py": {"mask": STAGE},
    "core/segkit/comparing/damaged_run.py": {"masks": VALUE, "iou": IOU},
    "core/segkit/comparing/diagnosis.py": {"iou": IOU},
    "core/segkit/comparing/losses.py": {"iou": IOU},
    "core/segkit/comparing/records.py": {"quality": SAID},
    "core/segkit/comparing/trust.py": {"quality": SAID, "score": SAID},
    "core/segkit/pipeline.py": {"masks": VALUE},
    "core/segkit/plugins/measuring.py": {"masks": VALUE},
    "core/segkit/plugins/steps.py": {"masks": VALUE},
    "core/segkit/reporting/charts.py": {"iou": IOU},
    "core/segkit/reporting/paper_charts.py": {"iou": IOU, "center": ALIGNED},
    "core/segkit/reporting/paper_tables.py": {"masks": "the head of a column"},
    "core/segkit/plugins/weights.py": {"hf": "an extra"},
    "core/segkit/reporting/recipe_figure.py": {
        **dict.fromkeys(("overlay", "mask"), "what the title of a panel begins with"),
        "center": ALIGNED,
    },
    "core/segkit/reporting/report_gallery.py": {
        "mask": "what a card says of a nameless mask",
        "review": "a key of what the page's script reads",
    },
    "core/segkit/reporting/report_robustness.py": dict.fromkeys(
        ("overlay", "mask"), "what stands above the panels of a picture"
    ),
    "core/segkit/result.py": {
        "quality": VALUE,
        "supervision": "a library, and what has to be installed for it",
    },
    "core/segkit/running/export.py": {"masks": VALUE, "files": LINE},
    "core/segkit/running/graph.py": {"masks": VALUE},
    "core/segkit/running/interactive.py": {"masks": VALUE},
    "core/segkit/running/kept.py": {"masks": VALUE},
    "core/segkit/running/ledger.py": {"files": LINE},
    "core/segkit/running/lines.py": dict.fromkeys(
        ("files", "masks", "box", "mask", "score", "quality"), LINE
    ),
    "core/segkit/running/masking.py": {"masks": VALUE},
    "core/segkit/running/merge.py": {"files": LINE},
    "core/segkit/running/notes.py": {"masks": LINE, "quality": LINE},
    "core/segkit/running/owned.py": {"files": LINE},
    "core/segkit/running/plan.py": {"masks": VALUE},
    "core/segkit/running/reviewed.py": {
        "masks": VALUE,
        **dict.fromkeys(("files", "quality"), LINE),
    },
    "core/segkit/running/rounds.py": {"masks": VALUE},
    "core/segkit/running/scoring.py": {"masks": VALUE},
    "core/segkit/running/shard_runs.py": {"files": LINE},
    "core/segkit/running/second_looks.py": {"masks": VALUE},
    "core/segkit/running/sifting.py": {"masks": VALUE},
    "core/segkit/running/walk.py": {"masks": VALUE},
    "core/segkit/running/work.py": {"masks": VALUE},
    "core/segkit/testing/asking.py": {"masks": VALUE},
    "core/segkit/testing/heatmaps.py": {"score": VALUE},
    "core/segkit/testing/importing.py": {"supervision": "a library that is heavy to import"},
    "core/segkit/testing/metrics.py": {"masks": VALUE},
    "core/segkit/testing/prompters.py": {"masks": VALUE},
    "core/segkit/testing/property.py": {"masks": VALUE},
    "core/segkit/testing/segmenters.py": {"masks": VALUE},
    "core/segkit/testing/values.py": {"masks": VALUE, "iou": "a figure for writers to write"},
    "core/segkit/training/module.py": dict.fromkeys(("miou", "dice", "accuracy"), TRAINED),
    "core/segkit/training/losses.py": {"dice": "a loss"},
    "core/segkit/training/documents.py": dict.fromkeys(("miou", "dice", "accuracy"), TRAINED),
    "core/segkit/training/settings.py": {"dice": "a loss", "best": "a way to stop"},
    "core/segkit/training/stopping.py": {"best": "a way to stop"},
    "core/segkit/values/images.py": {"jpeg": "an image file's suffix"},
    "core/segkit/values/bitmaps.py": {"boxes": "an array in a file"},
    "core/segkit/values/held.py": {"masks": VALUE},
    "core/segkit/values/masks.py": dict.fromkeys(("masks", "quality"), VALUE),
    "core/segkit/values/types.py": dict.fromkeys(("box", "mask", "score"), VALUE),
}
"""File to the words in it that are also a plugin's name, but mean something else, and what."""

TABLE = "core/segkit/kinds.py"
"""The one file that names bundled plugins."""


def bundled():
    """The names of all bundled plugins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [group for group in project["entry-points"] if group.startswith("segkit.")]
    return {name for group in groups for name in project["entry-points"][group]}


def named_in(source, names):
    """The strings in a source that are a plugin's name, with or without its distribution."""
    strings = (n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    return {s.removeprefix("segkit:") for s in strings if isinstance(s, str)} & names


def test_core_names_bundled_plugins_in_one_table_alone():
    names = bundled()
    assert len(names) > 80
    found = {n: named_in(s, names) for n, s in sources() if n.startswith("core/") and n != TABLE}
    assert {n: words for n, words in found.items() if words} == {
        n: set(w) for n, w in WORDS.items()
    }


def test_the_search_for_names_finds_them():
    names = bundled()
    assert named_in("if writer.name == 'overlay': pass", names) == {"overlay"}
    assert named_in("x = ['segkit:files', 'a file']", names) == {"files"}
    assert named_in('"""Like topk."""', names) == set()
