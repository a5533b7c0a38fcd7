"""The options of the command line that `diagnose` takes."""

import argparse
from typing import Any


def add_diagnosis_options(parser: argparse.ArgumentParser) -> None:
    """What is diagnosed, and the arguments of `diagnose`."""
    parser.add_argument(
        "model", metavar="CHECKPOINT",
        help="folder that pnpfuse train wrote, or of a training's checkpoint",
    )  # fmt: skip
    parser.add_argument("data", metavar="DATA", help="digits, or a file (see below)")
    parser.add_argument("--html", action="store_true", help="write diagnosis.html, all in one file")
    parser.add_argument("--only", nargs="+", metavar="NAME",
                        help="gradients, smoothness, geometry, information, labels (all)"
                        )  # fmt: skip
    parser.add_argument("--neighbours", type=int, default=10,
                        help="of the graph on which smoothness is measured (%(default)s)"
                        )  # fmt: skip
    parser.add_argument("--components", type=int, default=3,
                        help="leading ones, for entropy and information (%(default)s)"
                        )  # fmt: skip
    parser.add_argument("--rows", type=int, default=2048,
                        help="of a split, at most, drawn with the seed (%(default)s)"
                        )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")


def diagnosis_settings(given: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `diagnose` that the command line gives."""
    settings = {
        "neighbours": given.neighbours,
        "components": given.components,
        "max_rows": given.rows,
        "seed": given.seed,
    }
    return settings | ({"only": given.only} if given.only else {})
