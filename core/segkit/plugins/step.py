"""What every step is: options, inputs by name, opening and closing; the kinds are in `steps.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from segkit.errors import PluginError, UsageError, plugin_code
from segkit.plugins.signatures import Inputs, inputs_of, option_error, output_of

if TYPE_CHECKING:
    from segkit.plugins.weights import Weights


class Step(BaseModel):
    """One part of a plan. Subclass one of the kinds in `steps.py`, not this.

    Options are pydantic fields with a docstring each, which is their help; list options are
    tuples. Weights and other state live in private attributes that `open` sets and `close` drops.
    Heavy libraries (torch, cv2 …) are imported inside methods, never at module level.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )

    kind: ClassVar[str] = ""
    """The kind's name, as in `--KIND` and in the entry-point group `segkit.KIND`."""
    name: ClassVar[str] = ""
    """The plugin's name, equal to its entry point's: lower case, digits and hyphens."""
    work: ClassVar[str] = "__call__"
    """The method that does the work."""
    takes: ClassVar[tuple[str, ...]] = ()
    """The inputs that the kind's work method may name."""
    gives: ClassVar[tuple[Any, ...]] = ()
    """The return annotations that the kind's work method may have; empty: any."""
    extras: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The optional methods of the kind, with the inputs that each may name."""
    concurrent: ClassVar[bool] = False
    """Whether two steps of this class, each opened for itself, may work at once, in two threads.

    Say so where all that the work reads and changes is the step's own or its inputs: nothing of the
    module, no settings or generators of a library. A run on a CPU then works on several chunks of
    images at once. A class that does not say so is called by one thread at a time. A data set, of
    which there is one, says by it that several threads may ask for images at once.
    """
    came_from: ClassVar[str] = ""
    """The distribution and its version, or the single file; the catalog sets it."""
    _pins: Mapping[str, tuple[str, str]] = PrivateAttr(default_factory=dict)
    """What the recipe that it is of holds its weight files to; see `running.pins`."""

    def __init__(self, **options: Any) -> None:
        """Make a step of its options. Raises `UsageError` naming the first that does not fit."""
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise UsageError(option_error(type(self), error)) from None

    # As pydantic's own: `model_validate` does not go through it and raises `ValidationError`.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise UsageError(
                f"the options of {self.name or type(self).__name__} stay as they are; make another "
                f"step with {name}={value!r}"
            )
        super().__setattr__(name, value)

    def open(self, device: str) -> None:
        """Load what the work needs, once before a run. `device`: 'cpu', 'cuda', 'cuda:1', 'mps'."""

    def close(self) -> None:
        """Drop what `open` loaded, once after a run."""

    def restrict(self, names: Sequence[str]) -> None:
        """Find these classes alone, called as here; once, after `open`, where `--classes` asks.

        A step with a table, a vocabulary or a text tower overrides it. One that knows none of them
        stays as it is, or raises `UsageError` where its options say that it should know them.
        """

    @property
    def vocabulary(self) -> Sequence[str]:
        """The only classes that the open step can find, in the order of their ids.

        Empty where it is not limited to few. Without a data set's classes and `--classes` they
        are those of the run.
        """
        return ()

    @property
    def reads_truth(self) -> bool:
        """Whether, as its options are, it reads the image's truth, and so is told its classes.

        The figures of such a run do not compare with those of one that is not told. Here: whether
        its work asks for `truth` without a default.
        """
        return "truth" in type(self).inputs().required

    def check_early(self, classes: Mapping[int, str] | None) -> None:
        """Refuse, by `UsageError`, what can be seen before anything is loaded.

        `classes`: the run's {id: name}; None where they are known only once all steps are open. A
        step that looks for whatever the classes are called refuses here what it cannot look for,
        such as no class at all, so that nobody fetches a model for it.
        """

    def settle(self, classes: Mapping[int, str]) -> None:
        """The run's classes {id: name}, called once, after `open` and `restrict`, before any image.

        A step that looks for whatever the classes are called refuses here, by `UsageError`, what it
        cannot look for.
        """

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The outputs for several inputs, equal to those of single calls.

        Override it where a network is faster on many images at once; `inputs` holds one mapping
        of input name to value for each.
        """
        work = getattr(self, self.work)
        return [work(**given) for given in inputs]

    def weight_files(self) -> Mapping[str, Path]:
        """The files whose content decides the result, by a short name; a run notes their hashes."""
        return {}

    def programs(self) -> Mapping[str, Path]:
        """The files that are programs, by the options that name them: to load one is to run it.

        TorchScript is of that kind. Where a recipe's file names one, its user has to allow it.
        """
        return {}

    @classmethod
    def known_weights(cls) -> Sequence[Weights]:
        """The weight files that it can use, for `segkit weights`; see `segkit.Weights`."""
        return ()

    @classmethod
    def inputs(cls) -> Inputs:
        """What the work method asks for, read from its signature.

        Raises `PluginError` if there is no such method or it names what its kind cannot get.
        """
        return cls.inputs_of(cls.work)

    @classmethod
    def inputs_of(cls, method: str) -> Inputs:
        """What the method of this name asks for, likewise."""
        return inputs_of(cls, method, cls.takes if method == cls.work else cls.extras[method])

    @classmethod
    def output(cls) -> Any:
        """The work method's return annotation, checked against the kind's `gives`."""
        return output_of(cls, cls.work, cls.gives)

    def _fault(self, output: Any, given: Mapping[str, Any]) -> str | None:
        """What is wrong with an output of the right type, to stand behind the step's name."""
        return None

    def key(self) -> tuple[str, str, str]:
        """What makes two steps the same: kind, class and options. Loaded weights play no part.

        Raises `PluginError` for options that cannot be written down.
        """
        cls = type(self)
        try:
            with plugin_code():
                # Not model_dump_json: a file name may hold bytes that are no text.
                options = json.dumps(self.model_dump(mode="json"))
        except Exception as error:
            from segkit.plugins.contract import why_failed

            what = "has options that cannot be written down:"
            raise PluginError(why_failed(self, error, what)) from error
        return self.kind, f"{cls.__module__}:{cls.__qualname__}", options

    def __repr__(self) -> str:
        """Its name, and the options that are not their defaults: `topk(k=3)`."""
        own = self.model_dump(exclude_defaults=True)
        options = ", ".join(f"{option}={getattr(self, option)!r}" for option in own)
        return f"{self.name or type(self).__name__}({options})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())
