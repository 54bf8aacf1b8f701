"""The public face of segkit as text: python tests/contracts/public_names.py --write."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType

import segkit
from segkit.kinds import KINDS
from segkit.plugins import hookspecs
from segkit.plugins.steps import INTERFACES
from segkit_plugins import saliency

FILE = Path(__file__).with_suffix(".txt")


def public_names() -> str:
    """Versions, hooks, kinds and public names with their signatures, one a line."""
    parts = {
        "plugin API": [f"{hookspecs.OLDEST_API} to {hookspecs.API_VERSION}"],
        "hooks": hooks(),
        "kinds": [line for kind in KINDS for line in kind_lines(kind)],
        "names": [line for name in segkit.__all__ for line in name_lines(segkit, name)],
        "names of segkit_plugins.saliency": [
            line for name in saliency.__all__ for line in name_lines(saliency, name)
        ],
    }
    return "\n".join(f"# {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts.items())


def hooks() -> list[str]:
    """Each hook with its arguments."""
    found = {n: f for n, f in vars(hookspecs).items() if n.startswith("segkit_")}
    return [f"{name}{signature(function)}" for name, function in found.items()]


def kind_lines(kind: str) -> Iterator[str]:
    """What plugins of a kind may ask for and give back, and what the kind itself has."""
    cls = INTERFACES[kind]
    yield f"{kind}: group segkit.{kind}, hook {KINDS[kind].hook}"
    yield f"  {cls.work}({', '.join(cls.takes)}) -> {' or '.join(map(shown, cls.gives)) or 'any'}"
    for method, takes in cls.extras.items():
        yield f"  {method}({', '.join(takes)}), if it has one"
    yield from members(cls)


def name_lines(module: ModuleType, name: str) -> Iterator[str]:
    """A public name: its signature, or its value; a class with what it adds to its base."""
    thing = getattr(module, name)
    if name in {cls.__name__ for cls in INTERFACES.values()}:
        yield f"{name}: see kind {thing.kind}"
    elif inspect.isclass(thing):
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        yield f"class {name}({bases})"
        # A pydantic model is made by its options, and its own `__init__` takes anything.
        if "__init__" in vars(thing):
            yield f"  __init__{signature(thing.__init__)}"
        yield from members(thing)
    elif inspect.isroutine(thing):
        yield f"{name}{signature(thing)}"
    elif isinstance(thing, (int, str)):
        yield f"{name} = {thing!r}"
    else:
        yield f"{name}: {shown(thing) if typing.get_origin(thing) else type(thing).__name__}"


def members(cls: type) -> Iterator[str]:
    """The public attributes and methods that a class itself defines, in order of their names.

    Those of its bases that have no public name are its own.
    """
    unnamed = [b for b in cls.__bases__ if b.__module__.startswith("segkit.") and not named(b)]
    parts = [vars(part) for part in (*unnamed, cls)]
    annotated = {n: str(a) for part in parts for n, a in part.get("__annotations__", {}).items()}
    defined = {name for part in parts for name in part}
    own = {n for n in (*defined, *annotated) if not n.startswith(("_", "model_"))}
    own |= {"__call__", "__getitem__", "__len__", "__iter__"} & defined
    if cls in INTERFACES.values():  # told above
        own -= {"kind", "takes", "gives", "extras"}
    for name in sorted(own):
        thing = inspect.getattr_static(cls, name, None)
        function = getattr(thing, "__func__", thing)
        if isinstance(thing, (property, cached_property)):
            getter = thing.fget if isinstance(thing, property) else thing.func
            yield f"  {name} -> {inspect.signature(getter).return_annotation}"
        elif inspect.isfunction(function):
            yield f"  {name}{signature(function)}"
        elif name in annotated:
            yield f"  {name}: {annotated[name]}"


def named(cls: type) -> bool:
    """Whether a class has a public name."""
    return cls.__name__ in segkit.__all__


def signature(function: Callable[..., object]) -> str:
    """As it is written: our annotations are strings, which not every Python puts in quotes."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))


def shown(kind: object) -> str:
    """A type as one would write it."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    for module in (
        "segkit.values.types.",
        "segkit.values.masks.",
        "pathlib.",
        "collections.abc.",
        "typing.",
    ):
        kind = str(kind).replace(module, "")
    return str(kind)


if __name__ == "__main__":
    if "--write" in sys.argv:
        FILE.write_text(public_names())
    else:
        print(public_names(), end="")
