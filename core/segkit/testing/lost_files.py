"""The tests of a writer whose files get lost: a run that goes on makes them again."""

from __future__ import annotations

from pathlib import Path

from segkit.errors import plugin_code
from segkit.plugins.steps import Step, Writer
from segkit.testing.asking import Broken, named, raised
from segkit.testing.writers import WriterTests


class LostFileTests(WriterTests):
    """All tests of a writer, with those of its lost files."""

    def test_its_files_are_intact(self, chosen: int) -> None:
        """Files that were just written can be read, before `finish` and after it."""
        step, folder = self.step(chosen), self.new_folder()
        made = self.wrote(step, "ordinary", folder)
        for when in ("has just written", "has written, when it has finished"):
            for path in made:
                if not self.intact(step, folder, path):
                    raise Broken(
                        f"is_intact of {named(step)} says that '{path.name}', which it {when}, "
                        "cannot be read; each run that goes on would do the image again"
                    )
            self.finished(step, folder, "ordinary")

    def test_lost_files_are_made_again(self, chosen: int) -> None:
        """Of a picture whose files are gone or empty, writing it again gives the same ones."""
        step, folder = self.step(chosen), self.new_folder()
        made = self.wrote(step, "ordinary", folder)
        self.wrote(step, "other", folder)
        self.finished(step, folder, "ordinary", "other")
        whole = {path: path.read_bytes() for path in made}
        for damage in ("gone", "empty"):
            for path in made:
                path.unlink()
                if damage == "empty":
                    path.touch()
            self.wrote(step, "ordinary", folder)
            self.finished(step, folder, "ordinary", "other")
            lost = next((p for p in made if not p.is_file() or p.read_bytes() != whole[p]), None)
            if lost is not None:
                raise Broken(
                    f"{named(step)} does not make '{lost.name}' again as it was where that was "
                    f"{damage}; write a picture's files whatever is there"
                )

    def intact(self, step: Step, folder: Path, path: Path) -> bool:
        """What `is_intact` says of a file."""
        assert isinstance(step, Writer)
        try:
            with plugin_code():
                return bool(step.is_intact(folder, path))
        except Exception as error:
            raise Broken(raised(step, "is_intact", error, f"for '{path.name}'")) from error
