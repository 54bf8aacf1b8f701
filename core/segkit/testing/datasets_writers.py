"""The tests of data sets and writers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segkit.errors import BadValueError, SegkitError, plugin_code
from segkit.plugins.contract import item_of, names_of
from segkit.plugins.finishing import asks_for_images, finish
from segkit.plugins.steps import Dataset, Step, Writer
from segkit.testing import values as made_up
from segkit.testing.asking import Broken, digest, inputs_for, named, raised
from segkit.testing.every import Every
from segkit.values.classes import BACKGROUND, VOID, checked_classes
from segkit.values.types import Image, Truth

MOST = 5
"""So many images of a data set are read …"""

READERS = 4
"""… by so many threads at once, each so many times."""


class DatasetTests(Every):
    """A sequence of images, with or without truth."""

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Several threads read only what says that they may."""
        gone = super().without(step)
        return gone if step.concurrent else [*gone, "test_several_are_read_at_once"]

    def data(self, chosen: int) -> Dataset:
        """The data set."""
        step = self.step(chosen)
        assert isinstance(step, Dataset)
        return step

    def read(self, step: Dataset, index: int) -> tuple[Image, Truth | None]:
        """One item, of the right types."""
        try:
            return item_of(step, index)
        except SegkitError as error:
            raise Broken(f"{error} (for image {index})") from error

    def test_names_are_different_texts(self, chosen: int) -> None:
        """Files of a run are named after images, so every name is there once."""
        step = self.data(chosen)
        try:
            names = names_of(step)
        except SegkitError as error:
            raise Broken(f"{error} (when its names are listed)") from error
        if not names:
            raise Broken(f"{named(step)} has no images; give the tests options that find some")
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise Broken(
                f"{named(step)} names two images '{twice}'; segkit.unique_names makes them differ"
            )
        path = next((n for n in names if Path(n).name != n or "\\" in n or "\0" in n), None)
        if path is not None:
            raise Broken(
                f"{named(step)} names an image {path!r}, which cannot name a file; "
                "segkit.unique_names makes names of paths"
            )

    def test_it_is_as_long_as_its_names(self, chosen: int) -> None:
        """`len` counts the names."""
        step = self.data(chosen)
        if len(step) != len(step.names):
            raise Broken(f"{named(step)} has {len(step.names)} names and the length {len(step)}")

    def test_names_stay_the_same(self, chosen: int) -> None:
        """A run that goes on finds the images under their names again."""
        one, other = self.new(chosen), self.new(chosen)
        assert isinstance(one, Dataset)
        assert isinstance(other, Dataset)
        if list(one.names) != list(other.names):
            raise Broken(f"{named(one)} lists other names, or another order, the second time")

    def test_images_have_their_names(self, chosen: int) -> None:
        """Image i is called names[i]."""
        step = self.data(chosen)
        for index, name in enumerate(list(step.names)[:MOST]):
            found = self.read(step, index)[0].name
            if found != name:
                raise Broken(f"{named(step)} calls image {index} '{found}', and lists '{name}'")

    def test_files_are_there(self, chosen: int) -> None:
        """`files_of` names files, the same ones each time; a run sees by them what has changed."""
        step = self.data(chosen)
        for index in range(min(MOST, len(step))):
            found = [self.files(one, index) for one in (step, step, self.new(chosen))]
            if found[0] != found[1] or found[0] != found[2]:
                raise Broken(f"{named(step)} names other files for image {index} the second time")
            gone = next((path for path in found[0] if not path.is_file()), None)
            if gone is not None:
                raise Broken(
                    f"{named(step)} says that image {index} comes from '{gone}', and there is no "
                    "such file"
                )

    def files(self, step: Step, index: int) -> list[Path]:
        """What `files_of` gives, of the right type."""
        assert isinstance(step, Dataset)
        try:
            made = list(step.files_of(index))
        except Exception as error:
            raise Broken(raised(step, "files_of", error, f"for image {index}")) from error
        wrong = next((path for path in made if not isinstance(path, Path)), None)
        if wrong is not None:
            raise Broken(f"files_of of {named(step)} gives {wrong!r}; return paths (pathlib.Path)")
        return made

    def test_truth_is_there_if_it_says_so(self, chosen: int) -> None:
        """`has_truth` tells whether metrics can be used."""
        step = self.data(chosen)
        truths = [self.read(step, i)[1] for i in range(min(MOST, len(step)))]
        if not step.has_truth and any(t is not None for t in truths):
            raise Broken(f"{named(step)} says it has no truth (has_truth), and gives some")
        if step.has_truth and all(t is None for t in truths):
            raise Broken(f"{named(step)} says it has truth (has_truth), and gives none")

    def test_truth_fits_the_image(self, chosen: int) -> None:
        """Class map and instances have the image's size."""
        step = self.data(chosen)
        for index in range(min(MOST, len(step))):
            image, truth = self.read(step, index)
            if truth is not None and truth.labels.ids.shape != image.size:
                raise Broken(
                    f"{named(step)} gives '{image.name}' of {image.size} a truth of "
                    f"{truth.labels.ids.shape}; both are (rows, columns)"
                )

    def test_truth_uses_the_classes(self, chosen: int) -> None:
        """Every id in the truth is one of `classes`, where there are classes."""
        step = self.data(chosen)
        try:
            classes = checked_classes("classes", step.classes)
        except BadValueError as error:
            raise Broken(f"{named(step)}: {error}") from error
        for index in range(min(MOST, len(step))):
            image, truth = self.read(step, index)
            if truth is None or not classes:
                continue
            ids = {int(i) for i in np.unique(truth.labels.ids)} - {BACKGROUND, VOID, *classes}
            if ids:
                raise Broken(
                    f"the truth of '{image.name}' from {named(step)} holds the class id "
                    f"{min(ids)}, which its classes {sorted(classes)} lack"
                )
            other = {i: n for i, n in truth.labels.classes.items() if classes.get(i, n) != n}
            if other:
                i, name = next(iter(other.items()))
                raise Broken(
                    f"{named(step)} calls the class id {i} '{classes[i]}' in its classes, and "
                    f"'{name}' in the truth of '{image.name}'"
                )

    def test_an_image_is_the_same_each_time(self, chosen: int) -> None:
        """In any order, and in the thread that reads ahead."""
        step = self.data(chosen)
        places = list(range(min(MOST, len(step))))
        forth = {i: digest(self.read(step, i)) for i in places}
        back = {i: digest(self.read(step, i)) for i in reversed(places)}
        with ThreadPoolExecutor(1) as pool:
            threaded = dict(
                zip(places, pool.map(lambda i: self.read(step, i), places), strict=True)
            )
        fresh = self.opened(self.new(chosen))
        assert isinstance(fresh, Dataset)
        for i in places:
            others = {
                "when it is read again": back[i],
                "when another thread reads it": digest(threaded[i]),
                "when the data set is made again": digest(self.read(fresh, i)),
            }
            for when, found in others.items():
                if found != forth[i]:
                    raise Broken(f"image {i} of {named(step)} is another one {when}")
        fresh.close()

    def test_several_are_read_at_once(self, chosen: int) -> None:
        """One that is `concurrent` gives each image as ever while other threads read others."""
        step = self.data(chosen)
        places = list(range(min(MOST, len(step))))
        expected = [digest(self.read(step, i)) for i in places]
        advice = "keep nothing of one reading in the data set, or leave out 'concurrent'"
        with ThreadPoolExecutor(READERS) as pool:
            try:
                read = [*pool.map(lambda i: digest(self.read(step, i)), places * READERS)]
            except Broken as error:
                raise Broken(f"while other threads read other images, {error}; {advice}") from error
        for i, found in zip(places * READERS, read, strict=True):
            if found != expected[i]:
                raise Broken(
                    f"{named(step)} gives another image than alone while other threads read "
                    f"others; {advice} (image {i})"
                )


