"""Models of transformers on the disk: a folder, or a name of the hub that was fetched before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared.fetching import split_revision


def model_folder(option: str, model: str) -> Path:
    """The folder of a model: itself, or that of `OWNER/NAME[@REVISION]` in the hub's cache.

    Nothing is fetched. `option`: the flag that asks for it, such as '--dpt.model'. Raises
    `UsageError` if there is neither, `MissingExtraError` without huggingface_hub.
    """
    if Path(model).is_dir():
        return Path(model)
    name, revision = split_revision(model)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise MissingExtraError(f"{option} {model}", "huggingface_hub", "hf") from None
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except HFValidationError:
        raise UsageError(
            f"{option} {model} is no folder and no name of the hub; give a model folder, or "
            "OWNER/NAME"
        ) from None
    except LocalEntryNotFoundError:
        raise UsageError(
            f"{option} {model} is no folder, and no model of that name was fetched from the hub; "
            f"check the path, or run: segkit weights fetch hf:{model.removeprefix('hf:')}"
        ) from None


def from_folder(
    auto_class: Any,
    folder: Path,
    asked: str,
    advice: str = "choose a model that transformers loads by itself",
    **settings: Any,
) -> Any:
    """What `auto_class.from_pretrained(folder, **settings)` gives; no code of the model's is run.

    `auto_class`: one of transformers' own, such as AutoImageProcessor. `asked`: what names the
    model, such as '--dpt.model x'. Raises `UsageError`, which ends with `advice`, for a model that
    cannot be loaded without running code that comes with it, and for one whose settings are partly
    in the hub; else what transformers raises.
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    with quiet():
        try:
            return auto_class.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **settings
            )
        except OfflineModeIsEnabled:
            raise UsageError(
                f"{asked} names a backbone whose settings are in the hub, and nothing is fetched "
                "while a model is opened; load it once with transformers and save_pretrained it, "
                "which writes them into its config.json"
            ) from None
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
    raise UsageError(
        f"{asked} cannot be loaded without running code that comes with it (its settings have an "
        f"auto_map), and that is never run; {advice}"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, reports, questions and network of transformers' own."""
    from huggingface_hub import constants
    from transformers import dynamic_module_utils
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    waits = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # How many seconds it waits for an answer whether to run a model's code; with 0 it refuses. It
    # does not hand trust_remote_code on to the models that are parts of a model, and would ask.
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    # `local_files_only` is not handed on either: a backbone's name is looked up in the hub.
    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = waits
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
