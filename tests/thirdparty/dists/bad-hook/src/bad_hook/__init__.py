"""Prompt only while a licence server answers."""

from segkit import hookimpl


@hookimpl
def segkit_prompters():
    raise RuntimeError("the licence server is away\nask again tomorrow")
