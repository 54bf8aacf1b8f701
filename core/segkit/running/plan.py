"""From chosen steps to a plan: their order, and whether each gets what it asks for.

The job has one spine: image, heatmaps, prompts, candidate masks, masks, labels, scores. A plan
says which steps stand on it. What it refuses, it refuses before anything is loaded. Where a kind
stands follows from its interface: see `AFTER` for those that come behind the segmenters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from segkit.errors import PlanError, UsageError
from segkit.kinds import KINDS, flag_of
from segkit.plugins.contract import has_truth
from segkit.plugins.signatures import Inputs
from segkit.plugins.steps import (
    INTERFACES,
    Dataset,
    Fuser,
    Judge,
    Metric,
    Prompter,
    Saliency,
    Segmenter,
    Selector,
    Step,
    Transform,
    Writer,
)
from segkit.running.tiles import Tiles
from segkit.values.types import Heatmap, Labels, Masks, Prompts

VALUES: Mapping[Any, tuple[str, ...]] = {
    Heatmap: ("heatmap", "heatmaps"),
    tuple[Heatmap, ...]: ("heatmap", "heatmaps"),
    Prompts: ("prompts",),
    Masks: ("masks",),
    Labels: ("labels",),
}
"""What a step is annotated to make, to the names under which others ask for it."""

ENDS = ("metric", "writer")
"""The kinds that see all that was made, and make nothing for other steps."""

AFTER = tuple(
    kind
    for kind, interface in INTERFACES.items()
    if {"masks", "labels"} & {*interface.takes} and {*interface.gives} <= {Masks, Labels}
)
"""The kinds behind the segmenters, in order: each makes masks or labels anew of what is there."""

FIELDS = ("judge", "selector", "fuser")
"""Those of them that have a field of a plan."""

AGAIN = ("refine", "admit")
"""The optional methods of prompters that make segmentation a loop."""

Group: TypeAlias = tuple[Prompter, ...]
"""Prompters whose prompts are merged into one (`--prompt a+b`); mostly one."""


@dataclass(frozen=True)
class Plan:
    """The steps of one recipe, in order and checked. Make it with `plan(...)`."""

    dataset: Dataset
    saliencies: tuple[Saliency, ...] = ()
    """Their heatmaps stand in a row; each transform and prompter is asked about each of them."""
    transforms: tuple[Transform, ...] = ()
    prompters: tuple[Group, ...] = ()
    """Each group adds objects; the prompters of one group make one prompt together."""
    segmenter: Segmenter | None = None
    """The one that makes candidate masks."""
    labeller: Segmenter | None = None
    """The one that makes a class map."""
    judge: Judge | None = None
    selector: Selector | None = None
    fuser: Fuser | None = None
    metrics: tuple[Metric, ...] = ()
    writers: tuple[Writer, ...] = ()
    rounds: int = 3
    """At most this many rounds of segmentation where a prompter refines; 1: none."""
    least_quality: float = 0.0
    """Masks that are judged worse are left out of all that follows the selection; 0: none."""
    others: tuple[Step, ...] = ()
    """Steps of the kinds behind the segmenters that have no field of their own."""
    tiles: Tiles | None = None
    """How saliency methods and segmenters are shown large images; None: as a whole."""

    @property
    def saliency(self) -> Saliency | None:
        """The first saliency method, mostly the only one."""
        return next(iter(self.saliencies), None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step but the data set, in the order in which values flow."""
        return (
            *self.saliencies,
            *self.transforms,
            *(p for group in self.prompters for p in group),
            *_behind_prompters(self),
            *self.metrics,
            *self.writers,
        )

    @property
    def words(self) -> str:
        """The plan in one line: `files > gradcam > topk > sam > score > paint`."""
        groups = ["+".join(p.name for p in group) for group in self.prompters]
        names = [
            self.dataset.name,
            *([" & ".join(s.name for s in self.saliencies)] if self.saliencies else []),
            *(t.name for t in self.transforms),
            *([" & ".join(groups)] if groups else []),
            *(s.name for s in _behind_prompters(self)),
        ]
        return " > ".join(names)

    @property
    def refines(self) -> bool:
        """Whether a prompter takes a second look, or judges prompts before they are decoded."""
        return self.segmenter is not None and any(
            hasattr(p, method) for group in self.prompters for p in group for method in AGAIN
        )

    @property
    def made(self) -> frozenset[str]:
        """The names of the values that its steps can ask for."""
        values = {"image", "classes", "rng", "directory", "scores"}
        if has_truth(self.dataset):
            values.add("truth")
        if self.saliencies:
            values.add("look")
        return frozenset(values.union(*map(made_by, self.steps)))


def after_segmenters(plan: Plan) -> tuple[Step, ...]:
    """What makes masks or labels anew, in order: judge, selector, fuser, those of other kinds."""
    steps = (
        step for step in (plan.judge, plan.selector, plan.fuser, *plan.others) if step is not None
    )
    return tuple(sorted(steps, key=lambda step: AFTER.index(step.kind)))


