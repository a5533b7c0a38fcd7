"""`pnpfuse retrieve`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pnpfuse.cli.command import DATA, command, path


def add_retrieve(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = command(
        commands, "retrieve", _retrieve,
        "score a trained model's retrieval of one modality by another",
        "pnpfuse retrieve out/train digits --query pixels --gallery fourier --out scores.nc\n\n"
        + DATA,
    )  # fmt: skip
    parser.add_argument("model", help="folder of a saved model, as pnpfuse train writes it")
    parser.add_argument("data", help="digits, or a file (see below)")
    parser.add_argument("--query", required=True, help="modality of the queries")
    parser.add_argument("--gallery", required=True, help="modality that is searched")
    parser.add_argument("--k", type=int, nargs="+", default=[1, 5, 10, 50, 100], help="cut-offs")
    parser.add_argument("--relevance", default="class", help="class or pair (%(default)s)")
    parser.add_argument("--parts", help="shared, specific or all (shared across modalities)")
    parser.add_argument("--split", default="test", help="train or test (%(default)s)")
    parser.add_argument("--out", type=path, help="write the scores to this NetCDF file")


def _retrieve(given: argparse.Namespace) -> Iterator[str]:
    from pnpfuse.console import retrieval_lines
    from pnpfuse.data import load_views
    from pnpfuse.fusion.saved import load_model
    from pnpfuse.retrieval import retrieve
    from pnpfuse.storage import save_dataset

    model = load_model(given.model)
    found = retrieve(
        model, load_views(given.data), given.query, given.gallery, k=given.k,
        relevance=given.relevance, parts=given.parts, split=given.split,
    )  # fmt: skip
    yield from retrieval_lines(found)
    if given.out:
        yield f"written: {save_dataset(found, given.out)}"
