"""The tests that plugins of every kind must pass."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from segkit.errors import error_line, plugin_code
from segkit.plugins.steps import Step, option_error
from segkit.testing.asking import Broken, named
from segkit.testing.importing import HEAVY, IMPORTER

if TYPE_CHECKING:
    from segkit.testing.conformance import Conformance
else:
    Conformance = object


class Every(Conformance):
    """What holds for every kind."""

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """The tests that do not apply to a plugin, by what it defines and asks for."""
        return []

    # ---- how it is registered and described --------------------------------------------------

    def test_it_is_found_by_its_entry_point(self) -> None:
        """It is registered under its own name."""
        assert self._found.entry is not None
        assert self.step_class.name == self._found.entry.name

    def test_the_module_has_a_summary(self) -> None:
        """`list-plugins` shows the first line of the module's docstring."""
        entry = self._found.entry
        summary = entry.summary if entry else ""
        if not summary:
            raise Broken(
                f"the module of {named(self.step_class)} has no docstring; its first line is the "
                "summary that list-plugins shows"
            )
        if len(summary) > 100:
            raise Broken(
                f"the summary of {named(self.step_class)}, its module's first line, has "
                f"{len(summary)} characters; list-plugins shows up to 100"
            )

    def test_the_class_has_a_docstring(self) -> None:
        """`show` and the reference begin with it."""
        if not self.step_class.__doc__:
            raise Broken(
                f"the class {self.step_class.__name__} has no docstring; say what it does, in "
                "which frame and units, and where the method is from"
            )

    def test_every_option_has_help(self) -> None:
        """Every option has a docstring, which becomes its help."""
        without = [n for n, f in self.step_class.model_fields.items() if not f.description]
        if without:
            raise Broken(
                f"the option '{without[0]}' of {named(self.step_class)} has no help; write a "
                "docstring under the field"
            )

    def test_heavy_libraries_are_imported_late(self) -> None:
        """Importing the module imports none of the large libraries."""
        entry = self._found.entry
        assert entry is not None
        single = entry.target.endswith(".py")
        found = IMPORTER.heavy(entry.target if single else entry.target.partition(":")[0])
        if found:
            raise Broken(
                f"the module of {named(self.step_class)} imports {found[0]} when it is imported; "
                "import it inside the method that needs it"
            )

    # ---- options ---------------------------------------------------------------------------

    def test_the_options_fit(self, chosen: int) -> None:
        """The plugin takes the test's options; where it does not, the other tests are skipped."""
        given = self.given(chosen)
        try:
            self.step_class.model_validate(given)
        except ValidationError as error:
            raise Broken(
                f"the test's options {given!r} do not fit: {option_error(self.step_class, error)}"
            ) from None

    def test_every_option_is_tried(self) -> None:
        """A hint, skipped with its reason: nothing is known of options that no set changes."""
        steps = [self.new(chosen) for chosen in range(len(self.options))]
        fields = self.step_class.model_fields
        tried = {
            name
            for step in steps
            for name in step.model_fields_set
            if name in fields and getattr(step, name) != fields[name].default
        }
        untried = [name for name in fields if name not in tried]
        if untried:  # no fault of the plugin's: its author is told what the kit could not try
            pytest.skip(
                f"no set of options of {named(self.step_class)} has another value than the default "
                f"for {', '.join(untried)}"
            )

    def test_options_survive_a_recipe(self, chosen: int) -> None:
        """Options are written to a recipe and read back as they were."""
        import tomli_w

        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        step = self.new(chosen)
        table = step.model_dump(mode="json", exclude_none=True)
        try:
            read = tomllib.loads(tomli_w.dumps(table))
            again = type(step).model_validate(read)
        except (TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise Broken(
                f"the options of {named(step)} cannot be read back from a recipe: {text}"
            ) from None
        wrong = [n for n in type(step).model_fields if getattr(again, n) != getattr(step, n)]
        if wrong:
            before, after = getattr(step, wrong[0]), getattr(again, wrong[0])
            raise Broken(
                f"the option '{wrong[0]}' of {named(step)} does not survive a recipe: it was "
                f"{before!r} and is read back as {after!r}"
            )

    def test_options_can_be_given_as_text(self, chosen: int) -> None:
        """The command line passes text; the step makes numbers and paths of it."""
        step = self.new(chosen)
        given = step.model_dump(mode="json", exclude_none=True)
        for name, value in given.items():
            if isinstance(value, dict):
                raise Broken(
                    f"the option '{name}' of {named(step)} holds a table, which cannot be given "
                    "on the command line; make several options of it"
                )
            several = isinstance(value, list)
            text = tuple(str(v) for v in value) if several else str(value)
            try:
                again = type(step).model_validate({**given, name: text})
            except ValidationError as error:
                raise Broken(
                    f"the option '{name}' of {named(step)} cannot be given on the command line: "
                    f"{option_error(type(step), error)}"
                ) from None
            if getattr(again, name) != getattr(step, name):
                raise Broken(
                    f"the option '{name}' of {named(step)} is {getattr(step, name)!r}, and "
                    f"{getattr(again, name)!r} where it is given as text, as on the command line"
                )

    def test_options_cannot_be_changed(self, chosen: int) -> None:
        """A step is frozen, and none of its options can be changed in place."""
        step = self.new(chosen)
        if not type(step).model_config.get("frozen"):
            raise Broken(f"{named(step)} is not frozen; leave model_config as segkit's classes do")
        for name in type(step).model_fields:
            if isinstance(getattr(step, name), (list, set, dict)):
                what = type(getattr(step, name)).__name__
                raise Broken(
                    f"the option '{name}' of {named(step)} is a {what}, which can be changed; "
                    "make it a tuple"
                )

    def test_unknown_options_are_refused(self, chosen: int) -> None:
        """A misspelt option is an error, and not passed over."""
        step = self.new(chosen)
        try:
            type(step).model_validate({**step.model_dump(), "no_such_option": 1})
        except ValidationError:
            return
        raise Broken(
            f"{named(step)} takes an option that it does not have; leave model_config as segkit's "
            "classes do, with extra='forbid'"
        )

    def test_equal_options_make_equal_steps(self, chosen: int) -> None:
        """Steps are compared by kind, class and options."""
        one, other = self.new(chosen), self.new(chosen)
        if one != other or hash(one) != hash(other):
            raise Broken(
                f"two {named(one)} steps with the same options are not equal; segkit compares "
                "kind, class and options, and so should they"
            )

    def test_it_can_go_to_another_process(self, chosen: int) -> None:
        """It can be pickled, as worker processes need it."""
        self.copied(self.new(chosen))

    def copied(self, step: Step, when: str = "") -> Step:
        """The step as another process gets it."""
        try:
            with plugin_code():
                again = pickle.loads(pickle.dumps(step))
        except Exception as error:
            raise Broken(
                f"{named(step)} cannot be pickled{when}, so it cannot go to another process: "
                f"{error_line(error)}"
            ) from error
        if not isinstance(again, Step) or again != step:
            raise Broken(f"{named(step)} is another step once it was pickled{when}")
        return again

    # ---- opening and closing -----------------------------------------------------------------

    def test_closing_is_always_allowed(self, chosen: int) -> None:
        """A run closes what could not be opened as well; to close twice does no harm."""
        step = self.new(chosen)
        try:
            with plugin_code():
                step.close()
                self.opened(step)
                step.close()
                step.close()
        except Broken:
            raise
        except Exception as error:
            raise Broken(
                f"{named(step)} fails in close(): {error_line(error)}; it should do nothing where "
                "nothing is open"
            ) from error

    def test_close_drops_what_open_loaded(self, chosen: int) -> None:
        """Weights and other state are gone after a run."""
        step = self.new(chosen)
        before = _state(step)
        self.opened(step)
        step.close()
        for name, value in _state(step).items():
            if value is not None and value is not before.get(name) and not _plain(value):
                raise Broken(
                    f"{named(step)} still holds {name} (a {type(value).__name__}) after close(); "
                    "set it to None there"
                )

    def test_it_can_go_to_another_process_after_a_run(self, chosen: int) -> None:
        """It can be pickled once it was opened and closed, too."""
        step = self.new(chosen)
        self.opened(step)
        step.close()
        self.copied(step, " after open() and close()")

    # ---- weights ---------------------------------------------------------------------------

    def test_weight_files_are_named_and_there(self, chosen: int) -> None:
        """A run notes the hashes of these files."""
        step = self.step(chosen)
        files = step.weight_files()
        if not isinstance(files, Mapping):
            raise Broken(
                f"weight_files() of {named(step)} should give short names and paths, but gives a "
                f"{type(files).__name__}"
            )
        for name, path in files.items():
            if not isinstance(name, str) or not isinstance(path, Path) or not path.is_file():
                raise Broken(
                    f"weight_files() of {named(step)} names {name!r}: {path!r}, which is no file; "
                    "give paths of files that are there once it is open"
                )

    def test_known_weights_are_weights(self) -> None:
        """`segkit weights` lists them."""
        from segkit.plugins.weights import Weights

        wrong = [w for w in self.step_class.known_weights() if not isinstance(w, Weights)]
        if wrong:
            raise Broken(
                f"known_weights() of {named(self.step_class)} should give segkit.Weights, but "
                f"gives a {type(wrong[0]).__name__}"
            )


def _state(step: Step) -> dict[str, Any]:
    """Private attributes and cached properties, by name."""
    private = dict(step.__pydantic_private__ or {})
    own = {n: v for n, v in vars(step).items() if n not in type(step).model_fields}
    return private | own


def _plain(value: Any) -> bool:
    """Whether a value is small and plain: names, paths and numbers may be kept."""
    if isinstance(value, (str, bytes, int, float, bool, Path, type(None))):
        return True
    if isinstance(value, Mapping):
        return all(_plain(k) and _plain(v) for k, v in value.items())
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_plain, value))
    if callable(value):
        return False
    # A small helper of the plugin's own, such as an index of files, is no harm.
    own = type(value).__module__.split(".")[0] not in (*HEAVY, "numpy")
    return own and all(map(_plain, getattr(value, "__dict__", {None: object()}).values()))
