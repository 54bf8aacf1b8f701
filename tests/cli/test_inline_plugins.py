"""`--plugin FILE`: plugins of a single file, in every command that takes them."""

from __future__ import annotations

import json

import pytest
from reading import results

from segkit.running.recipe import Recipe

IDEA = '''\
"""Two ideas in one file."""

import numpy as np
from segkit import Heatmap, Image, Prompt, Prompter, Prompts, Saliency, hookimpl


class Dark(Saliency):
    """Darkness as heat."""

    name = "dark"

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(1 - image.pixels.mean(axis=2, dtype=np.float64) / 255)


class Hottest(Prompter):
    """The first of the hottest pixels."""

    name = "hottest"

    right: int = 0
    """How far to the right of it, in pixels."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
        return Prompts((Prompt(points=[(min(x + self.right, heatmap.values.shape[1] - 1), y)]),))


@hookimpl
def segkit_saliency():
    return [Dark]


@hookimpl
def segkit_prompters():
    return [Hottest]
'''

USED = ("--plugin", "ideas/my_idea.py")
SMALL = ("--dataset", "shapes", "--shapes.count", "2", "--shapes.size", "32")
STEPS = (*USED, *SMALL, "--saliency", "dark", "--metric", "hit-rate", "--device", "cpu")
CHEAP = ("--segmenter", "grabcut", "--fuser", "paint")


@pytest.fixture(autouse=True)
def idea(tmp_path):
    """The file, in a folder that no command looks into by itself."""
    (tmp_path / "ideas").mkdir()
    file = tmp_path / "ideas" / "my_idea.py"
    file.write_text(IDEA)
    return file


def test_all_plugins_of_a_file_are_listed_and_shown(segkit):
    rows = json.loads(segkit("list-plugins", *USED, "--check", "--json").out)
    ours = [(r["kind"], r["name"], r["status"]) for r in rows if r["distribution"] == "my_idea"]
    assert ours == [("saliency", "dark", "ok"), ("prompt", "hottest", "ok")]
    done = segkit("show", "prompt", "hottest", *USED)
    assert (done.code, done.err) == (0, "")
    for text in ("--prompt hottest", "ideas/my_idea.py", "--hottest.right INTEGER"):
        assert text in done.out


def test_without_the_flag_there_is_no_such_plugin(segkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "ideas")
    done = segkit("run", *SMALL, "--prompt", "hottest")
    assert done.code == 2
    assert done.err.startswith("Error: --prompt hottest: no prompt plugin has that name; ")


def test_a_run_uses_them_with_their_options_and_its_recipe_runs_again(segkit, tmp_path):
    done = segkit(
        "run", *STEPS, *CHEAP, "--prompt", "hottest", "--hottest.right", 1, "-o", "one", "--quiet"
    )
    assert (done.code, done.err) == (0, "")
    recipe = ("--recipe", "one/recipe.toml", *USED)
    assert segkit("run", *recipe, "-o", "again").code == 0
    first, second = results(tmp_path / "one"), results(tmp_path / "again")
    assert [r["prompts"] for r in first] == [r["prompts"] for r in second]
    done = segkit("run", "--recipe", "one/recipe.toml", "-o", "without")
    assert done.code == 2
    assert "my_idea:" in done.err


def test_a_file_goes_before_a_bundled_plugin_and_the_recipes_tell_them_apart(
    segkit, idea, tmp_path
):
    idea.write_text(IDEA.replace('"hottest"', '"center"'))
    rows = json.loads(segkit("list-plugins", *USED, "--json").out)
    found = {r["distribution"]: r["status"] for r in rows if r["name"] == "center"}
    assert found == {"my_idea": "found", "segkit": "shadowed"}
    for name, whose in (("center", "my_idea"), ("segkit:center", "segkit")):
        made = tmp_path / whose
        done = segkit("run", *STEPS, *CHEAP, "--prompt", name, "-o", whose, "--quiet")
        assert (done.code, done.err) == (0, "")
        (part,) = Recipe.load(made / "recipe.toml").parts["prompt"]
        assert part.name == f"{whose}:center"
        recipe = ("--recipe", f"{whose}/recipe.toml", *USED)
        assert segkit("run", *recipe, "-o", f"{whose}-again").code == 0
        prompts = [r["prompts"] for r in results(made)]
        assert prompts == [r["prompts"] for r in results(tmp_path / f"{whose}-again")]
        # The middle of the picture is the bundled one's.
        assert (prompts[0][0]["points"] == [[15.5, 15.5]]) == (whose == "segkit")


def test_a_sweep_compares_them_with_others(segkit, tmp_path):
    prompts = ("--prompt", "hottest,topk", "--hottest.right", "0,2")
    done = segkit("sweep", *STEPS, *CHEAP, *prompts, "--sort", "hit-rate", "-o", "out", "--json")
    assert (done.code, done.err) == (0, "")
    assert len([*(tmp_path / "out" / "recipes").iterdir()]) == 3  # two of hottest, one of topk


