"""Several seeds: what is run, where it stands, and what the figures are."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
from toys import Best, Bright, Dice, Flood, Paint, Peak, Right, Squares

from segkit import UsageError, plan
from segkit.comparing.seeds import FOLDER, draws, make_seed_leaderboard, sweep_seeds
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit.running.records import ResultLine


class Drawn(Squares):
    """Squares whose places come from a seed of its own."""

    name = "drawn"
    seed: int = 100

    def __getitem__(self, index):
        return super().__getitem__((index + self.seed) % len(self))


END = (Flood(), Best(), Paint(), Right())


def plans(data=None):
    data = data or Squares(count=4)
    return {
        "peak": plan([data, Bright(), Peak(), *END]),
        "dice": plan([data, Dice(), *END]),
    }


def right(folder):
    """Recipe to the figure in its folder's summary."""
    return {
        path.parent.name: json.loads(path.read_text())["scores"]["right"]
        for path in folder.glob("recipes/*/summary.json")
    }


def test_figures_are_those_of_a_sweep_of_each_seed(tmp_path):
    board = sweep_seeds(plans(), tmp_path / "s", seeds=(3, 5, 4))
    alone = {}
    for seed in (3, 5, 4):
        sweep_plans(plans(), tmp_path / str(seed), RunOptions(seed=seed))
        alone[seed] = right(tmp_path / str(seed))
    (dice,) = (row for row in board.rows if row.recipe == "dice")
    by_seed = [alone[seed]["dice"] for seed in (3, 5, 4)]
    assert len({*by_seed}) > 1
    assert dice.scores["right"].mean == pytest.approx(np.mean(by_seed))
    assert dice.seeds["right"].figures == pytest.approx(dict(zip("354", by_seed, strict=True)))
    assert dice.seeds["right"].deviation == pytest.approx(statistics.stdev(by_seed))
    (peak,) = (row for row in board.rows if row.recipe == "peak")
    assert peak.seeds["right"].deviation == 0
    assert board.seeds == (3, 5, 4)
    assert board.images == 4
    kept = json.loads((tmp_path / "s" / "leaderboard.json").read_text())
    assert kept == board.to_dict()
    assert kept["seeds"] == [3, 5, 4]


def test_what_draws_nothing_is_run_once(tmp_path):
    sweep_seeds(plans(), tmp_path, seeds=(0, 1))
    assert {*right(tmp_path)} == {"peak", "dice"}
    assert {*right(tmp_path / FOLDER / "1")} == {"dice"}
    assert [name for name, p in plans().items() if draws(p)] == ["dice"]


def test_a_data_set_that_draws_its_pictures_gets_others(tmp_path):
    board = sweep_seeds(plans(Drawn(count=4)), tmp_path, seeds=(0, 1))
    assert board.images == 8
    assert {*right(tmp_path / FOLDER / "1")} == {"peak", "dice"}
    recipe = (tmp_path / FOLDER / "1" / "recipes" / "peak" / "recipe.toml").read_text()
    assert "seed = 101" in recipe  # its own and this one
    assert "seed = 100" in (tmp_path / "recipes" / "peak" / "recipe.toml").read_text()


def test_where_nothing_is_drawn_seeds_are_refused(tmp_path):
    peak = {"peak": plans()["peak"]}
    with pytest.raises(UsageError) as error:
        sweep_seeds(peak, tmp_path / "s", seeds=(0, 1))
    assert str(error.value) == (
        "--seeds 0,1: neither the data set nor a step of the recipes draws at random, so every "
        "seed would give the same; leave out --seeds"
    )
    assert not (tmp_path / "s").exists()


def test_one_goes_on_with_more_seeds_and_starts_again_with_fewer(tmp_path):
    sweep_seeds(plans(), tmp_path, seeds=(0, 1))
    before = (tmp_path / FOLDER / "1" / "recipes" / "dice" / "results.jsonl").read_text()
    board = sweep_seeds(plans(), tmp_path, RunOptions(resume=True), seeds=(0, 1, 2))
    assert board.seeds == (0, 1, 2)
    assert (tmp_path / FOLDER / "1" / "recipes" / "dice" / "results.jsonl").read_text() == before
    mine = tmp_path / FOLDER / "1" / "mine.txt"
    mine.write_text("mine")
    board = sweep_seeds(plans(), tmp_path, RunOptions(overwrite=True), seeds=(0, 2))
    assert [*(tmp_path / FOLDER / "1").iterdir()] == [mine]
    assert (tmp_path / FOLDER / "2" / "leaderboard.json").exists()


