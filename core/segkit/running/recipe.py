"""A recipe: which plugins with which options, as a TOML file or from the command line.

    [run]
    seed = 0

    [[saliency]]
    name = "gradcam"
    target = "top:3"

    [[prompt]]
    name = "topk"
    k = 3

One array of tables for each kind. A kind that is left out gets its default where something reads
what the default makes; an empty array (`transform = []`) means none. There is a default transform
only where saliency and prompters are left out too: it belongs to theirs. In `[[prompt]]`,
`merge = true` joins a prompter to the one before it: both make one prompt. Paths are relative to
the folder that segkit is started in. `[record]` is written by a run; of it only the hashes of
weight files are read, to which a run from it is held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segkit.errors import UsageError, did_you_mean
from segkit.kinds import (
    ASKING,
    BUNDLED,
    FILES_DATASET,
    IN_RECIPES,
    KINDS,
    MASK_WRITER,
    PICTURE_WRITER,
    SAMPLES_DATASET,
)
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import MADE, blamed, has_truth, made_again
from segkit.plugins.signatures import option_error
from segkit.plugins.steps import Metric, Prompter, Step
from segkit.running.pins import check_pins, hold, pinned
from segkit.running.plan import AFTER, Plan, asks, missing_input, plan
from segkit.values.reading import parsed_toml, read_text
from segkit.values.types import Masks

SETTINGS = ("seed", "rounds", "classes", "least_quality", "tile", "overlap")
"""What stands under `[run]`."""

LONGEST = 1 << 24
"""So many bytes may a recipe have."""


@dataclass(frozen=True)
class Part:
    """One step of a recipe, by name."""

    name: str
    """The plugin's name, or `distribution:name`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Option to value; strings from the command line are converted by the step."""
    merge: bool = False
    """Whether a prompter makes one prompt together with the one before it."""
    default: bool = False
    """Whether it was not chosen, but takes part as a default."""
    step: Step | None = None
    """The step itself, where it is at hand and needs no looking up."""
    from_file: frozenset[str] = frozenset()
    """The options whose values a recipe's file gives, which may be anybody's."""

    @property
    def fresh(self) -> Step | None:
        """A step of its own like the one at hand: two runs must not open and close the same."""
        return None if self.step is None else made_again(self.step)


