"""The tests of every kind that turns values into values: all but data sets and writers."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest

from segkit.errors import BadImageError, SegkitError, error_line, plugin_code
from segkit.plugins.steps import Step
from segkit.testing import values as made_up
from segkit.testing.asking import (
    Broken,
    checked,
    difference,
    digest,
    guarded,
    inputs_for,
    named,
    picture,
)
from segkit.testing.every import Every
from segkit.testing.property import holds_for_heatmaps


class Working(Every):
    """What holds for every step that makes a value of values."""

    mirrors: ClassVar[bool] = False
    """Whether a mirrored picture must give the mirrored answer, if no randomness plays a part."""

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Optional inputs and mirrored pictures are only for some."""
        inputs = step.inputs()
        gone = super().without(step)
        if not inputs.optional:
            gone.append("test_optional_inputs_may_be_missing")
        if not cls.mirrors or "rng" in inputs.all:
            gone.append("test_mirrored")
        if not inputs.all:
            gone.append("test_an_edge")
        if not step.concurrent:
            gone.append("test_two_work_at_once")
        return gone

    # ---- asking ------------------------------------------------------------------------------

    def values(self, name: str) -> dict[str, Any]:
        """All values of one of the kit's pictures."""
        return made_up.values(name, self.huge)

    def asked(
        self, step: Step, values: Mapping[str, Any], seed: int = 0, *, only_required: bool = False
    ) -> Any:
        """What the step makes of these values, checked; a `SegkitError` of its own passes."""
        given = inputs_for(step, values, seed)
        if only_required:
            required = type(step).inputs().required
            given = {n: v for n, v in given.items() if n in required}
        made = guarded(step, step.work, given, picture(values))
        return checked(step, made, {"image": values["image"], **given})

    def asked_of_any_heatmap(self, step: Step) -> None:
        """Ask it of generated heatmaps; the smallest one that it fails is named."""

        def holds(values: dict[str, Any]) -> None:
            try:
                self.asked(step, values)
            except SegkitError as error:
                raise Broken(f"{named(step)} fails {picture(values)}: {error}") from error

        holds_for_heatmaps(holds)

    def answer(self, step: Step, values: Mapping[str, Any] | str, seed: int = 0) -> Any:
        """The same; an error is a fault."""
        values = self.values(values) if isinstance(values, str) else values
        try:
            return self.asked(step, values, seed)
        except SegkitError as error:
            raise Broken(f"{named(step)} fails {picture(values)}: {error}") from error

    # ---- what it makes -----------------------------------------------------------------------

    def test_an_ordinary_picture(self, chosen: int) -> None:
        """It makes what its kind makes, of the right size and inside the picture."""
        self.answer(self.step(chosen), "ordinary")

    def test_an_edge(self, chosen: int, edge: str) -> None:
        """So it does on odd pictures; an image that it cannot take is refused in a sentence."""
        step = self.step(chosen)
        values = self.values(edge)
        try:
            self.asked(step, values)
        except BadImageError as error:
            if "image" not in type(step).inputs().all:
                raise Broken(f"{named(step)} refuses an image that it did not ask for") from error
        except SegkitError as error:
            raise Broken(f"{named(step)} fails {picture(values)}: {error}") from error

    def test_optional_inputs_may_be_missing(self, chosen: int) -> None:
        """Where nothing makes an optional input, it works, or says in a sentence what it needs."""
        step = self.step(chosen)
        try:
            self.asked(step, self.values("ordinary"), only_required=True)
        except Broken as error:
            raise Broken(f"without its optional inputs {error}") from error
        except SegkitError:
            pass

    def test_it_leaves_its_inputs_alone(self, chosen: int) -> None:
        """Other steps get the same values."""
        step = self.step(chosen)
        for name in ("ordinary", "equal-maxima", "some-void"):
            values = self.values(name)
            given = inputs_for(step, values)
            before = {n: digest(v) for n, v in given.items() if n != "rng"}
            guarded(step, step.work, given, picture(values))
            changed = [n for n, found in before.items() if digest(given[n]) != found]
            if changed:
                raise Broken(
                    f"{named(step)} changes its input '{changed[0]}' {picture(values)}; "
                    "make a copy and change that"
                )

    def test_it_prints_nothing(self, chosen: int, capfd: pytest.CaptureFixture[str]) -> None:
        """Standard output belongs to the command, which may print JSON there."""
        step = self.step(chosen)
        capfd.readouterr()
        self.answer(step, "ordinary")
        printed = capfd.readouterr().out.strip()
        if printed:
            raise Broken(f"{named(step)} prints to standard output: {printed.splitlines()[0]!r}")

    # ---- the same again ----------------------------------------------------------------------

    def test_the_same_seed_gives_the_same_answer(self, chosen: int) -> None:
        """All randomness comes from the input `rng`, whatever the seeds of the libraries are."""
        step = self.step(chosen)
        for name in ("ordinary", "full-heat"):
            answers = []
            for seed in range(3):
                _reseed(seed)
                answers.append(self.answer(step, name))
            for other in answers[1:]:
                found = difference(answers[0], other)
                if found:
                    raise Broken(
                        f"{named(step)} gives two answers {picture(self.values(name))} with the "
                        f"same seed: its {_type(answers[0])}{found}; draw only from the input 'rng'"
                    )

    def test_it_leaves_the_libraries_randomness_alone(self, chosen: int) -> None:
        """Neither `random` nor `numpy.random` is drawn from or seeded."""
        step = self.step(chosen)
        _reseed(4711)
        before = _random_states()
        self.answer(step, "ordinary")
        for (name, one), other in zip(before.items(), _random_states().values(), strict=True):
            if one != other:
                raise Broken(
                    f"{named(step)} draws from {name}, or seeds it, which other steps share; draw "
                    "only from the input 'rng'"
                )

    def test_answers_do_not_depend_on_the_order_of_calls(self, chosen: int) -> None:
        """What it saw before plays no part."""
        step = self.opened(self.new(chosen))
        names = ("ordinary", "taller", "other")
        try:
            forth = {name: self.answer(step, name) for name in names}
            self.answer(step, "full-heat")
            back = {name: self.answer(step, name) for name in reversed(names)}
        finally:
            step.close()
        for name in names:
            found = difference(forth[name], back[name])
            if found:
                raise Broken(
                    f"the answer of {named(step)} depends on what it was asked before: its "
                    f"{_type(forth[name])}{found} {picture(self.values(name))}; keep nothing "
                    "between calls"
                )

    def test_a_batch_equals_single_calls(self, chosen: int) -> None:
        """`batch` gives what single calls give, in the same order."""
        step = self.step(chosen)
        names = ("ordinary", "taller", "other", "one-pixel")
        alone = {}
        for name in names:
            try:
                alone[name] = self.asked(step, self.values(name))
            except BadImageError:
                continue  # an image that it cannot take is not in the batch
            except SegkitError as error:
                raise Broken(f"{named(step)} fails on the picture '{name}': {error}") from error
        try:
            with plugin_code():
                made = list(step.batch([inputs_for(step, self.values(name)) for name in alone]))
        except Exception as error:
            kind, _, text = error_line(error).partition(": ")
            raise Broken(
                f"{named(step)} raises {kind} for a batch of pictures of several sizes, and not "
                f"one by one: {text}"
            ) from error
        if len(made) != len(alone):
            raise Broken(
                f"{named(step)} makes {len(made)} values of a batch of {len(alone)}; make one each"
            )
        for (name, wanted), one in zip(alone.items(), made, strict=True):
            values = self.values(name)
            given = {"image": values["image"], **inputs_for(step, values)}
            one = checked(step, one, given)  # a run takes one heatmap as a tuple of one
            found = difference(wanted, one, self.near, self.near)
            if found:
                raise Broken(
                    f"{named(step)} gives another answer in a batch than alone on the picture "
                    f"'{name}': its {_type(one)}{found}"
                )

    # ---- opening and closing -----------------------------------------------------------------

    def test_it_opens_and_closes_again_and_again(self, chosen: int) -> None:
        """After `close` it can be opened anew, and answers as it did."""
        step = self.new(chosen)
        answers = []
        for _ in range(2):
            self.opened(step)
            answers.append(self.answer(step, "ordinary"))
            step.close()
        found = difference(*answers)
        if found:
            raise Broken(
                f"{named(step)} answers differently once it was closed and opened again: its "
                f"{_type(answers[0])}{found}"
            )

    def test_a_copy_for_another_process_works_alike(self, chosen: int) -> None:
        """A pickled step, opened there, answers as the original."""
        step = self.step(chosen)
        copy = self.opened(self.copied(self.new(chosen)))
        try:
            found = difference(self.answer(step, "ordinary"), self.answer(copy, "ordinary"))
        finally:
            copy.close()
        if found:
            raise Broken(f"a pickled copy of {named(step)} answers differently: its answer{found}")

    def test_two_work_at_once(self, chosen: int) -> None:
        """A step that is `concurrent` answers as ever while another of its options is at work."""
        names = ("ordinary", "taller", "other", "ordinary")
        alone = self.step(chosen)
        expected = {name: self.answer(alone, name) for name in names}
        steps = [self.opened(self.new(chosen)) for _ in range(2)]
        begin = threading.Barrier(len(steps))

        def answers(step: Step, order: Sequence[str]) -> list[tuple[str, Any]]:
            begin.wait()
            return [(name, self.answer(step, name)) for name in order]

        try:
            with ThreadPoolExecutor(len(steps)) as threads:
                made = list(threads.map(answers, steps, (names, names[::-1])))
        except Broken as error:
            raise Broken(f"while another step works in another thread, {error}") from error
        finally:
            for step in steps:
                step.close()
        for name, answer in (pair for pairs in made for pair in pairs):
            found = difference(expected[name], answer, self.near, self.near)
            if found:
                raise Broken(
                    f"the answer of {named(alone)} depends on what another step does meanwhile, in "
                    f"another thread: its {_type(expected[name])}{found} "
                    f"{picture(self.values(name))}; keep nothing outside of the step, or leave "
                    "out 'concurrent'"
                )

    # ---- mirrored pictures -------------------------------------------------------------------

    def test_mirrored(self, chosen: int, mirror: str) -> None:
        """A mirrored picture gives the mirrored answer: no axis is swapped, nothing is shifted.

        Whole numbers name pixel centres, so the mirror image of x is W - 1 - x.
        """
        step = self.step(chosen)
        values = self.values("ordinary")
        size = values["image"].size
        turned = {name: made_up.mirrored(value, mirror, size) for name, value in values.items()}
        wanted = in_order(made_up.mirrored(self.answer(step, values), mirror, size))
        found = in_order(self.answer(step, turned))
        wrong = difference(wanted, found, 1e-3, 0.0)
        if wrong:
            raise Broken(
                f"{named(step)} does not give the mirrored answer where {mirror} are swapped: its "
                f"{_type(found)}{wrong} (the mirrored one, and what it gives); are x and y "
                "mixed up, or is something shifted? Whole numbers name pixel centres; put "
                "'mirrored' into skips if it is meant"
            )


def in_order(value: Any) -> Any:
    """Prompts with their points in an order of their own, since a set of points has none."""
    from segkit.values.types import Prompt, Prompts

    if not isinstance(value, Prompts):
        return value
    made = []
    for prompt in value:
        keys = np.round(prompt.points, 2)
        order = np.lexsort((keys[:, 0], keys[:, 1], prompt.signs))
        made.append(
            Prompt(
                prompt.points[order],
                prompt.signs[order],
                prompt.box,
                prompt.mask,
                prompt.name,
                prompt.score,
            )
        )
    return Prompts(tuple(made))


def _type(value: Any) -> str:
    if isinstance(value, tuple) and value:
        value = value[0]
    return "answer" if isinstance(value, (dict, tuple)) else type(value).__name__


def _reseed(seed: int) -> None:
    """Seed what a step should not draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _random_states() -> dict[str, str]:
    """Fingerprints of the libraries' own generators."""
    found = {
        "the module 'random'": digest(random.getstate()),
        "numpy.random": digest(np.random.get_state()),  # noqa: NPY002
    }
    torch = sys.modules.get("torch")
    return found | ({"torch's generator": digest(torch.get_rng_state())} if torch else {})
