"""How well a gallery is ranked for each query: mAP@k, R@k and what else retrieval papers print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from torch import Tensor

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.labels import as_array
from pnpfuse.provenance import provenance

K = (1, 5, 10, 50, 100)
CHUNK_BYTES = 2**27
BYTES_PER_PAIR = 60  # cosine twice, order, relevance, and the running sums over it
NORMALISERS = ("possible", "found")
LEAK = (
    "the fused output Z of a modality holds the shared part of ANOTHER modality, that of the very "
    "item to be found, so that its score leaks the answer; embed each modality alone: "
    "retrieve(model, views, query, gallery) does, or block.embed(features)"
)


def rank(
    query: Tensor | ArrayLike,
    gallery: Tensor | ArrayLike,
    query_labels: ArrayLike | None = None,
    gallery_labels: ArrayLike | None = None,
    *,
    k: int | Iterable[int] = K,
    exclude_self: bool = False,
    normaliser: str = "possible",
) -> xr.Dataset:
    """Scores of a ranking by cosine, Dataset over `k`.

    Parameters
    ----------
    query : (Q, width), embeddings of the queries, on any device
    gallery : (G, width), embeddings of what is searched
    query_labels, gallery_labels : (Q,) and (G,), an item is relevant to a query if its label is
        the query's; None for both, item i is what query i looks for (Q = G)
    k : where the list is cut off; one longer than the gallery is the whole list
    exclude_self : leave item i out of the list of query i, when a set is searched for itself
    normaliser : of mAP@k, "possible" or "found", see below

    Returns
    -------
    xarray.Dataset
        With rel(j) whether the j-th item of a query's list is relevant, R how many are relevant
        in the whole gallery, and P(j) = (rel(1) + ... + rel(j)) / j:

        map_at_k : mean over queries of AP@k = sum_{j <= k} P(j) rel(j) / min(k, R); the divisor is
            what a perfect list would reach. With ``normaliser="found"`` it is instead
            rel(1) + ... + rel(k), how many were found (AP@k = 0 if none), as in the tables of some
            cross-modal papers; that number is never smaller.
        recall_at_k : R@k, the share of queries with a relevant item among the first k
        precision_at_k : mean of P(k), over the whole list where k is longer
        chance_recall_at_k : R@k of a random order, 1 - C(G - R, k) / C(G, k)
        mean_average_precision : of the whole list, AP = sum_j P(j) rel(j) / R
        mean_reciprocal_rank : mean of 1 / (position of the first relevant item)
        median_rank : median position of the first relevant item

    Notes
    -----
    Equal cosines keep the gallery's order. A vector of zeros has cosine 0 with everything. Queries
    without a relevant item count nowhere; attribute ``skipped`` says how many. Worked off in
    blocks of queries, at most 128 MiB each.

    Raises
    ------
    ValueError
        for the fused output of a block, whose score would leak the answer; for shapes that do not
        fit, values that are not finite, or no query with a relevant item
    """
    Q, G = _embedding("query", query), _embedding("gallery", gallery)
    if Q.shape[1] != G.shape[1]:
        raise ValueError(
            f"query has width {Q.shape[1]} and gallery {G.shape[1]}; one space needs one width"
        )
    if exclude_self and len(Q) != len(G):
        raise ValueError(
            f"exclude_self needs one set for both; found {len(Q)} queries for {len(G)} items"
        )
    if exclude_self and len(G) < 2:
        raise ValueError("exclude_self needs two items at least; found one")
    wanted, labels = _labels(query_labels, gallery_labels, len(Q), len(G))
    cuts = _cuts(k)
    check_choice("normaliser", normaliser, NORMALISERS)
    dtype = torch.promote_types(Q.dtype, G.dtype)
    device = G.device
    Q, G = _unit(Q.to(device, dtype)), _unit(G.to(dtype))  # (Q, width), (G, width)
    wanted, labels = wanted.to(device), labels.to(device)
    # Equal items share one column: in columns of their own rounding could tell them apart.
    distinct, column = torch.unique(G, dim=0, return_inverse=True)  # (D, width), (G,)
    size = len(G) - exclude_self
    within = torch.tensor([min(cut, size) for cut in cuts], device=device) - 1  # (k,)
    scores: dict[str, list[Tensor]] = {}
    step = max(1, CHUNK_BYTES // (BYTES_PER_PAIR * len(G)))
    for start in range(0, len(Q), step):
        rows = slice(start, start + step)
        cosine = (Q[rows] @ distinct.T)[:, column]  # (chunk, G)
        if exclude_self:
            own = torch.arange(start, start + len(cosine), device=device)  # (chunk,)
            cosine.scatter_(1, own[:, None], -torch.inf)
        order = cosine.argsort(dim=1, descending=True, stable=True)[:, :size]  # (chunk, size)
        relevant = labels[order] == wanted[rows, None]  # (chunk, size)
        for name, values in _of_lists(relevant, within, cuts, normaliser).items():
            scores.setdefault(name, []).append(values.cpu())
    return _dataset(
        {name: torch.cat(values).double().numpy() for name, values in scores.items()},
        cuts,
        size,
        {"normaliser": normaliser, "queries": len(Q), "gallery": size},
    )


def _of_lists(
    relevant: Tensor, within: Tensor, cuts: list[int], normaliser: str
) -> dict[str, Tensor]:
    """Scores of each query from the relevance of its list (chunk, G): (chunk, k) or (chunk,)."""
    positions = torch.arange(1, relevant.shape[1] + 1, device=relevant.device)  # (G,)
    found = relevant.cumsum(1, dtype=torch.int32)  # (chunk, G)
    total = found[:, -1]  # (chunk,)
    # float64: in float32 a sum over a long list would lose the late items.
    gain = found.double() / positions * relevant  # (chunk, G)
    gained = gain.cumsum(1)  # (chunk, G)
    cut = torch.tensor(cuts, device=relevant.device)  # (k,)
    at = found[:, within]  # (chunk, k)
    possible = torch.minimum(cut[None], total[:, None])  # (chunk, k)
    divisor = possible if normaliser == "possible" else at
    first = relevant.to(torch.uint8).argmax(1) + 1  # (chunk,); 1 where there is none
    return {
        "map_at_k": gained[:, within] / divisor.clamp(min=1),
        "recall_at_k": (at > 0).double(),
        "precision_at_k": at.double() / (within + 1),
        "mean_average_precision": gained[:, -1] / total.clamp(min=1),
        "mean_reciprocal_rank": 1 / first.double(),
        "rank": first,
        "total": total,
    }


LONG_NAMES = {
    "map_at_k": "mean over queries of the average precision of the first k items",
    "recall_at_k": "share of queries with a relevant item among the first k",
    "precision_at_k": "share of relevant items among the first k, mean over queries",
    "chance_recall_at_k": "recall_at_k of a random order",
    "mean_average_precision": "mean over queries of the average precision of the whole list",
    "mean_reciprocal_rank": "mean over queries of 1 / (position of the first relevant item)",
    "median_rank": "median position of the first relevant item",
}


def _dataset(
    scores: Mapping[str, NDArray], cuts: list[int], size: int, attrs: dict[str, Any]
) -> xr.Dataset:
    total = scores["total"]  # (Q,)
    answered = total > 0
    if not answered.any():
        raise ValueError("query_labels has no label that gallery_labels has; nothing can be found")
    means: dict[str, Any] = {}
    for name in LONG_NAMES:
        if name == "median_rank":
            means[name] = np.median(scores["rank"][answered])
        elif name == "chance_recall_at_k":
            means[name] = [_chance(total[answered], size, cut) for cut in cuts]
        else:
            means[name] = scores[name][answered].mean(0)
    dataset = xr.Dataset(
        {
            name: (
                ("k",) if np.ndim(value) else (),
                value,
                {"units": "1", "long_name": LONG_NAMES[name]},
            )
            for name, value in means.items()
        },
        coords={"k": ("k", cuts, {"units": "1", "long_name": "items of the list looked at"})},
    )
    dataset.attrs = provenance("scores of a retrieval", **attrs, skipped=int((~answered).sum()))
    return dataset


def _chance(total: NDArray, size: int, cut: int) -> float:
    """Mean over queries of the chance that k random items hold one of R relevant ones."""
    others = size - total  # (Q,)
    cut = min(cut, size)
    missed = np.zeros(len(total))
    some = others >= cut  # else every choice of k holds one
    missed[some] = np.exp(
        gammaln(others[some] + 1) - gammaln(others[some] - cut + 1)
        - gammaln(size + 1) + gammaln(size - cut + 1)
    )  # fmt: skip
    return float(1 - missed.mean())


def _embedding(argument: str, given: Any) -> Tensor:
    if isinstance(given, (FusionOutput, ModelOutput, Mapping)):
        raise ValueError(
            f"{argument} must be one modality's embeddings (rows, width), found "
            f"{type(given).__name__}; {LEAK}"
        )
    if isinstance(given, Tensor):
        E, numbers = given.detach(), not given.is_complex() and given.dtype != torch.bool
    else:
        array = as_array(argument, given)
        numbers = array.dtype.kind in "fiu"
        E = torch.from_numpy(array.astype(np.float64 if numbers else bool))
        E = E.float() if array.dtype in (np.float16, np.float32) else E
    if E.ndim != 2 or 0 in E.shape or not numbers:
        raise ValueError(
            f"{argument} must be numbers (rows, width); found {E.dtype} with shape {tuple(E.shape)}"
        )
    E = E if E.dtype in (torch.float32, torch.float64) else E.float()
    if not E.isfinite().all():
        bad = (~E.isfinite()).any(1).nonzero().flatten()
        raise ValueError(
            f"{argument} has NaN or infinite values in {len(bad)} rows (first: {int(bad[0])})"
        )
    return E


def _unit(E: Tensor) -> Tensor:
    """Rows of length 1; rows of zeros as they are."""
    # The largest entry first: the square of a large float32 would be infinite.
    E = E / E.abs().amax(1, keepdim=True).clamp(min=torch.finfo(E.dtype).tiny)
    return E / torch.linalg.vector_norm(E, dim=1, keepdim=True).clamp(min=0.5)


def _labels(
    query_labels: ArrayLike | None, gallery_labels: ArrayLike | None, queries: int, items: int
) -> tuple[Tensor, Tensor]:
    """Labels of both as whole numbers, (Q,) and (G,)."""
    if query_labels is None and gallery_labels is None:
        if queries != items:
            raise ValueError(
                f"query has {queries} rows and gallery {items}; pairs need as many of both, else "
                "give query_labels and gallery_labels"
            )
        return torch.arange(queries), torch.arange(items)
    if query_labels is None or gallery_labels is None:
        raise ValueError("query_labels and gallery_labels go together; found one of them")
    given = []
    for argument, labels, rows in (
        ("query_labels", query_labels, queries),
        ("gallery_labels", gallery_labels, items),
    ):
        array = as_array(argument, labels.cpu() if isinstance(labels, Tensor) else labels)
        if array.shape != (rows,):
            raise ValueError(f"{argument} must have shape ({rows},); found {array.shape}")
        given.append(array)
    texts = [array.dtype.kind in "UST" for array in given]
    if any(array.dtype.kind not in "iubfUST" for array in given) or len(set(texts)) > 1:
        kinds = " and ".join(str(array.dtype) for array in given)
        raise ValueError(
            f"query_labels and gallery_labels must be numbers or strings; found {kinds}"
        )
    _, codes = np.unique(np.concatenate(given), return_inverse=True)
    return torch.from_numpy(codes[:queries]), torch.from_numpy(codes[queries:])


def _cuts(k: int | Iterable[int]) -> list[int]:
    given = list(k) if isinstance(k, Iterable) and not isinstance(k, str) else [k]
    cuts = [check_count("k", cut) for cut in given]
    if not cuts or sorted(set(cuts)) != cuts:
        raise ValueError(f"k must be numbers that rise; found {k!r}")
    return cuts
