"""What the page shows for its form: the controls, the stages, and what to take away.

Nothing here knows of gradio; the page only carries forms in and HTML out.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from segkit import Catalog, Plan, Prompt, Recipe, SegkitError, Step
from segkit.kinds import BUNDLED, KINDS, SWEPT
from segkit.plugins.contract import blamed
from segkit.plugins.entries import Entry
from segkit.running.interactive import (
    Clicks,
    Interactive,
    Stage,
    Stopped,
    Trial,
    TrialCancelledError,
)
from segkit_ui.playground.fields import Widget, options_of, widgets_of, written
from segkit_ui.playground.form import Bounds, Form, Side, command_of, recipe_of, side_of, toml_of
from segkit_ui.playground.photos import Photo, Photos
from segkit_ui.playground.shots import Artist, Shot

LETTERS = "AB"
"""What the recipes are called."""

TITLES = {
    "saliency": "Saliency",
    "transform": "Transform",
    "prompt": "Prompts",
    "segmenter": "Candidates",
    "judge": "Judged",
    "selector": "Selected",
    "fuser": "Result",
}
"""What a stage is called in the page, by its kind."""


@dataclass(frozen=True)
class Card:
    """One stage as the page shows it."""

    title: str
    steps: str
    """The names of its steps."""
    time: str
    shots: Sequence[Shot] = ()
    more: int = 0
    """How many pictures have no room."""
    error: str | None = None


@dataclass(frozen=True)
class Run:
    """One recipe's stages as the page shows them, or the sentence that says why there are none."""

    letter: str
    cards: Sequence[Card] = ()
    words: str = ""
    """The plan in one line."""
    seconds: float = 0.0
    note: str = ""
    error: str | None = None
    end: Shot | None = None
    """Its result."""
    command: str = ""
    toml: str = ""
    file: str = "recipe.toml"
    trial: Trial | None = field(default=None, repr=False)
    recipe: Recipe | None = field(default=None, repr=False)


