"""Trials of recipes on one image: the same as a run's, each piece of work done once."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from judge_toys import Share
from toys import Best, Bright, Dice, Dim, Flood, Paint, Peak, Right, Squares, Wander, walk

from segkit import Catalog, Heatmap, Image, PlanError, Recipe, Saliency, Transform, UsageError
from segkit.running.interactive import Clicks, Interactive, TrialCancelledError
from segkit.running.recipe import Part
from segkit.running.value_cache import ValueCache, bytes_of

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log():
    LOG.clear()
    return LOG


class Seen(Bright):
    name = "seen"

    def open(self, device):
        LOG.append("open seen")

    def close(self):
        LOG.append("close seen")

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        LOG.append("seen")
        return super().__call__(image)


class Dimmed(Dim):
    name = "dimmed"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        LOG.append("dimmed")
        return super().__call__(heatmap)


class Pool(Flood):
    name = "pool"

    def open(self, device):
        LOG.append("open pool")

    def close(self):
        LOG.append("close pool")

    def encode(self, image: Image):
        LOG.append("encode")
        return super().encode(image)


class Angry(Transform):
    """Raises where it is told to."""

    name = "angry"
    at: float = 0.5

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        if self.at > 0.7:
            raise ValueError("too much")
        return heatmap


class Shut(Saliency):
    name = "shut"

    def open(self, device):
        raise UsageError("--shut.file is not there; name another one")

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(np.zeros(image.size))


def recipe(*, seen=None, dim=None, peak=None, least=0.0, **other):
    parts = {
        "saliency": (seen or Seen(),),
        "transform": (dim or Dimmed(),),
        "prompt": (peak or Peak(),),
        "segmenter": (Pool(),),
        "judge": (),
        "selector": (Best(),),
        "fuser": (Paint(),),
        "metric": (),
        **other,
    }
    return Recipe(
        {kind: tuple(Part(s.name, step=s) for s in some) for kind, some in parts.items()},
        least_quality=least,
    )


BLIND = {"saliency": (), "transform": ()}
"""Where nothing reads heatmaps."""


@pytest.fixture
def data():
    return Squares()


@pytest.fixture
def session(data):
    with Interactive(Catalog(), data) as session:
        yield session


def kinds(trial):
    return [stage.kind for stage in trial.stages]


def test_a_trial_has_what_each_stage_makes_in_the_order_of_the_work(session, data):
    trial = session.trial(recipe(judge=(Share(),)), data[0][0])
    assert kinds(trial) == [
        *("saliency", "transform", "prompt", "segmenter", "judge", "selector", "fuser")
    ]
    assert trial.error is None
    heat, dimmed, asked, found, judged, chosen, painted = (stage.value for stage in trial.stages)
    assert np.array_equal(heat[0].values * 0.5, dimmed[0].values)
    assert len(asked) == 1
    assert len(found) == len(judged) == 2
    assert found.quality is None
    assert judged.quality is not None
    assert trial.candidates is judged
    assert trial.masks is chosen
    assert trial.labels is painted
    assert len(chosen) == 1


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"prompt": (Dice(),), **BLIND},
        {"prompt": (Wander(),), **BLIND},
        {"judge": (Share(),), "least": 0.01},
        {"seen": Seen(n=3)},
    ],
    ids=["plain", "random", "refined", "judged", "several heatmaps"],
)
def test_a_trial_is_what_a_run_makes_of_the_image(session, data, chosen):
    plan = replace(session.plan(recipe(**chosen)), metrics=(Right(),))
    for index, outcome in enumerate(walk({"run": plan})):
        trial = session.trial(recipe(**chosen), data[index][0])
        assert trial.error is outcome.error is None
        assert np.array_equal(trial.labels.ids, outcome.labels.ids)
        assert np.array_equal(trial.masks.masks, outcome.masks.masks)
        ours, runs = ([p.points.tolist() for p in made.prompts] for made in (trial, outcome))
        assert ours == runs
        assert trial.left_out == outcome.left_out


def test_another_option_of_a_prompter_costs_a_decoding(session, data, log):
    image = data[0][0]
    first = session.trial(recipe(), image)
    log.clear()
    second = session.trial(recipe(peak=Peak(dx=1)), image)
    assert log == []
    assert [stage.seconds > 0 for stage in second.stages][:2] == [False, False]
    assert first.prompts[0].points[0][0] + 1 == second.prompts[0].points[0][0]


def test_another_option_of_a_transform_keeps_saliency_and_encoding(session, data, log):
    image = data[0][0]
    session.trial(recipe(), image)
    log.clear()
    session.trial(recipe(dim=Dimmed(by=0.25)), image)
    assert log == ["dimmed"]
    session.trial(recipe(), image)  # back again: nothing is done twice
    assert log == ["dimmed"]


def test_another_image_and_the_first_one_again(session, data, log):
    one, other = data[0][0], data[1][0]
    session.trial(recipe(), one)
    session.trial(recipe(), other)
    assert log.count("encode") == 2
    session.trial(recipe(), one)
    assert log.count("encode") == 2
    assert log.count("open pool") == 1


def test_what_is_random_depends_on_the_seed_and_nothing_else_does(session, data, log):
    image = data[0][0]
    first = session.trial(recipe(prompt=(Dice(),), **BLIND), image)
    log.clear()
    second = session.trial(replace(recipe(prompt=(Dice(),), **BLIND), seed=5), image)
    assert first.prompts[0].points.tolist() != second.prompts[0].points.tolist()
    assert "encode" not in log


def test_what_reads_classes_is_made_anew_for_others(session, data):
    image = data[0][0]
    first = session.trial(recipe(), image)
    second = session.trial(replace(recipe(), classes=("box",)), image)
    assert first.labels.classes == {1: "square"}
    assert second.labels.classes == {1: "box"}


def test_a_step_that_raises_says_so_in_its_stage_and_those_before_it_stand(session, data):
    image = data[0][0]
    trial = session.trial(recipe(dim=Angry(at=0.8)), image)
    assert kinds(trial) == ["saliency", "transform"]
    assert trial.stages[0].error is None
    assert "angry" in trial.error
    assert "ValueError: too much" in trial.error
    assert trial.masks is None
    assert session.trial(recipe(dim=Angry(at=0.6)), image).error is None


def test_a_step_that_cannot_be_opened_says_so_in_its_stage(session, data):
    trial = session.trial(recipe(seen=Shut()), data[0][0])
    assert kinds(trial) == ["saliency"]
    assert trial.error == "--shut.file is not there; name another one"


class Wordy(Seen):
    name = "wordy"

    def settle(self, classes):
        if "cat" not in classes.values():
            raise UsageError("wordy looks for cats alone; name them by --classes cat")


def test_a_step_that_cannot_look_for_the_classes_says_so_in_its_stage(session, data):
    trial = session.trial(recipe(seen=Wordy()), data[0][0])
    assert kinds(trial) == ["saliency"]
    assert trial.error == "wordy looks for cats alone; name them by --classes cat"
    asked = replace(recipe(seen=Wordy()), classes=("cat",))
    assert session.trial(asked, data[0][0]).error is None


def test_a_recipe_that_is_no_plan_is_refused_and_the_session_goes_on(session, data):
    with pytest.raises(PlanError, match="nothing before it makes one"):
        session.trial(recipe(saliency=(), transform=()), data[0][0])
    assert session.trial(recipe(), data[0][0]).error is None


def test_second_looks_show_what_was_asked_first_and_last(session, data):
    trial = session.trial(recipe(prompt=(Wander(),), **BLIND), data[0][0])
    first, last = (stage for stage in trial.stages if stage.kind == "prompt")
    assert not first.again
    assert last.again
    assert first.value[0].points.tolist() != last.value[0].points.tolist()
    assert kinds(trial) == ["prompt", "prompt", "segmenter", "selector", "fuser"]


def test_a_person_clicks_in_place_of_the_prompters(session, data, log):
    image = data[0][0]
    session.trial(recipe(), image)
    log.clear()
    trial = session.clicked(recipe(), image, Clicks(points=((3, 2),), signs=(True,)))
    assert kinds(trial) == ["prompt", "segmenter", "selector", "fuser"]
    assert log == []  # the encoding is there
    assert trial.masks.masks[0].sum() == 16
    assert session.clicked(recipe(), image, Clicks()).masks.masks.sum() == 0


def test_heatmaps_that_nothing_reads_are_not_made(session, data):
    blind = recipe(prompt=(Dice(),))
    with pytest.raises(PlanError, match="never read"):
        session.trial(blind, data[0][0])
    assert session.fitting(blind).parts["saliency"] == ()
    assert session.fitting(recipe()) == recipe()


def test_truth_gives_the_main_figure(session, data):
    image, truth = data[0]
    parts = {k: v for k, v in recipe().parts.items() if k != "metric"}
    trial = session.trial(Recipe(parts), image, truth)
    assert trial.scores == {"iou": pytest.approx(1.0)}
    assert session.trial(Recipe(parts), data[1][0]).scores is None


def test_values_have_a_limit_and_the_last_trial_stays(data):
    with Interactive(Catalog(), data, room=1) as session:
        for index in range(4):
            trial = session.trial(recipe(), data[index][0])
        assert trial.error is None
        count = len(session.kept)
        session.trial(recipe(), trial.image)
        assert len(session.kept) == count
        used = weakref.ref(trial.image)
        session.trial(recipe(), data[0][0])
        del trial
        gc.collect()
        assert used() is None


def test_steps_that_are_not_needed_are_closed_in_the_end(data, log, monkeypatch):
    monkeypatch.setattr("segkit.running.interactive.SPARE", 1)
    with Interactive(Catalog(), data) as session:
        for n in range(1, 5):
            session.trial(recipe(seen=Seen(n=n)), data[0][0])
        assert log.count("close seen") > 0
        assert "close pool" not in log
    assert log.count("close seen") == 4
    assert log.count("close pool") == 1


def test_sizes_are_those_of_arrays_wherever_they_are():
    heat = Heatmap(np.zeros((10, 10), np.float32))
    assert bytes_of((heat, {"a": [heat]}, "text", None)) == 800


def test_what_was_used_last_stays():
    kept = ValueCache(room=1000)
    for name in "abc":
        kept.put(name, np.zeros(100))
    kept.get("a")
    kept.shrink(["c"])
    assert kept.get("b") is None
    assert kept.get("c") is not None


def test_a_trial_is_cancelled_before_a_step_and_what_was_made_is_kept(session, data, log):
    image, truth = data[0]
    with pytest.raises(TrialCancelledError, match="what was made until then is kept"):
        session.trial(recipe(), image, truth, stopped=lambda: "dimmed" in log)
    assert "encode" not in log
    log.clear()
    assert session.trial(recipe(), image, truth).error is None
    assert "encode" in log
    assert not {"seen", "dimmed", "open seen"} & {*log}
    log.clear()
    session.trial(recipe(), image, truth, stopped=lambda: True)  # nothing is left to do
    assert log == []
