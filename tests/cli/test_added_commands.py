"""Commands that packages add: listed without import, run, and blamed for what they do wrong."""

from __future__ import annotations

import json
import sys

import pytest

from segkit.cli.main import make_group

HELLO = '''\
"""Say hello to somebody."""

import click


@click.command()
@click.argument("who")
@click.option("--loud", is_flag=True)
def hello(who, loud):
    """Say hello."""
    if who == "nobody":
        raise KeyError("no such person")
    click.echo(f"hello {who}{'!' if loud else ''}")


NOT_A_COMMAND = 3
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Makes a distribution with commands that looks installed."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def make(distribution, points, modules=()):
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        rows = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[segkit.command]", *rows]) + "\n")
        for name, source in dict(modules).items():
            (site / f"{name}.py").write_text(source)

    yield make
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


def test_a_command_of_a_package_is_listed_without_import_and_runs(segkit, added):
    added("greeting", {"hello": "greet:hello"}, {"greet": HELLO})
    shown = segkit("--help")
    assert shown.code == 0
    assert "Commands of greeting 1.0:\n  hello  Say hello to somebody.\n" in shown.out
    assert "review " in shown.out.partition("Commands of greeting")[0]
    assert "greet" not in sys.modules
    done = segkit("hello", "you", "--loud")
    assert (done.code, done.out) == (0, "hello you!\n")
    assert "Usage: segkit hello [OPTIONS] WHO" in segkit("hello", "--help").out
    assert segkit("hello").code == 2
    (row,) = [
        r
        for r in json.loads(segkit("list-plugins", "--json").out)
        if r["distribution"] == "greeting"
    ]
    assert (row["kind"], row["name"], row["summary"]) == (
        "command",
        "hello",
        "Say hello to somebody.",
    )
    assert "segkit  hello" in " ".join(segkit("list-plugins", "--kind", "command").out.split("\n"))


def test_what_a_command_raises_is_a_sentence_that_names_it(segkit, added):
    added("greeting", {"hello": "greet:hello"}, {"greet": HELLO})
    done = segkit("hello", "nobody")
    assert done.code == 2
    assert done.err == (
        "Error: the command 'hello' from greeting 1.0 failed: KeyError: 'no such person' "
        "(greet.py, line 12)\n"
    )


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("broken:hello", "'hello' from greeting 1.0 could not be loaded: ZeroDivisionError"),
        ("gone:hello", "'hello' from greeting 1.0 could not be loaded: ModuleNotFoundError"),
        ("greet:NOT_A_COMMAND", "its entry point should name a click command, as in greet:command"),
        ("greet:lost", "should name a click command, as in greet:command, but names None"),
        ("greet", "should name a click command, as in greet:command, but names the module greet"),
    ],
)
def test_a_broken_command_is_a_sentence_for_who_calls_it_alone(segkit, added, target, sentence):
    added("greeting", {"hello": target}, {"greet": HELLO, "broken": "1 / 0"})
    assert segkit("--help").code == 0
    assert segkit("run", "--help").code == 0
    done = segkit("hello")
    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("\n") == 1
    checked = json.loads(segkit("list-plugins", "--kind", "command", "--check", "--json").out)
    assert {r["name"]: r["status"] for r in checked}["hello"] == "broken"
    assert {r["name"]: r["status"] for r in checked}["review"] == "ok"


def test_names_that_several_claim(segkit, added):
    added("one", {"hello": "greet:hello", "run": "greet:hello"}, {"greet": HELLO})
    added("other", {"hello": "greet:hello", "review": "greet:hello", "Bad_Name": "greet:hello"})
    shown = segkit("--help").out
    for name in ("one:hello", "other:hello", "one:run", "other:review"):
        assert f"  {name}" in shown
    assert "Bad_Name" not in shown
    assert segkit("hello", "you").err == (
        "Error: the command 'hello' is offered by more than one package; say which: segkit "
        "one:hello or segkit other:hello\n"
    )
    assert segkit("one:hello", "you").out == "hello you\n"
    assert segkit("one:run", "you").out == "hello you\n"
    assert segkit("run", "--help").out.startswith("Usage: segkit run")
    assert segkit("review", "--help").out.startswith("Usage: segkit review")


def test_only_bundled_commands_if_so_asked(segkit, added, monkeypatch):
    added("greeting", {"hello": "greet:hello"}, {"greet": HELLO})
    monkeypatch.setenv("SEGKIT_PLUGINS", "bundled")
    assert "hello" not in segkit("--help").out
    assert "segkit has no command 'hello'" in segkit("hello").err


def test_the_shell_completes_commands_and_imports_none(added):
    added("greeting", {"hello": "broken:hello"}, {"broken": "1 / 0"})
    group = make_group()
    context = group.make_context("segkit", [], resilient_parsing=True)
    offered = {item.value: item.help for item in group.shell_complete(context, "he")}
    assert offered == {"hello": ""}
    assert {i.value for i in group.shell_complete(context, "re")} == {"report", "review"}
