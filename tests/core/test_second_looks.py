"""Second looks that ask saliency again, and prompts that are judged before they are decoded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import PrivateAttr
from runner_toys import lines
from toys import Best, Bright, Counting, Dim, Flood, Paint, Peak, Right

from segkit import (
    Dataset,
    Heatmap,
    Image,
    Labels,
    Look,
    Masks,
    PlanError,
    Prompt,
    Prompter,
    Prompts,
    Segmenter,
    Truth,
    UsageError,
    plan,
    run,
)


class Spots(Dataset):
    """One picture with three spots of different brightness."""

    name = "spots"

    @property
    def names(self):
        return ["spots"]

    @property
    def classes(self):
        return {1: "spot"}

    def __getitem__(self, index):
        pixels = np.full((12, 16, 3), 20, np.uint8)
        for x, level in ((1, 240), (6, 200), (11, 160)):
            pixels[2:6, x : x + 4] = level
        return Image(pixels, "spots"), Truth(Labels((pixels[..., 0] > 100).astype(np.int32)))


class Blacken(Prompter):
    """Blackens what was found and clicks on the brightest pixel that is left."""

    name = "blacken"
    companion = True
    larger: bool = False
    _log: Counting = PrivateAttr(default_factory=Counting)

    def __call__(self) -> Prompts:
        return Prompts()

    def refine(self, prompts: Prompts, masks: Masks, image: Image, look: Look) -> Prompts | None:
        pixels = np.where(masks.masks.any(axis=0)[..., None], np.uint8(0), image.pixels)
        if self.larger:
            pixels = np.repeat(pixels, 2, axis=0)
        (heatmap,) = look(replace(image, pixels=pixels, name="another"))
        self._log.calls.append(heatmap)
        if heatmap.values.max() < 0.25:
            return None
        y, x = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
        return Prompts((*prompts, Prompt(points=[(x, y)])))


class Spot(Segmenter):
    """The pixels that are as bright as the one clicked on; it notes what it is asked."""

    name = "spot"
    _log: Counting = PrivateAttr(default_factory=Counting)

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        self._log.calls.append(len(prompts))
        gray = image.pixels[..., 0].astype(int)
        clicked = [gray[int(y), int(x)] for p in prompts for x, y in p.points[:1]]
        masks = np.stack([gray == level for level in clicked])
        return Masks(masks, np.ones(len(clicked)), np.arange(len(clicked)))


class Everywhere(Prompter):
    """A click on each fourth pixel of a row, the middle one the likeliest."""

    name = "everywhere"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        places = (1, 3, 6, 8, 11, 13)
        scores = (0.3, 0.2, 0.9, 0.8, 0.6, 0.5)
        pairs = zip(places, scores, strict=True)
        return Prompts(tuple(Prompt(points=[(x, 3)], name="spot", score=s) for x, s in pairs))


class New(Prompter):
    """Leaves out clicks into masks; with `wrong`, makes a prompt of its own."""

    name = "new"
    companion = True
    wrong: bool = False
    _log: Counting = PrivateAttr(default_factory=Counting)

    def __call__(self) -> Prompts:
        return Prompts()

    def admit(self, prompts: Prompts, masks: Masks) -> Prompts:
        self._log.calls.append(([p.score for p in prompts], len(masks), masks.names))
        if self.wrong:
            return Prompts((Prompt(points=[(0, 0)]),))
        covered = masks.masks.any(axis=0)
        points = [tuple(p.points[0].astype(int)) for p in prompts]
        pairs = zip(prompts, points, strict=True)
        return Prompts(tuple(p for p, (x, y) in pairs if not covered[y, x]))


def one_line(tmp_path, *steps, **how):
    run({"run": plan([Spots(), *steps], **how)}, tmp_path / "out")
    (line,) = lines(tmp_path / "out")
    return line


def points_of(line):
    return [prompt["points"][0] for prompt in line["prompts"]]


# ---- looking again -----------------------------------------------------------------------------


def test_a_second_look_asks_saliency_and_transforms_about_another_picture(tmp_path):
    bright, again = Bright(), Blacken()
    line = one_line(tmp_path, bright, Dim(by=0.5), (Peak(), again), Spot(), Best(), Paint())
    assert line["status"] == "ok", line["error"]
    assert points_of(line) == [[1, 2], [6, 2], [11, 2]]
    first, second = again._log.calls
    # The brightest spot is black, and the transform has halved what saliency has said.
    assert first.values[3, 2] == 0
    assert first.values.max() == pytest.approx(200 / 255 / 2)
    assert second.values.max() == pytest.approx(160 / 255 / 2)
    assert bright._log.calls == ["spots"] * 3  # under the run's name, whatever it is called
    assert bright._log.opened == bright._log.closed == 1
    assert line["seconds"]["bright"] >= 0


def test_rounds_bound_it(tmp_path):
    steps = (Bright(), (Peak(), Blacken()), Spot(), Best(), Paint())
    assert len(one_line(tmp_path, *steps, rounds=2)["prompts"]) == 2
    assert len(one_line(tmp_path / "b", *steps, rounds=1)["prompts"]) == 1


def test_a_picture_of_another_size_is_refused_in_a_sentence(tmp_path):
    line = one_line(tmp_path, Bright(), (Peak(), Blacken(larger=True)), Spot(), Best(), Paint())
    assert line["status"] == "failed"
    assert "should look at an Image of 16x12 as the run's is, but looks at 16x24" in line["error"]


def test_what_saliency_raises_is_the_image_s_failure(tmp_path):
    class Once(Bright):
        name = "once"

        def __call__(self, image: Image) -> tuple[Heatmap, ...]:
            if self._log.calls:
                raise RuntimeError("worn out")
            return super().__call__(image)

    line = one_line(tmp_path, Once(), (Peak(), Blacken()), Spot(), Best(), Paint())
    assert line["status"] == "failed"
    assert "'once'" in line["error"]
    assert "worn out" in line["error"]


def test_without_saliency_there_is_nothing_to_look_with():
    class Corner(Prompter):
        name = "corner"

        def __call__(self, image: Image) -> Prompts:
            return Prompts((Prompt(points=[(0, 0)]),))

    with pytest.raises(PlanError, match="blacken needs 'look', and nothing before it makes one"):
        plan([Spots(), (Corner(), Blacken()), Spot(), Best(), Paint()])


# ---- judging prompts ---------------------------------------------------------------------------


def test_prompts_are_asked_one_by_one_and_those_in_masks_are_not(tmp_path):
    spot, new = Spot(), New()
    line = one_line(tmp_path, Bright(), (Everywhere(), new), spot, Best(), Paint(), Right())
    assert line["status"] == "ok", line["error"]
    assert spot._log.calls == [1, 1, 1]
    assert points_of(line) == [[1, 3], [6, 3], [11, 3]]  # in the order in which they were asked for
    assert [mask["prompt"] for mask in line["masks"]] == [0, 1, 2]
    # The likeliest is decoded first; those that wait see the masks so far, with their classes.
    assert new._log.calls == [
        ([0.8, 0.6, 0.5, 0.3, 0.2], 1, ("spot",)),
        ([0.5, 0.3, 0.2], 2, ("spot", "spot")),
        ([0.2], 3, ("spot",) * 3),
    ]
    assert line["counts"]["right"]["right"] == 1


def test_groups_without_a_judge_are_asked_before(tmp_path):
    spot = Spot()
    groups = ((Everywhere(), New()), Peak(dx=5))  # the peak's neighbour: the middle spot
    line = one_line(tmp_path, Bright(), *groups, spot, Best(), Paint())
    assert spot._log.calls == [1, 1, 1]
    assert points_of(line) == [[1, 3], [11, 3], [6, 2]]
    assert [mask["prompt"] for mask in line["masks"]] == [0, 1, 2]


def test_both_in_one_group(tmp_path):
    line = one_line(tmp_path, Bright(), (Peak(), Blacken(), New()), Spot(), Best(), Paint())
    assert points_of(line) == [[1, 2], [6, 2], [11, 2]]


def test_a_single_round_judges_too(tmp_path):
    steps = (Bright(), (Everywhere(), New()), Spot(), Best(), Paint())
    assert len(one_line(tmp_path, *steps, rounds=1)["prompts"]) == 3


def test_a_judge_that_changes_prompts_is_told_so(tmp_path):
    group = (Everywhere(), New(wrong=True))
    line = one_line(tmp_path, Bright(), group, Spot(), Best(), Paint())
    assert line["status"] == "failed"
    assert "should return some of the prompts that it is given" in line["error"]


def test_a_judge_cannot_stand_alone():
    with pytest.raises(UsageError, match="write --prompt topk\\+new"):
        plan([Spots(), Bright(), New(), Flood(), Best(), Paint()])
