"""`pnpfuse regimes`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pnpfuse.cli.command import command, path, png


def add_regimes(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "regimes", _regimes,
        "map b and separation over length, voltage and charge ratio",
        "pnpfuse regimes --out regimes.nc --plot regimes.png",
    )  # fmt: skip
    parser.add_argument("--length-ratio", type=float, nargs="+", metavar="N",
                        help="lengths in λ_D (125 from 0.05 to 222)")  # fmt: skip
    parser.add_argument("--voltage", type=float, nargs="+", metavar="U",
                        help="+-, in kB T/e (80 from 0.5 to 105)")  # fmt: skip
    parser.add_argument("--charge-ratio", type=float, nargs="+", metavar="R",
                        help="l*/l_m (10 from 1/32 to 1)")  # fmt: skip
    parser.add_argument("--nodes", type=int, default=201, help="mesh nodes (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (all)")
    parser.add_argument("--out", type=path, help="write the map to this NetCDF file")
    parser.add_argument("--plot", type=png, help="draw the map to this PNG file")


def _regimes(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.findings import regimes
    from pnpfuse.regimes import regime_map
    from pnpfuse.storage import save_dataset

    found = regime_map(
        given.length_ratio, given.voltage, given.charge_ratio, nodes=given.nodes,
        threads=given.threads,
    )  # fmt: skip
    lines = regimes(found)
    if given.out:
        lines.append(f"written: {save_dataset(found, given.out)}")
    if given.plot:
        from pnpfuse.figures import save_figure
        from pnpfuse.regime_figures import regime_figure

        lines.append(f"drawn: {save_figure(regime_figure(found, given.line), given.plot)}")
    return lines
