"""`segkit run`: one recipe over images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.options import PlanCommand, completed, kind_options
from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.planner import Plan


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "run",
        callback=_run,
        help="Segment images without a click: files, folders or patterns; with none, the "
        "photographs that ship with scikit-image.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit run photo.jpg\n"
        "  segkit run photos/ --prompt centroid-grid --gradcam.target cat\n"
        "  segkit run --dataset shapes --gradcam.model shapes --transform idw\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(),
            *common_options(),
        ],
    )


def common_options() -> list[click.Option]:
    """The flags that every command which runs recipes takes."""
    option = click.Option
    return [
        option(["-o", "--output"], metavar="DIR", help="The run's folder. [segkit-out/TIME]"),
        option(["--recipe"], metavar="FILE", help="Read a recipe; flags win over it."),
        option(["--save"], metavar="FILE", help="Write the recipe, all defaults written out."),
        option(["--dry-run"], is_flag=True, help="Check the plan and print it; run nothing."),
        option(["--device"], default="auto", metavar="NAME", help="auto, cpu, cuda or mps. [auto]"),
        option(["--seed"], type=int, metavar="N", help="For all that is random. [0]"),
        option(
            ["--rounds"],
            type=click.IntRange(1),
            metavar="N",
            help="Rounds of segmentation, where a prompter takes a second look. [3]",
        ),
        option(
            ["--classes"], metavar="A,B", help="Class names for ids 1, 2 … instead of the data's."
        ),
        option(["--resume"], is_flag=True, help="Go on with a run that was cut off."),
        option(["--overwrite"], is_flag=True, help="Start again in a folder that has a run."),
        option(
            ["--plugin"], multiple=True, metavar="FILE", help="Use the plugins of a single file."
        ),
        option(
            ["--only"],
            multiple=True,
            metavar="NAME",
            help="Of plugins that are not segkit's, use only this package's or this one.",
        ),
        option(["--quiet"], is_flag=True, help="Print nothing but errors."),
        option(["--json", "as_json"], is_flag=True, help="Print the summary as JSON."),
        option(["--trace"], is_flag=True, help="Print each step's call, its result and time."),
        option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
    ]


@click.pass_context
def _run(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    from dataclasses import replace

    catalog, recipe, chosen = ctx.obj
    recipe = completed(recipe, chosen, params)
    settings: dict[str, Any] = {k: params[k] for k in ("seed", "rounds") if params[k] is not None}
    if params["classes"]:
        settings["classes"] = tuple(c.strip() for c in params["classes"].split(",") if c.strip())
    recipe = replace(recipe, **settings)
    if params["resume"] and params["overwrite"]:
        raise UsageError("--resume goes on and --overwrite starts again; choose one of them")
    plan = recipe.build(catalog, images)

    from segkit.recipe import recorded, to_toml

    if params["save"] or params["dry_run"]:
        found = recorded(plan, catalog=catalog, seed=recipe.seed, classes=recipe.classes)
        found.pop("record")
        text = to_toml(found)
        if params["save"]:
            _save(Path(params["save"]), text)
        if params["dry_run"]:
            click.echo(text, nl=False)
            return 0

    from segkit.cli.progress import Failures, Progress, Trace, print_summary
    from segkit.runner import run

    directory = Path(params["output"]) if params["output"] else _new_folder()
    device = _device(params["device"])
    observers: list[object] = [Failures(debug=params["debug"])]
    if params["trace"]:
        observers.append(Trace())
    if not params["quiet"] and not params["as_json"]:
        observers.append(Progress())
    observers += _third_party(catalog)
    try:
        summaries = run(
            {"run": plan},
            directory,
            seed=recipe.seed,
            device=device,
            classes=recipe.classes,
            resume=params["resume"],
            overwrite=params["overwrite"],
            catalog=catalog,
            observers=observers,
        )
    finally:
        for observer in observers:
            if isinstance(observer, Progress):
                observer.stop()
    summary = summaries["run"]
    page = _page(directory)
    if params["as_json"]:
        click.echo(json.dumps(summary, indent=2))
    elif not params["quiet"]:
        print_summary(summary, directory, page, in_words(plan))
    return 1 if summary["failed"] else 0


def in_words(plan: Plan) -> str:
    """A plan in one line: `files > gradcam > topk > sam > score > paint`."""
    groups = ["+".join(p.name for p in group) for group in plan.prompters]
    names = [
        plan.dataset.name,
        *((plan.saliency.name,) if plan.saliency else ()),
        *(t.name for t in plan.transforms),
        *([" & ".join(groups)] if groups else []),
        *(s.name for s in (plan.segmenter, plan.labeller, plan.selector, plan.fuser) if s),
    ]
    return " > ".join(names)


def _page(directory: Path) -> Path | None:
    """The report page; a run is worth more than its page, so a failure is only told."""
    from segkit.errors import SegkitError
    from segkit.report import write_report

    try:
        return write_report(directory)
    except (OSError, SegkitError) as error:
        click.echo(f"report.html could not be written: {error}", err=True)
        return None


def _third_party(catalog: Any) -> list[object]:
    """The installed observers; one that cannot be loaded is left out and named."""
    from segkit.errors import PluginError

    found: list[object] = []
    for entry in catalog.observers():
        try:
            found.append(catalog.import_entry(entry))
        except PluginError as error:
            click.echo(f"Warning: {error}; it does not watch this run", err=True)
    return found


def _save(path: Path, text: str) -> None:
    from segkit.record import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise UsageError(f"--save {path} cannot be written: {error.strerror or error}") from None


def _new_folder() -> Path:
    """segkit-out/TIME, with a number behind it if two runs start in one second."""
    import time

    first = Path("segkit-out", time.strftime("%Y-%m-%dT%H-%M-%S"))
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def _device(name: str) -> str:
    """The device to open steps on; `auto` is a GPU where there is one."""
    kind = name.partition(":")[0]
    if kind == "cpu":
        return name
    if kind not in ("auto", "cuda", "mps"):
        raise UsageError(f"--device should be auto, cpu, cuda or mps, but is '{name}'")
    import torch

    there: Mapping[str, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "auto":
        return next((k for k, found in there.items() if found), "cpu")
    if not there[kind]:
        raise UsageError(f"--device {name}: this machine has none that torch can use; try cpu")
    return name
