"""Whether PMR leads in the tables that cannot be repeated."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, untried
from pnpfuse.ledger.measures.printed_pmr import TABLE3, TABLE4, TABLE6, is_pmr
from pnpfuse.ledger.measures.wording import listed


def measure(bench: Bench) -> Found:
    """Of each printed column the best of PMR's rows and the best of the others, in percent."""
    columns = {}
    for scores, said in ((TABLE3, ("mAP@10", "mAP@50", "mAP@100")), (TABLE4, ("R@5", "R@10"))):
        for part, methods in scores.items():
            for j, name in enumerate(said):
                columns[f"{part} {name}"] = _best({m: 100 * v[j] for m, v in methods.items()})
    return columns | {"Food-101 accuracy": _best(TABLE6)}


def judge(found: Found) -> Verdict:
    """Fails where the print itself says otherwise; else there is nothing to judge it by."""
    behind = [name for name, of in found.items() if of["pmr"] <= of["other"]]
    if behind:
        return fails(f"in print it does not lead in {listed(behind)}")
    return untried(
        "it leads in print, but one seed says nothing of the spread, and the data's features and "
        "backbones cannot be had"
    )


def say(found: Found) -> str:
    """The least and the largest lead."""
    leads = {name: of["pmr"] - of["other"] for name, of in found.items()}
    least, most = min(leads, key=leads.__getitem__), max(leads, key=leads.__getitem__)
    return (
        f"leads over the best other method in {len(leads)} printed columns: from "
        f"{leads[least]:.1f} points ({least}) to {leads[most]:.1f} ({most})"
    )


def _best(column: dict[str, float]) -> dict[str, float]:
    ours = [value for name, value in column.items() if is_pmr(name)]
    others = [value for name, value in column.items() if not is_pmr(name)]
    return {"pmr": max(ours), "other": max(others)}


CLAIM = Claim(
    statement="PMR leads in image-video retrieval on ActivityNet, in audio-video retrieval on "
    "VGGSound and in classification on Food-101.",
    source="PMR Sec. 5.2, 5.3.2, Tables 3, 4 and 6",
    protocol="Only the printed numbers can be had: of each column the best of PMR's rows beside "
    "the best of the others.",
    threshold="a column in which PMR does not lead refutes it; a lead printed for one seed without "
    "a spread proves nothing",
    measure=measure,
    judge=judge,
    say=say,
)
