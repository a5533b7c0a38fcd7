"""What every command of the command line is made with."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

DATA = """a file (.npz, NetCDF or Zarr) holds view_<name> (rows, width) for each modality and y or
labels (rows,) of 0..K-1 or of strings; if known also split (rows,), 0 or "train", 1 or "test"
(else a stratified quarter is the test set), class_names, view_names (their order) and
present_<name> (rows,), false where a row lacks the modality"""


def command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], Iterable[str]],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """The parser of a new command, whose ``run`` gives the lines to print."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, prog=f"pnpfuse {name}")
    return parser


def path(text: str) -> str:
    """An argument that names a file or a folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("got an empty name; give a path")
    return text


def png(text: str) -> str:
    """An argument that names a PNG file."""
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"got {text!r}; give a name that ends in .png")
    return text


def check_places(*places: str | None) -> None:
    """Told before the work rather than after it: files that cannot be written; OSError."""
    from pnpfuse.storage import check_writable

    for place in places:
        if place is not None:
            check_writable(place)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, by which batch systems end a job: the workers leave, and what is kept is told."""
    if current_thread() is not main_thread():  # where no handler can be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