@pytest.mark.parametrize(
    "arguments",
    [("diagnose", "--dry-run"), ("robustness", "--dry-run"), ("sweep", "--dry-run")],
    ids=["diagnose", "robustness", "sweep"],
)
def test_every_command_that_runs_recipes_takes_them(segkit, arguments):
    command, *flags = arguments
    done = segkit(command, *STEPS, "--prompt", "hottest", *flags)
    assert (done.code, done.err) == (0, "")
    assert "dark > hottest" in done.out


def test_weights_takes_them_too(segkit):
    assert segkit("weights", "list", *USED).code == 0


@pytest.mark.parametrize("way", ["absolute", "relative"])
def test_a_file_may_be_named_from_anywhere(segkit, idea, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path / "ideas")
    named = idea if way == "absolute" else "../ideas/my_idea.py"
    assert segkit("show", "prompt", "hottest", "--plugin", named).code == 0


def test_a_file_named_twice_is_one(segkit, idea):
    twice = (*USED, "--plugin", str(idea))
    assert segkit("show", "prompt", "hottest", *twice).code == 0


def test_files_of_the_same_name_are_told_apart_by_renaming(segkit, tmp_path):
    (tmp_path / "my_idea.py").write_text(IDEA)
    done = segkit("show", "prompt", "hottest", *USED, "--plugin", "my_idea.py")
    assert (done.code, done.err) == (
        2,
        "Error: --plugin my_idea.py: its plugins would have the same names as those of "
        "ideas/my_idea.py, since the files have the same name; rename one of them\n",
    )


HOOK = "from segkit import hookimpl\n\n\n@hookimpl\n"
NAMELESS = """\
from segkit import Image, Prompter, Prompts, hookimpl


class Nameless(Prompter):
    def __call__(self, image: Image) -> Prompts:
        return Prompts()


@hookimpl
def segkit_prompters():
    return [Nameless]
"""
BROKEN = {
    "x = (1,\n": "'file' from file.py could not be loaded: SyntaxError: '(' was never closed "
    "(file.py, line 1)",
    "def f():\nreturn 1\n": "'file' from file.py could not be loaded: IndentationError: expected "
    "an indented block after function definition on line 1 (file.py, line 2)",
    "import no_such_library\n": "'file' from file.py could not be loaded: ModuleNotFoundError: "
    "No module named 'no_such_library' (file.py, line 1)",
    "exit('bye')\n": "'file' from file.py could not be loaded: SystemExit: bye (file.py, line 1)",
    IDEA.replace("@hookimpl\n", ""): "--plugin file.py: no function in it is marked with @hookimpl",
    f"{HOOK}def segkit_prompters():\n    return []\n": "--plugin file.py: segkit_prompters in it "
    "returns no plugin; return a list of classes",
    f"{HOOK}def segkit_prompts():\n    return []\n": "'file' from file.py could not be loaded: "
    "there is no hook 'segkit_prompts'; did you mean 'segkit_prompters'?",
    f"{HOOK}def segkit_prompters():\n    return [3]\n": "'file' from file.py could not be used: "
    "segkit_prompters should return subclasses of Prompter, but returns 3 (file.py, line 4)",
    IDEA.replace("segkit_saliency", "segkit_metrics"): "'file' from file.py could not be used: "
    "segkit_metrics should return subclasses of Metric, but returns the class Dark (file.py, line "
    "{line})",
    NAMELESS: "'file' from file.py could not be used: its class Nameless should have a name, as in "
    "name = 'file'",
}


@pytest.mark.parametrize("command", ["run", "sweep", "list-plugins", "show"])
def test_a_file_that_does_not_work_is_one_sentence_in_every_command(segkit, tmp_path, command):
    words = {"show": ("prompt", "topk"), "list-plugins": ()}.get(command, SMALL)
    for source, sentence in BROKEN.items():
        (tmp_path / "file.py").write_text(source)
        done = segkit(command, *words, "--plugin", "file.py")
        hooks = [n for n, text in enumerate(source.splitlines(), 1) if text == "@hookimpl"]
        sentence = sentence.format(line=hooks[0] if hooks else 0)
        assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
    assert not (tmp_path / "segkit-out").exists()


def test_a_folder_is_no_file(segkit):
    done = segkit("run", "--plugin", "ideas")
    assert done.err == "Error: --plugin ideas: it is a folder; name a Python file in it\n"


def test_the_trace_of_a_broken_file_is_there_for_those_who_ask(segkit, tmp_path):
    (tmp_path / "file.py").write_text("def f():\n    1 / 0\n\n\nf()\n")
    done = segkit("run", "--plugin", "file.py", "--debug")
    assert done.code == 2
    assert 'file.py", line 2, in f' in done.err
    place = "(file.py, line 2)"
    assert done.err.endswith(f"could not be loaded: ZeroDivisionError: division by zero {place}\n")
