"""A model in a folder: its weights as safetensors, what it was made from as JSON."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"


def save_model(model: FusionModel, folder: str | os.PathLike[str]) -> Path:
    """Write `model` to `folder`, made if need be; hands back the folder.

    Parameters
    ----------
    model : a model of `create_model`
    folder : gets ``model.safetensors`` (weights, and the standardisation with them) and
        ``model.json`` (name, dims, classes, options); both replace older ones
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "package": "pnpfuse",
        "version": version("pnpfuse"),
        "name": model.name,
        "dims": model.dims,
        "classes": model.classes,
        "options": model.options,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
    text = json.dumps(description, indent=2) + "\n"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return folder


def load_model(folder: str | os.PathLike[str]) -> FusionModel:
    """The model that `save_model` wrote to `folder`, on the CPU and ready for inference.

    Raises
    ------
    ValueError
        naming the file and what is wrong with it
    """
    folder = Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"folder {folder} has no {name}; give a folder made by save_model")
    path = folder / DESCRIPTION
    try:
        made_from = json.loads(path.read_text(encoding="utf-8"))
        dtype = getattr(torch, made_from["dtype"])
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced at once
            model = create_model(
                made_from["name"],
                made_from["dims"],
                made_from["classes"],
                **made_from["options"],
            ).to(dtype)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not describe a model: {error}") from error
    path = folder / WEIGHTS
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit {DESCRIPTION}: {error}") from error
    return model.eval()
