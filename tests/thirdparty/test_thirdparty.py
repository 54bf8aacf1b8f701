"""Third-party distributions beside segkit: the good take part, the broken disturb nobody."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from segkit.recipe import Recipe

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
    "ModuleNotFoundError: No module named 'no_such_library'"
)
BAD_HOOK = (
    "'bad-hook' from bad-hook 1.0 could not be loaded: "
    "its hooks raise RuntimeError: the licence server is away"
)
NOT_A_STEP = (
    "'not-a-step' from bad-type 1.0 could not be used: "
    "segkit_prompters should return subclasses of Prompter, but returns the function guess"
)
WRONG_INPUT = (
    "'wrong-input' from bad-type 1.0 could not be used: WrongInput.__call__ asks for 'masks', "
    "but __call__ of a prompt can only ask for image, heatmap, classes, rng"
)
BAD_NAME = (
    "'Bad_Name' from bad-name 1.0 has a bad name; "
    "plugin names are lower-case words, digits and hyphens"
)

ROWS = {
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
    ("segkit-corners", "corners"): ("ok", None),
}
"""(distribution, plugin) to its status and sentence after a check."""

USED = {
    "bad-hook": BAD_HOOK,
    "bad-import": BAD_IMPORT,
    "bad-import:bad-import": BAD_IMPORT,
    "not-a-step": NOT_A_STEP,
    "wrong-input": WRONG_INPUT,
    "Bad_Name": f"--prompt Bad_Name: {BAD_NAME}",
    "bad-name:Bad_Name": f"--prompt bad-name:Bad_Name: {BAD_NAME}",
    "twin": "--prompt twin is offered by more than one package; "
    "say which: clash-a:twin or clash-b:twin",
    "twins": "--prompt twins: no prompt plugin has that name; did you mean 'twin'?",
    "clash-c:twin": "--prompt clash-c:twin: no prompt plugin has that name; "
    "there is clash-a:twin and clash-b:twin",
}
"""What is given to --prompt, and the sentence that comes back."""


def listed(done):
    """The third-party rows of a JSON listing, by distribution and name."""
    assert (done.code, done.err) == (0, "")
    rows = [r for r in json.loads(done.out) if r["distribution"] != "segkit"]
    return {(r["distribution"], r["name"]): r for r in rows}


def results(folder: Path):
    """The lines of results.jsonl without their times."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


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
    assert statuses[("bad-import", "bad-import")] == "found"  # nobody has tried
    assert rows["bad-import", "bad-import"]["summary"] == "Prompt with a library that nobody has."
    assert rows["segkit-corners", "corners"]["summary"].startswith("Prompt a segmenter with the")
    assert not [f for f in files if f.is_relative_to(site)]
    heavy = {"segkit_plugins", "torch", "numpy", "pydantic", "PIL"}
    assert not [f for f in files if heavy & set(f.parts)]
    # The same eyes see an import when there is one.
    _, files = executed("list-plugins", "--check", "--json")
    seen = {f.relative_to(site).parts[0] for f in files if f.is_relative_to(site)}
    modules = {d.replace("-", "_") for d, _ in ROWS} - {"bad_name"}  # refused by its name alone
    assert seen == modules


def test_a_check_shows_what_is_wrong_with_each(segkit):
    rows = listed(segkit("list-plugins", "--check", "--json"))
    assert {key: (row["status"], row["error"]) for key, row in rows.items()} == ROWS


def test_the_table_names_the_packages(segkit):
    done = segkit("list-plugins", "--kind", "prompt", "--check", COLUMNS="300")
    assert (done.code, done.err) == (0, "")
    for (distribution, name), (status, error) in ROWS.items():
        row = next(r for r in done.out.splitlines() if f"{distribution} 1.0" in r and name in r)
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


def test_third_parties_can_be_switched_off(segkit, quick):
    assert listed(segkit("list-plugins", "--check", "--json", SEGKIT_PLUGINS="bundled")) == {}
    done = quick("--prompt", "corners", SEGKIT_PLUGINS="bundled")
    assert done.code == 2
    assert done.err.startswith("Error: --prompt corners: no prompt plugin has that name; ")


@pytest.mark.parametrize("only", ["corners", "segkit-corners"])
def test_only_one_of_them_may_take_part(quick, only):
    assert quick("--only", only, "--prompt", "corners", "--quiet").code == 0
    done = quick("--only", only, "--prompt", "clash-a:twin")
    assert done.code == 2
    assert "no prompt plugin has that name" in done.err


WATCHERS = {
    "counting": """\
from pathlib import Path
from segkit import hookimpl

@hookimpl
def segkit_after_image(name, result):
    with Path("seen.txt").open("a") as file:
        file.write(f"{name} {result['status']}\\n")
""",
    "raising": """\
from segkit import hookimpl

@hookimpl
def segkit_before_step(step):
    raise RuntimeError("no time")
""",
    "torn": "import no_such_library\n",
}


def test_observers_watch_and_broken_ones_do_not_disturb(quick, tmp_path):
    folder = tmp_path / "watchers"
    info = folder / "watchers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watchers\nVersion: 1.0\n")
    points = [f"{name} = watch_{name}" for name in WATCHERS]
    (info / "entry_points.txt").write_text("\n".join(["[segkit.observer]", *points]) + "\n")
    for name, source in WATCHERS.items():
        (folder / f"watch_{name}.py").write_text(source)
    done = quick("--prompt", "topk", "--quiet", "-o", "watched", path=(folder,))
    assert done.code == 0
    assert done.err.splitlines()[0] == (
        "Warning: 'torn' from watchers 1.0 could not be loaded: ModuleNotFoundError: "
        "No module named 'no_such_library'; it does not watch this run"
    )
    assert (tmp_path / "seen.txt").read_text() == "shapes-00000 ok\nshapes-00001 ok\n"
    assert quick("--prompt", "topk", "--quiet", "-o", "alone").code == 0
    assert results(tmp_path / "watched") == results(tmp_path / "alone")
