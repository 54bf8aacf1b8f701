"""Equal work of several plans is one node, and only equal work."""

from __future__ import annotations

import pytest
from toys import Best, Bright, Dice, Dim, Flood, Paint, Peak, Right, Squares, Wander

from segkit import plan
from segkit.running.graph import Graph

DATA = Squares()


def roles(branch):
    return [node.role for node in branch.nodes]


def shared(first, second):
    graph = Graph()
    one, other = graph.branch(plan([DATA, *first])), graph.branch(plan([DATA, *second]))
    return [node.role for node in one.nodes if node in other.nodes]


BEGIN = (Bright(), Dim(), Peak(), Flood())


def test_each_node_comes_after_those_it_needs():
    branch = Graph().branch(plan([DATA, *BEGIN, Best(), Paint(), Right()]))
    assert roles(branch) == [
        *("saliency", "transform", "prompt", "gather", "encode", "segment"),
        *("make_masks", "make_labels", "count"),
    ]
    seen = set()
    for node in branch.nodes:
        assert {need.key for need in node.needs.values()} <= seen
        seen.add(node.key)


@pytest.mark.parametrize(
    ("other", "common"),
    [
        (BEGIN, ["saliency", "transform", "prompt", "gather", "encode", "segment"]),
        ((Bright(), Dim(), Peak(dx=1), Flood()), ["saliency", "transform", "encode"]),
        ((Bright(), Dim(by=0.25), Peak(), Flood()), ["saliency", "encode"]),
        ((Bright(n=2), Dim(), Peak(), Flood()), ["encode"]),
        ((Bright(), Dim(), Peak(), Flood(level=9)), ["saliency", "transform", "prompt", "gather"]),
        ((Dice(), Flood()), ["encode"]),
        ((Bright(), Dim(), [Peak(), Dice()], Flood()), ["saliency", "transform", "encode"]),
        (
            (Bright(), Dim(), Peak(), Wander(), Flood()),
            ["saliency", "transform", "prompt", "encode"],
        ),
    ],
    ids=["same", "prompt", "transform", "saliency", "segmenter", "blind", "merged", "refined"],
)
def test_plans_share_what_they_begin_with(other, common):
    assert shared(BEGIN, other) == common


def test_a_second_look_is_one_node_with_its_own_rounds():
    graph = Graph()
    steps = [DATA, Wander(), Flood(), Best(), Paint()]
    three, two = (graph.branch(plan(steps, rounds=rounds)) for rounds in (3, 2))
    assert roles(three).count("refine") == 1
    (looks,) = [[n for n in branch.nodes if n.role == "refine"] for branch in (three,)]
    assert [step.name for step in looks[0].steps] == ["wander", "flood", "best"]
    assert looks[0].rounds == 3
    assert looks[0] not in two.nodes


def test_equal_steps_are_one_step_so_that_weights_are_loaded_once():
    graph = Graph()
    graph.branch(plan([DATA, *BEGIN]))
    graph.branch(plan([DATA, Bright(), Dim(), Peak(dx=2), Flood()]))
    assert sorted(step.name for step in graph.steps.values()) == [
        *("bright", "dim", "flood", "peak", "peak")
    ]


def test_candidates_are_kept_where_they_are_asked_for():
    steps = plan([DATA, *BEGIN, Best()])
    with_them = Graph().branch(steps, candidates=True)
    assert with_them.values["candidates"].role == "segment"
    assert with_them.values["masks"].role == "make_masks"
    assert "candidates" not in Graph().branch(steps).values
