"""What recipe.toml in a run's folder records, and whether two runs are of one recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segkit.kinds import BUNDLED, IN_RECIPES, KINDS, flag_of
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.steps import Step
from segkit.running.pins import file_hash, recorded_pins
from segkit.running.plan import Plan
from segkit.running.recipe import Recipe
from segkit.running.tiles import Tiles


def recorded(
    plan: Plan,
    *,
    catalog: Catalog | None = None,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """A plan as the content of recipe.toml: every option, versions, weight hashes, plugins.

    It can be read back by `Recipe.from_dict`. `catalog` tells where plugins came from.
    """
    steps = (plan.dataset, *plan.steps)
    record = {
        "segkit": version_of("segkit"),
        "torch": version_of("torch"),
        "numpy": version_of("numpy"),
        **recorded_pins(steps, shipped=True),
        **_plugins(steps, catalog),
    }
    return {**written_out(plan, catalog=catalog, seed=seed, classes=classes), "record": record}


def written_out(
    plan: Plan,
    *,
    catalog: Catalog | None = None,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """A plan as the content of a recipe file, every default written out."""
    run = {"seed": seed, "rounds": plan.rounds, "classes": list(classes)}
    if plan.least_quality:
        run["least_quality"] = plan.least_quality
    if plan.tiles:
        run |= {"tile": plan.tiles.side, "overlap": plan.tiles.overlap}
    content: dict[str, Any] = {"run": run}
    for kind in IN_RECIPES:
        content[kind] = []
    content["dataset"] = [_table(plan.dataset, catalog)]
    for step in plan.steps:
        if step.kind != "prompt":
            content[step.kind].append(_table(step, catalog))
    for group in plan.prompters:
        for index, step in enumerate(group):
            merge = {"merge": True} if index else {}
            content["prompt"].append(_table(step, catalog) | merge)
    return content


def _plugins(steps: Iterable[Step], catalog: Catalog | None) -> dict[str, list[dict[str, str]]]:
    """Every plugin that takes part, observers too, and the distributions that they came from.

    A single file (`--plugin FILE`) has its hash in place of a version.
    """
    rows: dict[Any, dict[str, str]] = {}
    entries = list(catalog.watching) if catalog else []
    for step in steps:
        entry = catalog.origin(type(step)) if catalog else None
        entries += [entry] if entry else []
        rows[step.kind, step.name] = {
            "kind": step.kind,
            "name": step.name,
            "distribution": entry.distribution if entry else type(step).__module__,
            "version": entry.version if entry else "",
        }
    sources = {}
    for entry in entries:
        plugin = {"kind": entry.kind, "name": entry.name}
        source = {"distribution": entry.distribution, "version": entry.version}
        rows.setdefault((entry.kind, entry.name), plugin | source)
        if entry.package is None:
            source["sha256"] = file_hash(Path(entry.target))
        sources[entry.source] = source | {"where": entry.where}
    return {"plugins": list(rows.values()), "distributions": list(sources.values())}


def _table(step: Step, catalog: Catalog | None) -> dict[str, Any]:
    import tomli_w

    with blamed(step, "has options that cannot be written down:"):
        options = step.model_dump(mode="json", exclude_none=True)
        table = {"name": name_of(step, catalog), **options}
        tomli_w.dumps(table)  # told now, not when the run's folder is made
        return table


def name_of(step: Step, catalog: Catalog | None) -> str:
    """The name by which a recipe finds the step's plugin again."""
    entry = catalog.origin(type(step)) if catalog else None
    if entry and (entry.distribution != BUNDLED or entry.status == "shadowed"):
        return entry.full_name  # the short one means another plugin
    return step.name


def to_toml(content: Mapping[str, Any]) -> str:
    """What `recorded` made, as text, with a `[[kind]]` for each step."""
    import tomli_w

    steps = {key: value for key, value in content.items() if isinstance(value, list)}
    tables = {key: value for key, value in content.items() if not isinstance(value, list)}
    record = {"record": tables.pop("record")} if "record" in tables else {}
    # Empty arrays first: in TOML what follows a table belongs to it.
    pieces = [tomli_w.dumps({kind: [] for kind, several in steps.items() if not several})]
    pieces.append(tomli_w.dumps(tables))
    for kind, several in steps.items():
        pieces += [f"[[{kind}]]\n{tomli_w.dumps(table)}" for table in several]
    pieces.append(tomli_w.dumps(record))
    return "\n".join(piece for piece in pieces if piece)


def version_of(distribution: str) -> str:
    """The version of a distribution, or `not installed`."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def comparable(recipe: Recipe) -> dict[str, Any]:
    """A recipe flattened to `topk.k` → value, to find what differs."""
    flat: dict[str, Any] = {"seed": recipe.seed, "rounds": recipe.rounds}
    flat["classes"] = list(recipe.classes)
    flat["least_quality"] = recipe.least_quality
    tiles = Tiles.of(recipe.tile, recipe.overlap)
    flat["tile"] = f"{tiles.side}, overlap {tiles.overlap}" if tiles else 0
    for kind, parts in recipe.parts.items():
        flat[kind] = [f"+{p.name}" if p.merge else p.name for p in parts]
        for index, part in enumerate(parts):
            place = part.name if len(parts) == 1 else f"{part.name}[{index}]"
            flat |= {f"{place}.{option}": value for option, value in part.options.items()}
    return {key: _written(value) for key, value in flat.items()}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str] | None:
    """What two flattened recipes differ in: it with the first's value, and the other's; None: not.

    Steps come before their options, which differ because of them: `--prompt topk`, `maxmin`.
    """
    for key in sorted(before.keys() | now.keys(), key=lambda key: (key not in KINDS, key)):
        first, second = before.get(key), now.get(key)
        if first != second and key in KINDS:
            return f"--{flag_of(key)} {_step_names(first)}", _step_names(second)
        if first != second:
            return f"{key} = {first!r}", repr(second)
    return None


def _step_names(names: Sequence[str] | None) -> str:
    """As a flag has them: those behind a plus make one prompt together with what is before."""
    return ",".join(names or ["none"]).replace(",+", "+")


def without_joined(recipe: Recipe, earlier: Recipe) -> Recipe:
    """The recipe without the default writers that an earlier one has not, though it has writers.

    A segkit before 0.2 wrote what `--write` named in place of them; such a run may go on.
    """
    had = {part.name for part in earlier.parts.get("writer", ())}
    joined = {*KINDS["writer"].defaults} - had if had else set()
    writers = tuple(p for p in recipe.parts.get("writer", ()) if p.name not in joined)
    return replace(recipe, parts={**recipe.parts, "writer": writers})


def _written(value: Any) -> Any:
    """A value as the file holds it, which has no bytes that are no text."""
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
