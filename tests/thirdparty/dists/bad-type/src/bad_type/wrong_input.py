"""Prompt by masks, which no prompter gets."""

from segkit import Masks, Prompter, Prompts, hookimpl


class WrongInput(Prompter):
    """Asks for what comes only after it."""

    name = "wrong-input"

    def __call__(self, masks: Masks) -> Prompts:
        return Prompts()


@hookimpl
def segkit_prompters():
    return [WrongInput]
