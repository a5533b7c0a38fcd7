"""`pnpfuse demo`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pnpfuse.cli.command import command, path


def add_demo(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "demo", _demo,
        "run the whole chain on handwritten digits and write a report",
        "pnpfuse demo --out out/demo --seed 0",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=path, default="out/demo", help="folder for the results (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="first seed (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a model (%(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="of each training (%(default)s)")


def _demo(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.demo import run_demo

    return run_demo(given.out, seed=given.seed, seeds=given.seeds, epochs=given.epochs)
