"""The tests of data sets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from segkit.errors import BadValueError, SegkitError
from segkit.plugins.contract import item_of, names_of
from segkit.plugins.steps import Dataset, Step
from segkit.testing.asking import Broken, digest, named, raised
from segkit.testing.every import Every
from segkit.values.classes import BACKGROUND, VOID, checked_classes
from segkit.values.types import Image, Truth

MOST = 5
"""So many images of a data set are read …"""

READERS = 4
"""… by so many threads at once, each of which begins with another and reads all twice."""


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
        begin = threading.Barrier(READERS)

        def read(first: int) -> list[tuple[int, str]]:
            begin.wait()
            turned = [places[(first + n) % len(places)] for n in range(2 * len(places))]
            return [(i, digest(self.read(step, i))) for i in turned]

        with ThreadPoolExecutor(READERS) as threads:
            try:
                found = [*threads.map(read, range(READERS))]
            except Broken as error:
                raise Broken(f"while other threads read other images, {error}; {advice}") from error
        for i, made in (pair for pairs in found for pair in pairs):
            if made != expected[i]:
                raise Broken(
                    f"{named(step)} gives another image than alone while other threads read "
                    f"others; {advice} (image {i})"
                )
