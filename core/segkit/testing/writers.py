"""The tests of writers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.errors import SegkitError, plugin_code
from segkit.plugins.finishing import asks_for_images, finish
from segkit.plugins.steps import Step, Writer
from segkit.testing import values as made_up
from segkit.testing.asking import Broken, digest, inputs_for, named, raised
from segkit.testing.every import Every
from segkit.values.types import Image


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
