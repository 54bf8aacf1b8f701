"""What stands in the page, as a recipe; and a recipe as what stands in the page.

The page keeps nothing but its form and sends all of it with each change, so that no change is lost
and two windows do not disturb each other. What comes in is checked here as anything from outside.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from segkit import Catalog, Plan, Recipe, Step, UsageError
from segkit.errors import SegkitError
from segkit.kinds import KINDS, SWEPT, flag_of
from segkit.running.recipe import Part
from segkit.running.recipe_record import name_of, to_toml, written_out
from segkit_ui.playground.fields import listed, options_of, widgets_of, written

_Short = Annotated[str, StringConstraints(max_length=200)]
_Text = Annotated[str, StringConstraints(max_length=4000)]

SIDES = 2
"""How many recipes stand side by side at most."""


class _Sent(BaseModel):
    """Something that the page sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Chosen(_Sent):
    """One step of a recipe."""

    kind: _Short
    name: _Short
    merge: bool = False
    options: dict[_Short, _Text] = Field(default_factory=dict, max_length=100)
    """Field to what stands in its widget."""


class Side(_Sent):
    """One recipe."""

    steps: tuple[Chosen, ...] = Field(max_length=32)
    seed: _Short = "0"
    rounds: _Short = "3"
    least_quality: _Short = "0"
    classes: _Text = ""


class Click(_Sent):
    """A point that a person asks by."""

    x: float = Field(ge=0, le=1)
    """As a share of the image's width."""
    y: float = Field(ge=0, le=1)
    on: bool = True
    """Whether it is on the object."""


class Form(_Sent):
    """All that stands in the page."""

    photo: _Short = ""
    sides: tuple[Side, ...] = Field(min_length=1, max_length=SIDES)
    clicks: tuple[Click, ...] = Field(default=(), max_length=64)


def form_of(sent: Any) -> Form:
    """What the page sent. Raises `UsageError` for what no page of this segkit sends."""
    try:
        return Form.model_validate(sent)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"the page sent something that it should not ({place}: {first['msg']}); load it again"
        ) from None


@dataclass(frozen=True)
class Bounds:
    """What the page may ask for: `files`, whether options may name files of this machine."""

    start: Recipe
    files: bool = True


def recipe_of(side: Side, catalog: Catalog, bounds: Bounds) -> Recipe:
    """A side's recipe; data set, metrics and writers are those of the one that it started from.

    Raises `UsageError` and `PluginError` with the sentence that a run would end with.
    """
    parts: dict[str, list[Part]] = {kind: [] for kind in SWEPT}
    for chosen in side.steps:
        if chosen.kind not in parts:
            raise UsageError(f"the page sent a step of kind '{chosen.kind}'; load it again")
        step = catalog.load(chosen.kind, chosen.name)
        options = options_of(step, chosen.options)
        if not bounds.files:
            _check_files(chosen, options, bounds.start)
        merge = chosen.merge and bool(parts[chosen.kind]) and chosen.kind == "prompt"
        parts[chosen.kind].append(Part(chosen.name, options, merge))
    settings = {
        "seed": _number(side.seed, "seed", whole=True),
        "rounds": _number(side.rounds, "rounds", whole=True),
        "least_quality": _number(side.least_quality, "least-quality"),
        "classes": listed(side.classes),
    }
    kept = {kind: some for kind, some in bounds.start.parts.items() if kind not in SWEPT}
    now = {kind: tuple(some) for kind, some in parts.items()}
    return replace(bounds.start, parts={**kept, **now}, **settings)  # type: ignore[arg-type]


def _number(text: str, what: str, *, whole: bool = False) -> float:
    try:
        value = int(text) if whole else float(text or 0)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{what} should be {kind}, but is '{text}'") from None
    if value < 0:
        raise UsageError(f"{what} should be 0 or more, but is '{text}'")
    return value


def _check_files(chosen: Chosen, options: Mapping[str, Any], start: Recipe) -> None:
    """Refuse options that may name a file of this machine and are not the command line's own."""
    own = {
        (part.name, name): str(value)
        for part in start.parts.get(chosen.kind, ())
        for name, value in part.options.items()
    }
    for name, value in options.items():
        texts = value if isinstance(value, tuple) else (value,)
        for text in texts:
            if not isinstance(text, str) or own.get((chosen.name, name)) == text:
                continue
            if {"/", "\\", "\0"} & set(text) or Path(text).exists():
                raise UsageError(
                    f"{name.replace('_', '-')} of {chosen.name} names a file, which a page that "
                    "other machines can open may not; give it on the command line in a recipe"
                )


def side_of(recipe: Recipe, plan: Plan, catalog: Catalog) -> Side:
    """A recipe as it stands in the page, its defaults filled in; `plan` is what it builds."""
    merged = {id(step) for group in plan.prompters for step in group[1:]}
    return Side(
        steps=tuple(
            Chosen(
                kind=step.kind,
                name=name_of(step, catalog),
                merge=id(step) in merged,
                options={
                    widget.name: written(getattr(step, widget.name))
                    for widget in widgets_of(type(step))
                },
            )
            for step in plan.steps
            if step.kind in SWEPT
        ),
        seed=str(recipe.seed),
        rounds=str(recipe.rounds),
        least_quality=f"{recipe.least_quality:g}",
        classes=written(recipe.classes),
    )