class Bench:
    """One session of trials, its photos and what the page may ask of it."""

    def __init__(self, session: Interactive, photos: Photos, bounds: Bounds) -> None:
        self.session = session
        self.photos = photos
        self.bounds = bounds
        self._artists: weakref.WeakKeyDictionary[Any, Artist] = weakref.WeakKeyDictionary()

    @property
    def catalog(self) -> Catalog:
        """Whose plugins are offered."""
        return self.session.catalog

    def start(self) -> Form:
        """The form that the page begins with: the recipe that it was started with.

        Raises `UsageError` and `PluginError` where that is no plan.
        """
        recipe = self.session.fitting(self.bounds.start)
        side = side_of(recipe, self.session.plan(recipe), self.catalog)
        return Form(photo=next((key for key, _ in self.photos.menu), ""), sides=(side,))

    # ---- the controls ---------------------------------------------------------------------------

    def controls(self, form: Form) -> str:
        """The form as HTML."""
        return _template("controls.html.j2").render(
            form=form,
            photos=self.photos.menu,
            letters=LETTERS,
            kinds=[KINDS[kind] for kind in SWEPT],
            titles=TITLES,
            offered={kind: self.offered(kind) for kind in SWEPT},
            sides=[self._drawn(side) for side in form.sides],
        )

    def offered(self, kind: str) -> list[tuple[str, Entry]]:
        """The plugins of a kind that `segkit list-plugins` has, each by its name in recipes."""
        entries = [e for e in self.catalog.entries(kind) if e.status not in _UNUSABLE]
        own = [e for e in entries if e.distribution == BUNDLED and e.status != "shadowed"]
        return [(e.name if e in own else e.full_name, e) for e in entries]

    def _drawn(self, side: Side) -> dict[str, list[dict[str, Any]]]:
        """Each kind's steps with their widgets and what stands in them."""
        drawn: dict[str, list[dict[str, Any]]] = {kind: [] for kind in SWEPT}
        for chosen in side.steps:
            row: dict[str, Any] = {"name": chosen.name, "merge": chosen.merge, "widgets": ()}
            drawn.setdefault(chosen.kind, []).append(row)
            try:
                step = self.catalog.load(chosen.kind, chosen.name)
            except SegkitError as error:
                row["error"] = str(error)
                continue
            row["summary"] = _first_line(step)
            row["widgets"] = _filled(step, chosen.options)
            row["changed"] = any(t.strip() != w.default for w, t in row["widgets"])
        return drawn

    # ---- the stages -----------------------------------------------------------------------------

    def stages(self, form: Form, stopped: Stopped = None) -> str:
        """What the form's recipes make of its photo, as HTML.

        Raises `SegkitError` for a photo that cannot be read, and where `stopped` says before a step
        that the work is to end; what is wrong with a recipe stands in its own place.
        """
        photo = self.photos.load(form.photo)
        artist = self.artist(photo)
        runs = [self._run(side, i, photo, stopped) for i, side in enumerate(form.sides)]
        trials = [run.trial for run in runs]
        difference = None
        if len(trials) == 2 and trials[0] is not None and trials[1] is not None:
            difference = artist.difference(trials[0], trials[1])
        return _template("stages.html.j2").render(
            photo=Shot("", artist.photo),
            size=photo.image.size,
            name=photo.image.name,
            answers=self._answers(form, runs, photo, stopped) if form.clicks else [],
            clicks=form.clicks,
            difference=difference,
            runs=runs,
        )

    def artist(self, photo: Photo) -> Artist:
        """Who draws on this photo."""
        artist = self._artists.get(photo.image)
        if artist is None:
            artist = self._artists[photo.image] = Artist(photo.image)
        return artist

    def _run(self, side: Side, index: int, photo: Photo, stopped: Stopped) -> Run:
        letter = LETTERS[index]
        try:
            asked = recipe_of(side, self.catalog, self.bounds)
            recipe = self.session.fitting(asked)
            trial = self.session.trial(recipe, photo.image, photo.truth, stopped=stopped)
        except TrialCancelledError:
            raise
        except SegkitError as error:
            return Run(letter, error=str(error))
        unread = recipe.parts != asked.parts
        file = f"recipe{'' if index == 0 else '-b'}.toml"
        return Run(
            letter,
            self._cards(trial, self.artist(photo)),
            trial.plan.words.partition(" > ")[2],
            trial.seconds,
            end=self.artist(photo).result(trial) if trial.error is None else None,
            note="Nothing reads heatmaps here, so saliency is left out." if unread else "",
            command=command_of(recipe, trial.plan, self.catalog, photo.words, file),
            toml=toml_of(recipe, trial.plan, self.catalog),
            file=file,
            trial=trial,
            recipe=recipe,
        )

    def _cards(self, trial: Trial, artist: Artist) -> list[Card]:
        cards = []
        judged = any(stage.kind == "judge" and stage.error is None for stage in trial.stages)
        for stage in trial.stages:
            makes_labels = stage.kind == "segmenter" and stage.value is trial.labels
            if judged and stage.kind == "segmenter" and not makes_labels:
                continue  # the judge's card shows the same masks, and their quality
            shots, more = artist.shots(stage, trial) if stage.error is None else ([], 0)
            cards.append(Card(_title(stage), _steps(stage), _time(stage), shots, more, stage.error))
        if trial.error is None and trial.labels is None and trial.masks is not None:
            cards.append(Card("Result", "", "", [artist.result(trial)]))
        return cards

    def _answers(
        self, form: Form, runs: Sequence[Run], photo: Photo, stopped: Stopped
    ) -> list[tuple[str, Any]]:
        """What the person's own clicks make with each recipe's segmenter."""
        height, width = photo.image.size
        points = tuple((c.x * width - 0.5, c.y * height - 0.5) for c in form.clicks)
        points = tuple((min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in points)
        signs = tuple(click.on for click in form.clicks)
        clicks = Clicks(points=points, signs=signs)
        answers: list[tuple[str, Any]] = []
        shown: set[Any] = set()
        for run in runs:
            if run.recipe is None:
                continue
            try:
                trial = self.session.clicked(run.recipe, photo.image, clicks, stopped=stopped)
            except TrialCancelledError:
                raise
            except SegkitError as error:
                answers.append((run.letter, str(error)))
                continue
            same = tuple(step.key() for step in _answering(trial.plan))
            if same in shown:
                continue
            shown.add(same)
            if trial.error is not None:
                answers.append((run.letter, trial.error))
                continue
            asked = Prompt(points=points, signs=signs)
            answers.append((run.letter, self.artist(photo).answer(trial, asked, run.trial)))
        return answers


def _filled(step: type[Step], texts: Mapping[str, str]) -> list[tuple[Widget, str]]:
    """Each widget with its text: what stands there, else what the step makes of the others."""
    there: Step | None = None
    with suppress(SegkitError), blamed(step):
        there = step(**options_of(step, texts))
    return [
        (w, texts.get(w.name, w.default if there is None else written(getattr(there, w.name))))
        for w in widgets_of(step)
    ]


_UNUSABLE = ("bad name", "bad group", "unsupported")
"""What `list-plugins` names, but nobody can use."""


def _answering(plan: Plan) -> Sequence[Step]:
    """The steps that decide what is made of clicks."""
    return [step for step in plan.steps if step.kind not in ("prompt", "metric")]


def _title(stage: Stage) -> str:
    return "Prompts, last look" if stage.again else TITLES.get(stage.kind, stage.kind.title())


def _steps(stage: Stage) -> str:
    return " + ".join(step.name for step in stage.steps)


def _time(stage: Stage) -> str:
    if stage.error is not None:
        return ""
    if not stage.seconds:
        return "kept"
    milliseconds = 1000 * stage.seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 1 else "< 1 ms"


def _first_line(step: type[Step]) -> str:
    return (step.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


@lru_cache
def _template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segkit_ui.playground", "templates"),
        autoescape=True,  # names and sentences come from files and plugins
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
