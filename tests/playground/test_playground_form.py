"""The page's form as a recipe, as a command and as a file, and what the page may not send."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from segkit import Recipe, UsageError
from segkit.cli.main import make_group
from segkit.kinds import SWEPT
from segkit.running.recipe import Part, read_toml
from segkit_ui.playground.form import command_of, form_of, recipe_of, side_of, toml_of

RECIPES = {
    "defaults": Recipe(),
    "an option": Recipe({"prompt": (Part("topk", {"k": 3}),)}),
    "of a default": Recipe().with_options("fuser", "paint", {"duplicates": 0.5}),
    "merged": Recipe({"prompt": (Part("topk"), Part("adaptive-background", merge=True))}),
    "several": Recipe({"prompt": (Part("topk", {"k": 2}), Part("center"))}),
    "two transforms": Recipe(
        {
            "saliency": (Part("gradcam", {"target": "cat"}), Part("objectness")),
            "transform": (Part("idw", {"radius": 9}), Part("threshold", {"binary": True})),
        }
    ),
    "same name twice": Recipe(
        {
            "transform": (Part("threshold", {"level": 0.25}),),
            "prompt": (),
            "segmenter": (Part("threshold", {"level": 0.75}),),
        }
    ),
    "judged": Recipe(
        {"judge": (Part("learned"),), "selector": (Part("quality"),)}, least_quality=0.25, seed=7
    ),
    "negative": Recipe({"prompt": (Part("box", {"margin": -0.2, "largest": False}),)}),
    "lists": Recipe({"saliency": (Part("gradcam", {"scales": (0.5, 1.0), "flip": True}),)}),
    "no heatmaps": Recipe({"saliency": (), "transform": (), "prompt": (Part("center"),)}),
    "no selector": Recipe(
        {"selector": (), "fuser": (), "writer": (), "metric": ()}, rounds=2, classes=("cat", "dog")
    ),
    "one step twice": Recipe({"prompt": (Part("topk", {"k": 2}), Part("topk", {"k": 5}))}),
    "a file's": Recipe({"prompt": (Part("mine:middle", {"shift": 0.1}),)}),
    "a comma": Recipe(classes=("cat, big",)),
}


@pytest.fixture(params=[*RECIPES], ids=[*RECIPES])
def tried(request, bench_of):
    """A bench, a recipe as its page has it, and the recipe's plan."""
    bench = bench_of(RECIPES[request.param])
    (side,) = bench.start().sides
    recipe = bench.session.fitting(recipe_of(side, bench.catalog, bench.bounds))
    return bench, side, recipe, bench.session.plan(recipe)


def keys(plan):
    return [step.key() for step in plan.steps if step.kind in SWEPT]


def test_a_recipe_goes_into_the_page_and_comes_back(tried):
    bench, side, recipe, plan = tried
    asked = bench.session.plan(bench.session.fitting(bench.bounds.start))
    assert keys(plan) == keys(asked)
    assert (plan.rounds, plan.least_quality) == (asked.rounds, asked.least_quality)
    assert (recipe.seed, recipe.classes) == (bench.bounds.start.seed, bench.bounds.start.classes)
    assert side_of(recipe, plan, bench.catalog) == side


def planned(arguments):
    """The recipe that the command line makes of the words behind `segkit`."""
    result = CliRunner().invoke(
        make_group(), [*arguments, "--dry-run"], standalone_mode=False, catch_exceptions=False
    )
    return result.output


def test_the_command_runs_that_recipe(tried, tmp_path):
    bench, _, recipe, plan = tried
    photo = bench.photos.load("1")
    file = tmp_path / "recipe.toml"
    file.write_text(toml_of(recipe, plan, bench.catalog))
    program, *words = shlex.split(command_of(recipe, plan, bench.catalog, photo.words, str(file)))
    assert program == "segkit"
    written = tmp_path / "planned.toml"
    written.write_text(planned(words))
    ran = Recipe.load(written).build(bench.catalog)
    assert keys(ran) == keys(plan)
    assert (ran.rounds, ran.least_quality) == (plan.rounds, plan.least_quality)
    ours = read_toml(written)["run"]
    assert (ours["seed"], tuple(ours["classes"])) == (recipe.seed, recipe.classes)


