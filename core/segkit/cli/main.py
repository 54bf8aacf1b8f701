"""The `segkit` command: finds the subcommand, and turns errors into one sentence."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.signals import stop_code, stoppable, tell_stopped
from segkit.cli.terminal import echo, sentence, warning_line
from segkit.errors import (
    PluginError,
    SegkitError,
    UsageError,
    did_you_mean,
    error_line,
    shortened,
)
from segkit.kinds import BUNDLED
from segkit.plugins.catalog import Catalog

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from segkit.plugins.entries import Entry

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
    "merge": ("merge", "Make one run of the runs of shards."),
    "score": ("score", "Work out figures of the masks that a run has kept."),
    "export": ("export", "Write a finished run's masks in another format."),
    "report": ("report", "Write the report page of a run or a sweep."),
    "new-plugin": ("new_plugin", "Make a package for a plugin of your own."),
    "install": ("install", "Install packages of plugins."),
    "uninstall": ("uninstall", "Uninstall packages of plugins."),
    "doctor": ("doctor", "Say whether this installation is sound, and what to do if not."),
}
"""Name to its module and its one-line help, so that `segkit --help` imports no command."""

COLLECTING = (20_000, 20, 50)
"""How rarely Python looks for garbage in circles: importing makes many objects, all of which stay,
and looking through them again and again is a tenth of the start."""


class _Lazy(click.Group):
    """A group that imports a command when it is called.

    Packages add commands (group `segkit.command`). Their metadata is read for a name that is none
    of segkit's own, and for the list of all.
    """

    @cached_property
    def added(self) -> dict[str, Entry]:
        """The commands of packages, by what they are called."""
        from segkit.cli.added import added_commands

        return added_commands(make_catalog(), COMMANDS)

    def summaries(self) -> dict[str, str]:
        """Every command's name and its one line; those that packages add come last."""
        own = {name: text for name, (_, text) in COMMANDS.items()}
        return own | {name: entry.summary for name, entry in self.added.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "list-plugins":  # the others import pydantic
            from segkit.plugins.packages import check_entry_points

            check_entry_points()
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"segkit.cli.{COMMANDS[cmd_name][0]}")
            command: click.Command = module.command()
            return command
        from segkit.cli.added import find_command

        entry = find_command(cmd_name, self.added)
        return None if entry is None else make_catalog().load_command(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        command = self.get_command(ctx, args[0])
        if command is None:
            known = self.list_commands(ctx)
            hint = did_you_mean(args[0], known, f"there is {', '.join(known)}")
            if Path(args[0]).exists():
                hint = f"to segment it: segkit run {args[0]}"
            raise UsageError(f"segkit has no command '{args[0]}'; {hint}")
        return args[0], command, args[1:]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            name = ctx.invoked_subcommand
            if name is None or name in COMMANDS:
                raise
            from segkit.cli.added import as_sentence, find_command

            entry = find_command(name, self.added)
            assert entry is not None  # it was called
            sentence = as_sentence(error, entry)
            if sentence is error:
                raise
            raise sentence from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so; none is imported for it."""
        from click.shell_completion import CompletionItem

        names = self.summaries().items()
        items = [CompletionItem(n, help=text) for n, text in names if n.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = {n for n, entry in self.added.items() if entry.distribution != BUNDLED}
        sections: dict[str, list[tuple[str, str]]] = {"Commands": []}
        for name, text in self.summaries().items():
            title = f"Commands of {self.added[name].source}" if name in others else "Commands"
            sections.setdefault(title, []).append((name, text))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        echo(f"segkit {version('segkit')}")
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
    gc.set_threshold(*COLLECTING)
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a pipe may lack a letter, of a file's name or a table's bar: print ? for it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    code = _run(args)
    gc.freeze()  # what is left ends with the process: Python need not look through all of it
    sys.exit(code)


def _run(args: list[str]) -> int:
    debug = "--debug" in args
    shown, warnings.formatwarning = warnings.formatwarning, warning_line
    try:
        with stoppable():
            result: Any = make_group().main(args, prog_name="segkit", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        echo(text.getvalue(), err=True, nl=False)
        return 2
    except SegkitError as error:
        _trace(debug)
        echo(f"Error: {sentence(error)}", err=True)
        return 2 if isinstance(error, (UsageError, PluginError)) else 1
    except (click.Abort, KeyboardInterrupt) as error:
        tell_stopped()
        return stop_code(error.__cause__ or error)  # click makes an Abort of it
    except SystemExit as stop:
        if "_SEGKIT_COMPLETE" in os.environ:
            raise  # so click ends when the shell asks which words there are
        _trace(debug)
        ending = f"a plugin or a library has ended segkit ({error_line(stop)})"
        echo(f"Error: {ending}; add --debug to see where", err=True)
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough of it, as in `segkit list-plugins | head -3`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UnicodeError, OSError, ValueError) as error:
        return _damage(error, debug)
    finally:
        warnings.formatwarning = shown
    return result if isinstance(result, int) else 0


def _damage(error: Exception, debug: bool) -> int:
    """Tell of a damaged package, where a library has failed at it, or of a file; else raise."""
    import traceback

    from segkit.plugins.packages import damaged, unreadable

    frames = traceback.extract_tb(error.__traceback__)
    at_metadata = any("metadata" in Path(frame.filename).parent.name for frame in frames[-8:])
    found = damaged() if at_metadata else None
    if found is not None:
        text = str(unreadable(*found))
    elif isinstance(error, OSError):
        text = f"{_of_file(error)}; mend that, or name another"
    else:
        raise error
    _trace(debug)
    with suppress(OSError):  # it may be the terminal that is gone
        echo(f"Error: {sentence(text)}", err=True)
    return 1


def _of_file(error: OSError) -> str:
    """What is wrong with a file or a folder that nothing else has told of."""
    where = f"'{shortened(error.filename)}'" if error.filename else "a file"
    return f"{where} cannot be used ({error.strerror or error_line(error)})"


def _trace(debug: bool) -> None:
    """Print the stack trace of the error at hand, if it was asked for."""
    if debug:
        import traceback

        traceback.print_exc()


if __name__ == "__main__":
    main()
