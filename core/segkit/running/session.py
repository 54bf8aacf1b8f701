"""Run one plan or several over a data set: chunk by chunk, each finished image recorded at once.

`walk` yields what comes out, image by image, and writes nothing. `run` keeps a folder for each
plan (see `segkit.running.folder`), calls the writers, and goes on where a run was cut off.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segkit.deprecations import SegkitWarning
from segkit.errors import BadImageError, PluginError, SegkitError, UsageError
from segkit.plugins.catalog import Catalog
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Dataset, Step, Writer, check_output, named, why_failed
from segkit.running.folder import UNWRITABLE, Record, disk_error
from segkit.running.graph import Branch, Graph
from segkit.running.plan import Plan
from segkit.running.recipe import recorded
from segkit.running.sources import RunImages
from segkit.running.takeup import Session
from segkit.running.work import Asked, Failure, Task, Work
from segkit.values.types import Counts, Heatmap, Image, Labels, Masks, Prompts, Scores, Truth


@dataclass(frozen=True)
class Outcome:
    """What one plan made of one image."""

    recipe: str
    """The plan's name."""
    name: str
    """The image's name."""
    error: str | None = None
    """Why the image failed, as a sentence; None if it did not."""
    image: Image | None = None
    truth: Truth | None = None
    heatmaps: tuple[Heatmap, ...] = ()
    prompts: Prompts | None = None
    masks: Masks | None = None
    candidates: Masks | None = None
    """The masks before selection, if they were asked for."""
    labels: Labels | None = None
    counts: Mapping[str, Counts] = field(default_factory=dict)
    """Metric name to its counts."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step name to seconds; work that plans share counts for each of them."""


def walk(
    plans: Mapping[str, Plan],
    *,
    seed: int = 0,
    device: str = "cpu",
    classes: Sequence[str] = (),
    chunk: int | None = None,
    skip: Mapping[str, Collection[str]] | None = None,
    observers: Observers | None = None,
    candidates: bool = False,
) -> Iterator[Outcome]:
    """Yield what each plan makes of each image; equal beginnings of plans are computed once.

    Images come in chunks of `chunk` (default 4, on a GPU 16): steps work on a chunk together, and
    what is no longer needed is freed, so memory does not grow with the data set. `skip` names the
    images that a plan need not do. `classes` are names for ids 1, 2, … in place of the data
    set's. `candidates` asks for the masks before selection too. One image that fails does not stop
    the others.

    Raises `UsageError` if the plans have different data sets, and what opening a step raises.
    """
    graph = Graph()
    branches = {name: graph.branch(plan, candidates) for name, plan in plans.items()}
    dataset = common_dataset(plans)
    with opened([dataset, *graph.steps.values()], device):
        work = Work(class_ids(plans, classes), seed, observers or Observers())
        yield from work_through(branches, dataset, work, chunk_size(chunk, device), skip or {})


def chunk_size(asked: int | None, device: str) -> int:
    """How many images are worked on together."""
    return asked or (4 if device == "cpu" else 16)


def work_through(
    branches: Mapping[str, Branch],
    dataset: Dataset,
    work: Work,
    chunk: int,
    skip: Mapping[str, Collection[str]],
    names: Sequence[str] | None = None,
) -> Iterator[Outcome]:
    """What `walk` yields, of steps that are open already; `names`: in place of the data set's."""
    own = names is None
    if names is None:
        with blamed(dataset):
            names = list(dataset.names)
    wanted = [i for i, n in enumerate(names) if any(n not in skip.get(p, ()) for p in branches)]
    uses = _uses(branches.values())
    for places, tasks in _read_ahead(dataset, names, wanted, chunk):
        if not own:
            tasks = {i: _called(task, names[i]) for i, task in tasks.items()}
        for place in places:
            work.observers.tell("segkit_before_image", name=names[place])
        for recipe, branch in branches.items():
            todo = [i for i in places if names[i] not in skip.get(recipe, ())]
            good = [t for i in todo if isinstance(t := tasks[i], Task)]
            _evaluate(work, branch, good, uses)
            for i in todo:
                task = tasks[i]
                if isinstance(task, Failure):
                    yield Outcome(recipe, names[i], error=task.error)
                else:
                    yield _outcome(recipe, branch, task)
                    _release(task, (n.key for n in _ends(branch)), uses)


