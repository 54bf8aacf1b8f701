"""Makes any number of third-party distributions, as pip leaves them when they are installed."""

from __future__ import annotations

from pathlib import Path

MODULE = '''\
"""Prompt {number}: the middle of the picture."""

from pydantic import PositiveInt

from segkit import Image, Prompt, Prompter, Prompts, hookimpl


class Middle{number}(Prompter):
    """The middle of the picture, as a foreground point."""

    name = "middle-{number}"

    times: PositiveInt = 1
    """How often."""

    def __call__(self, image: Image) -> Prompts:
        height, width = image.size
        middle = ((width - 1) / 2, (height - 1) / 2)
        return Prompts((Prompt(points=[middle] * self.times),))


@hookimpl
def segkit_prompters():
    return [Middle{number}]
'''

METADATA = """\
Metadata-Version: 2.4
Name: segkit-middle-{number}
Version: 1.{number}
Summary: A prompt strategy for segkit: the middle of the picture.
License-Expression: MIT
Requires-Python: >=3.10
Requires-Dist: segkit
Requires-Dist: numpy
Description-Content-Type: text/markdown

# segkit-middle-{number}

"""

ENTRY_POINTS = """\
[segkit.api]
v1 = segkit_middle_{number}

[segkit.prompt]
middle-{number} = segkit_middle_{number}
"""


def install(folder: Path, count: int) -> None:
    """Put `count` distributions with one prompter each into a folder."""
    for number in range(count):
        package = folder / f"segkit_middle_{number}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(MODULE.format(number=number))
        (package / "py.typed").touch()
        info = folder / f"segkit_middle_{number}-1.{number}.dist-info"
        info.mkdir()
        readme = "A paragraph of the long description, which nobody needs here.\n\n" * 60
        (info / "METADATA").write_text(METADATA.format(number=number) + readme)
        (info / "entry_points.txt").write_text(ENTRY_POINTS.format(number=number))
        (info / "WHEEL").write_text(
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        (info / "INSTALLER").write_text("pip\n")
        files = [*package.iterdir(), *info.iterdir(), info / "RECORD"]
        rows = [f"{file.relative_to(folder).as_posix()},,\n" for file in files]
        (info / "RECORD").write_text("".join(rows))
