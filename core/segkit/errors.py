"""What can go wrong, each as one sentence: what was asked, what was found, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


class SegkitError(Exception):
    """An error that is already a full sentence, so it needs no stack trace.

    The command line prints its text and nothing else (`--debug` adds the trace).
    """


class UsageError(SegkitError):
    """The command, recipe or plan cannot work as asked; nothing has been run (exit code 2)."""


class PlanError(UsageError):
    """Steps that work each, but not together. `unread` is the value that nobody reads, if any."""

    def __init__(self, text: str, unread: str | None = None) -> None:
        super().__init__(text)
        self.unread = unread


class BadValueError(SegkitError, ValueError):
    """A value that flows between steps has the wrong shape, dtype or range."""


class TooLargeError(SegkitError):
    """What is asked of one image does not fit into the memory; nothing of it has been taken yet."""


class BadImageError(SegkitError):
    """One image or mask file cannot be used; a run goes on with the others.

    `cause` sorts it for `segkit describe`: `unreadable`; `size`, where image and truth differ in
    it; `no truth`; `ids`, where the truth holds a class id that it may not.
    """

    def __init__(self, text: str, cause: str = "unreadable") -> None:
        super().__init__(text)
        self.cause = cause


class PluginError(SegkitError):
    """A plugin cannot be loaded, breaks its contract, or raised while working."""


class MissingExtraError(PluginError):
    """A step needs a library that the base install leaves out; the text has the install line."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {library}, which is not installed; run: pip install 'segkit[{extra}]'"
        )


def shortened(path: object) -> str:
    """A path as a sentence shows it: of a very long one the beginning and the end."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"


def did_you_mean(
    word: str,
    known: Iterable[str],
    otherwise: str,
    *,
    shown: str = "'{}'",
    cutoff: float = 0.6,
) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or `otherwise`.

    Of a mapping the keys are known, and the value is what is shown, in the form `shown`. `cutoff`:
    how alike the words have to be, from 0 to 1.
    """
    from difflib import get_close_matches

    nearest = get_close_matches(word, list(known), 1, cutoff)
    if not nearest:
        return otherwise
    meant = known[nearest[0]] if isinstance(known, Mapping) else nearest[0]
    return f"did you mean {shown.format(meant)}?"


_OBEYED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")
"""What terminals and pages obey: escape sequences, carriage returns, turns of direction."""


def visible(text: str) -> str:
    r"""Text with what a terminal would obey shown as Python writes it: `\x1b`.

    Names of files, classes and plugins may be anybody's. Tabs and newlines stay.
    """
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# ---- what a plugin's code raises ---------------------------------------------------------------


class PluginExitError(Exception):
    """In place of what a plugin raises that is no `Exception`, which is its cause.

    `sys.exit` does so, and so do panics of compiled libraries and cancelled tasks. Let through,
    they would end a run as if all were done.
    """


@contextmanager
def plugin_code() -> Iterator[None]:
    """Every call into a plugin's code stands in this, or in `segkit.plugins.contract.blamed`.

    Raises what the code raises if it is an `Exception` or Ctrl-C, else `PluginExitError`.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginExitError(error_line(error)) from error


def error_line(error: BaseException) -> str:
    """What was raised, in one line: `KeyError: 'lost'`; for a `PluginExitError` its cause."""
    try:
        with plugin_code():
            lines = str(error).strip().splitlines()
    except Exception:  # the text of a plugin's own error can fail as well
        lines = []
    if isinstance(error, PluginExitError):
        return lines[0]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
