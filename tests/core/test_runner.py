"""The runner: shared work is done once, and batched, single, resumed and shared runs agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
from runner_toys import END, full, lines
from toys import Best, Bright, Dice, Dim, Flood, Paint, Peak, Right, Squares, Wander, Whole, walk

from segkit import (
    Counts,
    Heatmap,
    Image,
    Labels,
    Masks,
    PluginError,
    Prompts,
    Scores,
    Segmenter,
    Truth,
    plan,
    run,
)


def without_times(folder):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines(folder)]


def test_a_run_leaves_the_agreed_folder(tmp_path):
    summary = run({"run": full()}, tmp_path / "out")["run"]
    assert summary["images"] == 5
    assert summary["failed"] == 0
    assert summary["scores"] == {"right": 1.0}
    assert set(summary["seconds"]) == {
        *("bright", "peak", "flood.encode", "flood", "best", "brush", "right", "note")
    }
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    first = lines(tmp_path / "out")[0]
    assert first["name"] == "square-0"
    assert first["status"] == "ok"
    assert first["error"] is None
    assert first["files"] == ["notes/square-0.txt"]
    assert first["masks"][0]["pixels"] == 16
    assert (tmp_path / "out/finished.txt").exists()
    assert "[[prompt]]" in (tmp_path / "out/recipe.toml").read_text()


def test_a_metric_s_details_stand_in_the_summary(tmp_path):
    class Sizes(Right):
        name = "sizes"

        def count(self, labels: Labels, truth: Truth) -> Counts:
            return {"true": float((truth.labels.ids > 0).sum())}

        def score(self, counts: Counts) -> Scores:
            return {"sizes": counts["true"]}

        def details(self, counts, classes):
            return {"per": {i: [name, counts["true"]] for i, name in classes.items()}}

    def made(folder, **options):
        chosen = plan([Squares(**options), Bright(), Peak(), Flood(), *END, Sizes()])
        summary = run({"run": chosen}, tmp_path / folder)["run"]
        assert json.loads((tmp_path / folder / "summary.json").read_text()) == summary
        return summary["details"]

    found = made("all")
    assert found["sizes"] == {"per": {"1": ["square", 5 * 16.0]}}  # of all five images
    assert found.keys() == {"sizes", "counts"}  # one that tells nothing has no entry
    assert found["counts"]["sizes"] == {"true": 80}
    assert "sizes" not in made("none", bad=(0, 1, 2, 3, 4))  # nothing was counted


@pytest.mark.parametrize("made", [{"iou": float("nan")}, {"iou": np.zeros(2)}, [1, 2]])
def test_details_that_json_cannot_hold_are_said(tmp_path, made):
    class Odd(Right):
        name = "odd"

        def details(self, counts, classes):
            return made

    with pytest.raises(PluginError, match="metric 'odd' should make details that JSON can hold"):
        run({"run": plan([Squares(), Bright(), Peak(), Flood(), *END, Odd()])}, tmp_path / "out")
    assert len(lines(tmp_path / "out")) == 5


def test_eight_plans_share_saliency_and_encoding_and_are_opened_once(tmp_path):
    bright, flood = Bright(), Flood()
    plans = {f"dx{i}": full(prompt=Peak(dx=i), bright=bright, flood=flood) for i in range(8)}
    # Equal steps of other plans share too, though they are other objects.
    plans |= {
        "again": full(prompt=Peak(dx=1)),
        "dim": plan([Squares(), bright, Dim(), Peak(), flood, *END]),
    }
    run(plans, tmp_path / "out", chunk=2)
    assert sorted(bright._log.calls) == [f"square-{i}" for i in range(5)]
    assert sorted(flood._log.calls) == [f"square-{i}" for i in range(5)]
    assert (bright._log.opened, bright._log.closed) == (1, 1)
    same = [without_times(tmp_path / "out/recipes" / n) for n in ("dx1", "again")]
    assert same[0] == same[1]


def test_values_are_freed_chunk_by_chunk():
    alive, most = set(), 0

    class Tracked:
        def __init__(self, name):
            self.name = name
            alive.add(name)

        def __del__(self):
            alive.discard(self.name)

    class Heavy(Flood):
        name = "heavy"

        def encode(self, image: Image):
            return Tracked(image.name)

        def __call__(self, prompts: Prompts, encoding: object) -> Masks:
            nonlocal most
            most = max(most, len(alive))
            return Masks.none((12, 16))

    plans = {str(i): full(prompt=Peak(dx=i), data=Squares(count=20), flood=Heavy()) for i in (0, 1)}
    for _ in walk(plans, chunk=2):
        pass
    assert most <= 2
    assert not alive


@pytest.mark.parametrize("prompt", [Peak(), Dice(), Wander()])
def test_batched_single_resumed_and_shared_runs_agree(tmp_path, prompt):
    one = (
        {"run": full(prompt=prompt)}
        if not isinstance(prompt, (Dice, Wander))
        else {"run": plan([Squares(), prompt, Flood(), *END])}
    )
    run(one, tmp_path / "batched", chunk=3, seed=7)
    run(one, tmp_path / "single", chunk=1, seed=7)
    run(one, tmp_path / "resumed", chunk=2, seed=7)
    kept = (tmp_path / "resumed/results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "resumed/results.jsonl").write_text("".join(kept[:2]) + kept[2][:20])
    run(one, tmp_path / "resumed", seed=7, resume=True)
    run({**one, "other": full(prompt=Peak(dx=1))}, tmp_path / "shared", seed=7)
    results = [
        without_times(tmp_path / f) for f in ("batched", "single", "resumed", "shared/recipes/run")
    ]
    assert results[0] == results[1] == results[2] == results[3]
    sums = [
        json.loads((tmp_path / f / "summary.json").read_text())["scores"]
        for f in ("batched", "single", "resumed", "shared/recipes/run")
    ]
    assert sums[0] == sums[1] == sums[2] == sums[3]


def test_randomness_comes_from_seed_image_and_step_alone():
    def points(seed):
        made = plan([Squares(), Dice(), Flood()])
        return [o.prompts[0].points.tolist() for o in walk({"x": made}, seed=seed)]

    assert points(1) == points(1)
    assert points(1) != points(2)
    assert len({str(p) for p in points(1)}) > 1


def test_refining_stops_when_content_and_is_bounded_by_rounds():
    def last_x(rounds, step=2):
        steps = [Squares(count=1), Wander(step=step), Flood(), Best()]
        (outcome,) = walk({"x": plan(steps, rounds=rounds)})
        return outcome.prompts[0].points[0][0]

    assert last_x(rounds=1) == 0
    assert last_x(rounds=3) == 2  # the square begins at x = 2: content after two rounds
    assert last_x(rounds=3, step=1) == 2
    assert last_x(rounds=2, step=1) == 1


def test_several_heatmaps_make_several_named_objects():
    made = plan([Squares(count=1), Bright(n=3), Dim(), Peak(), Flood(), Best(), Paint()])
    (outcome,) = walk({"x": made})
    assert [h.name for h in outcome.heatmaps] == ["class-0", "class-1", "class-2"]
    assert [p.name for p in outcome.prompts] == ["class-0", "class-1", "class-2"]
    assert outcome.masks.names == ("class-0", "class-1", "class-2")
    assert outcome.masks.prompt.tolist() == [0, 1, 2]
    assert float(outcome.heatmaps[0].values.max()) == pytest.approx(100 / 255)


def test_repeated_prompters_add_objects_and_merged_ones_make_one():
    added = plan([Squares(count=1), Bright(), Peak(), Whole(), Flood(), Best()])
    (outcome,) = walk({"x": added})
    assert len(outcome.prompts) == 2
    merged = plan([Squares(count=1), Bright(), (Peak(), Whole()), Flood(), Best()])
    (outcome,) = walk({"x": merged})
    (prompt,) = outcome.prompts
    assert len(prompt.points) == 1
    assert prompt.box is not None


class PerHeatmap(Segmenter):
    """Where each heatmap is hot, for the prompts made of it."""

    name = "per-heatmap"

    def __call__(self, heatmap: Heatmap, prompts: Prompts) -> Masks:
        hot = heatmap.values >= heatmap.values.max()
        return Masks(np.array([hot] * len(prompts)), np.ones(len(prompts)), range(len(prompts)))


def test_a_segmenter_that_reads_the_heatmap_gets_each_with_its_own_prompts():
    made = plan([Squares(count=1), Bright(n=2), Peak(), Peak(dx=1), PerHeatmap()])
    (outcome,) = walk({"x": made})
    assert outcome.masks.prompt.tolist() == [0, 1, 2, 3]
    assert outcome.masks.names == ("class-0", "class-1", "class-0", "class-1")
