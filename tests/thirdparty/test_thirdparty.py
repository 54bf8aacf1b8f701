"""Third-party distributions beside segkit: the good take part, the broken disturb nobody."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from outcomes import listed, results

from segkit.running.recipe import Recipe

DISTS = Path(__file__).parent / "dists"
EXAMPLE = Path(__file__).parents[2] / "examples" / "segkit-corners"

BUNDLED_RUN = (
    *("run", "--dataset", "shapes", "--shapes.count", "2", "--shapes.seed", "20007"),
    *("--saliency", "gradcam", "--gradcam.model", "shapes"),
    *("--prompt", "topk", "--segmenter", "threshold", "--metric", "iou", "--metric", "hit-rate"),
    *("--device", "cpu", "--json"),
)

BAD_IMPORT = (
    "'bad-import' from bad-import 1.0 could not be loaded: "
    "ModuleNotFoundError: No module named 'no_such_library' (bad_import/__init__.py, line 3)"
)
BAD_HOOK = (
    "'bad-hook' from bad-hook 1.0 could not be loaded: "
    "its hooks raise RuntimeError: the licence server is away (bad_hook/__init__.py, line 8)"
)
NOT_A_STEP = (
    "'not-a-step' from bad-type 1.0 could not be used: "
    "segkit_prompters should return subclasses of Prompter, but returns the function guess "
    "(bad_type/not_a_step.py, line 10)"
)
WRONG_INPUT = (
    "'wrong-input' from bad-type 1.0 could not be used: WrongInput.__call__ asks for 'masks', "
    "but __call__ of a prompt can only ask for image, heatmap, classes, rng "
    "(bad_type/wrong_input.py, line 11)"
)
BAD_GROUP = "group 'segkit.prompter' of bad-group 1.0 is no kind; did you mean 'segkit.prompt'?"
BAD_NAME = (
    "'Bad_Name' from bad-name 1.0 has a bad name; "
    "plugin names are lower-case words, digits and hyphens"
)
NEWER_API = (
    "'newer-api' from newer-api 1.0 was written for version 9 of segkit's plugin API, but this "
    f"segkit ({version('segkit')}) has versions 1 to 2; upgrade segkit, or install an older "
    "newer-api"
)

ROWS = {
    ("bad-call", "bad-call"): ("ok", None),
    ("bad-group", "bad-group"): ("broken", BAD_GROUP),
    ("bad-hook", "bad-hook"): ("broken", BAD_HOOK),
    ("bad-import", "bad-import"): ("broken", BAD_IMPORT),
    ("bad-name", "Bad_Name"): ("broken", BAD_NAME),
    ("bad-type", "not-a-step"): ("broken", NOT_A_STEP),
    ("bad-type", "wrong-input"): ("broken", WRONG_INPUT),
    ("clash-a", "twin"): ("clash", "clash-b has a plugin of the same name; use clash-a:twin"),
    ("clash-b", "twin"): ("clash", "clash-a has a plugin of the same name; use clash-b:twin"),
    ("clash-topk", "topk"): (
        "shadowed",
        "segkit's own plugin has the name 'topk'; use clash-topk:topk",
    ),
    ("newer-api", "newer-api"): ("unsupported", NEWER_API),
    ("segkit-corners", "corners"): ("ok", None),
}
"""(distribution, plugin) to its status and sentence after a check."""

USED = {
    "bad-hook": BAD_HOOK,
    "bad-import": BAD_IMPORT,
    "bad-import:bad-import": BAD_IMPORT,
    "newer-api": NEWER_API,
    "not-a-step": NOT_A_STEP,
    "wrong-input": WRONG_INPUT,
    "bad-group": f"--prompt bad-group: {BAD_GROUP}",
    "Bad_Name": f"--prompt Bad_Name: {BAD_NAME}",
    "bad-name:Bad_Name": f"--prompt bad-name:Bad_Name: {BAD_NAME}",
    "twin": "--prompt twin is offered by more than one package; "
    "say which: clash-a:twin or clash-b:twin",
    "twins": "--prompt twins: no prompt plugin has that name; did you mean 'twin'?",
    "clash-c:twin": "--prompt clash-c:twin: no prompt plugin has that name; "
    "there is clash-a:twin and clash-b:twin",
}
"""What is given to --prompt, and the sentence that comes back."""


def points(folder: Path):
    """The points of each image's prompts."""
    return [[p["points"] for p in line["prompts"]] for line in results(folder)]


def test_every_distribution_has_its_row():
    assert {d for d, _ in ROWS} == {p.name for p in DISTS.iterdir()} | {EXAMPLE.name}


def test_a_listing_shows_all_and_imports_none(executed, site):
    done, files = executed("list-plugins", "--json")
    rows = listed(done)
    assert rows.keys() == ROWS.keys()
    statuses = {key: row["status"] for key, row in rows.items()}
    assert statuses[("bad-name", "Bad_Name")] == "bad name"
    assert statuses[("bad-group", "bad-group")] == "bad group"
    assert statuses[("bad-import", "bad-import")] == "found"  # nobody has tried
    assert rows["bad-import", "bad-import"]["summary"] == "Prompt with a library that nobody has."
    assert rows["segkit-corners", "corners"]["summary"].startswith("Prompt a segmenter with the")
    assert not [f for f in files if f.is_relative_to(site)]
    heavy = {"segkit_plugins", "torch", "numpy", "pydantic", "PIL"}
    assert not [f for f in files if heavy & set(f.parts)]
    # The same eyes see an import when there is one.
    _, files = executed("list-plugins", "--check", "--json")
    seen = {f.relative_to(site).parts[0] for f in files if f.is_relative_to(site)}
    modules = {d.replace("-", "_") for d, _ in ROWS}
    modules -= {"bad_group", "bad_name", "newer_api"}  # refused by metadata alone
    assert seen == modules


