"""Several plans as one graph of work, in which equal pieces of work are one node.

A node is known by its steps (kind, class, options) and by the nodes that it reads from. Plans
that begin alike thus share their beginning: eight prompt strategies on one SAM share the
saliency map and the encoding. A prompter that refines, its segmenter and what chooses among its
masks loop among themselves, so all of them are one node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from segkit.plugins.steps import Perturbation, Segmenter, Step
from segkit.running.plan import Plan, after_segmenters, again_of, made_by
from segkit.running.tiles import Tiles
from segkit.values.types import Masks


@dataclass(frozen=True, eq=False)
class Node:
    """One piece of work, done once per image for all plans that contain it."""

    role: str
    """What is done: a key of `running.work.ROLES`."""
    steps: tuple[Step, ...]
    needs: Mapping[str, Node]
    """Name of a value to the node that makes it; image, truth and classes need none."""
    key: str
    rounds: int = 1
    """For the role `refine`: at most this many rounds of segmentation."""
    level: float = 0.0
    """For the role `perturb`: how strong the damage is."""
    tiles: Tiles | None = None
    """How it cuts large images, where it asks saliency methods or segmenters; None: not."""


@dataclass(frozen=True)
class Branch:
    """One plan's nodes."""

    plan: Plan
    values: Mapping[str, Node]
    """`heatmaps`, `prompts`, `masks`, `labels`: the node that makes each, where there is one;
    `left_out`: how many masks were too weak, where a quality is demanded; and, if asked for,
    `candidates`: the masks before selection, judged ones where there is a judge."""
    metrics: tuple[Node, ...]
    nodes: tuple[Node, ...] = ()
    """All nodes, each after those it needs."""