class WriterTests(Every):
    """Files for each image, and what needs all of them once."""

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Optional inputs are only for some, and so is a file of all images."""
        assert issubclass(step, Writer)
        gone = [] if step.inputs().optional else ["test_optional_inputs_may_be_missing"]
        told = step.finish is not Writer.finish and asks_for_images(step)
        return gone if told else [*gone, "test_the_end_is_of_finished_pictures_alone"]

    def written(
        self,
        step: Step,
        values: Mapping[str, Any],
        folder: Path,
        *,
        only_required: bool = False,
    ) -> tuple[Path, ...]:
        """The files that it makes of a picture, all of them there and inside the folder."""
        assert isinstance(step, Writer)
        given = inputs_for(step, {**values, "directory": folder})
        if only_required:
            required = type(step).inputs().required
            given = {n: v for n, v in given.items() if n in required}
        name = values["image"].name
        try:
            with plugin_code():
                made = step.write(**given)  # type: ignore[attr-defined]
        except SegkitError:
            raise
        except Exception as error:
            raise Broken(raised(step, "write", error, f"on the picture '{name}'")) from error
        return self.named_files(step, "write", made, folder)

    def named_files(self, step: Step, method: str, made: Any, folder: Path) -> tuple[Path, ...]:
        """The files that a method returns, all of them there and inside the folder."""
        if made is not None and not isinstance(made, tuple):
            raise Broken(
                f"{method} of {named(step)} should return a tuple of the paths that it wrote, but "
                f"returns a {type(made).__name__}"
            )
        for path in made or ():
            if not isinstance(path, Path):
                raise Broken(
                    f"{method} of {named(step)} returns {path!r}; return paths (pathlib.Path)"
                )
            if not path.resolve().is_relative_to(folder.resolve()):
                raise Broken(
                    f"{method} of {named(step)} writes '{path}', outside of the run's folder"
                )
            if not path.is_file():
                raise Broken(
                    f"{method} of {named(step)} names the file '{path.name}', which is not there"
                )
        return tuple(made or ())

    def wrote(self, step: Step, name: str, folder: Path) -> tuple[Path, ...]:
        """The same of one of the kit's pictures; an error is a fault."""
        try:
            return self.written(step, made_up.values(name, self.huge), folder)
        except SegkitError as error:
            raise Broken(f"{named(step)} fails on the picture '{name}': {error}") from error

    def finished(self, step: Step, folder: Path, *names: str) -> set[str]:
        """Call `finish` after pictures of these names; the files that it says it has made.

        Those that it returns are there; where it returns None, they are those that are new.
        """
        assert isinstance(step, Writer)
        before = _content(folder).keys()
        try:
            with plugin_code():
                made = finish(step, folder, names)
        except Exception as error:
            raise Broken(raised(step, "finish", error, "after the last picture")) from error
        own = {p.relative_to(folder) for p in self.named_files(step, "finish", made, folder)}
        return {*_content(folder)} - before if made is None else {p.as_posix() for p in own}

    def test_an_ordinary_picture(self, chosen: int) -> None:
        """It writes files inside the run's folder and names them."""
        step = self.step(chosen)
        folder = self.new_folder()
        made = self.wrote(step, "ordinary", folder)
        self.finished(step, folder, "ordinary")
        there = [p for p in folder.rglob("*") if p.is_file()]
        if not made and not there:
            raise Broken(f"{named(step)} writes nothing for the picture 'ordinary'")

    def test_an_edge(self, chosen: int, edge: str) -> None:
        """So it does for odd pictures."""
        step = self.step(chosen)
        folder = self.new_folder()
        self.wrote(step, edge, folder)
        self.finished(step, folder, edge)

    def test_optional_inputs_may_be_missing(self, chosen: int) -> None:
        """Where nothing makes an optional input, it works, or says in a sentence what it needs."""
        step = self.step(chosen)
        values = made_up.values("ordinary")
        try:
            self.written(step, values, self.new_folder(), only_required=True)
        except Broken as error:
            raise Broken(f"without its optional inputs {error}") from error
        except SegkitError:
            pass

    def test_two_pictures_have_their_own_files(self, chosen: int) -> None:
        """None is written over."""
        step = self.step(chosen)
        folder = self.new_folder()
        both = {*self.wrote(step, "ordinary", folder)} & {*self.wrote(step, "other", folder)}
        if both:
            raise Broken(
                f"{named(step)} writes '{both.pop().name}' for two pictures; name files after "
                "image.name"
            )

    def test_names_of_all_sorts(self, chosen: int) -> None:
        """Images are called what people call their files."""
        step = self.step(chosen)
        folder = self.new_folder()
        values = made_up.values("ordinary")
        names = ("a b", "1.2", "größe", "x-2", "100%", "#1")
        for name in names:
            image = Image(values["image"].pixels, name)
            try:
                self.written(step, {**values, "image": image}, folder)
            except SegkitError as error:
                raise Broken(f"{named(step)} fails for an image named {name!r}: {error}") from error
        self.finished(step, folder, *names)

    def test_it_leaves_its_inputs_alone(self, chosen: int) -> None:
        """Other writers get the same values."""
        step = self.step(chosen)
        values = made_up.values("ordinary")
        before = {n: digest(v) for n, v in values.items()}
        self.written(step, values, self.new_folder())
        changed = [n for n, found in before.items() if digest(values[n]) != found]
        if changed:
            raise Broken(f"{named(step)} changes its input '{changed[0]}'; make a copy")

    def test_the_same_picture_makes_the_same_files(self, chosen: int) -> None:
        """Written again, also over the files of a run that was cut off, they are the same."""
        step = self.step(chosen)
        folder = self.new_folder()
        self.wrote(step, "ordinary", folder)
        self.finished(step, folder, "ordinary")
        first = _content(folder)
        self.wrote(step, "ordinary", folder)
        self.finished(step, folder, "ordinary")
        _same_files(step, "writes other files when it writes a picture again", first, folder)

    def test_a_run_that_goes_on_ends_alike(self, chosen: int) -> None:
        """What it knows of finished pictures stands in files: another process finishes the run."""
        whole, cut = self.new_folder(), self.new_folder()
        names = ("ordinary", "other", "taller")
        one = self.opened(self.new(chosen))
        for name in names:
            self.wrote(one, name, whole)
        self.finished(one, whole, *names)
        one.close()
        for some in (names[:1], names[1:]):
            step = self.opened(self.new(chosen))
            for name in some:
                self.wrote(step, name, cut)
            if "taller" in some:
                self.finished(step, cut, *names)
            step.close()
        _same_files(
            one,
            "ends otherwise when a run is cut off and goes on, so it keeps something of finished "
            "pictures in memory; keep it in files",
            _content(whole),
            cut,
        )

    def test_the_end_is_of_finished_pictures_alone(self, chosen: int) -> None:
        """What it has left of a picture that failed later is none of what `finish` makes."""
        ends = []
        for written in (("ordinary", "other"), ("ordinary", "other", "taller")):
            step, folder = self.opened(self.new(chosen)), self.new_folder()
            for name in written:
                self.wrote(step, name, folder)
            made = self.finished(step, folder, "ordinary", "other")
            step.close()
            ends.append({n: c for n, c in _content(folder).items() if n in made})
        for name in sorted({*ends[0], *ends[1]}):
            if ends[0].get(name) != ends[1].get(name):
                raise Broken(
                    f"finish of {named(step)} counts a picture that is not finished (the file "
                    f"'{name}' differs); go by the names that it is given as 'images'"
                )

    def test_no_picture_at_all(self, chosen: int) -> None:
        """A run in which every image failed is finished, too."""
        self.finished(self.step(chosen), self.new_folder())


def _content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _same_files(step: Step, what: str, wanted: Mapping[str, bytes], folder: Path) -> None:
    found = _content(folder)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise Broken(f"{named(step)} {what} (the file '{name}' differs)")
