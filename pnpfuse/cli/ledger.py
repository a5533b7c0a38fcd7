"""`pnpfuse ledger`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pnpfuse.cli.command import DATA, command, path

EXAMPLES = """pnpfuse ledger --quick --out out/ledger
  pnpfuse ledger pmr/long_cells scope/row_sums --out out/some
  pnpfuse ledger --papers infobridge --data views.nc --seeds 5 --out out/mine
  pnpfuse ledger --list"""
JOBS = 8


def add_ledger(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "ledger", _ledger,
        "try the claims of the four papers and say which hold",
        f"{EXAMPLES}\n\n{DATA}",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="CLAIM", help="see --list (all)")
    parser.add_argument("--papers", nargs="+", metavar="PAPER",
                        help="pmr, gmf, scope, infobridge (all)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the claims and stop")
    parser.add_argument("--quick", action="store_true",
                        help="fewer seeds, epochs and grid points")  # fmt: skip
    parser.add_argument("--data", default="digits", metavar="FILE",
                        help="digits, or a file (see below) (%(default)s)")  # fmt: skip
    parser.add_argument("--seeds", type=int, help="trainings a model (5, quick 3)")
    parser.add_argument("--epochs", type=int, help="of each training (20, quick 5)")
    parser.add_argument("--threads", type=int, default=1,
                        help="CPU threads a run (%(default)s)")  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, help=f"runs at a time (the cores, {JOBS} at most)")
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the runs")
    parser.add_argument("--out", type=path, default="out/ledger", metavar="FOLDER",
                        help="write ledger.json and ledger.html there; stopped, the same command "
                        "goes on where it was (%(default)s)")  # fmt: skip


def _ledger(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.ledger.catalogue import claims

    chosen = claims(given.names or None, given.papers)
    if given.list:
        for name, claim in chosen.items():
            yield f"{name}  ({claim.source})  {claim.statement}"
        return
    from pnpfuse.data import load_views
    from pnpfuse.executors import cores, executor_for
    from pnpfuse.ledger import LedgerError, ledger_lines, ledger_page, run_ledger
    from pnpfuse.storage import save_text

    views = load_views(given.data)
    broken: LedgerError | None = None
    with executor_for(min(cores(), JOBS) if given.jobs is None else given.jobs, given.dask) as pool:
        try:
            ledger = run_ledger(
                views, names=list(chosen), quick=given.quick, seeds=given.seeds,
                epochs=given.epochs, executor=pool, threads=given.threads, out=given.out,
            )  # fmt: skip
        except LedgerError as error:
            broken, ledger = error, error.ledger
    yield from ledger_lines(ledger)
    page = save_text(ledger_page(ledger, given.line), Path(given.out) / "ledger.html")
    yield f"written: {Path(given.out) / 'ledger.json'}, {page}"
    if broken is not None:
        raise broken
