"""List the photographs that weights learned from: python -m segkit_training.credits.

A line for each, as comma-separated values: data set, file, licence and its address, the
photograph's own address, and what it was for. The attribution that CC BY and CC BY-SA ask for.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click

from segkit_training.photos import is_examined, set_aside

HEADER = ("set", "file", "licence", "licence address", "photo address", "use")
PETS = (
    "CC BY-SA 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "https://www.robots.ox.ac.uk/~vgg/data/pets/",
)


def of_coco(folder: Path) -> list[tuple[str, ...]]:
    """The photographs of a COCO folder; those set aside have taught the judge of masks alone."""
    listed = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    licences = {entry["id"]: entry for entry in listed["licenses"]}
    rows: list[tuple[str, ...]] = []
    for entry in sorted(listed["images"], key=lambda e: str(e["file_name"])):
        name, licence = entry["file_name"], licences[entry["license"]]
        use = "expected IoU" if is_examined(name) else "masks"
        use = "judge" if set_aside(name) else use
        address = entry.get("flickr_url") or entry["coco_url"]
        rows.append(("COCO", name, licence["name"], licence["url"], address, use))
    return rows


def of_pets(folder: Path) -> list[tuple[str, ...]]:
    """The pets at even positions of the sorted names."""
    names = sorted(path.name for path in (folder / "images").glob("*.jpg"))[::2]
    return [("Oxford-IIIT Pet", name, *PETS, "masks and judge") for name in names]


@click.command(help=__doc__)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option(
    "--coco",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A folder with instances.json and images/; may be repeated.",
)
@click.option("--pets", type=click.Path(exists=True, path_type=Path), help="Oxford-IIIT Pet.")
def main(output: Path, coco: tuple[Path, ...], pets: Path | None) -> None:
    """Write the list."""
    rows = sorted({row for folder in coco for row in of_coco(folder)})
    rows += of_pets(pets) if pets else []
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows)
    click.echo(f"{len(rows)} photographs")


if __name__ == "__main__":
    main()
