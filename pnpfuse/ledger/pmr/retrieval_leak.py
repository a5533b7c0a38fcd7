"""The fused output as an embedding: it holds the paired item."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from pnpfuse.evaluation import rows_for
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.retrieval import some_rows
from pnpfuse.ledger.training import Training
from pnpfuse.ranking import rank
from pnpfuse.retrieval import embeddings
from pnpfuse.views import Views

MODEL = Training("rg-cmmp")
ROWS, FEWEST = 500, 20
SIGMAS = 4.0  # of a share of queries found by chance


def trainings(bench: Bench) -> list[Training]:
    """The one model."""
    bench.need(2)
    return [MODEL]


def measure(bench: Bench) -> Found:
    """R@1 of the pair on rows whose modalities are shuffled apart, and as they are."""
    bench.need(2)
    rows = _complete(bench.views.test)
    rng = np.random.default_rng(0)
    rows = some_rows(rows, ROWS)
    apart = Views(
        {m: X[rng.permutation(len(rows))] for m, X in rows.read(np.arange(len(rows))).items()},
        rows.labels, rows.split, rows.class_names, rows.name,
    )  # fmt: skip
    found: dict[str, list[float]] = {"fused": [], "alone": [], "own": [], "paired_own": []}
    for seed in bench.seeds:
        model = bench.model(MODEL, seed)
        query = list(model.dims)[0]
        gallery = cast(Exchange, model.block).source_of(query)
        items = embeddings(model, apart, gallery, "shared")  # (rows, l*)
        common = items.shape[1]
        X, _ = rows_for(model, apart)
        absent = {
            m: torch.zeros_like(x[:, 0], dtype=torch.bool) for m, x in X.items() if m != query
        }
        with torch.inference_mode():
            whole = model(X).fusion.fused[query][:, :common]  # (rows, l*), the shared part of Z
            single = model({query: X[query]}, absent).fusion.fused[query][:, :common]
        own = embeddings(model, apart, query, "shared")
        true = [embeddings(model, rows, m, "shared") for m in (query, gallery)]
        found["fused"].append(_first(whole, items))
        found["alone"].append(_first(single, items))
        found["own"].append(_first(own, items))
        found["paired_own"].append(_first(*true))
    return {"rows": len(rows), **found}


def judge(found: Found) -> Verdict:
    """Holds where nothing is found among independent rows by the fused output."""
    chance = 1 / found["rows"]
    limit = 100 * (chance + SIGMAS * np.sqrt(chance * (1 - chance) / found["rows"]))
    if max(found["fused"]) <= limit:
        return holds()
    told = (
        f"the fused output finds {np.mean(found['fused']):.0f} % of the pairs where there is "
        "nothing to be found, because it holds the shared part of the item that is looked for"
    )
    if max(found["own"]) > limit:
        return fails(f"{told}; and own shared parts find {np.mean(found['own']):.0f} %")
    return corrected(f"{told}; an embedding has to be made of its own modality alone")


def say(found: Found) -> str:
    """All shares."""
    mean = {name: np.mean(found[name]) for name in ("fused", "alone", "own", "paired_own")}
    return (
        f"R@1 of the pair among {found['rows']} independent rows: {mean['fused']:.1f} % by the "
        f"fused output, {mean['alone']:.1f} % by that of a query which has its own modality alone, "
        f"{mean['own']:.1f} % by own shared parts, {100 / found['rows']:.1f} % by chance; own "
        f"shared parts on the rows as they are: {mean['paired_own']:.1f} %"
    )


def _complete(views: Views) -> Views:
    """The rows that have every modality; CannotTry where there are too few."""
    keep = np.all(list(views.present.values()), axis=0) if views.present else None
    count = len(views) if keep is None else int(keep.sum())
    if count < FEWEST:
        raise CannotTry(f"needs {FEWEST} complete test rows; {views.name} has {count}")
    return views if keep is None else views.subset(keep)


def _first(queries: torch.Tensor, items: torch.Tensor) -> float:
    """R@1 in percent."""
    return 100 * rank(queries, items, k=1)["recall_at_k"].item()


CLAIM = Claim(
    statement="The fused output of a modality, its specific part beside the shared part of the "
    "next modality, is the representation that the tasks work with, retrieval among them.",
    source="PMR Sec. 4, Eq. 5; Sec. 5.2",
    protocol=f"Of at most {ROWS} test rows the modalities are shuffled apart, so that nothing can "
    "be found. A query is the shared part of the fused output of the first modality, the items are "
    "the shared parts of the modality that it comes from; beside it the fused output of a query "
    "that has its own modality alone, and own shared parts, on these rows and on the rows as they "
    "are; the trained rG-CMMP, R@1 of the pair.",
    threshold="on the shuffled rows no seed finds more than the share expected by chance plus "
    f"{SIGMAS:g} of its standard deviations; corrected where own shared parts meet that",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
