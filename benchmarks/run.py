"""Solvers of one-dimensional Poisson-Nernst-Planck problems beside each other, in one run.

    python benchmarks/run.py [--only P1 P3 ...] [--rounds 5] [--slow] [--out results.json]

One thread, every call warmed up, solvers called in turn, medians. A peer that is not installed is
named in the JSON with the reason and left out.
"""

import argparse
import importlib
import json
from pathlib import Path

import timing
from table import line

WORKS = {
    "P1": "equilibria",
    "P2": "equilibria",
    "P3": "steady",
    "P4": "charging",
    "step": "step",
    "many": "many",
    "growth": "growth",
    "start": "start",
}


def find_peers(slow):
    """Return ({peer: its module}, {peer: why it is absent})."""
    found, absent = {}, {}
    for name in ("matscipy", "devsim", "pybamm", *(("fipy",) if slow else ())):
        try:
            with timing.silence():
                found[name] = importlib.import_module(f"peers.{name}_")
        except Exception as failure:  # a peer may fail to load for any reason
            absent[name] = timing.brief(failure)
    dolfinx = importlib.import_module("peers.dolfinx_")
    try:
        found["dolfinx"] = dolfinx, dolfinx.Worker()
    except OSError as failure:
        absent["dolfinx"] = timing.brief(failure)
    return found, absent


def main():
    """Run the works asked for, print a line a row and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true", help="FiPy too: half a minute a call")
    parser.add_argument("--out", default=str(Path(__file__).with_name("results.json")))
    given = parser.parse_args()
    peers, absent = find_peers(given.slow)
    report = {"machine": timing.machine(), "rounds": given.rounds, "absent": absent, "rows": []}
    if "dolfinx" in peers:
        report["machine"]["versions"]["dolfinx"] = peers["dolfinx"][1].version
    for peer, why in absent.items():
        print(f"{peer} is left out: {why}")
    for work in given.only:
        module = importlib.import_module(WORKS[work])
        for row in module.rows(peers, given.rounds, only=(work,)):
            report["rows"].append(row)
            print(line(row), flush=True)
            Path(given.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if "dolfinx" in peers:
        peers["dolfinx"][1].close()


if __name__ == "__main__":
    main()
