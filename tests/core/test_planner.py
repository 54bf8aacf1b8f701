"""A plan's sentences are the user interface: each is tested."""

from __future__ import annotations

import pytest
from toys import Best, Bright, Dim, Flood, Paint, Peak, Right, Squares, Wander, Whole

from segkit import (
    Heatmap,
    Image,
    Labels,
    Masks,
    PluginError,
    Prompter,
    Prompts,
    Segmenter,
    UsageError,
    plan,
)

FULL = (Squares(), Bright(), Dim(), Peak(), Flood(), Best(), Paint(), Right())


def test_steps_are_ordered_by_kind_whatever_their_order():
    made = plan(reversed(FULL))
    assert [s.name for s in made.steps] == [
        *("bright", "dim", "peak", "flood", "best", "brush", "right")
    ]
    assert not made.refines
    assert plan([Squares(), Wander(), Flood()]).refines


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            [Squares(), Peak(), Flood()],
            "peak needs 'heatmap', and nothing before it makes one; add --saliency",
        ),
        (
            [Squares(), Flood()],
            "flood needs 'prompts', and nothing before it makes one; add --prompt",
        ),
        (
            [Squares(), Paint()],
            "brush needs 'masks', and nothing before it makes one; add --segmenter",
        ),
        (
            [Squares(), Best()],
            "best needs 'masks', and nothing before it makes one; add --segmenter",
        ),
        (
            [Squares(), Bright(), Whole(), Flood(), Paint()],
            "the heatmap made by bright is never read; drop --saliency bright, or add a step that "
            "reads it",
        ),
        (
            [Squares(truth=False), *FULL[1:]],
            "right needs 'truth', and the data set squares has none; choose a data set with "
            "truth, or name its masks",
        ),
        ([Bright()], "a plan needs images; add --dataset or name some files"),
        (
            [*FULL, Best()],
            "--select takes one step, but was given best and best; choose one",
        ),
        (
            [Squares(), Whole(), Flood(), Flood(level=3)],
            "flood and flood make the same kind of result; choose one segmenter for masks and, "
            "if you like, one for class maps",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(steps, sentence):
    with pytest.raises(UsageError) as error:
        plan(steps)
    assert str(error.value) == sentence


def test_default_metrics_do_not_count_as_readers():
    class Hot(Right):
        name = "hot"

        def count(self, heatmap: Heatmap) -> dict[str, float]:
            return {}

    steps = [Squares(), Bright(), Whole(), Flood(), Paint()]
    assert [m.name for m in plan([*steps, Hot()]).metrics] == ["hot"]
    with pytest.raises(UsageError, match="never read"):
        plan(steps, defaults=[Hot()])


def test_a_step_may_only_ask_for_what_its_kind_gets():
    class Nosy(Prompter):
        name = "nosy"

        def __call__(self, truth) -> Prompts:
            return Prompts()

    class Vague(Prompter):
        name = "vague"

        def __call__(self, **everything) -> Prompts:
            return Prompts()

    class Undecided(Segmenter):
        name = "undecided"

        def __call__(self, image: Image) -> Masks | Labels:
            return Masks.none(image.size)

    class Idle(Prompter):
        name = "idle"

    with pytest.raises(PluginError, match="asks for 'truth', but __call__ of a prompt can only"):
        Nosy.inputs()
    with pytest.raises(PluginError, match="should name its inputs one by one"):
        Vague.inputs()
    with pytest.raises(PluginError, match="annotated to return Masks or Labels, but says"):
        Undecided.output()
    with pytest.raises(PluginError, match=r"Idle should define __call__\(...\), but does not"):
        Idle.inputs()


def test_equal_options_make_equal_steps_whatever_is_loaded():
    one, other = Bright(n=2), Bright(n=2)
    one.open("cpu")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Bright(n=3)
    assert len({one, other, Bright()}) == 2
