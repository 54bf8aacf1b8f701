"""The names of all files that a run has made, told by how they come of its images' names.

Writers name files alike for all images, such as `masks/NAME.png`. So an image needs no more than
the number of its sorts of files, and a run of a million images can be asked for any of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from segkit.running.result_lines import ResultLines
from segkit.values.spreading import subfolder

SORTS = 64
"""So many sorts of files there are at most; what is of none is known by its whole name."""


@dataclass(frozen=True)
class Sort:
    """How the names of some files come of those of their images."""

    folder: str
    """What stands before the name, without subfolders: `masks/`."""
    levels: int
    """How deep the subfolders are; see `values.spreading`."""
    end: str
    """What follows the name: `.png`."""

    @classmethod
    def of(cls, file: str, image: str, levels: int) -> Sort | None:
        """That of an image's file in a run with so deep subfolders; None where it has no name."""
        folder, slash, last = file.rpartition("/")
        if not last.startswith(image):
            return None
        place, own = folder + slash, subfolder(image, levels)
        spread = levels if levels and place.endswith("/" + own) else 0
        return cls(place.removesuffix(own) if spread else place, spread, last[len(image) :])

    def file(self, image: str) -> str:
        """The file of an image."""
        return f"{self.folder}{subfolder(image, self.levels)}{image}{self.end}"

    def image(self, file: str) -> str | None:
        """The image whose file this would be; None where it is of another sort."""
        if not (file.startswith(self.folder) and file.endswith(self.end)):
            return None
        name = file[len(self.folder) : len(file) - len(self.end)].rpartition("/")[2]
        return name if name and self.file(name) == file else None


class MadeFiles(Collection[str]):
    """Files, relative to a run's folder, with `/`."""

    def __init__(
        self,
        lines: ResultLines,
        files: Iterable[tuple[str, Iterable[str]]],
        others: Iterable[str],
        levels: int,
    ) -> None:
        """`files`: each image of the lines, in their order, with its files; `others`: of no image.

        `levels`: how deep the run's subfolders are.
        """
        self._lines = lines
        self._others: set[str] = set()
        self._cut_off: set[str] = set()
        """Images without a line, which have files of all sorts."""
        self._sorts: dict[Sort, int] = {}
        self._groups: dict[tuple[int, ...], int] = {}
        """The sorts that some image has, to their number."""
        self._of = array("L")
        """The number of each image's group, in the order of the lines."""
        self.folders: set[str] = set()
        """The folders that they lie in, however deep; empty: the run's own."""
        self.add(others)
        for name, own in files:
            group = tuple(sorted({*self._numbers(own, name, levels)}))
            self._of.append(self._groups.setdefault(group, len(self._groups)))
        self._by_group = [*self._groups]

    @property
    def has_sorts(self) -> bool:
        """Whether it is known what files an image has."""
        return bool(self._sorts)

    def add(self, files: Iterable[str]) -> None:
        """Add files of no image."""
        for file in files:
            self._others.add(file)
            self.folders.add(_folder(file))

    def add_cut_off(self, images: Iterable[str]) -> None:
        """Add the files of every sort of these images, of which there are no lines."""
        self._cut_off = {*images}
        self.folders |= {_folder(s.file(name)) for name in self._cut_off for s in self._sorts}

    def __contains__(self, file: object) -> bool:
        if file in self._others:
            return True
        return isinstance(file, str) and any(
            name in self._cut_off or self._has(name, number)
            for sort, number in self._sorts.items()
            if (name := sort.image(file)) is not None
        )

    def __iter__(self) -> Iterator[str]:
        """Each of them; one that several images name may come more than once."""
        sorts = [*self._sorts]
        yield from self._others
        for name, group in zip(self._lines, self._of, strict=True):
            yield from (sorts[number].file(name) for number in self._by_group[group])
        for name in self._cut_off:
            yield from (sort.file(name) for sort in sorts)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _numbers(self, files: Iterable[str], image: str, levels: int) -> Iterator[int]:
        for file in files:
            self.folders.add(_folder(file))
            sort = Sort.of(file, image, levels)
            if sort is not None and (sort in self._sorts or len(self._sorts) < SORTS):
                yield self._sorts.setdefault(sort, len(self._sorts))
            else:
                self._others.add(file)

    def _has(self, name: str, number: int) -> bool:
        place = self._lines.place(name)
        return place is not None and number in self._by_group[self._of[place]]


def _folder(file: str) -> str:
    return file.rpartition("/")[0]
