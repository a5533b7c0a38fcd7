"""Retrieval across modalities, or within one, through embeddings that leak nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse.evaluation import check_views, in_order
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.model import FusionModel
from pnpfuse.ranking import LEAK, K, rank
from pnpfuse.views import Views

__all__ = ["embeddings", "rank", "retrieve"]

RELEVANCE = ("class", "pair")
PARTS = ("shared", "specific", "all")


def retrieve(
    model: FusionModel,
    views: Views,
    query: str,
    gallery: str,
    *,
    k: int | Iterable[int] = K,
    relevance: str = "class",
    parts: str | None = None,
    normaliser: str = "possible",
    split: str = "test",
) -> xr.Dataset:
    """How well one modality of a sample finds another, Dataset over `k`.

    Every sample is a query by its modality `query` and an item by its modality `gallery`; items
    are ranked by the cosine of the embeddings.

    Parameters
    ----------
    model : on any device; its training mode is put back afterwards
    views : the data; rows that lack the modality are no queries, or no items
    query, gallery : modalities; the same one for a search within it, where a sample does not find
        itself
    k : where the lists are cut off, as in `rank`
    relevance : "class", items of the query's class, its own sample among them across modalities;
        "pair", the query's own sample alone
    parts : of the embeddings: "shared", the modality's own shared part, of width l* in every
        modality; "specific"; "all", both. None, "shared" across modalities and "all" within one.
        A block that embeds nothing by itself (concat) has "all" alone, the encoded features.
    normaliser : of mAP@k, as in `rank`
    split : "train" or "test"

    Returns
    -------
    xarray.Dataset
        As `rank` gives: map_at_k, recall_at_k, ..., mean_average_precision, median_rank.

    Raises
    ------
    ValueError
        for ``parts="fused"``: Z of a modality holds the shared part of another one, that of the
        item looked for, so that its score is no retrieval; for modalities whose embeddings differ
        in width; for other bad arguments

    Notes
    -----
    Each embedding is made from its own modality alone: no other feature of the sample is read.
    """
    if parts == "fused":
        raise ValueError(f"parts must be one of {list(PARTS)}; found 'fused': {LEAK}")
    if parts is not None:
        check_choice("parts", parts, PARTS)
    check_choice("relevance", relevance, RELEVANCE)
    rows = check_views(model, views, split)
    check_choice("query", query, model.dims)
    check_choice("gallery", gallery, model.dims)
    within = query == gallery
    if within and relevance == "pair":
        raise ValueError(
            f"relevance='pair' needs two modalities; {query!r} would look for itself: take 'class'"
        )
    if parts is None:
        parts = "all" if within or "shared" not in _parts(model) else "shared"
    asked, items = _present(rows, "query", query), _present(rows, "gallery", gallery)
    Q = embeddings(model, rows, query, parts, asked)  # (Q, width)
    G = Q if within else embeddings(model, rows, gallery, parts, items)  # (G, width)
    if Q.shape[1] != G.shape[1]:
        raise ValueError(
            f"parts={parts!r} has width {Q.shape[1]} in {query} and {G.shape[1]} in {gallery}, "
            "which cannot be compared; "
            + (
                "take parts='shared'"
                if "shared" in _parts(model) and parts != "shared"
                else f"{model.name} has no part of one width: give its encoders one width"
            )
        )
    by = rows.labels if relevance == "class" else np.arange(len(rows))
    found = rank(Q, G, by[asked], by[items], k=k, exclude_self=within, normaliser=normaliser)
    found.attrs |= {
        "model": model.name,
        "data": views.name,
        "query": query,
        "searched": gallery,
        "relevance": relevance,
        "parts": parts,
        "split": split,
    }
    return found


@torch.inference_mode()
def embeddings(
    model: FusionModel,
    views: Views,
    modality: str,
    parts: str = "all",
    rows: NDArray[np.int64] | None = None,
) -> Tensor:
    """Leak-free embeddings of one modality, (rows, width), on the model's device.

    Parameters
    ----------
    model : its training mode is put back afterwards
    views : of the model's widths
    modality : the only one that is read
    parts : "all", [own shared; own specific] (rows, l* + l_m), or one of the two; for a block
        that embeds nothing by itself "all", the encoded features (rows, l_m)
    rows : which, at least one; None for all
    """
    check_choice("modality", modality, model.dims)
    check_choice("parts", parts, PARTS)
    if parts not in (possible := _parts(model)):
        raise ValueError(
            f"parts must be one of {possible} for {model.name}, whose block has no such part; "
            f"found {parts!r}"
        )
    weight = next(model.parameters())
    chosen = np.arange(len(views)) if rows is None else rows
    if not len(chosen):
        raise ValueError(f"rows names no row; at least one that has {modality!r} is needed")
    was_training = model.training
    model.eval()
    done = []
    try:
        for batch in in_order(len(chosen), model.dims):
            X = torch.from_numpy(views.read(chosen[batch], [modality])[modality])
            X = X.to(weight.device, weight.dtype)  # (batch, d)
            done.append(_embed(model, X, modality, parts))
    finally:
        model.train(was_training)
    return torch.cat(done)


def _embed(model: FusionModel, X: Tensor, modality: str, parts: str) -> Tensor:
    absent = torch.zeros(len(X), dtype=torch.bool, device=X.device)  # (batch,)
    V = model.encode({modality: X}, {m: absent for m in model.dims if m != modality})[modality]
    block: Any = model.block
    if not hasattr(block, "embed"):
        return V  # (batch, l_m)
    E = block.embed({modality: V})[modality]  # (batch, l* + l_m)
    if "specific" not in _parts(model):
        return E  # of shared width altogether
    common = E.shape[1] - block.part_widths("specific")[modality]  # l*
    return {"all": E, "shared": E[:, :common], "specific": E[:, common:]}[parts]


def _parts(model: FusionModel) -> tuple[str, ...]:
    """What the embeddings of a model can be asked for."""
    block: Any = model.block
    if not hasattr(block, "embed"):
        return ("all",)
    try:
        block.part_widths("specific")
    except ValueError:  # one projection into a common space, as CLIP has
        return ("all", "shared")
    return PARTS


def _present(views: Views, argument: str, modality: str) -> NDArray[np.int64]:
    """The rows that have a modality."""
    if views.present is None:
        return np.arange(len(views))
    found = np.flatnonzero(views.present[modality])
    if not len(found):
        raise ValueError(f"{argument} is {modality!r}, which none of the {len(views)} rows has")
    return found
