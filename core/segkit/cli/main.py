"""The `segkit` command: finds the subcommand, and turns errors into one sentence."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from segkit.cli.signals import stop_code, stoppable, tell_stopped
from segkit.deprecations import SegkitWarning
from segkit.errors import (
    PluginError,
    SegkitError,
    UsageError,
    did_you_mean,
    error_line,
    shortened,
)
from segkit.plugins.catalog import Catalog

COMMANDS = {
    "list-plugins": ("list_plugins", "Show the installed plugins."),
    "show": ("show", "Show one plugin: its options, what it reads and makes."),
    "run": ("run", "Segment images without a click."),
    "sweep": ("sweep", "Compare recipes on one data set, and say which is better."),
    "diagnose": ("diagnose", "Say where recipes lose their IoU."),
    "robustness": ("robustness", "Say what recipes bear: noise, blur, occlusion and more."),
    "describe": ("describe", "Say what a data set holds, and what is wrong with it."),
    "train": ("train", "Train a segmenter's network on your data."),
    "weights": ("weights", "List, fetch and verify weight files."),
    "score": ("score", "Work out figures of the masks that a run has kept."),
    "export": ("export", "Write a finished run's masks in another format."),
    "report": ("report", "Write the report page of a run or a sweep."),
    "new-plugin": ("new_plugin", "Make a package for a plugin of your own."),
    "install": ("install", "Install packages of plugins."),
    "uninstall": ("uninstall", "Uninstall packages of plugins."),
    "doctor": ("doctor", "Say whether this installation is sound, and what to do if not."),
}
"""Name to its module and its one-line help, so that `segkit --help` imports no command."""


class _Lazy(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"segkit.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], [*COMMANDS], f"there is {', '.join(COMMANDS)}")
            if Path(args[0]).exists():
                hint = f"to segment it: segkit run {args[0]}"
            raise UsageError(f"segkit has no command '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"segkit {version('segkit')}")
        ctx.exit()


def make_group() -> click.Group:
    """The top-level command."""
    return _Lazy(
        "segkit",
        help="Segmentation without user input: where a classifier looks becomes the clicks that "
        "SAM needs.\n\nStart with:  segkit run PHOTO",
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the version and exit.",
            )
        ],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def make_catalog(files: Sequence[str] = (), only: Sequence[str] = ()) -> Catalog:
    """The plugins that this command can use. `SEGKIT_PLUGINS=bundled` leaves others out."""
    asked = os.environ.get("SEGKIT_PLUGINS", "")
    if asked not in ("", "bundled"):
        raise UsageError(f"SEGKIT_PLUGINS should be 'bundled' or not be set, but is '{asked}'")
    return Catalog(not asked, tuple(Path(f) for f in files), tuple(only))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 wrong use."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a pipe may lack a letter, of a file's name or a table's bar: print ? for it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    sys.exit(_run(args))


def _run(args: list[str]) -> int:
    debug = "--debug" in args
    shown, warnings.formatwarning = warnings.formatwarning, _warning
    try:
        with stoppable():
            result: Any = make_group().main(args, prog_name="segkit", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except SegkitError as error:
        _trace(debug)
        click.echo(f"Error: {error}", err=True)
        return 2 if isinstance(error, (UsageError, PluginError)) else 1
    except (click.Abort, KeyboardInterrupt) as error:
        tell_stopped()
        return stop_code(error.__cause__ or error)  # click makes an Abort of it
    except SystemExit as stop:
        if "_SEGKIT_COMPLETE" in os.environ:
            raise  # so click ends when the shell asks which words there are
        _trace(debug)
        ending = f"a plugin or a library has ended segkit ({error_line(stop)})"
        click.echo(f"Error: {ending}; add --debug to see where", err=True)
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough of it, as in `segkit list-plugins | head -3`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _trace(debug)
        with suppress(OSError):  # it may be the terminal that is gone
            click.echo(f"Error: {_of_file(error)}; mend that, or name another", err=True)
        return 1
    finally:
        warnings.formatwarning = shown
    return result if isinstance(result, int) else 0


def _of_file(error: OSError) -> str:
    """What is wrong with a file or a folder that nothing else has told of."""
    where = f"'{shortened(error.filename)}'" if error.filename else "a file"
    return f"{where} cannot be used ({error.strerror or error_line(error)})"


def _trace(debug: bool) -> None:
    """Print the stack trace of the error at hand, if it was asked for."""
    if debug:
        import traceback

        traceback.print_exc()


def _warning(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
    """Warnings of segkit's own are sentences; others show where they come from."""
    if issubclass(category, SegkitWarning):
        return f"Warning: {message}\n"
    return _format(message, category, *where, **more)


_format = warnings.formatwarning


if __name__ == "__main__":
    main()
