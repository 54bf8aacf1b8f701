"""The class that authors of plugins subclass, and how it gets the tests of its plugin's kind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from segkit.errors import SegkitError, UsageError, did_you_mean, error_line, plugin_code
from segkit.kinds import KINDS
from segkit.plugins.catalog import Catalog
from segkit.plugins.entries import Entry
from segkit.plugins.steps import Step
from segkit.testing.asking import Broken, line_of, named
from segkit.testing.values import EDGES, MIRRORS, forget_changed


class Conformance:
    """Tests whether a plugin keeps the contract of its kind.

    Subclass it in a test file and say which plugin is meant; pytest then finds some dozens of tests
    in the subclass. Everything else is optional.
    """

    plugin: ClassVar[str | Path | type[Step]] = ""
    """The plugin: its name, as its entry point has it; or its class; or the path of a file that is
    used with `--plugin FILE` (relative to the folder in which pytest is started)."""

    kind: ClassVar[str] = ""
    """Its kind, where plugins of two kinds share the name: 'prompt', 'segmenter', …"""

    options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """Sets of options; every test that needs a step runs with each."""

    needs: ClassVar[Sequence[str]] = ()
    """Libraries without which all of it is skipped, such as those of an extra."""

    skips: ClassVar[Mapping[str, str]] = {}
    """Tests that do not apply: the test's name without 'test_' to the reason, which is shown. For
    example {'mirrored': 'of two equal peaks it takes the upper one'}."""

    huge: ClassVar[tuple[int, int]] = (480, 640)
    """(H, W) of the largest picture that is tried."""

    near: ClassVar[float] = 2e-3
    """How far numbers of a batch may be from those of single calls, and which share of the pixels
    of a mask may differ: the last bits of networks depend on how many images go in at once."""

    def prepare(self, options: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The options to use in place of a set of `options`, once for each.

        Override it where a plugin needs files: make them in `folder`, an empty folder of this set
        of options, and name them in what you return. Files that belong to a picture are asked for
        by the names in `segkit.testing.PICTURES`; `segkit.testing.made_up(NAME)` has the values.
        """
        return options

    # ---- what follows is the kit's own ---------------------------------------------------------

    _of_file: ClassVar[str] = ""
    """Which plugin of a file with several of its kind."""

    _found: ClassVar[Found]
    _steps: ClassVar[dict[int, Step]] = {}
    _given: ClassVar[dict[int, Mapping[str, Any]]] = {}
    _folder: ClassVar[Path | None] = None

    def test_pytest_has_loaded_the_kit(self) -> None:
        """Replaced by the real tests unless pytest was told to leave segkit's plugin out."""
        raise AssertionError(
            "segkit's pytest plugin is not loaded, so nothing is tested; run pytest without "
            "'-p no:segkit'"
        )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that names `chosen` with each set of options."""
        if "chosen" in metafunc.fixturenames:
            ids = [_label(given) for given in self.options]
            metafunc.parametrize("chosen", range(len(ids)), ids=ids)
        if "edge" in metafunc.fixturenames:
            metafunc.parametrize("edge", self._edges())
        if "mirror" in metafunc.fixturenames:
            ids = [how.replace(" and ", "-") for how in MIRRORS]
            metafunc.parametrize("mirror", MIRRORS, ids=ids)

    def _edges(self) -> list[str]:
        """The odd pictures that are about something that the plugin asks for."""
        inputs = {*self.step_class.inputs().all}
        return [name for name, (about, _) in EDGES.items() if about & inputs]

    @classmethod
    def setup_class(cls) -> None:
        """Skip all of it where a library is missing."""
        for library in cls.needs:
            pytest.importorskip(library)

    @classmethod
    def teardown_class(cls) -> None:
        """Close what is open, and leave nothing behind."""
        forget_changed()
        for step in cls._steps.values():
            step.close()
        cls._steps.clear()
        cls._given.clear()
        if cls._folder is not None:
            shutil.rmtree(cls._folder, ignore_errors=True)
            cls._folder = None

    @classmethod
    def folder(cls) -> Path:
        """A folder for files of this class's tests; gone afterwards."""
        if cls._folder is None:
            cls._folder = Path(tempfile.mkdtemp(prefix="segkit-"))
        return cls._folder

    @classmethod
    def new_folder(cls) -> Path:
        """An empty folder in it."""
        return Path(tempfile.mkdtemp(dir=cls.folder()))

    @property
    def step_class(self) -> type[Step]:
        """The plugin's class."""
        assert self._found.cls is not None  # else only `Unusable` is collected
        return self._found.cls

    def given(self, chosen: int) -> dict[str, Any]:
        """The chosen set of options, prepared."""
        if chosen not in self._given:
            self._given[chosen] = dict(self.prepare(self.options[chosen], self.new_folder()))
        return dict(self._given[chosen])

    def new(self, chosen: int) -> Step:
        """A fresh step with the chosen set of options, not open."""
        given = self.given(chosen)
        try:
            with plugin_code():
                return self.step_class.model_validate(given)
        except ValidationError:  # said once, and not by dozens of tests
            pytest.skip("the options do not fit; see test_the_options_fit")

    def opened(self, step: Step) -> Step:
        """The step, open on the CPU."""
        try:
            with plugin_code():
                step.open("cpu")
        except Exception as error:
            step.close()
            raise Broken(
                f"{named(step)} cannot be opened on the CPU: {error_line(error)}"
            ) from error
        return step

    def step(self, chosen: int) -> Step:
        """The step that all tests share, open on the CPU until the last of them."""
        if chosen not in self._steps:
            self._steps[chosen] = self.opened(self.new(chosen))
        return self._steps[chosen]