def _behind_prompters(plan: Plan) -> tuple[Step, ...]:
    """Segmenters, and what makes masks or labels anew."""
    segmenters = (step for step in (plan.segmenter, plan.labeller) if step is not None)
    return (*segmenters, *after_segmenters(plan))


def made_by(step: Step) -> tuple[str, ...]:
    """The names of the values that a step makes for others; none for metrics and writers."""
    return () if step.kind in ENDS else VALUES.get(type(step).output(), ())


def plan(
    steps: Iterable[Step | Sequence[Prompter]],
    *,
    defaults: Iterable[Step] = (),
    rounds: int = 3,
    least_quality: float = 0.0,
    tile: int = 0,
    overlap: int | None = None,
) -> Plan:
    """Order the steps by kind and check that each gets what it asks for.

    A sequence of prompters in place of a step makes one prompt of theirs (`a+b`). `defaults` are
    metrics and writers that nobody asked for: they join in, but do not count as readers when a
    value that nobody reads is looked for. Masks of less than `least_quality`, which needs a judge,
    are left out. With a `tile` saliency methods and segmenters see images whose longer side has
    more pixels in tiles of that side, which overlap by `overlap`, by default an eighth of it.

    Raises `UsageError`: no or two data sets, two steps of a kind that takes one; `PlanError`: a
    step whose input nothing makes, a value that nothing reads, steps that do not go together.
    """
    kinds, groups = _sorted(steps)
    if rounds < 1:
        raise UsageError(f"--rounds should be 1 or more, but is {rounds}")
    check_least_quality(least_quality)
    _check_numbers(kinds, groups)

    def single(kind: str) -> Step | None:
        return next(iter(kinds.get(kind, [])), None)

    segmenters = {type(s).output(): s for s in kinds.get("segmenter", [])}
    chosen = Plan(
        dataset=single("dataset"),  # type: ignore[arg-type]  # sorted by kind above
        saliencies=tuple(kinds.get("saliency", ())),  # type: ignore[arg-type]
        transforms=tuple(kinds.get("transform", ())),  # type: ignore[arg-type]
        prompters=tuple(groups),
        segmenter=segmenters.get(Masks),  # type: ignore[arg-type]
        labeller=segmenters.get(Labels),  # type: ignore[arg-type]
        judge=single("judge"),  # type: ignore[arg-type]
        selector=single("selector"),  # type: ignore[arg-type]
        fuser=single("fuser"),  # type: ignore[arg-type]
        metrics=tuple(kinds.get("metric", ())),  # type: ignore[arg-type]
        writers=tuple(kinds.get("writer", ())),  # type: ignore[arg-type]
        rounds=rounds,
        least_quality=least_quality,
        tiles=Tiles.of(tile, overlap),
        others=tuple(s for k in AFTER if k not in FIELDS for s in kinds.get(k, ())),
    )
    _check_inputs(chosen)
    _check_readers(chosen)
    _check_tiles(chosen)
    _check_judge(chosen)
    extra = list(defaults)
    return replace(
        chosen,
        metrics=(*chosen.metrics, *(s for s in extra if isinstance(s, Metric))),
        writers=(*chosen.writers, *(s for s in extra if isinstance(s, Writer))),
    )


def _check_tiles(chosen: Plan) -> None:
    """Refuse tiles where a step behind the segmenter cannot do without the image's encoding."""
    for step in after_segmenters(chosen) if chosen.tiles else ():
        if "encoding" in asks(step).required:
            raise PlanError(
                f"{step.name} needs the 'encoding' of the whole image, and with --tile there are "
                f"those of tiles; leave out --tile or --{flag_of(step.kind)} {step.name}"
            )


def _check_judge(chosen: Plan) -> None:
    """Refuse a least quality where nobody judges."""
    if chosen.least_quality and chosen.judge is None:
        raise PlanError(
            f"--least-quality {chosen.least_quality:g} goes by what a judge says of each mask, and "
            "there is none; add --judge"
        )


def check_least_quality(least: float) -> None:
    """Raise `UsageError` outside of 0 to 1."""
    if not 0 <= least <= 1:
        raise UsageError(f"--least-quality should be from 0 to 1, but is {least}")


def _sorted(
    steps: Iterable[Step | Sequence[Prompter]],
) -> tuple[dict[str, list[Step]], list[Group]]:
    """Steps by kind, and the groups of prompters."""
    groups: list[Group] = []
    kinds: dict[str, list[Step]] = {}
    for step in steps:
        if isinstance(step, Prompter):
            groups.append((step,))
        elif isinstance(step, Step):
            kinds.setdefault(step.kind, []).append(step)
        else:
            groups.append(tuple(step))
    return kinds, groups


def asks(step: Step) -> Inputs:
    """What a step asks for, a prompter's second look and a fuser's merging included."""
    first, again = type(step).inputs(), again_of(step)
    return Inputs((*first.required, *again.required), (*first.optional, *again.optional))


