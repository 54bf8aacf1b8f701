"""A third party's prompter for the tests of the playground, as a single file holds it."""

PLUGIN = '''"""A prompter that asks for the middle."""

import time
from typing import Annotated, Literal

from pydantic import Field

from segkit import Image, Prompt, Prompter, Prompts, hookimpl


class Middle(Prompter):
    """The middle of the image, moved to the right; raises where it is told to."""

    name = "middle"

    shift: Annotated[float, Field(ge=-0.4, le=0.4)] = 0.0
    """How far to the right, as a share of the width."""
    mood: Literal["calm", "angry", "slow"] = "calm"
    """angry: it raises. slow: it takes three seconds."""

    def __call__(self, image: Image) -> Prompts:
        if self.mood == "angry":
            raise RuntimeError("not <b>today</b>")
        if self.mood == "slow":
            time.sleep(3)
        height, width = image.size
        return Prompts((Prompt(points=[(width * (0.5 + self.shift), height / 2)]),))


@hookimpl
def segkit_prompters():
    return [Middle]
'''
