"""One training, from views to files on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from pnpfuse.data import Views
from pnpfuse.distributed import from_first, join_processes
from pnpfuse.evaluation import check_conditions, check_views, conditions, evaluate
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.fusion.saved import save_model
from pnpfuse.mapping import Hyperparameters, hyperparameters
from pnpfuse.storage import save_dataset
from pnpfuse.training import History, fit


def train_and_save(
    views: Views,
    model: str,
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[History, xr.Dataset]:
    """Train a model, evaluate it with modalities missing, and write everything to a folder.

    Parameters
    ----------
    views : Views
        The data.
    model : str
        As for `create_model`, which also takes ``options``.
    out : path
        Folder for ``model.safetensors``, ``model.json``, ``history.nc`` and ``scores.nc``. Under
        ``torchrun`` the first process writes them.
    seed : int
        Of the initial weights, the shuffling and dropout.
    settings : mapping or None
        Further arguments of `fit`: epochs, batch_size, lr, ...

    Returns
    -------
    history : History
    scores : xarray.Dataset
        From `evaluate` with ``missing="all"``, or "none" where a condition would leave no test
        row with a modality.

    Raises
    ------
    ValueError
        For bad arguments, before anything is trained.
    """
    seed = check_count("seed", seed, least=0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fusion = create_model(model, views.dims, views.classes, **options)
    check_views(fusion, views, "test")  # `fit` looks at the training rows
    settings = dict(settings or {})
    folder = Path(out)
    join_processes(settings.get("device", "auto"))
    from_first(lambda: folder.mkdir(parents=True, exist_ok=True))
    history = fit(fusion, views, seed=seed, **settings)
    scores = evaluate(fusion, views, missing=_missing(views))
    from_first(lambda: _save(fusion, history, scores, folder))
    return history, scores


def _missing(views: Views) -> str:
    """All conditions, if each leaves some test row with a modality."""
    if len(views.dims) < 2:
        return "none"
    try:
        check_conditions(views.test, conditions("all", views.dims))
    except ValueError:
        return "none"
    return "all"


def _save(model: FusionModel, history: History, scores: xr.Dataset, folder: Path) -> None:
    save_model(model, folder)
    save_dataset(history.to_dataset(), folder / "history.nc")
    save_dataset(scores, folder / "scores.nc")


def mapped_options(
    views: Views, *, model: str = "rpmr", n: float = 4, voltage: float = 20.0, **options: Any
) -> Hyperparameters:
    """Return (n, b) for the widths that reach the model's block, the encoders' outputs.

    Parameters
    ----------
    views : Views
        The data; only the widths count.
    model, options
        As for `create_model`: the encoders' widths depend on them.
    n, voltage : float
        As for `hyperparameters`.

    Raises
    ------
    ValueError
        Where a modality's cell has no interface, so that there is no b, and for a model without
        the options n and b.
    """
    with torch.random.fork_rng(devices=[]):
        block = create_model(model, views.dims, views.classes, **options | {"n": n, "b": 0.5}).block
    found = hyperparameters(block.dims, n=n, voltage=voltage)
    if any(row.regime == "no interface" for row in found.rows()):
        raise ValueError(f"voltage: got {voltage:g} kB T/e; {found.void}")
    return found
