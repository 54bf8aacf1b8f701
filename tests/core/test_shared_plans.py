"""However plans are put together: what a plan gives beside others, it gives alone."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from toys import Best, Bright, Dice, Dim, Flood, Note, Paint, Peak, Right, Squares, Wander, Whole

from segkit import UsageError, plan, run

TIMES = ("seconds", "images_per_second")

PROMPTERS = st.one_of(
    st.builds(Peak, dx=st.sampled_from((0, 1, 9))),  # the last is often off the picture
    st.builds(Wander, step=st.integers(1, 3)),
    st.sampled_from((Dice(), Whole())),
)
GROUPS = st.lists(PROMPTERS, min_size=1, max_size=2, unique=True)
BEHIND = st.sampled_from(((), (Best(),), (Paint(), Right(), Note()), (Best(), Paint(), Note())))


@st.composite
def plans(draw, dataset):
    """One that fits together, of few steps, so that several have some in common."""
    steps = [
        dataset,
        *draw(st.lists(st.builds(Bright, n=st.integers(1, 2)), max_size=1)),
        *draw(st.lists(st.builds(Dim, by=st.sampled_from((0.25, 0.5))), max_size=2)),
        *draw(st.lists(GROUPS, min_size=1, max_size=2)),
        Flood(level=draw(st.sampled_from((100, 215)))),
        *draw(BEHIND),
    ]
    try:
        return plan(steps, rounds=draw(st.integers(1, 4)))
    except UsageError:
        assume(False)


@st.composite
def runs(draw):
    """Several plans over one data set, and how they are run."""
    broken = draw(st.sets(st.integers(0, 4), max_size=2))
    dataset = Squares(count=5, bad=tuple(sorted(broken)))
    several = draw(st.lists(plans(dataset), min_size=2, max_size=4))
    how = {"seed": draw(st.integers(0, 3)), "chunk": draw(st.integers(1, 6))}
    return {f"p{i}": made for i, made in enumerate(several)}, how


def contents(folder):
    """The files of a plan's folder, without times and without what says how it was run."""
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for name in ("recipe.toml", "segkit-run.jsonl", "report.html"):
        files.pop(Path(name), None)
    for name in ("results.jsonl", "summary.json"):
        lines = files[Path(name)].splitlines() if name.endswith("l") else [files[Path(name)]]
        documents = [json.loads(line) for line in lines]
        files[Path(name)] = [{k: v for k, v in d.items() if k not in TIMES} for d in documents]
    return files


def check(several, how):
    with tempfile.TemporaryDirectory() as folder:
        run(several, Path(folder, "shared"), **how)
        for name, alone in several.items():
            run({name: alone}, Path(folder, name), **how)
            shared = contents(Path(folder, "shared", "recipes", name))
            assert contents(Path(folder, name)) == shared, alone.words


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_a_shared_run_gives_what_single_runs_give(drawn):
    check(*drawn)


def test_where_a_step_fails_the_image_is_known_all_the_same(tmp_path):
    """What was read is noted for the plan that fails and for those after it, alone or together."""
    data = Squares(count=1)
    wrong = plan([data, Bright(), Peak(dx=99), Flood()])
    run({"wrong": wrong, "right": plan([data, Whole(), Flood()])}, tmp_path / "shared")
    run({"wrong": wrong}, tmp_path / "alone")
    folders = ("shared/recipes/wrong", "shared/recipes/right", "alone")
    (first, second, third) = (contents(tmp_path / f)[Path("results.jsonl")][0] for f in folders)
    assert [line["status"] for line in (first, second, third)] == ["failed", "ok", "failed"]
    assert first["source"] == second["source"] == third["source"]
    assert first["source"].keys() == {"sha256", "truth"}
    assert None not in first["source"].values()


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_a_shared_run_gives_what_single_runs_give_for_many_more(drawn):
    check(*drawn)
