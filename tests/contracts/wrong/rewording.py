"""Judges prompts, and changes those that it admits."""

from __future__ import annotations

from dataclasses import replace

from segkit import Prompter, Prompts, hookimpl


class Rewording(Prompter):
    """Judges prompts, and changes those that it admits."""

    name = "rewording"

    companion = True

    def __call__(self) -> Prompts:
        return Prompts()

    def admit(self, prompts: Prompts) -> Prompts:
        return Prompts(tuple(replace(prompt, score=0.5) for prompt in prompts))


@hookimpl
def segkit_prompters():
    return [Rewording]
