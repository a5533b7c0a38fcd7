"""`pnpfuse diagnose`: from where a model and data lie to what is printed and written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from pnpfuse.cli.command import DATA, command, path
from pnpfuse.cli.diagnosis_options import add_diagnosis_options, diagnosis_settings

PAGE = "diagnosis.html"


def add_diagnose(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "diagnose", diagnosis_lines,
        "say whether a trained model's losses fight, its features collapse, and what they know",
        "pnpfuse diagnose out/train digits --out out/diagnosis --html\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument(
        "--out", type=path, default="out/diagnosis",
        help="folder for diagnostics.nc and the page (%(default)s)",
    )  # fmt: skip
    add_diagnosis_options(parser)


def diagnosis_lines(given: argparse.Namespace) -> Iterator[str]:
    """What `pnpfuse diagnose` prints; it writes the Dataset and the page."""
    from pnpfuse.data import load_views
    from pnpfuse.diagnosis import diagnose
    from pnpfuse.diagnosis.findings import diagnosis, looked_at, missing
    from pnpfuse.storage import save_dataset, save_text
    from pnpfuse.threads import cpu_threads
    from pnpfuse.trained import open_trained
    from pnpfuse.training import choose_device

    out = Path(given.out)
    check_out(out, html=given.html)
    device, views = choose_device(given.device), load_views(given.data)
    model, training = open_trained(given.model, views)
    with cpu_threads(given.threads):
        found = diagnose(model.to(device), views, progress=True, **diagnosis_settings(given))
    found.attrs["training"] = training
    yield f"Model: {training}. {looked_at(found)}"
    yield from diagnosis(found)
    yield from missing(found)
    yield f"written: {save_dataset(found, out / 'diagnostics.nc')}"
    if given.html:
        from pnpfuse.diagnosis.page import diagnosis_page

        page = diagnosis_page(found, given.line)
        yield f"written: {save_text(page, out / PAGE)}"


def check_out(folder: Path, *, html: bool) -> None:
    """Complain before anything is measured, rather than when it is to be written.

    Raises
    ------
    OSError
        if `folder` cannot be written to
    ValueError
        if the page of another diagnosis lies there, which would stay beside new numbers
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OSError(f"cannot write to {folder}: {there} is no folder that can be written to")
    if not html and (folder / PAGE).exists():
        raise ValueError(
            f"--out {folder} holds the page of an earlier diagnosis, {PAGE}: give html=True to "
            "write it anew, or another folder"
        )
