"""House rules asked as questions to the program itself."""

from __future__ import annotations

import inspect

import pytest
from click.testing import CliRunner

from segkit import hookimpl
from segkit.cli.main import COMMANDS, make_group
from segkit.kinds import KINDS
from segkit.plugins.catalog import Catalog
from segkit.plugins.steps import INTERFACES

CATALOG = Catalog(third_party=False)
ENTRIES = [e for e in CATALOG.entries() if e.kind != "observer"]
IDS = [f"{e.kind}-{e.name}" for e in ENTRIES]


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_every_bundled_plugin_keeps_the_house_rules(entry):
    cls = CATALOG.load_entry(entry)
    assert entry.summary, "the module has no docstring"
    assert len(entry.summary) <= 100
    assert inspect.getdoc(cls)
    for name, field in cls.model_fields.items():
        assert field.description, f"option {name} has no help"
    module = inspect.getmodule(cls)
    source = inspect.getsource(module)
    assert "from segkit." not in source, "a plugin uses segkit's public names alone"
    assert "import segkit." not in source


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_options_survive_a_recipe(entry):
    cls = CATALOG.load_entry(entry)
    required = {n for n, f in cls.model_fields.items() if f.is_required()}
    if required:
        pytest.skip(f"needs {sorted(required)}")
    step = cls()
    assert cls.model_validate(step.model_dump(mode="json", exclude_none=True)) == step


def test_every_kind_has_a_flag_a_hook_and_an_interface():
    assert list(INTERFACES) == list(KINDS)
    for kind, cls in INTERFACES.items():
        assert inspect.getdoc(cls), kind
    assert hookimpl.project_name == "segkit"


@pytest.mark.parametrize("command", [*COMMANDS, *(e.name for e in CATALOG.entries("command"))])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(make_group(), [command, "--help"], prog_name="segkit")
    assert result.exit_code == 0, result.output
    assert "Usage: segkit" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())
