"""`segkit install`: packages of plugins, into the Python that runs segkit."""

from __future__ import annotations

import click

from segkit.cli.terminal import echo
from segkit.kinds import flag_of


def command() -> click.Command:
    """The command."""
    return click.Command(
        "install",
        callback=_install,
        help="Install packages of plugins into the Python that runs segkit, by pip or, without it, "
        "by uv, and name the plugins that they bring.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit install segkit-warm-centre\n"
        "  segkit install -U segkit-warm-centre 'segkit-other>=2'\n"
        "  segkit install dist/segkit_warm_centre-0.1.0-py3-none-any.whl\n"
        "  segkit install -e .\n",
        params=[
            click.Argument(["names"], nargs=-1, metavar="[NAME|WHEEL|FOLDER|ADDRESS]..."),
            click.Option(["-U", "--upgrade"], is_flag=True, help="Newer versions of what is here."),
            click.Option(
                ["-e", "--editable"],
                multiple=True,
                metavar="FOLDER",
                help="A package that is being written: its files stay in their folder.",
            ),
            click.Option(
                ["--index-url"], metavar="URL", help="An index in place of the usual one."
            ),
            click.Option(["-v", "--verbose"], is_flag=True, help="Show all that pip says."),
        ],
    )


def _install(
    names: tuple[str, ...],
    upgrade: bool,
    editable: tuple[str, ...],
    index_url: str | None,
    verbose: bool,
) -> None:
    import importlib

    from segkit.tools.installing import install, packages_with_plugins

    before = packages_with_plugins()
    install(names, editable=editable, upgrade=upgrade, index=index_url, verbose=verbose)
    importlib.invalidate_caches()
    new = {name: p for name, p in packages_with_plugins().items() if p != before.get(name)}
    for name, plugins in new.items():
        flags = ", ".join(f"--{flag_of(kind)} {plugin}" for kind, plugin in plugins)
        echo(f"{name} brings {flags}")
        echo(f"Does it work:  segkit list-plugins --check --only {name}")
    if not new:
        echo("No plugin is new; what there is: segkit list-plugins")
