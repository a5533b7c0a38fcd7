"""A trained model from where `pnpfuse train` left it: a saved model, or the state of a training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pnpfuse.checkpoints import DESCRIPTION, read_checkpoint
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.fusion.saved import DESCRIPTION as MODEL
from pnpfuse.fusion.saved import load_model
from pnpfuse.views import Views


class Trained(NamedTuple):
    """A model, and what there is to say of its training."""

    model: FusionModel
    training: str


def open_trained(path: str | os.PathLike[str], views: Views) -> Trained:
    """The model at `path`, on the CPU and ready for inference, and how far its training came.

    Parameters
    ----------
    path : a folder that `save_model` or ``pnpfuse train`` wrote, or the folder of a training's
        checkpoint, or one that holds a checkpoint alone; or one of the files in these
    views : the data; a training's checkpoint takes widths and number of classes from it

    Raises
    ------
    ValueError
        naming the file and what is wrong with it
    """
    given = Path(path)
    folder = given.parent if given.is_file() else given
    if not folder.is_dir():
        raise ValueError(f"{given} does not exist; give the folder that pnpfuse train wrote")
    if (folder / MODEL).is_file():
        return Trained(load_model(folder), "saved at its end")
    for candidate in (folder, folder / "checkpoint"):
        if (candidate / DESCRIPTION).is_file():
            return _from_checkpoint(candidate, views)
    raise ValueError(
        f"{given} holds no {MODEL} and no {DESCRIPTION}; give the folder that pnpfuse train wrote"
    )


def _from_checkpoint(folder: Path, views: Views) -> Trained:
    """The model of a training as it stood at its last epoch."""
    state = read_checkpoint(folder)
    assert state is not None  # its description is there
    try:
        settings = state["settings"]
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced at once
            options = json.loads(settings["options"])
            model = create_model(settings["model"], views.dims, views.classes, **options)
        model.load_state_dict(state["model"])
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{folder} holds no state of a model for these data, {views.dims} with "
            f"{views.classes} classes: {error}"
        ) from error
    return Trained(model.eval(), _progress(state["epoch"], settings.get("epochs")))


def _progress(epoch: int, epochs: Any) -> str:
    if epoch == epochs:
        return f"checkpoint of epoch {epoch} of {epochs}, its last"
    return f"checkpoint of epoch {epoch} of {epochs}: not the end of the training"