def run(
    plans: Mapping[str, Plan],
    directory: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    classes: Sequence[str] = (),
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    catalog: Catalog | None = None,
    observers: Iterable[object] = (),
    nested: bool | None = None,
    companions: Mapping[str, Plan] | None = None,
    note: Callable[[Outcome], Mapping[str, Any] | None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Run plans over their data set and return each one's summary by its name.

    A single plan's folder is `directory` itself, several plans' are `directory/recipes/NAME`;
    `nested` decides otherwise.
    `observers` are objects with watching hooks (see `plugins.hookspecs`). `companions` are plans
    that run along and have no folder. `note` sees each outcome that came about, of an image first
    the companions', with candidates; what it makes of a plan's outcome is kept in its line of
    results.jsonl.

    Raises `UsageError` as `walk` does, or for a folder that cannot be used; `SegkitError` if the
    folder can no longer be written. What was finished before is kept in any case.
    """
    watch = Observers(observers)
    dataset = common_dataset(plans)
    with blamed(dataset):
        images = RunImages.of(dataset)  # first: a folder without images leaves no trace
    ids = class_ids(plans, classes)
    nested = len(plans) > 1 if nested is None else nested
    records: dict[str, Record] = {}
    totals: dict[str, Totals] = {}
    for name, plan in plans.items():
        if nested and (name in ("", ".", "..") or {"/", "\\", "\0"} & set(name)):
            raise UsageError(
                f"a recipe's name is its folder's, so {name!r} cannot be one; choose a plain name"
            )
        content = recorded(plan, catalog=catalog, seed=seed, classes=classes)
        records[name] = Record(directory / "recipes" / name if nested else directory, content)
        totals[name] = Totals(plan, content, ids)
    session = Session(directory, images, plans, records, resume=resume, overwrite=overwrite)
    session.check()
    graph = Graph()
    branches = {
        name: graph.branch(plan, note is not None)
        for name, plan in {**(companions or {}), **plans}.items()
    }
    try:
        # Before the folder is touched: what cannot be opened leaves everything as it was.
        last = [step for plan in plans.values() for step in (*plan.metrics, *plan.writers)]
        with opened([dataset, *graph.steps.values(), *last], device):
            session.start(reader_of(dataset), needs=None if note is None else "notes")
            for name, record in records.items():
                for line in record.finished.values():
                    totals[name].add(line)
            done = sum(len(r.finished) for r in records.values())
            watch.tell("segkit_before_run", recipes=tuple(plans), images=len(images), done=done)
            skip = {name: {*r.finished} | images.skipped for name, r in records.items()}
            # A companion has nothing to do for images that every plan has finished.
            skip |= dict.fromkeys(companions or (), set.intersection(*skip.values()))
            work = Work(ids, seed, watch)
            size = chunk_size(chunk, device)
            for outcome in work_through(branches, dataset, work, size, skip, images.names):
                noted = note(outcome) if note is not None and outcome.error is None else None
                if outcome.recipe not in records:
                    continue
                record = records[outcome.recipe]
                finished = totals[outcome.recipe].images
                try:
                    if outcome.error is None:
                        record.begin(outcome.name)
                    line = line_of(plans[outcome.recipe], outcome, record.directory, ids, watch)
                    line["source"] = images.source(outcome.name, outcome.image, outcome.truth)
                    if note is not None:
                        line["notes"] = None if noted is None else dict(noted)
                    record.append(line)
                except OSError as error:
                    raise disk_error(error, record.directory, finished) from error
                totals[outcome.recipe].add(line)
                what = {"name": outcome.name, "recipe": outcome.recipe}
                if line["error"] is None:
                    watch.tell("segkit_after_image", result=line, **what)
                else:
                    watch.tell("segkit_image_failed", error=line["error"], **what)
        summaries = {}
        for name, record in records.items():
            summaries[name] = totals[name].summary()
            try:
                finish_writers(plans[name], record)
                record.finish(summaries[name])
            except OSError as error:
                raise disk_error(error, record.directory, totals[name].images) from error
    except BaseException as error:
        if isinstance(error, Exception):
            watch.tell("segkit_run_failed", error=error)
        raise
    watch.tell("segkit_after_run", summaries=summaries)
    for sentence in watch.dropped:
        warnings.warn(sentence, SegkitWarning, stacklevel=2)
    return summaries


def class_ids(plans: Mapping[str, Plan], classes: Sequence[str]) -> dict[int, str]:
    """{id: name}: the names given, or those of the plans' common data set."""
    dataset = next(iter(plans.values())).dataset
    with blamed(dataset):
        return dict(enumerate(classes, 1)) or dict(dataset.classes)


def device_named(name: str) -> str:
    """The device to open steps on; `auto` is a GPU where there is one.

    Raises `UsageError` for a name that is no device, and for a device that is not there.
    """
    kind = name.partition(":")[0]
    if kind == "cpu":
        return name
    if kind not in ("auto", "cuda", "mps"):
        raise UsageError(f"--device should be auto, cpu, cuda or mps, but is '{name}'")
    import torch

    there: Mapping[str, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "auto":
        return next((k for k, found in there.items() if found), "cpu")
    if not there[kind]:
        raise UsageError(f"--device {name}: this machine has none that torch can use; try cpu")
    return name


def _add(total: dict[str, float], more: Mapping[str, float]) -> None:
    """Add figures key by key."""
    for key, value in more.items():
        total[key] = total.get(key, 0) + value


class Totals:
    """Counts and seconds added up over a plan's finished images."""

    def __init__(self, plan: Plan, content: Mapping[str, Any], classes: Mapping[int, str]) -> None:
        self.plan = plan
        self.content = content
        self.classes = classes
        self.images = 0
        self.failed = 0
        self.counts: dict[str, dict[str, float]] = {}
        self.seconds: dict[str, float] = {}

    def add(self, line: Mapping[str, Any]) -> None:
        """Add one line of results.jsonl."""
        self.images += 1
        self.failed += line["status"] != "ok"
        for metric, counts in line["counts"].items():
            _add(self.counts.setdefault(metric, {}), counts)
        _add(self.seconds, line["seconds"])

    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {
            "images": self.images,
            "failed": self.failed,
            "scores": _scores(self.plan, self.counts),
            "details": {**self._details(), "counts": self.counts},
            "seconds": {step: round(spent, 4) for step, spent in self.seconds.items()},
            "plan": dict(self.content),
        }

    def _details(self) -> dict[str, Any]:
        """Metric name to its details, of those that have any and have counted something."""
        found = {}
        for metric in self.plan.metrics:
            counts = self.counts.get(metric.name)
            with blamed(metric):
                made = metric.details(dict(counts), self.classes) if counts else {}
            try:
                text = json.dumps(dict(made), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise PluginError(
                    f"{named(metric)} should make details that JSON can hold, but: {error}"
                ) from None
            if made:
                found[metric.name] = json.loads(text)  # as it is read again, with keys of text
        return found


def line_of(
    plan: Plan, outcome: Outcome, directory: Path, classes: Mapping[int, str], watch: Observers
) -> dict[str, Any]:
    """One image's line of results.jsonl, after its files are written."""
    error = outcome.error
    files: list[str] = []
    seconds = dict(outcome.seconds)
    scores: Scores = {}
    if error is None:
        try:
            scores = _scores(plan, outcome.counts)
        except SegkitError as problem:
            error = str(problem)
    for writer in plan.writers if error is None else ():
        what = {"step": writer, "image": outcome.image}
        watch.tell("segkit_before_step", **what)
        start = time.perf_counter()
        try:
            made = _written(writer, outcome, directory, classes, scores)
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in UNWRITABLE:
                raise  # it concerns the run, not this image
            watch.tell("segkit_step_failed", error=problem, **what)
            error = why_failed(writer, problem)
            break
        seconds[writer.name] = spent = time.perf_counter() - start
        output = tuple(directory / path for path in made)
        watch.tell("segkit_after_step", output=output, seconds=spent, method=writer.work, **what)
        files += made
    failed = error is not None
    return {
        "name": outcome.name,
        "status": "failed" if failed else "ok",
        "error": error,
        "scores": {} if failed else scores,
        "counts": {} if failed else {k: v for k, v in outcome.counts.items() if v},
        "seconds": {step: round(spent, 5) for step, spent in seconds.items()},
        "files": files,
        "prompts": [] if failed else _prompts_record(outcome.prompts),
        "masks": [] if failed else _masks_record(outcome.masks),
        "classes": dict(outcome.labels.classes) if outcome.labels and not failed else {},
    }


def _written(
    writer: Any,
    outcome: Outcome,
    directory: Path,
    classes: Mapping[int, str],
    scores: Scores,
) -> list[str]:
    """The files that one writer makes for one image, relative to the run's folder."""
    found: dict[str, Any] = {"directory": directory, "classes": dict(classes), "scores": scores}
    found |= {
        name: getattr(outcome, name)
        for name in ("image", "truth", "heatmaps", "prompts", "masks", "labels")
        if getattr(outcome, name) is not None
    }
    if outcome.heatmaps:
        found["heatmap"] = outcome.heatmaps[0]
    else:
        found.pop("heatmaps", None)
    names = type(writer).inputs().all
    made = writer.write(**{n: found[n] for n in names if n in found})
    paths = check_output(writer, made, {})
    return [Path(p).relative_to(directory).as_posix() for p in paths]


def finish_writers(plan: Plan, record: Record) -> None:
    """Let the writers write what needs all images."""
    for writer in plan.writers:
        if type(writer).finish is not Writer.finish:
            with blamed(writer, let=(OSError,)):
                record.note_finish(writer.finish)


def _prompts_record(prompts: Prompts | None) -> list[dict[str, Any]]:
    return [
        {
            "points": p.points.tolist(),
            "signs": p.signs.tolist(),
            "box": None if p.box is None else p.box.tolist(),
            "mask": p.mask is not None,
            "name": p.name,
            "score": round(p.score, 5),
        }
        for p in prompts or ()
    ]


def _masks_record(masks: Masks | None) -> list[dict[str, Any]]:
    if masks is None:
        return []
    return [
        {
            "name": masks.names[i],
            "score": round(float(masks.scores[i]), 5),
            "prompt": int(masks.prompt[i]),
            "pixels": int(masks.masks[i].sum()),
        }
        for i in range(len(masks))
    ]


def _scores(plan: Plan, counts: Mapping[str, Counts]) -> Scores:
    """Every metric's figures; a metric that counted nothing has none."""
    scores: Scores = {}
    for metric in plan.metrics:
        if counts.get(metric.name):
            with blamed(metric):
                found = metric.score(dict(counts[metric.name]))
                scores |= {name: float(value) for name, value in found.items()}
    return scores


def common_dataset(plans: Mapping[str, Plan]) -> Dataset:
    """The data set of all plans. Raises `UsageError` if there is none or they differ."""
    datasets = [plan.dataset for plan in plans.values()]
    if not datasets:
        raise UsageError("there is nothing to run; give at least one plan")
    if any(d != datasets[0] for d in datasets):
        raise UsageError("plans that run together need one data set; they have different ones")
    return datasets[0]


@contextmanager
def opened(steps: Sequence[Step], device: str) -> Iterator[None]:
    """Open each step once, and close all in the end, whatever happens."""
    with ExitStack() as stack:
        for step in steps:
            # Closed even if opening fails halfway: part of it may have been loaded.
            stack.callback(_close, step)
            with blamed(step, f"could not be opened on {device}:"):
                step.open(device)
        yield


def _close(step: Step) -> None:
    """Close a step; the work is done by then, so what it raises is only told."""
    try:
        step.close()
    except Exception as error:
        warnings.warn(why_failed(step, error, "could not be closed:"), SegkitWarning, stacklevel=2)


@contextmanager
def blamed(
    step: Step, doing: str = "raised", *, let: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """What a step raises outside its work on an image becomes one `PluginError` that names it.

    Sentences that need no name before them, and the errors in `let`, are let through.
    """
    try:
        yield
    except let:
        raise
    except Exception as error:
        text = why_failed(step, error, doing)
        if text == str(error):
            raise
        raise PluginError(text) from error


def _read_ahead(
    dataset: Dataset, names: Sequence[str], wanted: Sequence[int], chunk: int
) -> Iterator[tuple[Sequence[int], dict[int, Task | Failure]]]:
    """Chunks of images, each read in a thread while the one before it is worked on."""
    chunks = [wanted[i : i + chunk] for i in range(0, len(wanted), chunk)]

    def read(places: Sequence[int]) -> dict[int, Task | Failure]:
        return {i: read_task(dataset, i, names[i]) for i in places}

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, places) for places in chunks[:1]]
        for index, places in enumerate(chunks):
            tasks = ahead.pop().result()
            ahead = [reader.submit(read, following) for following in chunks[index + 1 : index + 2]]
            yield places, tasks


def _called(task: Task | Failure, name: str) -> Task | Failure:
    """The image under this name."""
    if isinstance(task, Failure) or task.image.name == name:
        return task
    return Task(replace(task.image, name=name), task.truth)


def reader_of(dataset: Dataset) -> Callable[[int], tuple[Image | None, Truth | None]]:
    """Reads the image at a place, and its truth, without a word of what cannot be read."""

    def read(index: int) -> tuple[Image | None, Truth | None]:
        task = read_task(dataset, index, "")
        return (None, None) if isinstance(task, Failure) else (task.image, task.truth)

    return read


def read_task(dataset: Dataset, index: int, name: str) -> Task | Failure:
    """The image at `index` and its truth, or why it cannot be used."""
    try:
        image, truth = dataset[index]
    except BadImageError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(why_failed(dataset, error))
    if not isinstance(image, Image):
        return Failure(
            f"{named(dataset)} should make an Image and a Truth or None, but made "
            f"a {type(image).__name__}"
        )
    if truth is not None and truth.labels.ids.shape != image.size:
        return Failure(
            f"{name}: the truth should have the image's size {image.size}, but has "
            f"{truth.labels.ids.shape}"
        )
    return Task(image, truth)


def _ends(branch: Branch) -> list[Any]:
    return [*branch.values.values(), *branch.metrics]


def _uses(branches: Iterable[Branch]) -> Counter[str]:
    """How many nodes and plans read each node's value."""
    uses: Counter[str] = Counter()
    seen: set[str] = set()
    for branch in branches:
        for node in branch.nodes:
            if node.key not in seen:
                seen.add(node.key)
                uses.update(need.key for need in node.needs.values())
        uses.update(node.key for node in _ends(branch))
    return uses


def _evaluate(work: Work, branch: Branch, tasks: Sequence[Task], uses: Counter[str]) -> None:
    """Do a branch's work, freeing each value after its last reader."""
    for node in branch.nodes:
        fresh = [t for t in tasks if node.key not in t.done]
        work.evaluate(node, fresh)
        for task in fresh:
            _release(task, (need.key for need in node.needs.values()), uses)


def _release(task: Task, keys: Iterable[str], uses: Counter[str]) -> None:
    """Note that these values were read, and drop those that nobody else will read."""
    for key in keys:
        task.reads[key] += 1
        if task.reads[key] == uses[key]:
            del task.values[key]


def _outcome(recipe: str, branch: Branch, task: Task) -> Outcome:
    values = {name: task.values[node.key] for name, node in branch.values.items()}
    counts = {node.steps[0].name: task.values[node.key] for node in branch.metrics}
    failed = next((v for v in (*values.values(), *counts.values()) if isinstance(v, Failure)), None)
    seconds: dict[str, float] = {}
    for node in branch.nodes:
        _add(seconds, task.seconds.get(node.key, {}))
    if failed is not None:
        return Outcome(recipe, task.image.name, error=failed.error, seconds=seconds)
    asked = values.get("prompts")
    return Outcome(
        recipe,
        task.image.name,
        image=task.image,
        truth=task.truth,
        heatmaps=values.get("heatmaps", ()),
        prompts=asked.prompts if isinstance(asked, Asked) else None,
        masks=values.get("masks"),
        candidates=values.get("candidates"),
        labels=values.get("labels"),
        counts=counts,
        seconds=seconds,
    )