@dataclass(frozen=True)
class Recipe:
    """What was asked for, before anything is imported."""

    parts: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """Kind to its steps; a kind that is absent gets its default, an empty one stays empty."""
    seed: int = 0
    rounds: int = 3
    least_quality: float = 0.0
    """Masks that a judge holds for worse are left out of labels and files; 0: none."""
    classes: tuple[str, ...] = ()
    """Class names for ids 1, 2, … in place of the data set's own; empty: the data set's."""
    pins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """STEP/MODEL to the SHA-256 that its weights must have, and the hub's revision, as `[record]`
    of a recipe's file says; a flag on a step frees its own."""
    trust_torchscript: bool = False
    """Whether files that `load` has found named may be programs, which can do all that you may."""
    tile: int = 0
    """The side of the tiles in which saliency methods and segmenters see large images; 0: none."""
    overlap: int | None = None
    """By how many pixels tiles overlap; None: an eighth of their side."""

    def defaults(self, kind: str) -> tuple[Part, ...]:
        """What takes part of this kind, where something reads it, if nothing of it is chosen."""
        if kind == "transform" and any(self._chosen(k) for k in ASKING):
            return ()
        return tuple(Part(name, default=True) for name in KINDS[kind].defaults)

    def _chosen(self, kind: str) -> bool:
        """Whether somebody said what of this kind takes part, or that nothing does."""
        return kind in self.parts and not any(part.default for part in self.parts[kind])

    def with_options(self, kind: str, name: str, given: Mapping[str, Any]) -> Recipe:
        """The same with these options of one plugin, which win over its own.

        An option of a plugin that may take part as a default names that plugin in the recipe.
        """
        parts = dict(self.parts)
        if kind not in parts:
            parts[kind] = (() if kind == "dataset" else self.defaults(kind)) or (Part(name),)
        parts[kind] = tuple(
            replace(p, options={**p.options, **given}, from_file=p.from_file - {*given})
            if _short(p.name) == name
            else p
            for p in parts[kind]
        )
        pins = {key: pin for key, pin in self.pins.items() if key.partition("/")[0] != name}
        return replace(self, parts=parts, pins=pins)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a TOML file; files that were moved along with it are found beside it.

        Raises `UsageError` if it is missing, not TOML or not a recipe.
        """
        content = read_toml(path)
        recipe = cls.from_dict(content, f"--recipe {path}")
        parts = {
            kind: tuple(
                replace(
                    part,
                    options=_moved(part.options, path.parent),
                    from_file=frozenset(part.options),
                )
                for part in some
            )
            for kind, some in recipe.parts.items()
        }
        return replace(recipe, parts=parts, pins=pinned(content.get("record")))

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], where: str = "the recipe") -> Recipe:
        """Make a recipe of what a TOML file holds. Raises `UsageError` for unknown keys."""
        known = {*IN_RECIPES, "run", "record"}
        for key in found:
            if key not in known:
                hint = did_you_mean(key, known, f"known: {', '.join(IN_RECIPES)}")
                raise UsageError(f"{where} has '{key}', which is no kind of step; {hint}")
        parts = {}
        for kind in IN_RECIPES:
            if kind in found:
                tables = found[kind]
                if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
                    raise UsageError(f"{where} should hold [[{kind}]] tables, but has {tables!r}")
                parts[kind] = tuple(_part(table, kind, where) for table in tables)
        settings = found.get("run", {})
        if not isinstance(settings, dict):
            raise UsageError(f"{where} should hold a table [run], but has run = {settings!r}")
        unknown = set(settings) - {*SETTINGS}
        if unknown:
            raise UsageError(
                f"{where} has '{sorted(unknown)[0]}' under [run]; known: {', '.join(SETTINGS)}"
            )
        check_settings(settings, where)
        return cls(
            parts,
            seed=settings.get("seed", 0),
            rounds=settings.get("rounds", 3),
            least_quality=float(settings.get("least_quality", 0.0)),
            tile=settings.get("tile", 0),
            overlap=settings.get("overlap"),
            classes=tuple(settings.get("classes", ())),
        )

    def build(self, catalog: Catalog, images: Sequence[str] = ()) -> Plan:
        """Import the plugins, fill in the defaults and check the plan.

        `images` are the files, folders and patterns named without a flag. Raises `UsageError` for
        options and plans that do not work, `PluginError` for plugins that do not.
        """
        held: list[Step] = []

        def made(part: Part, kind: str) -> Step:
            name = f"{BUNDLED}:{part.name}" if part.default else part.name
            step = part.fresh or make_step(catalog, kind, name, part.options)
            self._check_trusted(step, part)
            if part.step is None:
                hold(step, self.pins)
                held.append(step)
            return step

        def chosen(kind: str, otherwise: Callable[[], Iterable[Step]] = lambda: ()) -> list[Step]:
            if kind not in self.parts:
                return list(otherwise())
            return [made(part, kind) for part in self.parts[kind]]

        def default(kind: str, wanted: bool = True) -> list[Step]:
            return [made(part, kind) for part in self.defaults(kind)] if wanted else []

        dataset = self.dataset(catalog, images)
        segmenters = chosen("segmenter", lambda: default("segmenter"))
        makes_masks = any(type(s).output() is Masks for s in segmenters)
        metrics = chosen("metric")
        writers = chosen("writer")
        after = [s for k in AFTER for s in chosen(k, partial(default, k, makes_masks))]
        asking = [s for s in (*segmenters, *after) if type(s).output() is Masks]
        asking += [*metrics, *writers]
        asked = _wanted(asking, "prompts")
        prompters = chosen("prompt", lambda: default("prompt", asked))
        transforms = chosen("transform", lambda: default("transform", asked))
        readers = [*transforms, *prompters, *asking]
        saliency = chosen(
            "saliency", lambda: default("saliency", _wanted(readers, "heatmap", "heatmaps", "look"))
        )
        groups: list[list[Prompter]] = []
        parts = self.parts.get("prompt", self.defaults("prompt"))
        for part, step in zip(parts, prompters, strict=False):  # none where nothing is asked
            assert isinstance(step, Prompter)
            if part.merge and groups:
                groups[-1].append(step)
            else:
                groups.append([step])
        steps: list[Step | Sequence[Prompter]] = [
            *[dataset, *saliency, *transforms],
            *groups,
            *[*segmenters, *after, *metrics, *writers],
        ]
        settings = ("rounds", "least_quality", "tile", "overlap")
        finished = partial(plan, steps, **{name: getattr(self, name) for name in settings})
        built = finished(defaults=self._extras(catalog, finished()))
        for step in held:
            check_pins(step)
        return built

    def dataset(self, catalog: Catalog, images: Sequence[str] = ()) -> Step:
        """The data set; images named without a flag are paths of the data set `files`."""
        parts = self.parts.get("dataset", ())
        if len(parts) > 1:
            raise UsageError("--dataset takes one data set; choose one")
        part = parts[0] if parts else Part(FILES_DATASET if images else SAMPLES_DATASET)
        if part.step is not None:
            return part.step
        if images and part.name not in (FILES_DATASET, f"{BUNDLED}:{FILES_DATASET}"):
            part = Part(FILES_DATASET)  # a recipe's own data set gives way
        options = dict(part.options) | ({"paths": tuple(images)} if images else {})
        step = make_step(catalog, "dataset", part.name, options)
        self._check_trusted(step, part)
        return step

    def _check_trusted(self, step: Step, part: Part) -> None:
        """Refuse a program that a recipe's file names, unless its user trusts it."""
        with blamed(step, at="programs"):
            programs = {} if self.trust_torchscript or not part.from_file else step.programs()
        for option in sorted(part.from_file & {*programs}):
            raise UsageError(
                f"the recipe names {programs[option]} as --{step.name}.{option.replace('_', '-')}, "
                "which is a program (TorchScript) and could do all that you may; if you trust "
                "who made it, add --trust-torchscript (in Python trust_torchscript=True)"
            )

    def _extras(self, catalog: Catalog, built: Plan) -> list[Step]:
        """The metrics and writers that join in where none were chosen."""
        extras: list[Step] = []
        if "metric" not in self.parts and has_truth(built.dataset):
            extras += joining_metrics(catalog, built.made)
        # What a run is for, and what shows it: only `--write none` leaves them out.
        names = [MASK_WRITER, PICTURE_WRITER] if self.parts.get("writer", True) else []
        if "labels" not in built.made:
            names = [name for name in names if name != MASK_WRITER]
        names = [name for name in names if all(w.name != name for w in built.writers)]
        extras += [make_step(catalog, "writer", f"{BUNDLED}:{name}", {}) for name in names]
        return extras