def test_a_check_shows_what_is_wrong_with_each(segkit):
    rows = listed(segkit("list-plugins", "--check", "--json"))
    assert {key: (row["status"], row["error"]) for key, row in rows.items()} == ROWS


def test_the_table_names_the_packages(segkit):
    done = segkit("list-plugins", "--check", COLUMNS="300")
    assert (done.code, done.err) == (0, "")
    table, sources = done.out.split("\n\n")[:2]
    for (distribution, name), (status, error) in ROWS.items():
        source = next(r for r in sources.splitlines() if r.startswith(f"{distribution} 1.0 "))
        assert ".whl" in source  # pip was given wheels, and says so
        row = next(r for r in table.splitlines() if f"{distribution} 1.0" in r and name in r)
        assert status in row
        assert error is None or error in row


def test_a_run_of_bundled_plugins_is_undisturbed(segkit, tmp_path):
    beside = segkit(*BUNDLED_RUN, "-o", "beside")
    assert (beside.code, beside.err) == (0, "")
    alone = segkit(*BUNDLED_RUN, "-o", "alone", SEGKIT_PLUGINS="bundled")
    assert (alone.code, alone.err) == (0, "")
    assert results(tmp_path / "beside") == results(tmp_path / "alone")
    assert json.loads(beside.out)["scores"] == json.loads(alone.out)["scores"]
    text = (tmp_path / "beside" / "recipe.toml").read_text()
    assert text == (tmp_path / "alone" / "recipe.toml").read_text()
    assert 'distribution = "segkit"' in text
    assert "clash-topk" not in text


@pytest.mark.parametrize(("name", "sentence"), USED.items())
def test_using_a_broken_one_is_one_sentence(quick, tmp_path, name, sentence):
    done = quick("--prompt", name)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
    assert not (tmp_path / "out").exists()


def test_the_trace_is_there_for_those_who_ask(quick):
    done = quick("--prompt", "bad-hook", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "ask again tomorrow" in done.err
    assert done.err.endswith(f"Error: {BAD_HOOK}\n")


def test_show_says_the_same_sentence(segkit):
    done = segkit("show", "prompt", "bad-import")
    assert (done.code, done.out, done.err) == (2, "", f"Error: {BAD_IMPORT}\n")


@pytest.mark.parametrize(("name", "point"), [("clash-a:twin", [0, 0]), ("clash-b:twin", [31, 31])])
def test_a_full_name_chooses_between_twins(quick, tmp_path, name, point):
    done = quick("--prompt", name, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert points(tmp_path / "out") == [[[point]], [[point]]]


def test_a_short_name_means_the_bundled_plugin(quick, tmp_path):
    assert quick("--prompt", "topk", "--quiet", "-o", "short").code == 0
    assert quick("--prompt", "segkit:topk", "--quiet", "-o", "full").code == 0
    assert quick("--prompt", "clash-topk:topk", "--quiet", "-o", "theirs").code == 0
    assert points(tmp_path / "short") == points(tmp_path / "full")
    assert points(tmp_path / "theirs") == [[[[0, 0]]], [[[0, 0]]]]
    assert points(tmp_path / "short") != points(tmp_path / "theirs")


def test_the_example_runs_and_its_recipe_runs_again(quick, segkit, tmp_path):
    done = quick("--prompt", "corners", "--corners.share", "0.9", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert all(1 <= len(p) <= 4 for prompts in points(tmp_path / "out") for p in prompts)
    recipe = tmp_path / "out" / "recipe.toml"
    (part,) = Recipe.load(recipe).parts["prompt"]
    assert (part.name, part.options) == ("segkit-corners:corners", {"share": 0.9})
    again = ("run", "--recipe", str(recipe), "--plugin", "brightness.py", "--quiet", "-o", "again")
    done = segkit(*again)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert results(tmp_path / "again") == results(tmp_path / "out")


def test_the_example_refuses_a_bad_option(quick):
    done = quick("--prompt", "corners", "--corners.share", "2")
    sentence = "Invalid value for --corners.share: Input should be less than or equal to 1, not '2'"
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")


def test_the_example_passes_its_own_test(python, tmp_path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "own")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "own")
    assert done.code == 0, done.out
    assert " passed" in done.out
    assert "skipped" not in done.out


@pytest.mark.parametrize(
    ("how", "code", "sentence", "line"),
    [
        ("raise", 1, "raised KeyError: 'lost'", 25),
        ("type", 1, "should make Prompts, but made a list", 20),
        ("value", 1, ": Prompt.points should be finite, but holds NaN or infinity", 22),
        ("open", 2, "could not be opened on cpu: ConnectionError: the licence server is away", 18),
    ],
)
def test_one_that_fails_at_work_names_its_package(quick, how, code, sentence, line):
    done = quick("--prompt", "bad-call", "--bad-call.how", how, "--quiet", "--device", "cpu")
    who = "prompt 'bad-call' from bad-call 1.0" + ("" if sentence.startswith(":") else " ")
    names = ["shapes-00000: ", "shapes-00001: "] if code == 1 else [""]
    start = "failed: " if code == 1 else "Error: "
    assert (done.code, done.err.splitlines()) == (
        code,
        [f"{start}{n}{who}{sentence} (bad_call/__init__.py, line {line})" for n in names],
    )
