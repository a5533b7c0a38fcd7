"""Diagnostics beside their peers and their floors, in one run on one thread.

    python benchmarks/diagnostics.py [--only gradients graphs information geometry] [--quick]
        [--out diagnostics.json]

Calls are taken in turn, warm; medians. A row names what was measured, the seconds here, those of
the peer or the floor, their ratio and the goal that the project set itself, if it did. A peer that
is not installed is left out. On a machine with CUDA the crossover is measured too. Rows of works
that are not run again stay in the file.
"""

import argparse
import importlib
import json
from pathlib import Path

import timing
import torch
from costs import text

WORKS = {
    "gradients": "gradient_cost",
    "graphs": "graph_cost",
    "information": "information_cost",
    "geometry": "geometry_cost",
}
PEERS = ("torch", "scikit-learn", "npeet-plus", "ennemi", "infomeasure", "torch-cka")


def main():
    """Run the works asked for, print a line a row and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--out", default=str(Path(__file__).with_name("diagnostics.json")))
    given = parser.parse_args()
    torch.set_num_threads(1)
    timing.PACKAGES = (*timing.PACKAGES, *PEERS)
    out = Path(given.out)
    before = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    kept = [row for row in before if row["work"] not in given.only]
    report = {"machine": timing.machine(), "rows": kept}
    if torch.cuda.is_available():
        report["machine"]["gpu"] = torch.cuda.get_device_name()
    for work in given.only:
        for row in importlib.import_module(WORKS[work]).measure(quick=given.quick):
            report["rows"].append({"work": work, "quick": given.quick, **row})
            print(text(row), flush=True)
            out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