def joining_metrics(catalog: Catalog, values: Collection[str]) -> list[Metric]:
    """The bundled metrics that take part where none is chosen.

    Those that need no other input than these `values`, by name.
    """
    metrics = []
    for entry in catalog.entries("metric"):
        if entry.distribution == BUNDLED:
            metric = make_step(catalog, "metric", entry.full_name, {})
            assert isinstance(metric, Metric)
            if metric.joins and missing_input(metric, frozenset(values)) is None:
                metrics.append(metric)
    return metrics


def with_run_settings(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe with these fields; where tiles are taken back, how they overlap is too."""
    whole = {"overlap": None} if given.get("tile") == 0 else {}
    return replace(recipe, **{**whole, **given})


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Raise `UsageError` for what can be no seed, rounds, tile, least quality or classes."""
    for key, least in (("seed", 0), ("rounds", 1), ("tile", 0), ("overlap", 0)):
        value = settings.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(
                f"{where}: {key} should be a whole number from {least}, but is {value!r}"
            )
    quality = settings.get("least_quality", 0.0)
    if not isinstance(quality, (int, float)) or isinstance(quality, bool) or not 0 <= quality <= 1:
        raise UsageError(
            f"{where}: least_quality should be a number from 0 to 1, but is {quality!r}"
        )
    classes = settings.get("classes", [])
    if not isinstance(classes, (list, tuple)) or not all(isinstance(c, str) for c in classes):
        raise UsageError(f"{where}: classes should be a list of names, but is {classes!r}")


def read_toml(path: Path) -> dict[str, Any]:
    """What a recipe file holds. Raises `UsageError` if it is missing or not TOML."""
    try:
        return parsed_toml(read_text(path, most=LONGEST))
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UsageError(f"--recipe {path} could not be read: {reason}") from None
    except ValueError as error:
        raise UsageError(f"--recipe {path} is not a TOML file: {error}") from None


def _short(name: str) -> str:
    """A plugin's name without its distribution."""
    return name.rpartition(":")[2]


def _moved(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options; an absolute path that is gone is that of the file of its name in `folder`."""

    def found(value: Any) -> Any:
        if not isinstance(value, str) or not Path(value).is_absolute() or Path(value).exists():
            return value
        beside = folder / Path(value).name
        return str(beside) if beside.is_file() else value

    return {key: found(value) for key, value in options.items()}


def _part(table: Mapping[str, Any], kind: str, where: str) -> Part:
    # Options are spelt as their flags are, or as in Python.
    options = {key.replace("-", "_"): value for key, value in table.items()}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f'{where} has a [[{kind}]] without a name; add name = "PLUGIN"')
    merge = bool(options.pop("merge", False)) if kind == "prompt" else False
    return Part(name, options, merge)


def _wanted(steps: Iterable[Step], *values: str) -> bool:
    """Whether one of the steps cannot do without one of these values."""
    return any(value in asks(step).required for step in steps for value in values)


def make_step(catalog: Catalog, kind: str, name: str, options: Mapping[str, Any]) -> Step:
    """One step with its options.

    Raises `UsageError` naming the option that does not fit, `PluginError` where its class cannot
    check or write down its options.
    """
    cls = catalog.load(kind, name)
    try:
        with blamed(cls, MADE, let=(ValidationError,)):
            step = cls.model_validate(dict(options))
            step.key()  # what cannot be written down is told now, not when it is
            return step
    except ValidationError as error:
        raise UsageError(option_error(cls, error)) from None
