"""A model in a folder: its weights as safetensors, what it was made from as JSON."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pnpfuse.fusion.model import FusionModel, check_model
from pnpfuse.fusion.registry import create_model
from pnpfuse.storage import save_text, write_whole

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"


def save_model(model: FusionModel, folder: str | os.PathLike[str]) -> Path:
    """Write `model` to `folder`, made if need be; hands back the folder.

    Parameters
    ----------
    model : as `create_model` makes it, trained or not
    folder : gets ``model.safetensors`` (weights, and the standardisation with them) and
        ``model.json`` (name, dims, classes, options); both replace older ones, each as a whole

    Raises
    ------
    ValueError
        before anything is written, for a model that `load_model` could not make again from its
        name and options: one put together by hand, or one whose block was replaced by `fold`

    Notes
    -----
    The weights carry the description too, so that `load_model` can tell a pair of files of which
    one is older: what a stop between the two writes leaves.
    """
    model, folder = check_model(model), _path(folder)
    description = {
        "package": "pnpfuse",
        "version": version("pnpfuse"),
        "name": model.name,
        "dims": model.dims,
        "classes": model.classes,
        "options": model.options,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
    _check_reopens(model, description)
    text = json.dumps(description, indent=2) + "\n"
    weights = {k: v.contiguous() for k, v in model.state_dict().items()}
    write_whole(folder / WEIGHTS, lambda draft: save_file(weights, draft, {"description": text}))
    save_text(text, folder / DESCRIPTION)
    return folder


def load_model(folder: str | os.PathLike[str]) -> FusionModel:
    """The model that `save_model` wrote to `folder`, on the CPU and ready for inference.

    Raises
    ------
    ValueError
        naming the file and what is wrong with it
    """
    folder = _path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not os.path.isfile(folder / name):
            raise ValueError(f"folder {folder} has no {name}; give a folder made by save_model")
    path = folder / DESCRIPTION
    try:
        made_from = json.loads(path.read_text(encoding="utf-8"))
        dtype = getattr(torch, made_from["dtype"])
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced at once
            model = _made(made_from).to(dtype)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not describe a model: {error}") from error
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            if _described(file.metadata()) != made_from:
                raise ValueError("it was saved with another one; save the model again")
            # Assigned, not copied: what is kept in another precision than the rest stays so.
            weights = {key: file.get_tensor(key).clone() for key in file.keys()}
            model.load_state_dict(weights, assign=True)
    except (ValueError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit {DESCRIPTION}: {error}") from error
    return model.eval()


def _made(description: dict[str, Any]) -> FusionModel:
    """A new model of the same name, dims, classes and options."""
    return create_model(
        description["name"],
        description["dims"],
        description["classes"],
        **description["options"],
    )


def _check_reopens(model: FusionModel, description: dict[str, Any]) -> None:
    """ValueError unless the description makes a model of the same modules and shapes."""
    try:
        with torch.device("meta"):  # no memory, no random numbers
            wanted = _parts(_made(json.loads(json.dumps(description))))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"model cannot be made again from its name and options ({error}), so load_model could "
            "not open it; save its state_dict"
        ) from error
    found = _parts(model)
    changed = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    if changed:
        raise ValueError(
            f"model is no longer what create_model makes of its name and options ({changed[0]!r} "
            "was changed), so load_model could not open it; save its state_dict, or save it as it "
            "was before and change it after load_model"
        )


def _parts(model: FusionModel) -> dict[str, Any]:
    """The class of every module and the shape of every weight, by name."""
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    return {name: type(module) for name, module in model.named_modules()} | shapes


def _described(metadata: dict[str, str] | None) -> Any:
    """The description that the weights carry, None for weights without one."""
    return json.loads((metadata or {}).get("description", "null"))


def _path(folder: str | os.PathLike[str]) -> Path:
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"folder must be a path; found {folder!r}")
    return Path(folder)
