"""Prompt with the wrong things."""

from typing import Literal

from segkit import Image, Prompt, Prompter, Prompts, hookimpl


class BadCall(Prompter):
    """Fails in the way that it is asked to."""

    name = "bad-call"

    how: Literal["raise", "open", "value", "type"] = "raise"
    """What goes wrong."""

    def open(self, device: str) -> None:
        if self.how == "open":
            raise ConnectionError("the licence server is away")

    def __call__(self, image: Image) -> Prompts:
        if self.how == "value":
            return Prompts((Prompt(points=[(float("nan"), 1)]),))
        if self.how == "type":
            return [(1, 1)]
        raise KeyError("lost")


@hookimpl
def segkit_prompters():
    return [BadCall]
