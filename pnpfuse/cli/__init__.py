"""The command line: reads arguments, calls the library, prints. No arithmetic.

A file a command: `add_<command>` declares it, its ``run`` gives the lines to print.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from pnpfuse.cli.compare import add_compare
from pnpfuse.cli.demo import add_demo
from pnpfuse.cli.diagnose import add_diagnose
from pnpfuse.cli.laziness import add_laziness
from pnpfuse.cli.ledger import add_ledger
from pnpfuse.cli.map import add_map
from pnpfuse.cli.models import add_models
from pnpfuse.cli.regimes import add_regimes
from pnpfuse.cli.retrieve import add_retrieve
from pnpfuse.cli.simulate import add_simulate
from pnpfuse.cli.sweep import add_sweep
from pnpfuse.cli.train import add_train

OK, FAILED, BAD_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130
COMMANDS = (
    add_demo, add_simulate, add_map, add_regimes, add_models, add_train, add_compare, add_sweep,
    add_laziness, add_retrieve, add_diagnose, add_ledger,
)  # fmt: skip
# What the library calls its arguments, and what they are called here.
SPELLED = {
    "resume=False": "--restart",
    "weighting='fixed'": "--weighting fixed",
    "max_rows": "--rows",
    "html=True": "--html",
    "the same call": "the same command",
}


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_ARGUMENTS, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done, 1 failed, 2 bad arguments."""
    given = _parser().parse_args(arguments)
    given.line = shlex.join(["pnpfuse", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        for line in given.run(given):
            print(line, flush=True)
    except KeyboardInterrupt as stop:
        return _complain(given.prog, str(stop) or "interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, head for instance, has seen enough
        sys.stderr.close()
        return OK
    except ValueError as error:
        return _complain(given.prog, error, BAD_ARGUMENTS)
    except ArithmeticError:
        return _complain(
            given.prog, "a number is out of all range; check the arguments", BAD_ARGUMENTS
        )
    except (RuntimeError, OSError, MemoryError) as error:
        return _complain(given.prog, error, FAILED)
    return OK


def _complain(prog: str, error: object, status: int) -> int:
    message = " ".join(str(error).split()) or type(error).__name__
    for argument, option in SPELLED.items():
        message = message.replace(argument, option)
    print(f"{prog}: error: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pnpfuse",
        description="Poisson-Nernst-Planck cells, and multimodal fusion modelled on them.",
    )
    parser.add_argument("--version", action="version", version=f"pnpfuse {version('pnpfuse')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser
