"""`segkit train`: a segmenter's network on data sets with truth."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.completion import PluginName
from segkit.cli.main import make_catalog
from segkit.cli.options import (
    Chosen,
    GrowingCommand,
    flag,
    given_to,
    plugin_options,
)
from segkit.cli.signals import stop_code, tell_stopped
from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.plugins.catalog import Catalog
    from segkit.plugins.steps import Step


def command() -> click.Command:
    """The command."""
    option = click.Option
    return TrainCommand(
        "train",
        callback=_train,
        help="Train a segmenter on data with truth, such as unet. FILE.safetensors gets the "
        "weights of the best epoch; beside it come its curves (.csv, .png, .svg), a card (.md) "
        "and a recipe (.toml).\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit train unet --dataset shapes --train.size 64 -o net.safetensors\n"
        "  segkit train unet --dataset pets --pets.root D -o net.safetensors\n"
        "  segkit run --recipe net.toml photo.jpg\n"
        "  segkit train unet --dataset pets --help      (with their options)\n",
        params=[
            click.Argument(["segmenter"], type=PluginName("segmenter"), metavar="SEGMENTER"),
            option(
                ["--dataset"],
                type=PluginName("dataset"),
                multiple=True,
                metavar="NAME",
                help="What to learn from; repeats, and classes of one name are one.",
            ),
            option(["-o", "--output"], metavar="FILE", help="The weights, FILE.safetensors."),
            option(["--device"], default="auto", metavar="NAME", help="auto, cpu, cuda or mps."),
            option(["--seed"], type=click.IntRange(0), default=0, metavar="N", help="[0]"),
            option(["--resume"], is_flag=True, help="Go on with a training that was cut off."),
            option(["--overwrite"], is_flag=True, help="Replace weights that are there."),
            option(["--plugin"], multiple=True, metavar="FILE", help="Use a file's plugins."),
            option(["--only"], multiple=True, metavar="NAME", help="As for segkit run."),
            option(["--quiet"], is_flag=True, help="Print nothing but errors."),
            option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
        ],
    )


class TrainCommand(GrowingCommand):
    """A command whose options grow with the segmenter and the data sets."""

    def grow(self, ctx: click.Context, args: list[str]) -> None:
        """Add the options; leave catalog and chosen plugins in `ctx.obj`."""
        probe = click.Command(
            "probe",
            # Values of options that are not known yet look like arguments here.
            params=[*self.params[1:], click.Argument(["words"], nargs=-1)],
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        first = probe.make_context("probe", list(args), resilient_parsing=True).params
        catalog = make_catalog(first.get("plugin") or (), first.get("only") or ())
        words = [word for word in first.get("words") or () if not word.startswith("-")]
        names = {n for e in catalog.entries("segmenter") for n in (e.name, e.full_name)}
        segmenter = next((word for word in words if word in names), *words[:1] or (None,))
        chosen = _chosen(catalog, segmenter, first.get("dataset") or ())
        added, self.sections = plugin_options([c for c in chosen if c.kind != "train"])
        settings = chosen[-1]
        own = [
            flag(settings.step, field, "train", settings.target(field, "short"))
            for field in settings.step.model_fields
        ]
        self.sections = {"Training": own, **self.sections}
        self.params = [*self.params, *own, *added]
        ctx.obj = (catalog, chosen)


def _chosen(catalog: Catalog, segmenter: str | None, datasets: Sequence[str]) -> list[Chosen]:
    """The segmenter, the data sets, and the settings last."""
    from segkit.training.choosing import trainable
    from segkit.training.settings import Settings

    chosen = []
    if segmenter:
        chosen.append(Chosen("segmenter", *_named(trainable(catalog, segmenter))))
    for name in datasets:
        dataset = catalog.load("dataset", name)
        if any(c.kind == "dataset" and c.name == dataset.name for c in chosen):
            raise UsageError(
                f"--dataset {name} is given twice; put its images into one, or leave one out"
            )
        chosen.append(Chosen("dataset", *_named(dataset)))
    settings: Any = Settings
    return [*chosen, Chosen("train", "train", settings)]


def _named(step: type[Step]) -> tuple[str, type[Step]]:
    return step.name, step


@click.pass_context
def _train(ctx: click.Context, /, segmenter: str, **params: Any) -> int:
    from segkit.running.recipe import make_step
    from segkit.training.choosing import check_untrained, make_settings

    catalog, chosen = ctx.obj
    if not params["output"]:
        raise UsageError("segkit train needs a file to write; add -o FILE.safetensors")
    if not params["dataset"]:
        raise UsageError("segkit train needs data with truth; add --dataset, such as shapes")
    steps: list[Any] = [
        make_step(catalog, c.kind, name, given_to(c, params))
        for c, name in zip(chosen, (segmenter, *params["dataset"]), strict=False)
    ]
    network, *datasets = steps
    check_untrained(network)  # first: training itself takes long to import
    settings = make_settings(given_to(chosen[-1], params))

    from segkit.cli.train_screen import Screen
    from segkit.running.options import device_named
    from segkit.training.loop import train

    path = Path(params["output"])
    screen = Screen(quiet=params["quiet"])
    try:
        outcome = train(
            network,
            datasets,
            path,
            settings,
            seed=params["seed"],
            device=device_named(params["device"]),
            resume=params["resume"],
            overwrite=params["overwrite"],
            command=shlex.join(["segkit", *sys.argv[1:]]),
            watch=screen,
        )
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be gone
            screen.stop()
        kept = path.with_suffix(".ckpt").exists()
        tell_stopped("; whole epochs are kept: go on with --resume" * kept)
        raise click.exceptions.Exit(stop_code(error)) from None
    finally:
        with suppress(OSError):
            screen.stop()
    screen.summary(outcome)
    return 1 if outcome.pool.skipped else 0