def _label(options: Mapping[str, Any]) -> str:
    """A set of options in a test's name."""
    shown = [f"{k}={getattr(v, '__name__', v)}" for k, v in options.items()]
    return ",".join(shown) or "defaults"


class Found:
    """A plugin that was looked for: its class and entry, or the sentence that says why not."""

    def __init__(
        self,
        catalog: Catalog,
        entry: Entry | None = None,
        cls: type[Step] | None = None,
        problem: str = "",
    ) -> None:
        self.catalog = catalog
        self.entry = entry
        self.cls = cls
        self.problem = problem


class Unusable:
    """The one test of a plugin that cannot be loaded."""

    _found: ClassVar[Found]

    def test_it_can_be_used(self) -> None:
        """It is found and loaded; here it is not."""
        raise Broken(self._found.problem)


def look_up(wanted: type[Conformance]) -> Found:
    """Find and load the plugin of a test class, as a run does."""
    plugin = wanted.plugin
    catalog = Catalog()
    try:
        if isinstance(plugin, type):
            kind, name = getattr(plugin, "kind", ""), getattr(plugin, "name", "")
            name = _giving(catalog, kind, name, plugin)
        elif isinstance(plugin, Path) or plugin.endswith(".py"):
            path = Path(plugin)
            catalog = _with_file(path)
            own = [e for e in catalog.entries() if e.target == str(path) and e.kind in KINDS]
            own = [e for e in own if wanted.kind in ("", e.kind)]
            own = [e for e in own if wanted._of_file in ("", e.name)]
            kind, name = _only(own, str(plugin))
        else:
            kind, name = wanted.kind, plugin
        if kind == "" and not isinstance(plugin, type):
            kind = _kind_of(catalog, name)
        if kind not in KINDS:
            raise UsageError(
                f"{wanted.__name__}: kind should be one of {', '.join(KINDS)}, but is '{kind}'"
            )
        entry = catalog.find(kind, name)
        cls = catalog.load_entry(entry)
    except SegkitError as error:
        return Found(catalog, problem=str(error))
    if isinstance(plugin, type) and cls is not plugin:
        return Found(
            catalog,
            problem=f"the entry point '{name}' gives {cls.__module__}.{cls.__name__}, and none "
            f"gives {plugin.__module__}.{plugin.__name__}; install its package "
            "(pip install -e .), or name its file",
        )
    return Found(catalog, entry, cls)


def classes_for(file: Path) -> list[type[Conformance]]:
    """A test class for each plugin of a file; one that says why, where there is none to be had."""
    try:
        entries = [e for e in _with_file(file).entries() if e.target == str(file)]
    except SegkitError:  # the class's only test says it
        entries = []
    classes = []
    for entry in (e for e in entries if e.kind in KINDS):
        words = "".join(word.capitalize() for word in f"{entry.name}-{entry.kind}".split("-"))
        which = {"plugin": file, "kind": entry.kind, "_of_file": entry.name}
        classes.append(type(f"Test{words}", (Conformance,), which))
    return classes or [type("TestFile", (Conformance,), {"plugin": file})]


