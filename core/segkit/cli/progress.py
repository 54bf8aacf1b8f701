"""What a terminal shows of a run; all of it watches through hooks."""

from __future__ import annotations

import dataclasses
import datetime
import math
import sys
import textwrap
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli.console import Console
from segkit.cli.terminal import sentence
from segkit.errors import error_line
from segkit.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from segkit.running.protocols import Protocols

SHOWN = 4
"""So many workers are shown one by one."""


class Progress:
    """A bar with images per second and time left; off a terminal a line every ten per cent.

    Of several recipes each image counts once for each of them.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = self._before = self._recipes = 0
        self._start = 0.0
        self._workers: dict[int, tuple[int, int]] = {}
        """Worker to its images and its deaths so far."""

    @hookimpl
    def segkit_worker_changed(self, worker: int, images: int, deaths: int) -> None:
        """Note what a worker has done."""
        self._workers[worker] = images, deaths
        if self._bar is not None:
            self._bar.update(self._task, workers=self._of_workers())

    def _of_workers(self) -> str:
        """`2 workers: 2.6, 2.4 img/s, 1 death`; of many the slowest and the fastest."""
        if not self._workers:
            return ""
        spent = max(time.monotonic() - self._start, 1e-6)
        rates = [images / spent for images, _ in self._workers.values() if images]
        shown = ", ".join(f"{rate:.1f}" for rate in rates)
        if len(rates) > SHOWN:
            shown = f"{min(rates):.1f} to {max(rates):.1f}"
        dead = sum(deaths for _, deaths in self._workers.values())
        told = f", {dead} death{'s' * (dead > 1)}" * bool(dead)
        count = len(self._workers)
        speed = f": {shown} img/s" * bool(rates)  # it is known from the first chunk on
        return f"{count} worker{'s' * (count > 1)}{speed}{told}"

    @hookimpl
    def segkit_before_run(self, recipes: Sequence[str], images: int, done: int) -> None:
        """Say what is kept of an earlier run, and show the bar."""
        self._recipes = len(recipes)
        self._total, self._done, self._before = images * len(recipes), done, done
        self._start = time.monotonic()
        if done:
            what = "images" if len(recipes) == 1 else f"results of {len(recipes)} recipes"
            self._console.print(f"kept {done} of {self._total} {what}", highlight=False)
        if not self._console.is_terminal:
            return
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _Rate(),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.fields[workers]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(
            "loading models",
            total=self._total,
            completed=self._done,
            rate_from=self._done,
            workers="",
        )
        self._bar.start()

    @hookimpl
    def segkit_before_image(self, name: str) -> None:
        """Name the image in the bar."""
        if self._bar is not None:
            self._bar.update(self._task, description=sentence(_short(name, 24)))

    @hookimpl
    def segkit_after_image(self, name: str, recipe: str, result: Mapping[str, Any]) -> None:
        """One further."""
        self._further(name, recipe)

    @hookimpl
    def segkit_image_failed(self, name: str, recipe: str, error: str) -> None:
        """One further, though it failed."""
        self._further(name, recipe)

    @hookimpl
    def segkit_run_failed(self, error: Exception) -> None:
        """Take the bar away, so that the error stands on its own line."""
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _further(self, name: str, recipe: str) -> None:
        self._done += 1
        if self._bar is not None:
            label = _short(name, 24) if self._recipes == 1 else _short(f"{name} · {recipe}", 36)
            self._bar.update(self._task, advance=1, description=sentence(label))
        elif not self._console.is_terminal and self._tenths(self._done) > self._tenths(
            self._done - 1
        ):
            print(self._line(), file=sys.stderr)  # noqa: T201

    def _tenths(self, done: int) -> int:
        """How many whole tenths so many images are."""
        return 10 * done // self._total

    def _line(self) -> str:
        """`30/300 images (10 %), 5.2 img/s, 0:00:52 left`."""
        spent = max(time.monotonic() - self._start, 1e-6)
        done = self._done - self._before
        left = datetime.timedelta(seconds=round((self._total - self._done) * spent / done))
        unit = "images" if self._recipes == 1 else "images of all recipes"
        head = f"{self._done}/{self._total} {unit} ({100 * self._done // self._total} %)"
        each = self._of_workers()
        return f"{head}, {_rate(done, spent)}, {left} left" + f" ({each})" * bool(each)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _rate(done: float, spent: float) -> str:
    """Images a second, or seconds an image where that is more."""
    rate = done / spent if spent else 0.0
    return f"{rate:.1f} img/s" if rate >= 1 or not rate else f"{1 / rate:.1f} s/img"


def _Rate() -> Any:  # noqa: N802  # makes a column, and rich is imported late
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        """Images per second since the start of this run."""

        def render(self, task: Task) -> Text:
            return Text(_rate(task.completed - task.fields["rate_from"], task.elapsed or 0.0))

    return Rate()


class Failures:
    """Each failed image on stderr, as one sentence."""

    def __init__(self, *, debug: bool = False) -> None:
        self._debug = debug
        self._console = Console(stderr=True, soft_wrap=True)

    @hookimpl
    def segkit_step_failed(self, error: Exception) -> None:
        """The stack trace, if it was asked for."""
        if self._debug:
            traceback.print_exception(error)

    @hookimpl
    def segkit_image_failed(self, name: str, recipe: str, error: str) -> None:
        """The sentence."""
        text = error if name in error else f"{name}: {error}"
        self._console.print(f"failed: {sentence(text)}")


class Trace:
    """Each step's call on stderr: time, step, image; below, what came out."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)

    @hookimpl
    def segkit_after_step(
        self, step: Any, image: Any, output: Any, seconds: float, method: str
    ) -> None:
        """Print the call."""
        self._print(f"{seconds:.3f} s", _call(step, method), sentence(image.name))
        for value in output if isinstance(output, tuple) else (output,):
            self._indented(describe(value))

    @hookimpl
    def segkit_step_failed(self, step: Any, image: Any, error: Exception) -> None:
        """Print that it failed."""
        self._print("failed", _call(step, ""), sentence(image.name))
        self._indented(error_line(error))

    def _print(self, time: str, call: str, image: str) -> None:
        self._console.print(f"{time:>9}  {call}  {image}")

    def _indented(self, text: str) -> None:
        indent = " " * 11
        lines = textwrap.wrap(
            text,
            max(self._console.width, 40),
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
        )
        self._console.print("\n".join(lines))


