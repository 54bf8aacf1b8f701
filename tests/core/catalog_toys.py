"""Plugins that look installed, as source, and what is said of them."""

from __future__ import annotations

import re

import pytest

from segkit import Catalog, UsageError

GOOD = '''\
"""Prompt nothing at all."""

from segkit import Image, Prompter, Prompts, hookimpl


class Nothing(Prompter):
    """No prompt."""

    name = "nothing"

    def __call__(self, image: Image) -> Prompts:
        return Prompts()


@hookimpl
def segkit_prompters():
    return [Nothing]
'''


def sentence(info):
    """The error's text, after checking that it is one line."""
    text = str(info.value)
    assert "\n" not in text
    return text


def without_place(text):
    """A sentence without the file and line that it ends with; see test_places.py."""
    return re.sub(r" \([\w/]+\.py, line \d+\)$", "", text)


def refused(kind, name, catalog=None):
    """The sentence with which a name is refused."""
    with pytest.raises(UsageError) as info:
        (catalog or Catalog()).find(kind, name)
    return sentence(info)