@cache
def _with_file(path: Path) -> Catalog:
    """One for all classes that test the file: imported again, its classes would be others."""
    return Catalog(files=(path,))


def _giving(catalog: Catalog, kind: str, name: str, plugin: type[Step]) -> str:
    """The full name under which a class is installed; else the name itself."""
    for entry in catalog.entries(kind):
        if entry.name == name:
            with contextlib.suppress(SegkitError):  # one of the same name that does not work
                if catalog.load_entry(entry) is plugin:
                    return entry.full_name
    return name


def _only(entries: Sequence[Entry], plugin: str) -> tuple[str, str]:
    """The kind and the full name of the one plugin of a file."""
    if len(entries) != 1:
        offers = ", ".join(f"the {e.kind} '{e.name}'" for e in entries) or "none of that kind"
        raise UsageError(f"{plugin} should offer one plugin to test, but offers {offers}; set kind")
    return entries[0].kind, entries[0].full_name


def _kind_of(catalog: Catalog, name: str) -> str:
    """The one kind in which a plugin of this name is installed."""
    short = name.rpartition(":")[2]
    having = [e for e in catalog.entries() if short == e.name]
    kinds = sorted({e.kind for e in having if e.kind in KINDS})
    if len(kinds) > 1:
        raise UsageError(
            f"plugins of the kinds {' and '.join(kinds)} have the name '{name}'; say which is "
            f'meant: kind = "{kinds[0]}"'
        )
    if not kinds:
        astray = [str(e.error) for e in having if e.status == "bad group"]
        advice = (
            "install your package (pip install -e .) and compare the entry point's name in "
            "pyproject.toml"
        )
        raise UsageError(f"no plugin named '{name}' is installed; {(astray or [advice])[0]}")
    return kinds[0]


def sentence(error: BaseException, tests: type | None) -> str | None:
    """What a test of the kit says instead of a traceback, or None for other tests and errors."""
    if tests is None or not issubclass(tests, Conformance) or not hasattr(tests, "_found"):
        return None
    cls = tests._found.cls
    if isinstance(error, Broken) or cls is None:
        return str(error)
    if isinstance(error, SegkitError):
        return f"{named(cls)} fails: {error}"
    line = line_of(cls, error)
    return f"{named(cls)} raises {error_line(error)}{line}" if line else None


def with_tests(wanted: type[Conformance]) -> type[Conformance] | None:
    """The class with the tests of its plugin's kind, or None if it names no plugin."""
    if not wanted.plugin:
        return None
    from segkit.testing.kinds import tests_of

    found = look_up(wanted)
    tests: type = Unusable if found.cls is None else tests_of(found.cls.kind)
    made: dict[str, Any] = {
        "__module__": wanted.__module__,
        "__doc__": wanted.__doc__,
        "_found": found,
        "_steps": {},
        "_given": {},
        "test_pytest_has_loaded_the_kit": None,
    }
    if found.cls is not None:
        made |= dict.fromkeys(tests_of(found.cls.kind).without(found.cls))
    for name, reason in wanted.skips.items():
        known = callable(getattr(tests, f"test_{name}", None))
        made[f"test_{name}"] = _skipped(reason) if known else _unknown(name, tests)
    return type(wanted.__name__, (wanted, tests), made)


def _skipped(reason: str) -> Callable[[Any], None]:
    def skip(self: Any) -> None:
        pytest.skip(reason)

    return skip


def _unknown(name: str, tests: type) -> Callable[[Any], None]:
    """A test that fails; where the plugin cannot be loaded, that is said instead."""

    def fail(self: Any) -> None:
        known = [n.removeprefix("test_") for n in dir(tests) if n.startswith("test_")]
        hint = did_you_mean(name, known, f"there is {', '.join(known)}")
        raise Broken(f"skips names '{name}', and there is no such test; {hint}")

    return fail if tests is not Unusable else _skipped("it cannot be loaded")