def again_of(step: Step) -> Inputs:
    """What a step's further methods need that may be missing.

    These are a prompter's second look and its judgement of prompts, and a fuser's `merge`. Prompts,
    masks and a segmenter to ask are there: the first look had them.
    """
    methods = (*AGAIN, "merge")
    looks = [type(step).inputs_of(m) for m in methods if m in step.extras and hasattr(step, m)]
    required, optional = (
        tuple(n for names in several for n in names if n not in ("prompts", "masks", "ask"))
        for several in ([i.required for i in looks], [i.optional for i in looks])
    )
    return Inputs(required, optional)


def missing_input(step: Step, values: frozenset[str]) -> str | None:
    """The first input that a step cannot do without and nothing makes."""
    available = values | ({"encoding"} if hasattr(step, "encode") else frozenset())
    return next((name for name in asks(step).required if name not in available), None)


def _check_numbers(kinds: Mapping[str, Sequence[Step]], groups: Sequence[Group]) -> None:
    """Refuse too many steps of a kind, or too few, and a prompter that cannot stand alone."""
    for group in groups:
        if all(p.companion for p in group):
            name = group[0].name
            raise PlanError(
                f"--prompt {name} only refines what another prompter asks; write --prompt "
                f"topk+{name}, or another one in place of topk"
            )
    segmenters = kinds.get("segmenter", [])
    if len({type(s).output() for s in segmenters}) < len(segmenters):
        names = " and ".join(s.name for s in segmenters)
        raise PlanError(
            f"{names} make the same kind of result; choose one segmenter for masks and, if you "
            "like, one for class maps"
        )
    for kind in KINDS:
        if not KINDS[kind].several and len(kinds.get(kind, [])) > 1:
            names = " and ".join(s.name for s in kinds[kind])
            raise UsageError(f"--{flag_of(kind)} takes one step, but was given {names}; choose one")
    if not kinds.get("dataset"):
        raise UsageError("a plan needs images; add --dataset or name some files")


def _check_inputs(chosen: Plan) -> None:
    """Refuse a step whose input nothing makes."""
    adds = {
        "heatmap": "add --saliency",
        "heatmaps": "add --saliency",
        "look": "add --saliency",
        "prompts": "add --prompt",
        "masks": "add --segmenter",
        "labels": "add --segmenter or --fuser",
        "truth": "choose a data set with truth, or name its masks",
        "encoding": "define encode(image) in it, or for a judge, in the segmenter",
    }
    before = {"image", "classes", "rng", "truth", "look"} & chosen.made
    for step in chosen.steps:
        # A selector or fuser sees only what comes before it; metrics and writers see everything.
        available = chosen.made if step.kind in ENDS else frozenset(before)
        if step is chosen.judge and hasattr(chosen.segmenter, "encode"):
            available |= {"encoding"}
        name = missing_input(step, available)
        if name == "truth":
            raise PlanError(
                f"{step.name} needs 'truth', and the data set {chosen.dataset.name} has none; "
                f"{adds[name]}"
            )
        if name is not None:
            raise PlanError(
                f"{step.name} needs '{name}', and nothing before it makes one; {adds[name]}"
            )
        before |= {*made_by(step)}
    for step in after_segmenters(chosen):
        if type(step).output() is Masks and not chosen.segmenter:
            raise PlanError(
                f"{step.name} needs 'masks', and nothing before it makes one; add --segmenter"
            )


def _check_readers(chosen: Plan) -> None:
    """Refuse a value that is made and never read: most likely a slip."""
    makers: dict[str, Step | None] = {
        "heatmap": next(iter((*chosen.transforms[-1:], *chosen.saliencies)), None),
        "prompts": chosen.prompters[0][0] if chosen.prompters else None,
        # Masks alone are a result; beside a class map somebody should fuse them.
        "masks": chosen.segmenter if chosen.labeller else None,
    }
    for value, maker in makers.items():
        # Heatmaps alone are a result too, when no segmenter follows.
        if maker is None or (value != "masks" and not (chosen.segmenter or chosen.labeller)):
            continue
        names = {value, f"{value}s"}
        if not any(names & {*asks(step).all} for step in chosen.steps if _uses(step, value)):
            flag = flag_of(maker.kind)
            raise PlanError(
                f"the {value} made by {maker.name} is never read; drop --{flag} {maker.name}, or "
                f"add a step that reads it"
                if value == "heatmap"
                else f"the {value} made by {maker.name} are never read; drop --{flag} "
                f"{maker.name}, or add a step that reads them",
                unread=value,
            )


def _uses(step: Step, value: str) -> bool:
    """Whether something comes of the value if this step reads it; not where it makes its like.

    Masks answer prompts, so what reads both makes nothing of prompts that no segmenter has read.
    """
    if step.kind in ENDS:
        return True
    return value not in made_by(step) and not (value == "prompts" and step.kind in AFTER)