def test_a_folder_of_others_is_refused_before_anything_is_run(tmp_path):
    folder = tmp_path / FOLDER / "1"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds files, but no run of segkit"):
        sweep_seeds(plans(), tmp_path, seeds=(0, 1))
    assert not (tmp_path / "recipes").exists()


# ---- figures -----------------------------------------------------------------------------------


def lines(values):
    return {
        f"i{n}": ResultLine(name=f"i{n}", status="ok", counts={"right": {"right": v, "images": 1}})
        for n, v in enumerate(values)
    }


def board(by_seed, *, same=True):
    results = {
        seed: {name: lines(values) for name, values in recipes.items()}
        for seed, recipes in by_seed.items()
    }
    return make_seed_leaderboard(
        results, dict.fromkeys(results[min(results)], (Right(),)), same_images=same
    )


def test_images_not_seeds_make_the_interval():
    """The same under each seed: as sure as one seed, and no surer for having more."""
    values = list(np.random.default_rng(0).random(30))
    one = board({0: {"a": values}, 1: {"a": values}}).rows[0]
    many = board({seed: {"a": values} for seed in range(8)}).rows[0]
    assert one.scores["right"].low == pytest.approx(many.scores["right"].low)
    assert one.scores["right"].high == pytest.approx(many.scores["right"].high)
    apart = board({seed: {"a": values} for seed in range(8)}, same=False).rows[0].scores["right"]
    assert apart.high - apart.low < (one.scores["right"].high - one.scores["right"].low) / 2


def test_what_chance_does_to_an_image_is_in_the_interval():
    """Steps that draw for each image on its own: the mean over seeds has less of that chance."""
    rng = np.random.default_rng(1)
    widths = []
    for seeds in (2, 8):
        values = {seed: {"a": list(rng.random(40))} for seed in range(seeds)}
        score = board(values).rows[0].scores["right"]
        widths.append(score.high - score.low)
    assert widths[1] < 0.7 * widths[0]


def test_a_pair_says_under_how_many_seeds():
    rng = np.random.default_rng(2)
    low = list(rng.random(30) / 2)
    high = [value + 0.3 + rng.random() / 10 for value in low]
    found = board({0: {"a": low, "b": high}, 1: {"a": low, "b": high}, 2: {"a": high, "b": low}})
    (pair,) = found.pairs
    assert pair.better == "b"
    assert [pair.seeds["0"] > 0, pair.seeds["1"] > 0, pair.seeds["2"] > 0] == [True, True, False]
    assert pair.difference == pytest.approx(np.mean(list(pair.seeds.values())))
    assert pair.distinguishable
    assert pair.sentence.startswith("b beats a by 0.1")
    assert pair.sentence.endswith(", better in 2 of 3 seeds")


@pytest.mark.slow
def test_chance_alone_is_seldom_a_difference():
    """Two recipes that are alike, with chance of their own: about 5 % of the claims are wrong."""
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(100):
        hard = rng.random(25)  # an image that is hard is hard for both
        values = {
            seed: {name: list(hard + rng.normal(0, 0.3, 25)) for name in "ab"} for seed in range(3)
        }
        claims += board(values).pairs[0].distinguishable
    assert claims <= 10


def test_an_image_that_failed_under_one_seed_is_left_out_under_all():
    results = {seed: {"a": lines([0.0, 1.0, 1.0])} for seed in (0, 1)}
    results[1]["a"]["i0"] = ResultLine(name="i0", status="failed", error="torn")
    found = make_seed_leaderboard(results, {"a": (Right(),)}, same_images=True)
    assert found.images == 2
    assert found.rows[0].scores["right"].mean == 1
    assert found.rows[0].failed == 1
    assert found.failed == {"i0": ["a"]}
