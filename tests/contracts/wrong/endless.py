"""Never content: it asks the same again and again."""

from __future__ import annotations

from segkit import Prompter, Prompts, hookimpl


class Endless(Prompter):
    """Never content: it asks the same again and again."""

    name = "endless"

    companion = True

    def __call__(self) -> Prompts:
        return Prompts()

    def refine(self, prompts: Prompts) -> Prompts | None:
        return prompts


@hookimpl
def segkit_prompters():
    return [Endless]