# ---- the recipe as something to take away -------------------------------------------------------


def toml_of(recipe: Recipe, plan: Plan, catalog: Catalog) -> str:
    """The recipe as a file that `segkit run --recipe` reads, every option written out.

    Data set, metrics and writers stand in it only if the recipe itself names them.
    """
    content = written_out(plan, catalog=catalog, seed=recipe.seed, classes=recipe.classes)
    for kind in KINDS:
        if kind not in SWEPT:
            content.pop(kind, None)
            if kind in recipe.parts:
                content[kind] = [{"name": p.name, **p.options} for p in recipe.parts[kind]]
    return to_toml(content)


def command_of(
    recipe: Recipe, plan: Plan, catalog: Catalog, photo: Sequence[str], file: str
) -> str:
    """The shortest `segkit run` of this recipe, for a shell.

    `photo`: the words that name the image; `file`: the recipe's own, for what flags cannot say.
    """
    plugins = [word for path in catalog.files for word in ("--plugin", str(path))]
    said = _flags(recipe, plan, catalog) if photo or "dataset" not in recipe.parts else None
    words = ["--recipe", file] if said is None else said
    return shlex.join(["segkit", "run", *photo, *plugins, *words])


def _flags(recipe: Recipe, plan: Plan, catalog: Catalog) -> list[str] | None:
    """The recipe as flags; None where they cannot say it."""
    names = [(step.kind, step.name) for step in plan.steps if step.kind in SWEPT]
    others = any(kind not in SWEPT and kind != "dataset" for kind in recipe.parts)
    if others or len(set(names)) < len(names):
        return None
    words: list[str] = []
    for kind in _named(recipe, plan, catalog):
        words += _kind_flags(recipe, kind, catalog)
    fields = [(s.name, f) for s in (plan.dataset, *plan.steps) for f in type(s).model_fields]
    for kind in SWEPT:
        for part in recipe.parts.get(kind, ()):
            step = catalog.load(kind, part.name)
            for name, value in part.options.items():
                short = fields.count((step.name, name)) == 1
                prefix = step.name if short else f"{flag_of(kind)}.{step.name}"
                flag = _option(prefix, name, value, step)
                if flag is None:
                    return None
                words += flag
    settings = {"seed": 0, "rounds": 3, "least_quality": 0.0, "tile": 0, "overlap": None}
    for name, default in settings.items():
        value = getattr(recipe, name)
        words += [f"--{name.replace('_', '-')}", f"{value:g}"] if value != default else []
    if any("," in name for name in recipe.classes):
        return None
    return [*words, *(["--classes", ",".join(recipe.classes)] if recipe.classes else [])]


def _named(recipe: Recipe, plan: Plan, catalog: Catalog) -> list[str]:
    """The kinds that have to be named, for the defaults of the others make the same plan."""
    keys = [step.key() for step in plan.steps if step.kind in SWEPT]
    parts = {kind: some for kind, some in recipe.parts.items() if kind in SWEPT}
    dataset = (Part(plan.dataset.name, step=plan.dataset),)
    whole = {**parts, "dataset": dataset, "metric": (), "writer": ()}
    named = [*parts]
    for kind in (*SWEPT[::-1], *SWEPT[::-1]):  # what a kind's default is depends on others'
        if kind not in named:
            continue
        left = {k: v for k, v in whole.items() if k not in SWEPT or (k in named and k != kind)}
        # Options of what is not named are flags all the same.
        tried = Recipe(left)
        try:
            for other in SWEPT:
                for part in parts.get(other, ()) if other not in left else ():
                    if tried.defaults(other) and part.options:
                        tried = tried.with_options(other, part.name, part.options)
            tried = replace(tried, rounds=recipe.rounds, least_quality=recipe.least_quality)
            built = tried.build(catalog).steps
        except SegkitError:
            continue
        if [step.key() for step in built if step.kind in SWEPT] == keys:
            named.remove(kind)
    return [kind for kind in SWEPT if kind in named]


def _kind_flags(recipe: Recipe, kind: str, catalog: Catalog) -> list[str]:
    groups: list[list[str]] = []
    for part in recipe.parts[kind]:
        if part.merge and groups:
            groups[-1].append(part.name)
        else:
            groups.append([part.name])
    values = ["+".join(group) for group in groups] or ["none"]
    return [word for value in values for word in (f"--{flag_of(kind)}", value)]


def _option(prefix: str, name: str, value: Any, step: type[Step]) -> list[str] | None:
    """An option as a flag; None where none says it."""
    flag = name.replace("_", "-")
    if value is None or isinstance(value, dict):
        return None
    if step.model_fields[name].annotation is bool:
        return [f"--{prefix}.{flag if value else f'no-{flag}'}"]
    if isinstance(value, (tuple, list)):
        plain = value and not any(isinstance(item, (tuple, list, dict)) for item in value)
        return [w for item in value for w in (f"--{prefix}.{flag}", str(item))] if plain else None
    return [f"--{prefix}.{flag}", str(value)]
