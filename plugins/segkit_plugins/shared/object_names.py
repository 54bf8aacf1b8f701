"""What the objects of masks are called: by the mask, else by its prompt, else not at all."""

from __future__ import annotations

from collections.abc import Mapping

from segkit import Masks, Prompts
from segkit_plugins.shared.name_tables import BACKGROUND_NAME

NAMELESS = "object"
"""The class of objects that have none."""


def only_objects(classes: Mapping[int, str] | None) -> bool:
    """Whether the data set knows one class, 'object'."""
    return set((classes or {}).values()) == {NAMELESS}


def object_names(
    masks: Masks, prompts: Prompts | None, classes: Mapping[int, str] | None
) -> list[str | None]:
    """The class of each mask's object: the mask's own name, else its prompt's, else None.

    Where the data set (`classes`) knows one class, 'object', all are that, but for background.
    """
    asked = [prompt.name for prompt in prompts or ()]
    names = [
        own or (asked[prompt] if prompt < len(asked) else None)
        for own, prompt in zip(masks.names, masks.prompt.tolist(), strict=True)
    ]
    if only_objects(classes):
        return [name if name == BACKGROUND_NAME else NAMELESS for name in names]
    return names
