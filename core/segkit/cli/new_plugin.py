"""`segkit new-plugin KIND NAME`: a complete distribution to start one's own plugin from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from segkit.cli.main import make_catalog
from segkit.cli.terminal import echo
from segkit.errors import UsageError, did_you_mean
from segkit.kinds import KINDS

if TYPE_CHECKING:
    from segkit.tools.plugin_file import PluginFile


def command() -> click.Command:
    """The command."""
    from segkit.tools.scaffold import LICENCES

    return click.Command(
        "new-plugin",
        callback=_new_plugin,
        help="Make a package for a plugin of your own: a worked example of its kind, tests, "
        "README, licence, and workflows that test and publish it. It installs, passes its tests "
        "and runs as it is; change it into what you want. With --from it is the package of a file "
        "that you have; with --into a package that is there gets one more plugin."
        f"\n\nKinds: {', '.join(KINDS)}.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit new-plugin prompt warm-centre\n"
        "  segkit new-plugin prompt warm-centre --from warm_centre.py\n"
        "  segkit new-plugin prompt cold-edge --into segkit-warm-centre\n",
        params=[
            click.Argument(["kind"], metavar="KIND"),
            click.Argument(["name"], metavar="NAME"),
            click.Option(
                ["--from", "file"],
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="A file with the plugin, as for --plugin: it becomes the module.",
            ),
            click.Option(
                ["--into"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="The folder of a package that is to have this plugin too.",
            ),
            click.Option(
                ["--package"], metavar="NAME", help="What pip calls the package. [segkit-NAME]"
            ),
            click.Option(
                ["-o", "--output"], metavar="DIR", help="Its folder. [the package's name]"
            ),
            click.Option(
                ["--author"],
                metavar="NAME",
                help="Whose it is: 'Ada Lovelace' or 'Ada Lovelace <ada@example.org>'. "
                "[git's user.name]",
            ),
            click.Option(
                ["--licence", "--license"],
                default=LICENCES[0],
                metavar="NAME",
                help=f"One of {', '.join(LICENCES)}. [{LICENCES[0]}]",
            ),
            click.Option(
                ["--repository"], metavar="URL", help="Where it will be, for pyproject.toml."
            ),
            click.Option(["--no-git"], is_flag=True, help="Do not run git init."),
        ],
    )


def _new_plugin(
    kind: str,
    name: str,
    file: Path | None,
    into: Path | None,
    package: str | None,
    output: str | None,
    author: str | None,
    licence: str,
    repository: str | None,
    no_git: bool,
) -> None:
    from datetime import date

    from segkit.tools import scaffold
    from segkit.tools.plugin_file import read_plugin_file
    from segkit.tools.repository import init_git

    kind = scaffold.kind_named(kind)
    name = scaffold.plugin_named(name)
    scaffold.check_name(kind, name, make_catalog())
    source = read_plugin_file(file, kind, name) if file else None
    if into is not None:
        _add(kind, name, source, into, package or output)
        return
    distribution = scaffold.package_named(package) if package else scaffold.distribution_of(name)
    folder = Path(output or distribution)
    owner = author if author is not None else _git_user() or f"the authors of {distribution}"
    files = scaffold.files(
        kind,
        name,
        owner,
        _licence(licence),
        date.today().year,
        package=distribution,
        repository=(repository or "").rstrip("/"),
        source=source,
    )
    scaffold.write(folder, files)
    if not no_git:
        init_git(folder)
    echo(f"{folder} holds the {kind} plugin '{name}', its tests and its package. Next:\n")
    for line in scaffold.commands(kind, name, folder):
        echo(f"  {line}")


def _add(kind: str, name: str, source: PluginFile | None, folder: Path, new: str | None) -> None:
    """Give a package that is there one more plugin."""
    from segkit.tools import scaffold
    from segkit.tools.joining import join

    if new is not None:
        raise UsageError(
            f"--into {folder} is a package that is there; -o and --package go with a new one"
        )
    joined = join(folder, kind, name, source)
    echo(f"{folder} has the {kind} plugin '{name}' now, in {joined.module}. Next:\n")
    for line in (*joined.by_hand, *scaffold.commands(kind, name, folder)):
        echo(f"  {line}")


def _licence(text: str) -> str:
    """The licence that is meant, in whatever case."""
    from segkit.tools.scaffold import LICENCES

    known = {name.lower(): name for name in LICENCES}
    if text.lower() in known:
        return known[text.lower()]
    hint = did_you_mean(text.lower(), known, f"there is {', '.join(LICENCES)}", cutoff=0.3)
    raise UsageError(f"--licence {text}: its text is not at hand; {hint}")


def _git_user() -> str:
    """The name that git signs commits with; empty where there is none."""
    from segkit.tools.repository import git

    name = git("config", "user.name") or ""
    return name if name.isprintable() else ""