def _call(step: Any, method: str) -> str:
    extra = f".{method}" if method in step.extras else ""
    return f"{step.kind} {step.name}{extra}"


MOST = 8
"""So many numbers or values are shown one by one."""


def describe(value: Any) -> str:
    """A value in a few words: arrays by shape, dtype and range, the rest by its parts."""
    from segkit.values.types import Prompts

    if value is None or isinstance(value, (str, bool, int, float, Path)):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if isinstance(value, Mapping):
        return _listed([f"{name} {describe(item)}" for name, item in value.items()]) or "nothing"
    if isinstance(value, (tuple, list)):
        return f"({_listed([describe(item) for item in value])})"
    if isinstance(value, Prompts):
        several = "prompt" if len(value) == 1 else "prompts"
        return f"{len(value)} {several}: {_listed([_fields(p) for p in value], '; ')}"
    return f"{type(value).__name__}: {_fields(value)}".removesuffix(": ")


def _listed(parts: Sequence[str], between: str = ", ") -> str:
    more = [f"and {len(parts) - MOST} more"] if len(parts) > MOST else []
    return between.join([*parts[:MOST], *more])


def _fields(value: Any) -> str:
    """What a dataclass holds; of any other object nothing is known."""
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    values = {f.name: getattr(value, f.name) for f in fields}
    return "; ".join(f"{n} {describe(v)}" for n, v in values.items() if v is not None)


def _array(value: Any) -> str:
    """An array or tensor: shape, dtype, range; few numbers as they are, of truths their share."""
    kind = str(value.dtype).removeprefix("torch.")
    text = f"{tuple(value.shape)} {kind}"
    count = math.prod(value.shape)
    if not count:
        return f"{text}, empty"
    if kind == "bool":
        if count > MOST:
            return f"{text}, {100 * float(value.sum()) / count:.3g} % true"
        return f"{text} {value.tolist()}"
    if count > MOST:
        return f"{text} from {float(value.min()):.4g} to {float(value.max()):.4g}"
    numbers = [f"{float(n):.4g}" for n in value.reshape(-1).tolist()]
    return f"{text} [{', '.join(numbers)}]"


def figure_table(figures: Mapping[str, Any], scores: Mapping[str, float]) -> Any:
    """A line for each figure, with its unit; without a value a dash."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    for name, figure in figures.items():
        unit, value = figure["unit"], scores.get(name)
        if value is None:
            table.add_row(name, "–")
            continue
        digits = 1 if unit and abs(value) >= 1 else 3
        table.add_row(name, f"{value:.{digits}f} {unit}".rstrip())
    return table


def print_protocol(console: Console, protocols: Protocols) -> None:
    """How the figures that tell classes apart were counted, in one line."""
    from segkit.running.protocols import caption

    if text := caption(protocols):
        console.print(text, style="dim")


def print_summary(
    summary: Mapping[str, Any], directory: Path, page: Path | None, recipe: str
) -> None:
    """The figures and where the files are."""
    console = Console()
    images, failed = summary["images"], summary["failed"]
    plural = "" if images == 1 else "s"
    counts = [f"{images} image{plural}"]
    counts += [f"{failed} failed"] if failed else []
    counts += [f"{summary['empty']} without a mask"] if summary["empty"] else []
    console.print(f"{', '.join(counts)} · {recipe}")
    if summary["figures"]:
        console.print(figure_table(summary["figures"], summary["scores"]))
        from segkit.running.records import Protocol

        protocols = summary.get("protocol", {}).items()
        print_protocol(console, {n: Protocol.model_validate(p) for n, p in protocols})
        if failed:
            console.print("failed images are left out of the figures")
    for note in summary["notes"]:
        console.print(note)
    good = max(images - failed, 1)
    spent = "  ".join(
        f"{step} {seconds / good:.3f}"
        for step, seconds in summary["seconds"].items()
        if seconds / good >= 0.0005
    )
    if spent:
        console.print(f"seconds per image: {spent}", style="dim")
    console.print(f"masks and pictures: {directory}", soft_wrap=True)
    if page is not None:
        console.print(f"report: {page}", soft_wrap=True)
