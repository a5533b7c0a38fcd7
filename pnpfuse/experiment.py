"""One training, from the name of a data set to files on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from pnpfuse.data import load_views
from pnpfuse.evaluation import check_views, evaluate
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.encoders import default_width
from pnpfuse.fusion.registry import create_model
from pnpfuse.fusion.saved import save_model
from pnpfuse.mapping import hyperparameters
from pnpfuse.storage import save_dataset
from pnpfuse.training import fit


def train_and_save(
    data: str | os.PathLike[str],
    model: str,
    *,
    out: str | os.PathLike[str],
    epochs: int = 30,
    seed: int = 0,
    device: str = "auto",
    mapped_at: float | None = None,
    **options: Any,
) -> tuple[xr.Dataset, Path]:
    """Train a model, evaluate it with modalities missing, and write everything to a folder.

    Parameters
    ----------
    data : path or name
        As for `load_views`.
    model : str
        As for `create_model`, which also takes ``options``.
    out : path
        Folder for ``model.safetensors``, ``model.json``, ``history.nc`` and ``scores.nc``.
    epochs, seed, device
        As for `fit`; the seed sets the initial weights too.
    mapped_at : float or None
        Take b of each modality from its cell at this voltage (kB T/e) instead of from options.

    Returns
    -------
    scores : xarray.Dataset
        From `evaluate` with ``missing="all"``.
    folder : Path

    Raises
    ------
    ValueError
        For bad arguments, before anything is trained.
    """
    views = load_views(data)
    seed = check_count("seed", seed, least=0)
    if mapped_at is not None:
        if "b" in options:
            raise ValueError("b: got a value beside the mapped one; give one of them")
        widths = {m: default_width(d) for m, d in views.dims.items()}
        found = hyperparameters(widths, n=options.get("n", 4), voltage=mapped_at)
        if any(regime == "no interface" for *_, regime in found.rows()):
            raise ValueError(f"mapped_at: {found.void}")
        options |= {"n": found.n, "b": found.b}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fusion = create_model(model, views.dims, views.classes, **options)
    check_views(fusion, views, "test")  # `fit` looks at the training rows
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    history = fit(fusion, views, epochs=epochs, seed=seed, device=device)
    scores = evaluate(fusion, views, missing="all" if len(views.dims) > 1 else "none")
    save_model(fusion, folder)
    save_dataset(history.to_dataset(), folder / "history.nc")
    save_dataset(scores, folder / "scores.nc")
    return scores, folder
