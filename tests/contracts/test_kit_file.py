"""`pytest --segkit-plugin FILE`: the kit on a single file, without a test file."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

GOOD = '''\
"""Click on the middle."""

from segkit import Image, Prompt, Prompter, Prompts, hookimpl


class Middle(Prompter):
    """The middle of the image."""

    name = "middle"

    def __call__(self, image: Image) -> Prompts:
        h, w = image.size
        return Prompts((Prompt(points=[((w - 1) / 2, (h - 1) / 2)]),))


class Corner(Middle):
    """The upper left corner."""

    name = "corner"

    def __call__(self, image: Image) -> Prompts:
        return Prompts((Prompt(points=[(0, 0)]),))


@hookimpl
def segkit_prompters() -> list[type[Prompter]]:
    return [Middle, Corner]
'''


@pytest.fixture
def tested(pytester):
    """What pytest makes of a file beside a failing test file that is not asked for."""
    pytester.makepyfile(test_other="def test_other():\n    assert False\n")

    def run(source, *arguments):
        pytester.makepyfile(mine=source)
        return pytester.runpytest_inprocess("-q", "--segkit-plugin", "mine.py", *arguments)

    return run


def test_each_plugin_of_the_file_is_tested_alone(tested):
    done = tested(GOOD, "--collect-only")
    names = {line.split("::")[1] for line in done.outlines if "::" in line}
    assert names == {"TestMiddlePrompt", "TestCornerPrompt"}
    done = tested(GOOD, "-k", "same_answer or options_fit or summary")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 4


def test_what_is_named_beside_it_is_tested_too(tested):
    done = tested(GOOD, "test_other.py", "-k", "summary or test_other")
    outcomes = done.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"]) == (2, 1)


def test_a_file_that_cannot_be_loaded_is_one_sentence(tested):
    done = tested("1 / 0\n")
    assert done.parseoutcomes() == {"failed": 1}
    done.stdout.fnmatch_lines(
        ["*could not be loaded: ZeroDivisionError: division by zero (mine.py,*"]
    )
    done.stdout.no_fnmatch_line("*Traceback*")


def test_a_file_that_is_not_there_is_refused(pytester):
    done = pytester.runpytest_inprocess("--segkit-plugin", "nope.py")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(
        ["ERROR: --segkit-plugin nope.py: there is no such file; name the Python file of a plugin"]
    )
