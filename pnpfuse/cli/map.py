"""`pnpfuse map`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pnpfuse.cli.command import command, path


def add_map(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "map", _map,
        "map feature widths to the hyperparameters (n, b) of a fusion block",
        "pnpfuse map image=2048 text=768 --voltage 50\n\n"
        "the widths are those that reach the block: behind the small encoders of pnpfuse train\n"
        "they are min(64, width), and train --mapped maps those",
    )  # fmt: skip
    parser.add_argument("dims", nargs="+", metavar="MODALITY=WIDTH", help="at least two")
    parser.add_argument("--n", type=float, default=4.0, help="cell length, λ_D (%(default)s)")
    parser.add_argument("--voltage", type=float, default=20.0, help="+-, in kB T/e (%(default)s)")
    parser.add_argument("--out", type=path, help="write the result to this NetCDF file")


def _map(given: argparse.Namespace) -> Sequence[str]:
    from pnpfuse.console import mapping_lines
    from pnpfuse.mapping import hyperparameters, mapping_dataset
    from pnpfuse.storage import save_dataset

    found = hyperparameters(_dims(given.dims), n=given.n, voltage=given.voltage)
    lines = mapping_lines(found)
    if given.out:
        lines.append(f"written: {save_dataset(mapping_dataset(found), given.out)}")
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
