"""Prompt with a library that nobody has."""

import no_such_library

from segkit import hookimpl


@hookimpl
def segkit_prompters():
    return [no_such_library.Prompter]
