"""A recipe in words: its steps in a row, and each step's options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit.kinds import IN_RECIPES
from segkit.running.plan import ENDS
from segkit.running.recipe import Part, Recipe


def recipe_in_words(recipe: Recipe) -> str:
    """The steps from image to labels: `shapes → gradcam → topk → sam → score → paint`."""
    return " → ".join(_joined(parts) for _, parts in _spine(recipe))


def steps_of(recipe: Recipe) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Kind, name and options of each step on the way; options that are empty are left out."""
    steps = []
    for kind, parts in _spine(recipe):
        for part in parts:
            given = {o: v for o, v in part.options.items() if v not in ("", [])}
            options = [(o.replace("_", "-"), _shown(v)) for o, v in given.items()]
            steps.append((kind, part.name, options))
    return steps


def _spine(recipe: Recipe) -> list[tuple[str, Sequence[Part]]]:
    return [(k, recipe.parts[k]) for k in IN_RECIPES if k not in ENDS and recipe.parts.get(k)]


def _joined(parts: Sequence[Part]) -> str:
    """Names in a row; prompters that make one prompt together are joined by +."""
    text = parts[0].name
    for part in parts[1:]:
        text += f" + {part.name}" if part.merge else f", {part.name}"
    return text


def _shown(value: Any) -> str:
    """An option's value in little room."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(_shown(v) for v in value[:3])
        return f"{text}, … ({len(value)})" if len(value) > 3 else text
    return str(value)
