"""What a folder names that the library `datasets` will read, looked at before it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segkit import UsageError
from segkit_plugins.dataset._remote import is_address
from segkit_plugins.shared.reading import check_file, parsed_json, read_text


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` has left it."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def check_tables(folder: Path) -> None:
    """Raise `OSError` where a table of a saved data set is a pipe or device, which never ends."""
    for state in (folder / "state.json", *folder.glob("*/state.json")):
        if state.exists():
            for table in parsed_json(read_text(state))["_data_files"]:
                check_file(state.parent / table["filename"])


def check_near(folder: Path) -> None:
    """Raise `UsageError` where a folder's settings say that its files are in the network."""
    import yaml

    for name in ("README.md", ".huggingface.yaml"):
        if not (folder / name).is_file():
            continue
        text = read_text(folder / name)
        if name == "README.md":  # they stand at its top, between two lines of ---
            head = text.removeprefix("---\n")
            text = head.partition("\n---")[0] if head != text else ""
        settings = yaml.safe_load(text)
        configs = settings.get("configs") if isinstance(settings, dict) else None
        far = next((t for t in _texts(configs, set()) if is_address(t.rpartition("::")[2])), None)
        if far is not None:
            raise UsageError(
                f"the {name} of --hf.path {folder} names '{far}', not on this machine; add "
                "--hf.download to fetch it"
            )


def _texts(value: Any, seen: set[int]) -> Iterator[str]:
    """The texts in lists and tables; YAML may name one of these over and over."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)) and id(value) not in seen:
        seen.add(id(value))
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part, seen)
