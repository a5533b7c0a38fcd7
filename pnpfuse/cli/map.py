"""`pnpfuse map`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pnpfuse.cli.command import command, path, png


def add_map(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "map", _map,
        "map feature widths to the hyperparameters (n, b) of a fusion block, or back",
        "pnpfuse map image=2048 text=768 --voltage 50\n"
        "  pnpfuse map --b 0.3 --n 4\n\n"
        "the widths are those that reach the block: behind the small encoders of pnpfuse train\n"
        "they are min(64, width), and train --mapped maps those; --b finds the cell that stands\n"
        "for (n, b)",
    )  # fmt: skip
    parser.add_argument("dims", nargs="*", metavar="MODALITY=WIDTH", help="at least two, or --b")
    parser.add_argument("--b", type=float, help="find the cell whose interface lies here")
    parser.add_argument("--n", type=float, default=4.0, help="cell length, λ_D (%(default)s)")
    parser.add_argument("--voltage", type=float, default=20.0, help="+-, in kB T/e (%(default)s)")
    parser.add_argument("--out", type=path, help="write the result to this NetCDF file")
    parser.add_argument("--plot", type=png, help="draw the cells to this PNG file")


def _map(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import inverse_lines, mapping_lines
    from pnpfuse.mapping import cell_for, cell_with, hyperparameters, mapping_dataset
    from pnpfuse.storage import save_dataset
    from pnpfuse_solvers import solve_equilibrium

    if given.b is not None and given.dims:
        raise ValueError("dims: got widths beside --b; give MODALITY=WIDTH, or --b for a cell")
    if given.b is None:
        dims = _dims(given.dims)
        found = hyperparameters(dims, n=given.n, voltage=given.voltage)
        lines, result = mapping_lines(found), mapping_dataset(found, dims)
        cells = [cell_for(dims, m, n=given.n, voltage=given.voltage) for m in dims]
    else:
        cells = [cell_with(given.n, given.b, voltage=given.voltage)]
        result = solve_equilibrium(cells[0])
        lines = inverse_lines(result)
    if given.out:
        lines.append(f"written: {save_dataset(result, given.out)}")
    if given.plot:
        from pnpfuse.figures import cell_figure, save_figure

        names = [] if given.b is not None else list(dims)
        drawn = cell_figure(*map(solve_equilibrium, cells), names=names, command=given.line)
        lines.append(f"drawn: {save_figure(drawn, given.plot)}")
    return lines


def _dims(entries: Sequence[str]) -> dict[str, int]:
    dims: dict[str, int] = {}
    for entry in entries:
        name, equals, width = entry.partition("=")
        if not (name and equals and width.isdecimal()) or name in dims:
            raise ValueError(
                f"dims: got {entry!r}; give MODALITY=WIDTH, each modality once, e.g. text=768"
            )
        dims[name] = int(width)
    return dims
