"""Networks of transformers out of model folders: tensors alone, nothing that runs, no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared.hub import from_folder
from segkit_plugins.shared.reading import parsed_json, read_text
from segkit_plugins.shared.sentences import first_line
from segkit_plugins.shared.weights import check_readable

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
"""Where `save_pretrained` puts weights, now and in older versions; large models have an index and
several files. The second is a pickle, of which tensors alone are read; older models of the hub have
no other file."""


def weight_files(asked: str, folder: Path) -> tuple[Path, ...]:
    """The files of a model folder that hold its weights, one or several; safetensors go first.

    `asked`: what names the model, such as '--dpt.model x'. Raises `UsageError` if there is none,
    or one of several is missing.
    """
    for name in (SAFE, PICKLED):
        if (folder / name).is_file():
            return (folder / name,)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _parts(asked, folder, index)
    kinds = ("*.safetensors", "*.bin", "*.pth", "*.pt")
    other = sorted(path.name for kind in kinds for path in folder.glob(kind))
    lies = f"; it has {other[0]}, which is no name that transformers reads" if other else ""
    raise UsageError(
        f"{asked} has no weights ({SAFE} or {PICKLED}){lies}; fetch it again, or give a folder as "
        "save_pretrained writes it"
    )


def _parts(asked: str, folder: Path, index: Path) -> tuple[Path, ...]:
    """The files that an index names."""
    weight_map = read_settings(index).get("weight_map") or {}
    parts = sorted({str(part) for part in weight_map.values()})
    missing = [part for part in parts if not (folder / part).is_file()]
    if missing or not parts:
        raise UsageError(
            f"{asked} lacks {missing[0] if missing else 'the files'} that its {index.name} names; "
            "copy or fetch the whole folder again"
        )
    return tuple(folder / part for part in parts)


def model_type(folder: Path, asked: str) -> str:
    """The type of model in transformers that a folder holds; 'None' where it does not say.

    `asked`: the option and its value. Raises `UsageError` where there is no config.json, or none
    that can be read.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise UsageError(f"{asked} has no config.json; give a folder as save_pretrained writes it")
    return str(read_settings(config).get("model_type"))


def read_settings(path: Path) -> dict[str, Any]:
    """What a JSON file holds. Raises `UsageError` if it is no JSON object."""
    try:
        settings = parsed_json(read_text(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({first_line(error)}); fetch the model again"
        ) from None
    if not isinstance(settings, dict):
        raise UsageError(f"{path} holds no settings; fetch the model again")
    return settings


def load_processor(folder: Path, asked: str) -> Any:
    """A folder's image processor. Raises `UsageError` if it cannot be loaded."""
    from transformers import AutoImageProcessor

    try:
        return from_folder(AutoImageProcessor, folder, asked)
    except UsageError:
        raise
    except Exception as error:  # what the libraries raise has no other class in common
        raise UsageError(
            f"{asked} has an image processor that cannot be loaded ({first_line(error)}); fetch or "
            "save it again"
        ) from None


TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")
"""Where the words of a model that reads text are, one of them."""


def load_tokenizer(folder: Path, asked: str, words: int) -> Any:
    """A folder's tokenizer, which makes numbers below `words`, as many as the model knows.

    `asked`: what names the model, such as '--clip-text.model x'. Raises `UsageError` if there is
    none, it cannot be loaded, or it is another model's.
    """
    from transformers import AutoTokenizer

    advice = "save or fetch the model again, with its tokenizer"
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UsageError(f"{asked} has no tokenizer ({', '.join(TOKENIZERS)}); {advice}")
    try:
        tokenizer = from_folder(AutoTokenizer, folder, asked)
    except UsageError:
        raise
    except Exception as error:  # what the libraries raise has no other class in common
        raise UsageError(
            f"{asked} has a tokenizer that cannot be loaded ({first_line(error)}); {advice}"
        ) from None
    if len(tokenizer) > words:
        raise UsageError(
            f"{asked} has a tokenizer of {len(tokenizer)} words, but knows {words}; {advice}"
        )
    return tokenizer


def load_network(
    auto_class: Any, folder: Path, asked: str, what: str, unused: tuple[str, ...] = ()
) -> Any:
    """A folder's network with its weights, float32, on the CPU.

    `auto_class`: one of transformers' own, such as AutoModelForObjectDetection. `asked`: what names
    the model, such as '--detr.model x'; `what`: what it should be, such as 'object detector'.
    Tensors whose names begin with one of `unused` may lack.

    Raises `UsageError` for weights that are not there, damaged, would run code, or are those of
    another model or size; `MissingExtraError` where the model needs timm.
    """
    files = weight_files(asked, folder)
    for path in files:
        check_readable(path)
    try:
        network, told = from_folder(
            auto_class,
            folder,
            asked,
            dtype="float32",
            use_safetensors=files[0].suffix == ".safetensors",
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below
        )
    except UsageError:
        raise
    except ImportError as error:
        if "timm" in str(error):
            raise MissingExtraError(asked, "timm", "timm") from None
        raise UsageError(f"{asked} cannot be loaded ({first_line(error)})") from None
    except Exception as error:  # what the libraries raise has no other class in common
        raise UsageError(
            f"{asked} cannot be loaded ({first_line(error)}); its files are damaged or do not "
            "belong together: fetch or save it again"
        ) from None
    unfit = {*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])}
    unfit = {key for key in unfit if not key.startswith(unused)}
    if unfit:
        raise UsageError(
            f"{asked} is no whole {what}: {len(unfit)} weights that its config.json asks for are "
            f"missing or of another shape, such as {min(unfit)}; choose another model"
        )
    if more := _more_layers(told["unexpected_keys"], network.state_dict()):
        raise UsageError(
            f"{asked} has weights of a larger {what} than its config.json says, such as "
            f"{more}; fetch both from one place"
        )
    return network


def _more_layers(unexpected: Iterable[str], own: Iterable[str]) -> str | None:
    """The first of the weights that belong to a further layer of a network's own stacks."""
    stacks = {_any_layer(key) for key in own}
    return min((key for key in unexpected if _any_layer(key) in stacks), default=None)


def _any_layer(key: str) -> str:
    return re.sub(r"\.\d+\.", ".N.", key)
