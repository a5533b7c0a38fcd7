"""`pnpfuse ledger`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pnpfuse.cli.command import DATA, check_places, command, ended_like_ctrl_c, path
from pnpfuse.cli.training_options import add_training_options, training_settings

if TYPE_CHECKING:
    from pnpfuse.ledger import Ledger

EXAMPLES = """pnpfuse ledger --quick --out out/ledger
  pnpfuse ledger pmr/residual above_ffn_concat --out out/some
  pnpfuse ledger --papers infobridge --data views.nc --seeds 5 --out out/mine
  pnpfuse ledger --list
  pnpfuse ledger --read out/ledger/ledger.json out/mine/ledger.json --markdown both.md

Stopped, by Ctrl-C, a kill or the end of the power, the same command goes on from where it was."""
JOBS = 8
OUT = "out/ledger"


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
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="name the claims and stop")
    instead.add_argument("--read", nargs="+", metavar="FILE", type=path,
                         help="run nothing: show ledger.json files of earlier runs, several side "
                         "by side")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help="fewer seeds, epochs and grid points")  # fmt: skip
    parser.add_argument("--data", default="digits", metavar="FILE",
                        help="digits, or a file (see below) (%(default)s)")  # fmt: skip
    parser.add_argument("--seeds", type=int, help="trainings a model (5, quick 3)")
    add_training_options(parser, several=True, epochs="20, quick 5")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=1,
                        help="CPU threads a run (%(default)s)")  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, help=f"runs at a time (the cores, {JOBS} at most)")
    where.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler that takes the runs")
    parser.add_argument("--out", type=path, metavar="FOLDER",
                        help="write ledger.json and ledger.html there; with --read only "
                        f"ledger.html ({OUT}; with --read nowhere)")  # fmt: skip
    parser.add_argument("--markdown", type=path, metavar="FILE",
                        help="write the ledger, or those of --read, as Markdown")  # fmt: skip


def _ledger(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.ledger.catalogue import claim_names, outline

    names = claim_names(given.names or None, given.papers)
    if given.list:
        for name in names:
            yield "{}  ({})  {}".format(name, *outline(name))
    elif given.read:
        yield from _read(given)
    else:
        yield from _run(given, names)


def _read(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.ledger.record import Ledger

    if given.names or given.papers:
        raise ValueError("--read shows whole ledgers; leave the names and --papers out")
    ledgers = [Ledger.load(file) for file in given.read]
    yield from _shown(given, ledgers, given.out)


def _run(given: argparse.Namespace, names: Sequence[str]) -> Iterator[str]:
    from pnpfuse.data import load_views
    from pnpfuse.executors import cores, executor_for
    from pnpfuse.ledger.run import LedgerError, run_ledger

    settings, out = training_settings(given), given.out or OUT
    views = load_views(given.data)
    check_places(given.markdown)
    broken: LedgerError | None = None
    jobs = min(cores(), JOBS) if given.jobs is None else given.jobs
    with ended_like_ctrl_c(), executor_for(jobs, given.dask) as pool:
        try:
            ledger = run_ledger(
                views, names=names, quick=given.quick, seeds=given.seeds, executor=pool,
                threads=given.threads, out=out, **settings,
            )  # fmt: skip
        except LedgerError as error:
            broken, ledger = error, error.ledger
    yield from _shown(given, [ledger], out)
    if broken is not None:
        raise broken


def _shown(given: argparse.Namespace, ledgers: Sequence[Ledger], out: str | None) -> Iterator[str]:
    """The table, and the files."""
    from pnpfuse.ledger.markdown import ledger_markdown
    from pnpfuse.ledger.page import ledger_page
    from pnpfuse.ledger.record import LEDGER
    from pnpfuse.ledger.tables import ledger_lines
    from pnpfuse.storage import save_text

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    yield from ledger_lines(*ledgers, colour=colour)
    if out is not None:
        page = save_text(ledger_page(*ledgers, command=given.line), Path(out) / "ledger.html")
        yield f"written: {page}" if given.read else f"written: {Path(out) / LEDGER}, {page}"
    if given.markdown:
        yield f"written: {save_text(ledger_markdown(*ledgers), given.markdown)}"
