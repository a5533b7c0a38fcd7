"""`pnpfuse simulate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pnpfuse.cli.cell_options import add_cell_options, cell_given
from pnpfuse.cli.command import command, path, png


def add_simulate(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "simulate", _simulate,
        "solve the equilibrium of a cell",
        "pnpfuse simulate --length-ratio 4 --voltage 5 --out cell.nc --plot cell.png\n"
        "  pnpfuse simulate --length 1e-7 --ion Na+ 1 6e25 --ion Cl- -1 6e25 --permittivity 78 "
        "--voltage 4",
    )  # fmt: skip
    add_cell_options(parser)
    parser.add_argument("--nodes", type=int, default=401, help="mesh nodes (%(default)s)")
    parser.add_argument("--out", type=path, help="write the solution to this NetCDF file")
    parser.add_argument(
        "--plot", type=png, help="draw potential and concentrations to this PNG file"
    )


def _simulate(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import cell_lines
    from pnpfuse.storage import save_dataset
    from pnpfuse_solvers import solve_equilibrium

    solution = solve_equilibrium(cell_given(given), nodes=given.nodes)
    lines = list(cell_lines(solution))
    if given.out:
        lines.append(f"written: {save_dataset(solution, given.out)}")
    if given.plot:
        from pnpfuse.figures import cell_figure, save_figure

        drawn = cell_figure(solution, command=given.line)
        lines.append(f"drawn: {save_figure(drawn, given.plot)}")
    return lines