def test_the_saved_file_runs_that_recipe(tried, tmp_path, plugin):
    bench, _, recipe, plan = tried
    file, written = tmp_path / "recipe.toml", tmp_path / "planned.toml"
    file.write_text(toml_of(recipe, plan, bench.catalog))
    assert "dataset" not in read_toml(file)
    photo = bench.photos.load("1")
    words = ["run", *photo.words, "--recipe", str(file), "--plugin", str(plugin)]
    written.write_text(planned(words))
    assert keys(Recipe.load(written).build(bench.catalog)) == keys(plan)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("defaults", []),
        ("an option", ["--prompt", "topk", "--topk.k", "3"]),
        ("of a default", ["--paint.duplicates", "0.5"]),
        ("judged", ["--judge", "learned", "--select", "quality"]),
    ],
)
def test_the_command_is_short(bench_of, plugin, name, words):
    bench = bench_of(RECIPES[name])
    recipe = recipe_of(bench.start().sides[0], bench.catalog, bench.bounds)
    command = command_of(recipe, bench.session.plan(recipe), bench.catalog, ("p.jpg",), "r.toml")
    head = ["segkit", "run", "p.jpg", "--plugin", str(plugin)]
    assert shlex.split(command)[: len(head) + len(words)] == [*head, *words]


def test_what_flags_cannot_say_is_a_recipe_file(bench_of):
    bench = bench_of(RECIPES["one step twice"])
    recipe = recipe_of(bench.start().sides[0], bench.catalog, bench.bounds)
    plan = bench.session.plan(recipe)
    assert command_of(recipe, plan, bench.catalog, ("p.jpg",), "r.toml").endswith("--recipe r.toml")


SIDE = {"steps": [{"kind": "prompt", "name": "topk"}]}


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "text",
        {},
        {"sides": []},
        {"sides": [SIDE] * 3},
        {"sides": [SIDE], "path": "/etc/passwd"},
        {"sides": [SIDE], "clicks": [{"x": 2, "y": 0}]},
        {"sides": [{"steps": [{"kind": "prompt", "name": "x" * 300}]}]},
    ],
)
def test_what_no_page_sends_is_refused(sent):
    with pytest.raises(UsageError, match="the page sent something that it should not"):
        form_of(sent)


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"steps": [{"kind": "writer", "name": "masks"}]}, "a step of kind 'writer'"),
        ({"steps": [{"kind": "prompt", "name": "tpk"}]}, "did you mean 'topk'"),
        ({**SIDE, "seed": "x"}, "seed should be a whole number, but is 'x'"),
        ({**SIDE, "least_quality": "-1"}, "least-quality should be 0 or more"),
        ({"steps": [{"kind": "prompt", "name": "topk", "options": {"kk": "1"}}]}, "no option 'kk'"),
    ],
)
def test_what_cannot_be_tried_is_a_sentence(bench_of, side, said):
    bench = bench_of()
    form = form_of({"sides": [side]})
    with pytest.raises(UsageError, match=said):
        recipe_of(form.sides[0], bench.catalog, bench.bounds)


def segmenter(**options):
    return form_of(
        {"sides": [{"steps": [{"kind": "segmenter", "name": "sam", "options": options}]}]}
    )


def test_a_page_that_others_can_open_names_no_files(bench_of, photos):
    there = str(next(photos.iterdir()))
    own = Recipe({"segmenter": (Part("sam", {"checkpoint": there}),)})
    for bench, files in ((bench_of(), True), (bench_of(own, files=False), True)):
        recipe_of(segmenter(checkpoint=there).sides[0], bench.catalog, bench.bounds)
        assert files
    closed = bench_of(files=False)
    for text in (there, "/etc/passwd", "..\\secret"):
        with pytest.raises(UsageError, match="checkpoint of sam names a file"):
            recipe_of(segmenter(checkpoint=text).sides[0], closed.catalog, closed.bounds)
    recipe_of(segmenter(precision="float32").sides[0], closed.catalog, closed.bounds)
