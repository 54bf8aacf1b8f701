"""`segkit uninstall`: packages of plugins, out of the Python that runs segkit."""

from __future__ import annotations

import click


def command() -> click.Command:
    """The command."""
    return click.Command(
        "uninstall",
        callback=_uninstall,
        help="Uninstall packages of plugins.\n\nExample:  segkit uninstall segkit-warm-centre",
        params=[
            click.Argument(["names"], nargs=-1, required=True, metavar="NAME..."),
            click.Option(["-y", "--yes"], is_flag=True, help="Do not ask."),
        ],
    )


def _uninstall(names: tuple[str, ...], yes: bool) -> None:
    from segkit.tools.installing import check_removable, uninstall

    check_removable(names)
    if not yes:
        click.confirm(f"Uninstall {', '.join(names)}?", abort=True)
    uninstall(names)