@dataclass
class Graph:
    """The nodes of all plans; add plans with `branch`."""

    steps: dict[tuple[str, str, str], Step] = field(default_factory=dict)
    """One step for all that are equal, so that weights are loaded once."""
    _nodes: dict[str, Node] = field(default_factory=dict)

    def branch(
        self,
        plan: Plan,
        candidates: bool = False,
        damage: tuple[Perturbation, float] | None = None,
    ) -> Branch:
        """Add a plan; work that is already there is not added again.

        `candidates`: keep what the selector chooses from as a value of its own. `damage`: a
        perturbation of prompts and its level, between the prompters and all that follows.
        """
        values: dict[str, Node] = {}
        if plan.saliencies:
            values["heatmaps"] = self._heatmaps(plan)
        groups = {}
        for index, group in enumerate(plan.prompters):
            names = {n for p in group for n in type(p).inputs().all}
            groups[str(index)] = self._node("prompt", group, _read(values, names))
        if groups:
            values["prompts"] = self._node("gather", (), groups)
        if damage and groups:
            perturbation, level = damage
            needs = {"prompts": values["prompts"]}
            values["prompts"] = self._node("perturb", (perturbation,), needs, level=level)
        after = after_segmenters(plan)
        if plan.segmenter and plan.refines:
            loop = tuple(takewhile(lambda step: type(step).output() is Masks, after))
            values |= self._refined(plan, plan.segmenter, loop, values)
            after = after[len(loop) :]
        elif plan.segmenter:
            values["masks"] = values["candidates"] = self._segment(plan.segmenter, values, plan)
            if plan.judge:
                judged = self._made(plan.judge, "masks", values, plan)
                values["masks"] = values["candidates"] = judged
                after = after[1:]
        if plan.labeller:
            values["labels"] = self._segment(plan.labeller, values, plan)
        choosing = tuple(takewhile(lambda step: type(step).output() is Masks, after))
        for step in choosing:
            values["masks"] = self._made(step, "masks", values, plan)
        if plan.least_quality:
            sifted = self._node("sift", (), {"masks": values["masks"]}, level=plan.least_quality)
            values["masks"] = self._node("sifted_masks", (), {"result": sifted})
            values["left_out"] = self._node("left_out", (), {"result": sifted})
        for step in after[len(choosing) :]:
            if plan.segmenter and hasattr(step, "merge"):
                needs = _read(values, {"masks", *type(step).inputs_of("merge").all})
                values["masks"] = self._node("merge", (step,), needs)
            (value,) = made_by(step)
            values[value] = self._made(step, value, values, plan)
        if not candidates:
            values.pop("candidates", None)
        metrics = tuple(self._node("count", (m,), _read(values, _names(m))) for m in plan.metrics)
        ends = (*values.values(), *metrics)
        return Branch(plan, values, metrics, tuple(_in_order(ends)))

    def _heatmaps(self, plan: Plan) -> Node:
        """Each saliency method's heatmaps, transformed; those of several in a row."""
        rows: dict[str, Node] = {}
        for index, saliency in enumerate(plan.saliencies):
            heat = self._node("saliency", (saliency,), {}, tiles=plan.tiles)
            for transform in plan.transforms:
                heat = self._node("transform", (transform,), {"heatmaps": heat})
            rows[str(index)] = heat
        return rows["0"] if len(rows) == 1 else self._node("heatmaps", (), rows)

    def _made(self, step: Step, value: str, values: Mapping[str, Node], plan: Plan) -> Node:
        """What a step behind the segmenter makes."""
        needs = _read(values, {*_names(step)} | ({"masks"} & {value}))
        needs |= self._encoding(plan, step)
        return self._node(
            f"make_{value}", (step,), needs, tiles=plan.tiles if "encoding" in needs else None
        )

    def _encoding(self, plan: Plan, *steps: Step) -> dict[str, Node]:
        """The segmenter's encoding, where one of the steps asks for it and there is one."""
        wanted = any("encoding" in _names(step) for step in steps)
        encodes = plan.segmenter is not None and hasattr(plan.segmenter, "encode")
        if not (wanted and encodes and plan.segmenter):
            return {}
        return {"encoding": self._node("encode", (plan.segmenter,), {}, tiles=plan.tiles)}

    def _segment(self, segmenter: Segmenter, values: Mapping[str, Node], plan: Plan) -> Node:
        needs = _read(values, _names(segmenter))
        if "encoding" in _names(segmenter):
            needs["encoding"] = self._node("encode", (segmenter,), {}, tiles=plan.tiles)
        return self._node("segment", (segmenter,), needs, tiles=plan.tiles)

    def _refined(
        self, plan: Plan, segmenter: Segmenter, after: tuple[Step, ...], values: Mapping[str, Node]
    ) -> dict[str, Node]:
        """The loop of prompters, segmenter and what makes masks of its masks; what it leaves."""
        prompters = [p for group in plan.prompters for p in group]
        again = {n for p in prompters for n in again_of(p).all}
        loop: list[Step] = [*prompters, segmenter, *after]
        names = again.union(*map(_names, loop))
        if "look" in again:
            loop = [*plan.saliencies, *plan.transforms, *loop]
        needs = _read(values, names | {"prompts"}) | self._encoding(plan, segmenter, *after)
        result = self._node("refine", tuple(loop), needs, plan.rounds, tiles=plan.tiles)
        return {
            "prompts": self._node("refined_prompts", (), {"result": result}),
            "masks": self._node("refined_masks", (), {"result": result}),
            "candidates": self._node("refined_candidates", (), {"result": result}),
        }

    def _node(
        self,
        role: str,
        steps: tuple[Step, ...],
        needs: Mapping[str, Node],
        rounds: int = 1,
        level: float = 0.0,
        tiles: Tiles | None = None,
    ) -> Node:
        same = tuple(self.steps.setdefault(step.key(), step) for step in steps)
        read = sorted((name, need.key) for name, need in needs.items())
        content = repr((role, rounds, level, tiles, [s.key() for s in steps], read))
        key = hashlib.sha256(content.encode()).hexdigest()
        node = Node(role, same, dict(needs), key, rounds, level, tiles)
        return self._nodes.setdefault(key, node)


def _names(step: Step) -> tuple[str, ...]:
    return type(step).inputs().all


def _read(values: Mapping[str, Node], names: set[str] | tuple[str, ...]) -> dict[str, Node]:
    """The nodes that make the values of these names; `heatmap` is one of the `heatmaps`."""
    wanted = {"heatmaps" if n == "heatmap" else n for n in names}
    return {name: node for name, node in values.items() if name in wanted}


def _in_order(ends: tuple[Node, ...]) -> Iterator[Node]:
    """The nodes and all that they need, each after what it needs, none twice."""
    seen: set[str] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node.key not in seen:
            seen.add(node.key)
            for need in node.needs.values():
                yield from visit(need)
            yield node

    for end in ends:
        yield from visit(end)
